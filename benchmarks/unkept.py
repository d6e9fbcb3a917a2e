"""`ingestor` without its promises: nothing is journalled, nothing is committed.

Only to measure what the checkpoint costs. It takes the arguments of `ingestor backfill`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from ingestor.checkpoint import Committer, Store
from ingestor.cli import main

if TYPE_CHECKING:
    from ingestor.model import Batch


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

    pipeline.Committer = _Unkept  # type: ignore[misc]
    for name in ("journal", "commit", "ack", "answered", "set_marker"):
        setattr(Store, name, _nothing)
    Store.finished = lambda *_: ()  # type: ignore[method-assign]
    main()
