"""A batch's page views as the journal keeps them, to look them up and send them after a crash.

The journal has the batch's id, website and tag. The log lines are kept, masked, for a dead letter
that may come of it; they are cut, since the log has them whole.
"""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING

import orjson

from ingestor.model import PageView, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_VERSION = 1
_LINE_MAX = 2_048  # bytes of a line that are kept
_UNPACKED_MAX = 256 * 1024 * 1024  # bytes: what is longer we never wrote


def pack(page_views: Sequence[PageView], mask_line: Callable[[bytes], bytes]) -> bytes:
    """Pack page views in their order."""
    rows = [
        [
            *view.span,
            view.line_start,
            base64.b64encode(mask_line(view.line)[:_LINE_MAX]).decode("ascii"),
            orjson.Fragment(view.body),
        ]
        for view in page_views
    ]
    return zlib.compress(orjson.dumps([_VERSION, rows]), 1)


def unpack(packed: bytes, website: str) -> tuple[PageView, ...]:
    """Turn `pack` around. Raises ValueError for what it never wrote."""
    try:
        inflate = zlib.decompressobj()
        text = inflate.decompress(packed, _UNPACKED_MAX)
        version, rows = orjson.loads(text)
        if version != _VERSION:
            rows = None  # of a later version
        return tuple(
            PageView.of(
                website, payload, Span(file, start, end), line_start, base64.b64decode(line)
            )
            for file, start, end, line_start, line, payload in rows
        )
    except (zlib.error, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"page views in the journal that cannot be read: {error}") from error
