"""What an operator should hear about a file: one finding never stops the other files."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass


def readable(path: bytes) -> str:
    """Show a file's name on a terminal: control bytes and invalid UTF-8 come out escaped."""
    text = os.fsdecode(path)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something odd about one path, and what a person can do about it.

    ``lost`` is true only where bytes of a log are gone for good (an ERROR); everything else is
    a WARNING: odd, tried again, nothing lost.
    """

    path: bytes
    what: str
    advice: str = ""
    lost: bool = False

    @property
    def is_absence(self) -> bool:
        """Whether it says that nothing is there."""
        return self.what == os.strerror(errno.ENOENT)

    def __str__(self) -> str:
        text = f"{readable(self.path)}: {self.what}"
        return f"{text}; {self.advice}" if self.advice else text
