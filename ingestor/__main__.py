"""``python -m ingestor``: the same as the command."""

import gc
import os

_RARELY = 10_000  # objects more than before until the collector looks at them


def main() -> None:
    """Run the command. The processes of a backfill import this module, and need none."""
    # Nothing is multiplied here; threads that wait for numpy to do so would not wait idly.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # The processes of a backfill read no program from where somebody stands.
    os.environ["PYTHONSAFEPATH"] = "1"
    # None of what is imported is garbage: looking for it took a tenth of the start.
    gc.set_threshold(_RARELY)
    from ingestor.cli import main as command  # noqa: PLC0415 - only when it is run

    command()


if __name__ == "__main__":
    main()
