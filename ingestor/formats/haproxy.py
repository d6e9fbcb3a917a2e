"""A HAProxy ``log-format`` string becomes a definition with nginx's variables.

Source: HAProxy's configuration manual, "Custom log format". What only HAProxy has is kept unnamed.
Captured headers (``%hr``) have no names there: written out, ``{$host|$http_user_agent}`` in their
place tells which is which. HAProxy writes braces and bars in them as ``#7B``, so the log's own keep
them apart.
"""

from __future__ import annotations

import re

from ingestor.errors import FormatError
from ingestor.formats.fields import Escape
from ingestor.formats.nginx import CAPTURED, HAPROXY

# What Apache cannot mean by these letters.
_OURS = re.compile(r"%(?:\{[+-][^}]*\})?(?:c[ip]|ST|H[MPUQV]|tr[gl]?|h[rs]l?|T[RtaqcwrdDg])\b|%\[")
_DIRECTIVE = re.compile(r"\s*log-format\s+")
_CAPTURED = re.compile(r" ?%(?:\{[^}]*\})?h[rs](?: %(?:\{[^}]*\})?h[rs])*(?![a-zA-Z])")
_LISTED = re.compile(r"(?: %(?:\{[^}]*\})?h[rs]l)+\Z")
_WRITTEN_OUT = re.compile(r"\{\$\w+(?:\|\$\w+)*\}")
_NAME = re.compile(rf"\$(?=[a-z])(?!{HAPROXY})")
_VARIABLE = re.compile(
    r"%(?:\{(?P<flags>[^}]*)\})?(?:\[(?P<sample>(?:[^\[\]]|\[[^\]]*\])*)\]|(?P<name>[a-zA-Z]+)|(?P<percent>%))"
)
_HEADER = re.compile(r"\b(?:req\.)?f?hdr\(([\w-]+)\)")
_TXN = re.compile(r"\bvar\(\w+\.(?:\w+\.)*(\w+)\)")

_NAMED = {
    "ci": "remote_addr",
    "t": "bare_time",
    "tr": "bare_time",
    "T": "time_local",
    "Tl": "time_local",
    "trg": "time_local",
    "trl": "time_local",
    "Ts": "msec",
    "r": "request",
    "HM": "request_method",
    "HP": "any_target",  # as it was sent: nginx's $uri is decoded
    "HPO": "any_target",
    "HPOQ": "request_uri",
    "HU": "request_uri",
    "HQ": "args",
    "HV": "server_protocol",
    "ST": "status",
    "H": "hostname",
    "s": "proxy_host",
    "bi": "server_addr",
    "fi": "server_addr",
    "si": "server_addr",
}
# Of the request, in which bytes that could be mistaken become `#` and two hex digits.
_HASHED = frozenset("r HM HP HPO HPOQ HU HQ HV".split())
# Numbers, times and flags, which HAProxy never quotes.
_BARE = frozenset(
    "B Ta Tc Td Th Ti Tq Tr TR Tt Tu Tw U ac bc bp bq cp fc fp lc ms pid rc rt sc sp sq "
    "ST T Tl Ts t tr trg trl ts tsc".split()
)
_SAMPLES = {
    "src": "remote_addr",
    "method": "request_method",
    "path": "any_target",
    "pathq": "request_uri",
    "url": "request_uri",
    "query": "args",
    "status": "status",
    "capture.req.method": "request_method",
    "capture.req.uri": "request_uri",
    "capture.req.ver": "server_protocol",
}
_TOLD = {  # what people call the variables that they keep headers in
    "host": "host",
    "ua": "http_user_agent",
    "user_agent": "http_user_agent",
    "useragent": "http_user_agent",
    "referer": "http_referer",
    "referrer": "http_referer",
    "xff": "http_x_forwarded_for",
    "x_forwarded_for": "http_x_forwarded_for",
}


def is_haproxy(definition: str) -> bool:
    """Tell whether this is a HAProxy definition and no Apache one."""
    return _DIRECTIVE.match(definition) is not None or _OURS.search(definition) is not None


def haproxy_definition(text: str) -> tuple[str, Escape]:
    """Write the same with nginx's variables, and tell what backslashes mean.

    They mean themselves, but for the flag E. Raises FormatError for what no line could tell.

    ``text`` is the string, perhaps with its quotes and the directive, or with backslashes before
    its spaces.
    """
    text = text[match.end() :] if (match := _DIRECTIVE.match(text)) else text
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    text = re.sub(r"\\([ \"'\\])", r"\1", text)
    if re.search(r"%\{[^}]*\+(?:json|cbor)", text):
        raise FormatError("HAProxy's +json and +cbor are not read; log text or the format json")
    escape = Escape.DEFAULT if re.search(r"%\{[^}]*\+[A-Z]*E", text) else Escape.NONE
    text, everywhere = re.subn(r"%\{\+[QEX,+]*Q[QEX,+]*\}o *", "", text)
    if everywhere:
        text = _LISTED.sub("$trailing_fields", text)
    text = _WRITTEN_OUT.sub(lambda match: _NAME.sub(f"${CAPTURED}", match[0]), text)
    text = _NAME.sub(f"${HAPROXY}", text)
    text = _CAPTURED.sub("$http_captured", text)
    text = _VARIABLE.sub(lambda match: _variable(match, quoted=bool(everywhere)), text)
    return text, escape


def _variable(match: re.Match[str], *, quoted: bool) -> str:
    if match["percent"]:
        return "%"
    if match["name"] == "o":  # sets flags alone
        return ""
    name = _told_by(match["sample"]) if match["sample"] else _NAMED.get(match["name"])
    if match["name"] in _HASHED:
        name = f"{HAPROXY}{name}"
    variable = f"${{{name or f'{HAPROXY}{match.start()}'}}}"
    flags = match["flags"] or ""
    if match["name"] in _BARE:
        return variable
    return f'"{variable}"' if "+Q" in flags or (quoted and "-Q" not in flags) else variable


def _told_by(sample: str) -> str | None:
    """Give the variable for a sample expression, its converters aside."""
    header = _HEADER.search(sample)
    if header is not None:
        name = header[1].lower().replace("-", "_")
        return f"http_{name}"
    variable = _TXN.search(sample)
    if variable is not None:
        return _TOLD.get(variable[1].lower().removeprefix("req_"), "http_captured")
    known = _SAMPLES.get(sample.partition(",")[0].strip())
    return known or ("http_captured" if "capture" in sample else None)
