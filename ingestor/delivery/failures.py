"""What a 500 of Umami's says of the future: an outage passes, a bad value never does.

Pure. Told by the codes that Prisma, PostgreSQL or Node give, in every place where Prisma's layers
put them.
"""

from __future__ import annotations

import re

# Of an outage.
_PASSING_CODES = frozenset(
    {"P2024", "P2028", "P2034", "P2037"}  # pool timeout, transaction trouble, too many connections
    | {"ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EPIPE", "EAI_AGAIN", "ENOTFOUND"}
    | {"EHOSTUNREACH", "ENETUNREACH", "ENOSPC", "EMFILE"}
    | {"DatabaseNotReachable", "ConnectionClosed", "SocketTimeout", "TooManyConnections"}
    | {"TransactionWriteConflict", "TransactionAlreadyClosed", "DatabaseAccessDenied"}
    | {"AuthenticationFailed", "TlsConnectionError", "DatabaseDoesNotExist"}
    | {"PrismaClientInitializationError", "PrismaClientRustPanicError"}
)
_PASSING_PRISMA = re.compile(r"P10\d\d\Z")  # P1000-P1017: cannot reach or use the database
# SQLSTATE classes: connection, transaction state, authorization, catalog, rollback, resources,
# object state, operator intervention, system error.
_PASSING_STATES = frozenset({"08", "25", "28", "3D", "40", "53", "55", "57", "58"})
_PERMANENT_CODES = frozenset(
    {"P2000", "P2005", "P2006", "P2007", "P2020", "P2033"}
    | {"ERR_INVALID_URL", "PrismaClientValidationError"}
    | {"LengthMismatch", "ValueOutOfRange", "InvalidInputValue"}
)
_SQLSTATE = re.compile(r"[0-9][0-9A-Z]{4}\Z")
# Prisma 6, in Umami 2, tells the database's own code in its text alone; what stands before it
# there is Prisma's, what visitors sent comes after.
_UNKNOWN = "PrismaClientUnknownRequestError"
_IN_WORDS = re.compile(
    r'(?:PostgresError \{ code|MysqlError \{.{1,300}? state): "(\w{5})"', re.DOTALL
)
_CODE_KEYS = ("code", "originalCode", "kind", "name")
_NESTED_KEYS = ("errorObject", "cause", "meta", "driverAdapterError")
_DEPTH_MAX = 6


def will_pass(error: object) -> bool | None:
    """Tell whether an ``error`` passes; None: it cannot be told.

    Passing wins over permanent, so that an outage never makes a dead letter. `P2010` alone proves
    nothing: it is what Prisma says of any raw query.
    """
    codes = set(_codes(error))
    if any(map(_passes, codes)):
        return True
    return False if any(map(_stays, codes)) else None


def _passes(code: str) -> bool:
    return (
        code in _PASSING_CODES
        or _PASSING_PRISMA.match(code) is not None
        or (code[:2] in _PASSING_STATES and _SQLSTATE.match(code) is not None)
    )


def _stays(code: str) -> bool:
    data_exception = code[:2] == "22" and _SQLSTATE.match(code) is not None
    return code in _PERMANENT_CODES or data_exception


def _codes(node: object, depth: int = 0) -> list[str]:
    """All codes, kinds and names of an error, however deep."""
    if not isinstance(node, dict) or depth > _DEPTH_MAX:
        return []
    found = [node[key] for key in _CODE_KEYS if isinstance(node.get(key), str)]
    if node.get("name") == _UNKNOWN and (said := _IN_WORDS.search(str(node.get("message", "")))):
        found.append(said[1])
    for key in _NESTED_KEYS:
        found.extend(_codes(node.get(key), depth + 1))
    return found
