"""The bodies that Umami 3.1 answers with when it does not store: validation, refusals, Prisma.

Shapes as recorded in ``tests/data/umami-exchanges.jsonl``. What was not recorded (P2010, P2020,
Invalid Date) follows Prisma 7's own way to render an error.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

CLIENT_VERSION: Final = "7.6.0"

Json = dict[str, Any]


class Answer(NamedTuple):
    """One HTTP answer before it is written."""

    status: int
    body: Any


def refusal(status: int, message: str, code: str, **more: Any) -> Answer:
    """``{"error": {"message", "code", "status", …}}``."""
    return Answer(status, {"error": {"message": message, "code": code, "status": status, **more}})


def bad_request(**more: Any) -> Answer:
    """A 400; ``more`` is the tree of validation errors, or another message."""
    message = more.pop("message", "Bad request")
    return refusal(400, message, "bad-request", **more)


def unauthorized(code: str = "unauthorized") -> Answer:
    """A 401: no token, a wrong one, or a wrong password."""
    return refusal(401, "Unauthorized", code)


def forbidden() -> Answer:
    """A 403: the client's address is on IGNORE_IP."""
    return refusal(403, "Forbidden", "forbidden")


def not_found() -> Answer:
    """A 404 in JSON; a route that does not exist is HTML."""
    return refusal(404, "Not found", "not-found")


def server_error(error: Json | None) -> Answer:
    """A 500; Umami before 3.0 says nothing about the error (None)."""
    return refusal(500, "Server error", "server-error", **({"errorObject": error} if error else {}))


def as_before_3(answer: Answer) -> Answer:
    """The same answer in the words of 2.17 to 2.20, which name no field of a payload.

    The message alone, or a line for each part of the body that is wrong: `["payload: "]`. What a
    500 says stays.
    """
    error = answer.body.get("error") if isinstance(answer.body, dict) else None
    if not isinstance(error, dict) or answer.status == 500:  # noqa: PLR2004 - HTTP
        return answer
    parts = [*error.get("properties", {}).items(), *enumerate(error.get("items", []))]
    lines = [f"{name}: {', '.join(part['errors'])}" for name, part in parts if part is not None]
    return Answer(answer.status, {"error": lines if "errors" in error else error["message"]})


class ServerTrouble(Exception):
    """Something inside "Umami" failed: ``error`` is the ``errorObject`` of the 500."""

    def __init__(self, error: Json) -> None:
        super().__init__(error.get("message", ""))
        self.error = error


def invalid_url(input_url: str, base: str) -> ServerTrouble:
    """``new URL(…)`` threw."""
    return ServerTrouble(
        {
            "code": "ERR_INVALID_URL",
            "input": input_url,
            "base": base,
            "name": "TypeError",
            "message": "Invalid URL",
        }
    )


def script_error(name: str, message: str) -> ServerTrouble:
    """A JavaScript error of no special kind."""
    return ServerTrouble({"name": name, "message": message})


def validation_error(call: str, words: str) -> ServerTrouble:
    """Prisma refused the arguments before asking the database."""
    return ServerTrouble(
        {
            "name": "PrismaClientValidationError",
            "clientVersion": CLIENT_VERSION,
            "message": f"\nInvalid `prisma.{call}()` invocation:\n\n{words}",
        }
    )


def _known(code: str, meta: Json, call: str, words: str) -> ServerTrouble:
    return ServerTrouble(
        {
            "code": code,
            "meta": meta,
            "clientVersion": CLIENT_VERSION,
            "name": "PrismaClientKnownRequestError",
            "message": f"\nInvalid `prisma.{call}()` invocation:\n\n\n{words}",
        }
    )


def _driver(cause: Json, message: str) -> Json:
    return {"name": "DriverAdapterError", "cause": cause, "message": message}


def database_away(model: str, call: str) -> ServerTrouble:
    """P1001: passes when the database is back."""
    cause = {"kind": "DatabaseNotReachable", "host": "127.0.0.1", "port": 5432}
    meta = {"modelName": model, "driverAdapterError": _driver(cause, "DatabaseNotReachable")}
    return _known("P1001", meta, call, "Can't reach database server at 127.0.0.1:5432")


def too_long(model: str, call: str, limit: int) -> ServerTrouble:
    """P2000: a value over its column's length; it never passes."""
    cause = {
        "originalCode": "22001",
        "originalMessage": f"value too long for type character varying({limit})",
        "kind": "LengthMismatch",
    }
    words = (
        "The provided value for the column is too long for the column's type."
        " Column: (not available)"
    )
    meta = {"modelName": model, "driverAdapterError": _driver(cause, "LengthMismatch")}
    return _known("P2000", meta, call, words)


def out_of_range(model: str, call: str) -> ServerTrouble:
    """P2020: a number that ``numeric(19,4)`` cannot hold."""
    cause = {
        "originalCode": "22003",
        "originalMessage": "numeric field overflow",
        "kind": "ValueOutOfRange",
        "cause": "numeric field overflow",
    }
    words = "Value out of range for the type: numeric field overflow"
    meta = {"modelName": model, "driverAdapterError": _driver(cause, "ValueOutOfRange")}
    return _known("P2020", meta, call, words)


def postgres(code: str, words: str, severity: str = "ERROR") -> ServerTrouble:
    """A PostgreSQL error that Prisma has no name for."""
    return ServerTrouble(
        {
            "name": "DriverAdapterError",
            "cause": _postgres_cause(code, words, severity),
            "clientVersion": CLIENT_VERSION,
            "message": words,
        }
    )


def _postgres_cause(code: str, words: str, severity: str) -> Json:
    return {
        "originalCode": code,
        "originalMessage": words,
        "kind": "postgres",
        "code": code,
        "severity": severity,
        "message": words,
    }


def raw_query(code: str, words: str, severity: str = "ERROR") -> ServerTrouble:
    """P2010: the session row goes in by raw SQL, so whatever fails there has this code."""
    if code == "22001":
        cause: Json = {"originalCode": code, "originalMessage": words, "kind": "LengthMismatch"}
    else:
        cause = _postgres_cause(code, words, severity)
    meta = {"driverAdapterError": _driver(cause, str(cause.get("message", cause["kind"])))}
    return _known(
        "P2010",
        meta,
        "$queryRawUnsafe",
        f"Raw query failed. Code: `{code}`. Message: `{words}`",
    )


NUL_WORDS: Final = 'invalid byte sequence for encoding "UTF8": 0x00'


def nul() -> ServerTrouble:
    """A NUL in a text column: PostgreSQL never takes it."""
    return postgres("22021", NUL_WORDS)
