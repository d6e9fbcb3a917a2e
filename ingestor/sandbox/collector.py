"""One entry in, one answer out: the rules of /api/send, in Umami's order of checks.

Schema, website, bot, blocked address, session row, event row, event data; no transaction around
them, so an entry that fails late leaves behind what came before.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from ingestor.sandbox import urls
from ingestor.sandbox.agents import agent, device_on
from ingestor.sandbox.answers import (
    Answer,
    ServerTrouble,
    as_before_3,
    bad_request,
    forbidden,
    nul,
    raw_query,
    script_error,
    server_error,
    too_long,
    validation_error,
)
from ingestor.sandbox.data import check_revenue, flatten
from ingestor.sandbox.javascript import (
    MAX_SECONDS,
    civil_date,
    cut,
    decode_uri_component,
    to_number,
)
from ingestor.sandbox.schema import send_errors
from ingestor.sandbox.store import COLUMNS, now_ms
from ingestor.sandbox.visitors import session_id, sign, visit_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingestor.sandbox.counters import Counters
    from ingestor.sandbox.options import SandboxOptions
    from ingestor.sandbox.outage import Outage
    from ingestor.sandbox.store import Store

PAGE_VIEW: Final = 1
CUSTOM_EVENT: Final = 2
LINK: Final = 3
PIXEL: Final = 4
WEB_VITALS: Final = 5

VISIT_SECONDS: Final = 1800  # a token without timestamp is good for this long
_CAMPAIGN_LENGTH: Final = 255
_SESSION_LIMITS: Final = {
    "browser": 20,
    "os": 20,
    "device": 20,
    "screen": 11,
    "language": 35,
    "distinct_id": 50,
}
_SINCE: Final = {"ip": (2, 10), "userAgent": (2, 16), "timestamp": (2, 17), "id": (2, 18)}
_CAMPAIGN_COLUMNS: Final = tuple(urls.CAMPAIGN.values())


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent the request, from its headers; they hold for every entry of a batch."""

    user_agent: str
    address: str
    claims: dict[str, Any] | None = None  # of a good `x-umami-cache` token


@dataclass(slots=True)
class _Visit:
    """What is known of an entry once its session is settled."""

    website: str
    session: str
    visit: str
    issued: int  # Unix seconds, when the token was first given
    seconds: int
    address: str
    user_agent: str


class Collector:
    """Judges and stores entries. It never raises for what an entry contains."""

    def __init__(
        self,
        store: Store,
        counters: Counters,
        options: SandboxOptions,
        is_bot: Callable[[str], bool],
    ) -> None:
        self._store = store
        self._counters = counters
        self._is_bot = lru_cache(maxsize=65_536)(is_bot)
        version = version_of(options.version)
        self._unknown = frozenset(name for name, since in _SINCE.items() if version < since)
        self._judges_header = version < (2, 18)
        self._says_why = version >= (3, 0)
        self._identifies_without_data = version >= (2, 19)
        self._words = as_before_3 if (2, 17) <= version < (3, 0) else _as_it_is
        self._blocked = blocked(options.ignore_ip)

    def collect(
        self, body: object, sender: Sender, *, outage: Outage | None = None, token: bool = True
    ) -> Answer:
        """The answer to one entry, which is stored by then if the answer says so.

        ``outage`` makes the database fail under it. Without ``token`` no cache token is signed.
        """
        self._counters.entries += 1
        errors = send_errors(body, self._unknown)
        if errors is not None or not isinstance(body, dict):
            return self.refuse(errors or {})
        payload = body["payload"]
        if self._unknown:
            payload = {name: value for name, value in payload.items() if name not in self._unknown}
        try:
            answer = self._collect(body["type"], payload, sender, outage, token=token)
        except ServerTrouble as trouble:
            answer = server_error(trouble.error if self._says_why else None)
        if answer.status != 200:  # noqa: PLR2004 - HTTP
            self._counters.rejected += 1
        return self._words(answer)

    def refuse(self, errors: dict[str, Any]) -> Answer:
        """The answer to a body that is wrong, by its tree of errors."""
        self._counters.rejected += 1
        return self._words(bad_request(**errors))

    def _collect(
        self,
        kind: str,
        payload: dict[str, Any],
        sender: Sender,
        outage: Outage | None,
        *,
        token: bool,
    ) -> Answer:
        website = payload.get("website")
        claims = (sender.claims or {}) if website else {}
        if website and not claims.get("websiteId"):
            if outage is not None:
                outage.read("Website", "website.findUnique")
            if website.lower() not in self._store.websites:
                return bad_request(message="Website not found.")
        user_agent = payload.get("userAgent") or sender.user_agent
        address = payload.get("ip") or sender.address
        if kind == "identify" and claims and not payload.get("data"):
            self._counters.identify_probes += 1
        judged = sender.user_agent if self._judges_header else user_agent
        if judged and self._is_bot(judged):
            self._counters.bots += 1
            return Answer(200, {"beep": "boop"})
        if self._blocked and _is_blocked(address, self._blocked):
            return forbidden()
        visit = self._visit(payload, claims, user_agent, address, outage)
        if kind == "identify" and not (payload.get("data") or self._identifies_without_data):
            return bad_request(message="Data required.")
        self._store_kind(kind, payload, visit, outage)
        found = {"sessionId": visit.session, "visitId": visit.visit}
        if not token:
            return Answer(200, found)
        signed = {"websiteId": website, **found, "iat": visit.issued}
        return Answer(200, {"cache": sign(signed, self._store.secret), **found})

    def _visit(
        self,
        payload: dict[str, Any],
        claims: dict[str, Any],
        user_agent: str,
        address: str,
        outage: Outage | None,
    ) -> _Visit:
        source = payload.get("website") or payload.get("pixel") or payload.get("link") or ""
        seconds = _seconds_sent(payload) or now_ms() // 1000
        secret = self._store.secret
        session = session_id(secret, source, address, user_agent, seconds, payload.get("id") or "")
        if not claims.get("sessionId"):
            self._store_session(session, source.lower(), payload, user_agent, seconds, outage)
        now = now_ms() // 1000
        visit, issued = claims.get("visitId"), claims.get("iat") or now
        if visit is None or (not _seconds_sent(payload) and now - issued > VISIT_SECONDS):
            visit = visit_id(secret, session, seconds)
            issued = now if now - issued > VISIT_SECONDS else issued
        return _Visit(source.lower(), session, visit, issued, seconds, address, user_agent)

    def _store_kind(
        self, kind: str, payload: dict[str, Any], visit: _Visit, outage: Outage | None
    ) -> None:
        if kind == "event":
            self._store_record(payload, visit, outage)
        elif kind == "performance":
            self._store_vitals(payload, visit, outage)
        elif payload.get("data"):
            self._store_identity(payload, visit, outage)

    def _store_session(
        self,
        session: str,
        website: str,
        payload: dict[str, Any],
        user_agent: str,
        seconds: int,
        outage: Outage | None,
    ) -> None:
        guess = agent(user_agent)
        screen = payload.get("screen")
        columns = {
            "browser": payload.get("browser", guess.browser),
            "os": payload.get("os", guess.os),
            "device": payload.get("device", device_on(guess.device, screen or "")),
            "screen": screen,
            "language": payload.get("language"),
            "distinct_id": payload.get("id"),
        }
        if outage is not None:
            outage.write_raw()
        if any("\0" in text for text in columns.values() if text):
            raise raw_query("22021", nul().error["message"])
        for name, limit in _SESSION_LIMITS.items():
            if (text := columns[name]) and len(text) > limit and len(text.rstrip(" ")) > limit:
                words = f"value too long for type character varying({limit})"
                raise raw_query("22001", words)
        valid = abs(seconds) <= MAX_SECONDS
        if valid and civil_date(seconds // 86_400)[0] < 1:
            raise raw_query("22007", "invalid input syntax for type timestamp with time zone")
        self._store.add_session(
            (
                session,
                website,
                columns["browser"],
                columns["os"],
                columns["device"],
                screen,
                columns["language"],
                None,
                None,
                None,
                columns["distinct_id"],
                seconds if valid else None,
            )
        )

    def _store_record(self, payload: dict[str, Any], visit: _Visit, outage: Outage | None) -> None:
        hostname = payload.get("hostname")
        base = f"https://{hostname}" if hostname else "https://localhost"
        page = urls.page(payload.get("url", "undefined"), base)
        name = payload.get("name")
        row: dict[str, Any] = {
            "event_type": _event_type(payload),
            "hostname": hostname or page.host,
            "url_path": page.path,
            "url_query": page.query,
            "title": _title(payload),
            "event_name": name or None,
            "tag": payload.get("tag"),
            **page.campaign,
        }
        if sent := payload.get("referrer"):
            referrer = urls.referrer(sent, base)
            row["referrer_path"], row["referrer_query"], row["referrer_domain"] = referrer
        record = self._insert(row, visit, outage)
        if row["event_type"] == PAGE_VIEW:
            self._counters.stored += 1
            self._counters.by_website[visit.website] += 1
        else:
            self._counters.stored_other += 1
        if (data := payload.get("data")) is not None:
            rows = flatten(data, "EventData", "eventData.createMany")
            self._store.add_record_data(record, visit.website, visit.seconds, rows)
            check_revenue(data, name)

    def _store_vitals(self, payload: dict[str, Any], visit: _Visit, outage: Outage | None) -> None:
        hostname = payload.get("hostname")
        base = f"https://{hostname}" if hostname else "https://localhost"
        row = {
            "event_type": WEB_VITALS,
            "url_path": urls.bare_path(payload.get("url", "undefined"), base),
            "title": _title(payload),
        }
        self._insert(row, visit, outage)
        self._counters.stored_other += 1

    def _store_identity(
        self, payload: dict[str, Any], visit: _Visit, outage: Outage | None
    ) -> None:
        if outage is not None:
            outage.write("SessionData", "sessionData.updateMany")
        for datum in flatten(payload["data"], "SessionData", "sessionData.updateMany"):
            self._store.add_session_data(
                visit.session, visit.website, payload.get("id"), visit.seconds, datum
            )

    def _insert(self, row: dict[str, Any], visit: _Visit, outage: Outage | None) -> int:
        model, call = "WebsiteEvent", "websiteEvent.create"
        if abs(visit.seconds) > MAX_SECONDS:
            words = "Invalid value for argument `createdAt`: Provided Date object is invalid."
            raise validation_error(call, f"{words} Expected Date.")
        if outage is not None:
            outage.write(model, call)
        if any("\0" in text for text in row.values() if text.__class__ is str):
            raise nul()
        for column in _CAMPAIGN_COLUMNS:
            if len(text := row.get(column) or "") > _CAMPAIGN_LENGTH:
                if len(text.rstrip(" ")) > _CAMPAIGN_LENGTH:
                    raise too_long(model, call, _CAMPAIGN_LENGTH)
                row[column] = text[:_CAMPAIGN_LENGTH]  # PostgreSQL forgives trailing spaces
        row["website"] = visit.website
        row["created_at"] = visit.seconds
        row["session_id"] = visit.session
        row["visit_id"] = visit.visit
        row["ip"] = visit.address
        row["user_agent"] = visit.user_agent
        return self._store.add_record([row.get(column) for column in COLUMNS])


def _as_it_is(answer: Answer) -> Answer:
    return answer


def version_of(text: str) -> tuple[int, ...]:
    """``"3.1.0"`` → ``(3, 1, 0)``."""
    return tuple(int(part) for part in text.split("."))


def _seconds_sent(payload: dict[str, Any]) -> int:
    """The timestamp as JavaScript reads it; 0 means now."""
    sent = payload.get("timestamp")
    return sent if sent.__class__ is int else int(to_number(sent))


def _event_type(payload: dict[str, Any]) -> int:
    if payload.get("link"):
        return LINK
    if payload.get("pixel"):
        return PIXEL
    return CUSTOM_EVENT if payload.get("name") else PAGE_VIEW


def _title(payload: dict[str, Any]) -> str | None:
    title = payload.get("title")
    return None if title is None else cut(decode_uri_component(title), urls.LENGTH)


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def blocked(listed: tuple[str, ...]) -> tuple[str | Network, ...]:
    """What IGNORE_IP blocks; raises ValueError for a CIDR that is none."""
    return tuple(
        ipaddress.ip_network(each, strict=False) if "/" in each else each for each in listed
    )


def _is_blocked(address: str, those: tuple[str | Network, ...]) -> bool:
    for each in those:
        if isinstance(each, str):
            if each == address:
                return True
            continue
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            words = "ipaddr: the address has neither IPv6 nor IPv4 format"
            raise script_error("Error", words) from None
        if parsed.version == each.version and parsed in each:
            return True
    return False
