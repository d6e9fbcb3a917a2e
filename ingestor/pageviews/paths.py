"""The path of a target, in the one spelling that rules look at, and its extension."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ingestor.pageviews.payload import origin_form

if TYPE_CHECKING:
    from collections.abc import Collection

# What MediaWiki puts before the names of its articles, which may be those of files:
# /wiki/File:Castle.jpg, /wiki/Node.js. They begin with a capital, or with a letter of another
# script; the folders and files of a wiki that is installed at /wiki/ in lower case.
ARTICLES = "/wiki/"
_ARTICLE = re.compile(rf"{ARTICLES}[A-Z\x80-\U0010FFFF]")

_SLASHES = re.compile(r"//+")
_PARAMETERS = re.compile(r";[^/]*")


def path_of(target: str) -> str:
    """The path that rules look at.

    Without query and fragment, percent-decoded once, repeated slashes as one, dot segments
    resolved, without the ``;parameters`` of segments. So ``//favicon.ico``, ``/%66avicon.ico``
    and ``/favicon.ico;v=1`` are all the same asset.
    """
    path = origin_form(target).partition("?")[0].partition("#")[0]
    if "%" in path:
        path = unquote(path)
    if ";" in path:
        path = _PARAMETERS.sub("", path)
    if "//" in path:
        path = _SLASHES.sub("/", path)
    return _without_dots(path) if "/." in path else path


def extension_of(path: str) -> str:
    """The last segment's extension in lower case, without dot; "" where it has none."""
    name = path.rpartition("/")[2].rstrip(". ")
    return name.rpartition(".")[2].lower() if "." in name else ""


def is_article(target: str, path: str) -> bool:
    """Whether a target, with this path, is an article of a wiki whatever its extension."""
    return origin_form(target).startswith(ARTICLES) and _ARTICLE.match(path) is not None


def _without_dots(path: str) -> str:
    segments: list[str] = []
    parts = path.split("/")[1:]
    for part in parts:
        if part == "..":
            del segments[-1:]
        elif part != ".":
            segments.append(part)
    if parts[-1] in (".", ".."):
        segments.append("")
    return "/" + "/".join(segments)


def plain_asset(methods: Collection[str], extensions: Collection[str]) -> re.Pattern[bytes] | None:
    """Match a request for a path that is an asset's as it stands: nothing in it to decode."""
    names = [name for name in extensions if re.fullmatch(r"[a-z0-9]+", name)]
    verbs = [name for name in methods if re.fullmatch(r"[A-Z]{1,32}", name)]
    if not names or not verbs:
        return None
    # Looking back takes a fixed length; the one that most of them have comes first.
    lengths = Counter(map(len, names)).most_common()
    alike = ["|".join(name for name in names if len(name) == length) for length, _ in lengths]
    ending = "|".join(rf"(?<=\.(?:{group}))" for group in alike)
    path = rf"(?!{ARTICLES})/[\w/~@!$&'()*+,=:.-]*+(?:{ending})"
    return re.compile(rf"(?:{'|'.join(verbs)}) {path} HTTP/\d(?:\.\d)?".encode())
