"""``python -m ingestor``: the same as the command."""

import gc
import os
import signal
import sys

_RARELY = 10_000  # objects more than before until the collector looks at them


def main() -> None:
    """Run the command."""
    _fill_standard_streams()
    # Ctrl-C ends it, as SIGTERM does, where nobody listens who ends it in good order.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Nothing is multiplied here; threads that wait for numpy to do so would not wait idly.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # None of what is imported is garbage: looking for it took a tenth of the start.
    gc.set_threshold(_RARELY)
    try:
        from ingestor.cli import main as command  # noqa: PLC0415 - only when it is run
    except (ImportError, MemoryError, OSError) as error:  # nothing of ours is there to say it
        sys.exit(
            f"ingestor: it cannot be loaded: {error!r}; look at the system's limits "
            "(ulimit -n, ulimit -v), then at how it was installed."
        )
    command()


def _fill_standard_streams() -> None:
    """Put nothing where a stream was closed, or else what is opened first is taken for it."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free: this one


if __name__ == "__main__":
    main()
