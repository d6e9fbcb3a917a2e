"""A scanned chunk on its way between processes: marshalled, since pickling costs five times that.

Both ends are the same program in the same Python. The chunk itself stays where it was read, and
the lines of page views are cut out of it again there.
"""

from __future__ import annotations

import marshal
from typing import TYPE_CHECKING, Any, TypeAlias

from ingestor.model import Malformed, Reason, Scanned, Tally
from ingestor.scan.scanner import Found, scanned_of

if TYPE_CHECKING:
    from ingestor.model import Chunk

# Lines, malformed and filtered by word, and the columns of what was found.
_Plain: TypeAlias = tuple[int, dict[str, int], dict[str, int], tuple[Any, ...]]


def pack(found: Found, tally: Tally) -> bytes:
    """Turn what became of a chunk into bytes, without the chunk."""
    plain: _Plain = (
        tally.lines,
        {str(name): count for name, count in tally.malformed.items()},
        {str(name): count for name, count in tally.filtered.items()},
        tuple(found),
    )
    return marshal.dumps(plain)


def unpack(packed: bytes, chunk: Chunk) -> Scanned:
    """Turn `pack` around, for the same chunk."""
    plain: _Plain = marshal.loads(packed)  # noqa: S302 - our own processes wrote it
    lines, malformed, filtered, columns = plain
    tally = Tally(
        lines,
        {Malformed(name): count for name, count in malformed.items()},
        {Reason(name): count for name, count in filtered.items()},
    )
    return scanned_of(chunk, Found(*columns), tally)
