"""What `check` has to say: one line each, with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ingestor.observe import printable


class Level(StrEnum):
    """How a remark is meant."""

    OK = "ok"
    WARNING = "warning"  # it works, and some numbers will be wrong or missing
    ERROR = "error"  # it does not work


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing that was found. ``code`` is a word for machines, stable over versions."""

    level: Level
    code: str
    subject: str  # a log, a website, a vhost, Umami
    text: str
    advice: str = ""
    exit_code: int = 0

    def __str__(self) -> str:
        """``warning  /var/log/x.log: may not be read …; do this.``."""
        text = f"{self.subject}: {self.text}" if self.subject else self.text
        text = f"{text}; {self.advice}" if self.advice else text
        return f"{self.level:<8} {printable(text)}"

    def as_json(self) -> dict[str, str]:
        """The object of ``--json``."""
        names = ("level", "code", "subject", "text", "advice")
        return {name: str(getattr(self, name)) for name in names}


@dataclass(slots=True)
class Remarks:
    """All that was found, in order; the command prints it."""

    found: list[Remark] = field(default_factory=list)
    error: None = None

    def ok(self, code: str, subject: str, text: str) -> None:
        """Say what is as it should be."""
        self.found.append(Remark(Level.OK, code, subject, text))

    def warn(self, code: str, subject: str, text: str, advice: str) -> None:
        """Say what will give wrong or missing numbers: exit code 1."""
        self.found.append(Remark(Level.WARNING, code, subject, text, advice, 1))

    def fail(self, code: str, subject: str, text: str, *, exit_code: int, advice: str = "") -> None:
        """Say what keeps it from working: 2 a configuration, 3 Umami."""
        self.found.append(Remark(Level.ERROR, code, subject, text, advice, exit_code))

    def has(self, code: str) -> bool:
        """Whether something of this kind was found."""
        return any(remark.code == code for remark in self.found)

    @property
    def exit_code(self) -> int:
        """The worst of all."""
        return max((remark.exit_code for remark in self.found), default=0)

    def as_json(self) -> dict[str, Any]:
        """The object of ``--json``."""
        return {
            "exit_code": self.exit_code,
            "findings": [remark.as_json() for remark in self.found],
        }

    def as_text(self) -> str:
        """A line a remark, and how many of them are no good."""
        counts = [
            f"{n} {level}{'s' * (n > 1)}"
            for level in (Level.ERROR, Level.WARNING)
            if (n := sum(remark.level is level for remark in self.found))
        ]
        return "\n".join([*map(str, self.found), ", ".join(counts) or "All is well."])
