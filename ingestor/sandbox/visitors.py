"""Who visits: session and visit ids as stable hashes, and the cache token that carries them.

Session = hash(website, ip, userAgent, month), or hash(website, id); visit = hash(session, hour).
Nothing depends on the order of arrival. The token is a JSON Web Token (HS256), as Umami's is.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from functools import lru_cache
from typing import Any

import orjson

from ingestor.sandbox.javascript import MAX_SECONDS, civil_date

_HEADER = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")


def _uuid(*parts: str) -> str:
    """A UUID of version 5's shape; the parts are joined without a separator, as in Umami."""
    digest = bytearray(hashlib.sha256("".join(parts).encode("utf-8", "replace")).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


@lru_cache(maxsize=4096)
def _month(day: int) -> str:
    year, month, _ = civil_date(day)
    return f"month {year}-{month}"


def session_id(
    secret: str, website: str, address: str, user_agent: str, seconds: int, identity: str
) -> str:
    """The visitor's id; ``identity`` (the payload's `id`) replaces address, browser and month."""
    if identity:
        return _uuid(website, identity, secret)
    month = _month(seconds // 86_400) if abs(seconds) <= MAX_SECONDS else "Invalid Date"
    return _uuid(website, address, user_agent, month, secret)


def visit_id(secret: str, session: str, seconds: int) -> str:
    """The visit's id: one a visitor and clock hour (UTC)."""
    hour = str(seconds // 3600) if abs(seconds) <= MAX_SECONDS else "Invalid Date"
    return _uuid(session, "hour ", hour, secret)


def sign(claims: dict[str, Any], secret: str) -> str:
    """A token over the claims."""
    body = _HEADER + b"." + base64.urlsafe_b64encode(orjson.dumps(claims)).rstrip(b"=")
    return (body + b"." + _signature(body, secret)).decode()


def read(token: str, secret: str) -> dict[str, Any] | None:
    """The claims of a token that this sandbox signed; None for any other."""
    body, _, signature = token.encode("utf-8", "replace").rpartition(b".")
    if not hmac.compare_digest(signature, _signature(body, secret)):
        return None
    try:
        encoded = body.partition(b".")[2]
        claims = orjson.loads(base64.urlsafe_b64decode(encoded + b"=" * (-len(encoded) % 4)))
    except (ValueError, binascii.Error):
        return None
    return claims if isinstance(claims, dict) else None


def _signature(body: bytes, secret: str) -> bytes:
    digest = hmac.digest(secret.encode(), body, "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=")
