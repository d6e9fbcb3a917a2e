r"""What stands in the configuration becomes a format: a preset's name, or a pasted definition.

A definition may be pasted as it stands in the server's configuration: a whole ``log_format name
escape=json '…' '…';``, ``LogFormat "…" name`` or HAProxy's ``log-format "…"``, quotes and line
joins included, or only the string. ``syslog`` in front says that a syslog prefix comes before each
line, ``container`` that Docker or Kubernetes put something around it.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING

from ingestor.errors import FormatError
from ingestor.formats.adaptive import is_addressed
from ingestor.formats.apache import apache_parts
from ingestor.formats.compiler import TextFormat
from ingestor.formats.containers import Contained
from ingestor.formats.fields import Decoding, Escape, Field
from ingestor.formats.haproxy import haproxy_definition, is_haproxy
from ingestor.formats.json import JsonFormat
from ingestor.formats.json_sources import template
from ingestor.formats.nginx import nginx_parts
from ingestor.formats.presets import PRESETS
from ingestor.formats.syslog import Prefixed
from ingestor.formats.w3c import W3cFormat, fields_of
from ingestor.model import Hit

if TYPE_CHECKING:
    from datetime import tzinfo

    from ingestor.formats.fields import Part
    from ingestor.formats.format import Format

_AROUND = {kind.kind: kind for kind in (Prefixed, Contained)}
_NAME = re.compile(r"[A-Za-z][\w.+-]*")
_NGINX = re.compile(r"\$\{?[A-Za-z_]")
_APACHE = re.compile(r"%(?:!?\d{3}|[,<>]|\{[^}]*\})*\^?[a-zA-Z]")
_LOG_FORMAT = re.compile(r"\s*log_format\s+", re.IGNORECASE)
_PLACE = r'(?:"(?:[^"\\]|\\.)*"|[^"\s]\S*)'  # a file, or a program with its arguments
_APACHE_DIRECTIVE = re.compile(
    rf"\s*(?:LogFormat|CustomLog\s+{_PLACE}|TransferLog)\s+", re.IGNORECASE
)
_BY_NAME = re.compile(
    rf"\s*(?:(access_log)|CustomLog)\s+{_PLACE}\s+([A-Za-z_][\w-]*)(?![=\w])", re.IGNORECASE
)
_ESCAPE = re.compile(r"\s*escape=(\w+)\s*")
_TOKEN = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s;'"]+))""", re.DOTALL)
_NO_TOKEN = re.compile(r"\s*(?:(;)|#[^\n]*)")
_COMMENTS = re.compile(r"\A(?:\s*#(?!Fields:)[^\n]*\n)+\s*", re.IGNORECASE)
_JOIN = re.compile(r"\\\r?\n")
_BACKSLASHED = re.compile(r"\\(.)", re.DOTALL)
_CONTROL = {"n": "\n", "t": "\t", "r": "\r"}


def format_named(text: str, *, timezone: tzinfo | None = None) -> Format:
    """Give the format for a preset's name or a pasted definition.

    ``timezone`` is where times without a zone were written. Raises FormatError: an unknown name
    with the nearest right spelling, or the place in the definition and why it cannot be used.
    """
    text = text.strip()
    first, _, rest = text.partition(" ")
    around = _AROUND.get(first.lower())
    if around is not None and rest:
        return around(format_named(rest, timezone=timezone))
    if _NAME.fullmatch(text):
        return _preset(text, timezone)
    if is_haproxy(text):
        definition, backslash = haproxy_definition(text)
        escape = None if _is_json(definition) else backslash
        return compile_format(definition, timezone=timezone, escape=escape)
    definition, told = pasted(text)
    return compile_format(definition, timezone=timezone, escape=told)


def word_in_front(line_format: Format, line: bytes, latest: int) -> str:
    """Give the word in front of a format's name that lets it read this line; "" without one."""
    for word, around in _AROUND.items():
        hit = around(line_format).parse(line, latest)
        if isinstance(hit, Hit) and is_addressed(hit):
            return word
    return ""


@lru_cache(maxsize=256)
def compile_format(
    definition: str,
    *,
    name: str = "custom",
    timezone: tzinfo | None = None,
    escape: str | None = None,
) -> Format:
    r"""Compile a definition: nginx (``$…``), Apache (``%…``), JSON, or W3C's ``#Fields:``.

    ``escape`` is nginx's: ``default``, ``json`` or ``none``; None stands for what the definition
    looks like. Raises FormatError.
    """
    definition = definition.rstrip("\r\n")  # '…\n' in a log_format: a blank line behind each
    if fields_of(definition.encode("utf-8", "surrogateescape")) is not None:
        return W3cFormat(definition, name=name, zone=timezone)
    if escape not in {None, *Escape}:
        raise FormatError(f"escape={escape}: nginx knows default, json and none")
    if _NGINX.search(definition):
        if escape in {None, Escape.JSON} and _is_json(definition):
            return JsonFormat(
                definition, name=name, zone=timezone, escaped_text=True, hyphens=escape is None
            )
        parts = nginx_parts(definition)
    elif _APACHE.search(definition):
        parts = apache_parts(definition)
    else:
        raise FormatError(
            f"{definition!r} is neither a preset's name nor a definition with $variables (nginx) "
            f"or %directives (Apache)"
        )
    default = Escape.NONE if any(map(_is_hashed, parts)) else Escape.DEFAULT
    return TextFormat(definition, parts, name=name, escape=Escape(escape or default), zone=timezone)


def _preset(name: str, timezone: tzinfo | None) -> Format:
    spelled = name.lower().replace("-", "_")
    preset = PRESETS.get(spelled)
    if preset is None:
        near = get_close_matches(spelled, PRESETS, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise FormatError(f"no format is called {name!r}{hint} (known: auto, {', '.join(PRESETS)})")
    return compile_format(preset.template, name=preset.name, timezone=timezone)


def _is_hashed(part: Part) -> bool:
    return isinstance(part, Field) and part.meaning.decoding is Decoding.HASH


def _is_json(definition: str) -> bool:
    if not definition.lstrip().startswith("{"):
        return False
    try:
        template(definition)
    except FormatError:
        return False
    return True


# ── pasted configuration ──────────────────────────────────────────────────────────────────────


def pasted(text: str) -> tuple[str, str | None]:
    """Give the definition in a piece of configuration, and nginx's ``escape=`` if it stands there.

    Raises FormatError where quotes do not close.
    """
    text = _COMMENTS.sub("", _JOIN.sub("", text.strip()))
    named = _BY_NAME.match(text)
    if named is not None:
        directive_name = "log_format" if named[1] else "LogFormat"
        raise FormatError(
            f"{text!r} says which format is used and not what stands in it: paste the "
            f"{directive_name} that defines {named[2]!r}"
        )
    directive = _LOG_FORMAT.match(text)
    if directive is not None:
        tokens = _tokens(text[directive.end() :])
        return _nginx_string(tokens[1:])  # the first is the format's name
    directive = _APACHE_DIRECTIVE.match(text)
    if directive is not None:
        return _tokens(text[directive.end() :], apache=True)[0][0], None
    escape = _ESCAPE.match(text)
    if escape is not None:
        inner, _ = pasted(text[escape.end() :])
        return inner, escape[1]
    if text[:1] in {"'", '"'}:
        whole = _only_quoted(text)
        if whole is not None:
            return whole, None
    # A bare string, perhaps with the backslashes that its quotes needed.
    return text.replace('\\"', '"').replace("\\'", "'"), None


def _only_quoted(text: str) -> str | None:
    """Join quoted strings, if the text is nothing but these (and perhaps a name at the end)."""
    try:
        tokens = _tokens(text.rstrip().removesuffix(";"), apache=text[0] == '"')
    except FormatError:
        return None
    quoted = [value for value, is_quoted in tokens if is_quoted]
    bare = [value for value, is_quoted in tokens if not is_quoted]
    if bare and (len(quoted) > 1 or not tokens[0][1] or not _NAME.fullmatch(" ".join(bare))):
        return None
    return "".join(quoted)


def _nginx_string(tokens: list[tuple[str, bool]]) -> tuple[str, str | None]:
    escape = None
    if tokens and not tokens[0][1] and tokens[0][0].startswith("escape="):
        escape = tokens[0][0].removeprefix("escape=")
        tokens = tokens[1:]
    if not tokens:
        raise FormatError("no string follows the format's name")
    return "".join(value for value, _ in tokens), escape


def _tokens(text: str, *, apache: bool = False) -> list[tuple[str, bool]]:
    """Read quoted and bare words as nginx and Apache do; True for the quoted ones."""
    tokens: list[tuple[str, bool]] = []
    at = 0
    while text[at:].strip():
        end = None if apache else _NO_TOKEN.match(text, at)
        if end is not None:
            if end[1] == ";":  # what follows is no longer the directive's
                break
            at = end.end()
            continue
        match = _TOKEN.match(text, at)
        if match is None or match.end() == at:
            raise FormatError(f"character {at + 1} of {text!r}: a quote does not close")
        single, double, bare = match.groups()
        if bare is not None:
            tokens.append((bare, False))
        else:
            inner = single if single is not None else double
            quote = "'" if single is not None else '"'
            tokens.append((_unquoted(inner, quote, apache=apache), True))
        at = match.end()
    if not tokens:
        raise FormatError("no string stands there")
    return tokens


def _unquoted(text: str, quote: str, *, apache: bool) -> str:
    """Undo the backslashes of a quoted string; those before other characters stay."""

    def undo(match: re.Match[str]) -> str:
        letter = match[1]
        if letter in {quote, "\\"} or (not apache and letter in "'\""):
            return letter
        return _CONTROL.get(letter, match[0])

    return _BACKSLASHED.sub(undo, text)
