"""What every format can do with a line, whatever it looks like."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ingestor.formats.hits import Columns
    from ingestor.formats.layouts import Layout
    from ingestor.model import Hit, Malformed, Reason


END = "the end of the line"


class Extent(NamedTuple):
    """How much of a line a format explains, for people whose log none explains."""

    length: int  # bytes
    expected: str  # what the format expects there, for people
    missing: int = 0  # values it needs that a line lacks which it has read to its end


class Format(ABC):
    """One way to write a line. Immutable after construction where ``for_file`` gives itself.

    ``fields`` names the fields of a hit that lines carry; ``columns`` says where ``split`` puts
    which value.
    """

    name: str  # a preset's, or "custom"
    definition: str  # the template
    fields: frozenset[str]
    columns: Mapping[str, int]
    follows = False  # lines of other formats are read as well, when one turns up
    is_plain = False  # `split` gives values as they were sent, ``-`` for none: nothing to decode

    @abstractmethod
    def parse(self, line: bytes, latest: int) -> Hit | Malformed | Reason:
        """Read one line without its newline, exactly; never raises.

        ``latest`` is the latest believable time in Unix seconds. Reason.DIRECTIVE is for header
        lines of the log itself.
        """

    @abstractmethod
    def split(self, line: bytes) -> Columns | None:
        """Give the raw columns of an ordinary line, or None: ask ``parse``."""

    def match(self, line: bytes) -> Columns | None:
        """Give the raw columns of any line of this format that has such; learns nothing."""
        return self.split(line)

    @abstractmethod
    def hit(self, columns: Columns, latest: int) -> Hit | Malformed:
        """Make of ``split``'s columns what ``parse`` makes of the line."""

    @abstractmethod
    def time_of(self, columns: Columns) -> int | None:
        """Read the time of ``split``'s columns (Unix seconds), believable or not; None: none."""

    def layout(self, line: bytes) -> Layout | None:
        """Describe lines like this one, so that they can be read by blocks; None: they cannot."""
        del line
        return None

    @property
    def changed(self) -> bool:
        """Whether it now reads lines otherwise, perhaps, than a fresh one for the same file."""
        return False

    @abstractmethod
    def extent(self, line: bytes) -> Extent:
        """Tell how much of a line is explained, and what was expected there."""

    def for_file(self, head: Sequence[bytes]) -> Format:
        """Give the format to use for one file, which begins with these lines.

        Formats that learn from the file (W3C's ``#Fields:``, changes in the middle) give a new
        one; all others give themselves.
        """
        del head
        return self
