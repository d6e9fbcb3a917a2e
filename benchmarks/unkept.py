"""`ingestor` without its promises: nothing is journalled, nothing is committed.

Only to measure what the checkpoint costs. It takes the arguments of `ingestor backfill`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from ingestor.checkpoint import Committer, Store
from ingestor.cli import main
from ingestor.model import Span

if TYPE_CHECKING:
    from ingestor.model import Batch


_ANYWHERE = (Span(0, 0, 0),)  # of one file, as nearly always


class _Unkept(Committer):
    async def __aenter__(self) -> Self:
        return self

    async def close(self) -> None:
        return

    async def journalled(self, batch: Batch, *, bodies: bytes | None = None) -> bool:
        del batch, bodies
        return True


def _nothing(*_: Any, **__: Any) -> None:
    return


if __name__ == "__main__":
    import ingestor.pipeline.backfill as pipeline
    from ingestor.pipeline.ledger import Ledger

    pipeline.Committer = _Unkept  # type: ignore[misc]
    for name in ("journal", "commit", "ack", "answered", "set_marker"):
        setattr(Store, name, _nothing)
    Ledger._prove_by_lines = _nothing  # type: ignore[method-assign]  # noqa: SLF001 - of no use here
    Store.finished = lambda *_: _ANYWHERE  # type: ignore[method-assign]
    main()
