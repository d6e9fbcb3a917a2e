"""Asks Umami what it stored: page views by their tag, behind a login.

One request at a time, so that a hundred batches in doubt meet Umami's return without a stampede.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import orjson

from ingestor.delivery.answers import retry_after
from ingestor.delivery.listing import (
    CannotTell,
    Unauthorized,
    read_filters_by_tag,
    read_login,
    read_page,
    read_reset,
    read_websites,
)
from ingestor.errors import BadCredentials, TryAgain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ingestor.delivery.answers import Raw
    from ingestor.delivery.stored import Stored
    from ingestor.delivery.umami import Umami

T = TypeVar("T")

SAID = ""  # why nothing can be told: whoever reads the journal has said it already

# A limiter before Umami may let one request pass at a time, and a look-up takes several.
_LIMITED = frozenset({429, 503})
_PAUSES = (0.5, 1.0, 2.0)  # seconds until the same is asked again
_WISH_MAX = 10.0  # … or a little longer, where it says so
_ROWS_MAX = 20_000  # of one tag: where there are more, the server does not look at the tag


class Tagged(NamedTuple):
    """Where to look for the page views of one batch."""

    website: str
    tag: str
    first: int  # Unix seconds of its oldest page view
    last: int  # … and of its newest
    size: int  # page views


class NoLookup:
    """In the place of a look-up where exactly-once is off, or has no login: it can never tell."""

    async def reset_at(self, website: str) -> float:
        """Raise CannotTell."""
        del website
        raise CannotTell(SAID)

    async def stored(self, tagged: Tagged) -> Counter[Stored]:
        """Raise CannotTell."""
        del tagged
        raise CannotTell(SAID)


class Lookup:
    """Umami's read API. ``wall`` gives Unix seconds.

    Every method raises TryAgain, BadCredentials, and CannotTell where this server's answers will
    never do.
    """

    def __init__(
        self,
        umami: Umami,
        *,
        username: str,
        password: str,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._umami = umami
        self._username = username
        self._password = password
        self._wall = wall
        self._sleep = sleep
        self._token: str | None = None
        self._turn = asyncio.Lock()

    async def check(self) -> None:
        """Find out early whether this server can be asked, as far as its websites let us."""
        website = await self.get("/api/websites", {"pageSize": "1"}, read_websites)
        if website is not None:
            await self.see_tags(website)

    async def see_tags(self, website: str) -> None:
        """See whether page views of a tag can be looked up here."""
        nothing = {"startAt": "1", "endAt": "2"}
        await self.get(f"/api/websites/{website}/stats", nothing, read_filters_by_tag)

    async def reset_at(self, website: str) -> float:
        """Unix milliseconds; page views before it are never listed. 0: there was no reset."""
        return await self.get(f"/api/websites/{website}", {}, read_reset)

    async def stored(self, tagged: Tagged) -> Counter[Stored]:
        """List the stored page views of a tag."""
        path = f"/api/websites/{tagged.website}"
        span = {
            "startAt": str(tagged.first * 1000),
            "endAt": str(tagged.last * 1000 + 999),
            "tag": tagged.tag,
        }
        await self.get(f"{path}/stats", span, read_filters_by_tag)
        rows: dict[str, Stored] = {}
        size, number, count = 2 * tagged.size + 50, 1, 1
        while len(rows) < count:
            query = {**span, "pageSize": str(size), "page": str(number)}
            page = await self.get(f"{path}/events", query, read_page)
            count, number = page.total, number + 1
            if count > _ROWS_MAX:
                raise CannotTell("it lists more than what has the tag")
            if not page.rows.keys() - rows.keys():
                break
            rows.update(page.rows)
        if len(rows) != count and count > 0:
            raise TryAgain("the list of page views changes while it is read")
        return Counter(rows.values())

    async def get(
        self, path: str, query: Mapping[str, str], read: Callable[..., T], *, again: bool = True
    ) -> T:
        """Ask for what only a login sees; ``read`` raises `Unauthorized` for an old token."""
        async with self._turn:
            raw = await self._ask(path, query)
            for pause in _PAUSES:
                if raw.status not in _LIMITED:
                    break
                wish = retry_after(raw.retry_after, self._wall(), raw.date) or 0.0
                await self._sleep(max(pause, min(wish, _WISH_MAX)))
                raw = await self._ask(path, query)
            try:
                return read(raw, now=self._wall())
            except Unauthorized:
                self._token = None
        if again:  # tokens grow old, and a server may get another secret
            return await self.get(path, query, read, again=False)
        raise BadCredentials(
            f"the login umami.username may not read {path} at {self._umami.shown}: give it a user "
            "that may view the website"
        )

    async def _ask(self, path: str, query: Mapping[str, str]) -> Raw:
        if self._token is None:
            login = {"username": self._username, "password": self._password}
            raw = await self._umami.ask(
                "POST", self._umami.route("/api/auth/login"), orjson.dumps(login)
            )
            self._token = read_login(raw, now=self._wall())
        url = self._umami.route(path).with_query(query)
        # Two readings that agree prove nothing where a cache answers.
        headers = {"Authorization": f"Bearer {self._token}", "Cache-Control": "no-cache"}
        return await self._umami.ask("GET", url, extra=headers)
