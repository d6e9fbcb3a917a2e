"""An Apache ``LogFormat`` string becomes the parts of a format.

Source: the Apache documentation of ``mod_log_config`` ("Custom Log Formats"), ``mod_logio``,
``mod_ssl`` and ``mod_remoteip``. lighttpd's ``accesslog.format`` is written likewise.
"""

from __future__ import annotations

import re
from dataclasses import replace

from ingestor.errors import FormatError
from ingestor.formats.fields import (
    FREE_TEXT,
    IDENT,
    METHOD,
    PART_OF_TARGET,
    PATH,
    PROTOCOL,
    QUERY,
    REQUEST,
    SENT_TEXT,
    STATUS,
    UNNAMED,
    UPSTREAM,
    Field,
    Literal,
    Meaning,
    Part,
    Role,
    address,
    header,
    host,
    moment,
)

# `%`, then conditions, `<` or `>`, and an argument in any order, then the directive.
_DIRECTIVE = re.compile(r"%((?:!?\d{3}(?:,\d{3})*|[<>]|\{[^}]*\})*)(\^[a-zA-Z]{2}|[a-zA-Z%])")
_ARGUMENT = re.compile(r"\{([^}]*)\}")

_PLAIN: dict[str, Meaning] = {
    "h": address(1),
    "a": address(0),
    "r": REQUEST,
    "m": METHOD,
    "U": PATH,
    "q": QUERY,
    "H": PROTOCOL,
    "v": host(0),
    "V": host(1),
    "u": SENT_TEXT,
    "f": SENT_TEXT,
    "R": FREE_TEXT,
    "l": IDENT,
}
_VARIABLES: dict[str, Meaning] = {
    "remote_addr": address(2),
    "remote_host": address(3),
    "http_host": host(1),
    "server_name": host(2),
    "request_method": METHOD,
    "query_string": QUERY,
    "server_protocol": PROTOCOL,
    "request_scheme": Meaning(Role.SCHEME, 1),
    "https": Meaning(Role.SCHEME, 2),
}

_NAMED: dict[str, Meaning] = {  # with an argument in braces
    "a": address(2),  # %{c}a: the connection's peer
    "C": SENT_TEXT,
    "^ti": SENT_TEXT,
    "^to": FREE_TEXT,
    "o": FREE_TEXT,
    "n": FREE_TEXT,
}


def apache_parts(definition: str) -> list[Part]:
    """Take a definition apart. Raises FormatError for a directive that no Apache knows."""
    parts: list[Part] = []
    at = 0
    while at < len(definition):
        percent = definition.find("%", at)
        if percent < 0:
            percent = len(definition)
        if percent > at:
            parts.append(_literal(definition[at:percent], at))
        if percent == len(definition):
            break
        match = _DIRECTIVE.match(definition, percent)
        if match is None:
            raise FormatError(
                f"character {percent + 1} of {definition!r}: "
                f"{definition[percent : percent + 12]!r} is no directive of Apache's; "
                f"a percent sign itself is written %%"
            )
        parts += _directive(match)
        at = match.end()
    if not any(isinstance(part, Field) for part in parts):
        raise FormatError(f"no %directive stands in {definition!r}")
    return _lighttpds(parts)


def _lighttpds(parts: list[Part]) -> list[Part]:
    """Take a path as it was sent where a question mark stands before the query.

    Only lighttpd's ``%q`` has none, and only Apache's ``%U`` is decoded.
    """
    told = list(parts)
    for at, three in enumerate(zip(parts, parts[1:], parts[2:], strict=False)):
        match three:
            case Field(meaning=meaning), Literal(text=b"?"), Field(meaning=query):
                if (meaning, query) == (PATH, QUERY):
                    told[at] = replace(three[0], meaning=PART_OF_TARGET)
    return told


def _literal(text: str, place: int) -> Literal:
    return Literal(text.encode("utf-8", "surrogateescape"), place)


def _directive(match: re.Match[str]) -> list[Part]:
    modifiers, letter = match[1], match[2]
    if letter == "%":
        return [Literal(b"%", match.start())]
    argument = _ARGUMENT.search(modifiers)
    name = argument[1] if argument else None
    place = match.start()
    if letter == "t" and (name is None or name in {"begin", "end"}):
        # Without a format the brackets belong to the value.
        time = Field(match[0], place, moment("local", 1 if name == "end" else 0))
        return [Literal(b"[", place), time, Literal(b"]", place)]
    meaning = _time(name) if letter == "t" and name else _meaning(letter, name)
    if letter == "s":
        # %>s is the answer's status; after an internal redirect %s is the first try's.
        meaning = Meaning(Role.STATUS, 0 if ">" in modifiers else 1)
    # Conditions (%!200,304{…}i) change nothing here: where they do not hold, `-` is logged.
    return [Field(match[0], place, meaning)]


def _meaning(letter: str, name: str | None) -> Meaning:
    if name is None:
        return STATUS if letter == "s" else _PLAIN.get(letter, UNNAMED)
    if letter == "i":
        return header(name.lower())
    if letter in {"e", "x"}:
        return _environment(letter, name.lower())
    if letter == "o" and name.lower() == "content-type":
        return UPSTREAM
    return _NAMED.get(letter, UNNAMED)


def _environment(letter: str, name: str) -> Meaning:
    """Tell what ``%{…}e`` and ``%{…}x`` mean: the CGI environment holds the request, too."""
    if name.startswith("http_") and name not in _VARIABLES:
        return header(name.removeprefix("http_"))
    return _VARIABLES.get(name, FREE_TEXT if letter == "e" else UNNAMED)


def _time(name: str) -> Meaning:
    """Read ``%{…}t``: a unit since 1970, a fraction, or a format of strftime."""
    rank = 1 if name.startswith("end:") else 0
    name = name.removeprefix("begin:").removeprefix("end:")
    unit = {"sec": "epoch", "msec": "ms", "usec": "us"}.get(name)
    if unit is not None:
        return moment(unit, rank)
    if name in {"msec_frac", "usec_frac"}:
        return UNNAMED
    return moment(f"strftime:{name}", rank + 2)
