"""A database that fails under an entry: away, killed in the middle, read-only, or poisoned.

The first three pass; poison never does. Each raises what Umami would have said at that place.
"""

from __future__ import annotations

from enum import StrEnum

from ingestor.sandbox.answers import database_away, nul, postgres, raw_query


class Outage(StrEnum):
    """How the database fails; the values are what `code=` of a fault takes."""

    AWAY = "P1001"
    KILLED = "57P01"
    READ_ONLY = "25006"
    POISON = "22021"

    def read(self, model: str, call: str) -> None:
        """Before a look-up; raises ServerTrouble."""
        if self is Outage.AWAY:
            raise database_away(model, call)
        if self is Outage.KILLED:
            raise postgres(self.value, _KILLED, "FATAL")

    def write_raw(self) -> None:
        """Before the session row, which goes in by raw SQL; raises ServerTrouble."""
        if self is Outage.AWAY:
            raise raw_query("N/A", "Can't reach database server at 127.0.0.1:5432")
        if self is Outage.KILLED:
            raise raw_query(self.value, _KILLED, "FATAL")
        if self is Outage.READ_ONLY:
            raise raw_query(self.value, _READ_ONLY)

    def write(self, model: str, call: str) -> None:
        """Before another row; raises ServerTrouble."""
        if self is Outage.POISON:
            raise nul()
        self.read(model, call)
        if self is Outage.READ_ONLY:
            raise postgres(self.value, _READ_ONLY)


_KILLED = "terminating connection due to administrator command"
_READ_ONLY = "cannot execute INSERT in a read-only transaction"
