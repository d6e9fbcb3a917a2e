"""What was stored: one SQLite file (or memory), in WAL mode, easy to look into from outside.

``page_views`` is the view to query: ``id, website, created_at, hostname, url_path, url_query,
referrer_domain, referrer_path, referrer_query, title, tag, utm_…, session_id, visit_id, ip,
user_agent, …``; times are Unix seconds. ``records`` beneath it holds custom events, too.
"""

from __future__ import annotations

import re
import secrets
import sqlite3
import stat
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ingestor.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_LAYOUT: Final = """
create table if not exists settings (name text primary key, value text not null) strict;
create table if not exists websites (
    id text primary key, name text not null, domain text, reset_at integer,
    created_at integer not null, updated_at integer not null, deleted_at integer
) strict;
create table if not exists sessions (
    id text primary key, website text not null, browser text, os text, device text, screen text,
    language text, country text, region text, city text, distinct_id text, created_at integer
) strict, without rowid;
create table if not exists records (
    id integer primary key autoincrement, website text not null, event_type integer not null,
    created_at integer not null, hostname text, url_path text not null, url_query text,
    referrer_domain text, referrer_path text, referrer_query text, title text, event_name text,
    tag text, utm_source text, utm_medium text, utm_campaign text, utm_content text,
    utm_term text, gclid text, fbclid text, msclkid text, ttclid text, li_fat_id text,
    twclid text, session_id text not null, visit_id text not null, ip text, user_agent text
) strict;
create index if not exists records_by_time on records (website, created_at);
create index if not exists records_by_tag on records (website, tag) where tag is not null;
create table if not exists record_data (
    record integer not null, website text not null, name text not null, string_value text,
    number_value real, date_value integer, data_type integer not null, created_at integer
) strict;
create index if not exists record_data_by_record on record_data (record);
create table if not exists session_data (
    session_id text not null, name text not null, website text not null, string_value text,
    number_value real, date_value integer, data_type integer not null, distinct_id text,
    created_at integer, primary key (session_id, name)
) strict;
create view if not exists page_views as select * from records where event_type = 1;
"""

COLUMNS: Final = (
    "website",
    "event_type",
    "created_at",
    "hostname",
    "url_path",
    "url_query",
    "referrer_domain",
    "referrer_path",
    "referrer_query",
    "title",
    "event_name",
    "tag",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_content",
    "utm_term",
    "gclid",
    "fbclid",
    "msclkid",
    "ttclid",
    "li_fat_id",
    "twclid",
    "session_id",
    "visit_id",
    "ip",
    "user_agent",
)
_INSERT: Final = (
    f"insert into records ({', '.join(COLUMNS)}) values ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - our own column names; values are bound
)
_INSERT_SESSION: Final = "insert or ignore into sessions values (?,?,?,?,?,?,?,?,?,?,?,?)"


class StoredPageView(NamedTuple):
    """One stored page view; ``created_at`` in Unix seconds, the rest as Umami would have it."""

    id: int  # counts up in stored order
    website: str
    created_at: int
    hostname: str | None
    url_path: str
    url_query: str | None
    referrer_domain: str | None
    referrer_path: str | None
    referrer_query: str | None
    title: str | None
    tag: str | None
    utm_source: str | None
    session_id: str
    visit_id: str
    ip: str | None  # as it was sent; Umami itself keeps only the hash
    user_agent: str | None  # likewise


@dataclass(frozen=True, slots=True)
class Website:
    """A website; times in Unix milliseconds."""

    id: str
    name: str
    domain: str | None
    reset_at: int | None
    created_at: int
    updated_at: int


class Datum(NamedTuple):
    """One flattened key of `data`."""

    name: str
    string_value: str | None
    number_value: float | None
    date_value: int | None  # Unix milliseconds
    data_type: int


class Store:
    """The sandbox's database. Raises UsageError where ``path`` cannot be opened as one."""

    def __init__(self, path: str | None) -> None:
        self._db = _open(path)
        self.secret = self._setting("secret", secrets.token_hex(32))
        self.user_id = self._setting("user_id", str(uuid.uuid4()))
        self.born = int(self._setting("created_at", str(now_ms())))
        self._db.commit()
        self._websites = {
            row[0]: Website(*row)
            for row in self._db.execute(
                "select id, name, domain, reset_at, created_at, updated_at from websites"
                " where deleted_at is null order by rowid"
            )
        }

    def close(self) -> None:
        """Commit and close."""
        self._db.commit()
        self._db.close()

    def commit(self) -> None:
        """Make everything stored so far visible to other readers of the file."""
        self._db.commit()

    def _setting(self, name: str, default: str) -> str:
        self._db.execute("insert or ignore into settings values (?, ?)", (name, default))
        row = self._db.execute("select value from settings where name = ?", (name,)).fetchone()
        return str(row[0])

    @property
    def websites(self) -> dict[str, Website]:
        """By id, in the order they were made."""
        return self._websites

    def add_website(self, website: str, name: str, domain: str | None) -> Website:
        """Make a website, or find the one that has this id."""
        website = website.lower()
        if website not in self._websites:
            now = now_ms()
            self._websites[website] = Website(website, name, domain, None, now, now)
            self._db.execute(
                "insert or replace into websites values (?, ?, ?, null, ?, ?, null)",
                (website, name, domain, now, now),
            )
            self._db.commit()
        return self._websites[website]

    def rename_website(self, website: str, name: str, domain: str | None) -> Website:
        """Give a website another name and domain."""
        old = self._websites[website]
        self._websites[website] = replace(old, name=name, domain=domain, updated_at=now_ms())
        self._db.execute(
            "update websites set name = ?, domain = ? where id = ?", (name, domain, website)
        )
        self._db.commit()
        return self._websites[website]

    def reset_website(self, website: str, *, keep_rows: bool = False) -> Website:
        """Forget a website's rows and set its ``reset_at``; ``keep_rows`` only sets it."""
        if not keep_rows:
            for table in ("records", "record_data", "session_data", "sessions"):
                self._db.execute(f"delete from {table} where website = ?", (website,))  # noqa: S608 - our own column names; values are bound
        now = now_ms()
        changed = replace(self._websites[website], reset_at=now, updated_at=now)
        self._websites[website] = changed
        self._db.execute(
            "update websites set reset_at = ?, updated_at = ? where id = ?", (now, now, website)
        )
        self._db.commit()
        return self._websites[website]

    def delete_website(self, website: str) -> None:
        """Delete a website; its rows stay."""
        self._websites.pop(website, None)
        self._db.execute("update websites set deleted_at = ? where id = ?", (now_ms(), website))
        self._db.commit()

    def add_session(self, row: Sequence[Any]) -> None:
        """Insert a session row unless its id is there."""
        self._db.execute(_INSERT_SESSION, row)

    def add_record(self, row: Sequence[Any]) -> int:
        """Insert a row in the order of COLUMNS; returns its id."""
        return self._db.execute(_INSERT, row).lastrowid or 0

    def add_record_data(
        self, record: int, website: str, created_at: int, data: Iterable[Datum]
    ) -> None:
        """Insert the flattened `data` of a row."""
        self._db.executemany(
            "insert into record_data values (?, ?, ?, ?, ?, ?, ?, ?)",
            [(record, website, *datum, created_at) for datum in data],
        )

    def add_session_data(
        self, session: str, website: str, identity: str | None, created_at: int, datum: Datum
    ) -> None:
        """Insert or replace one flattened key of a visitor's `data`."""
        self._db.execute(
            "insert or replace into session_data values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (session, datum.name, website, *datum[1:], identity, created_at),
        )

    def query(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> Iterator[Any]:
        """Rows of a read-only query."""
        return self._db.execute(sql, parameters)

    def count(self, website: str | None = None) -> int:
        """How many page views are stored."""
        where = "" if website is None else " where website = :website"
        row = self._db.execute(
            f"select count(*) from page_views{where}",  # noqa: S608 - our own column names; values are bound
            {"website": (website or "").lower()},
        )
        return int(row.fetchone()[0])

    def page_views(self, website: str | None = None) -> list[StoredPageView]:
        """The page views in stored order."""
        where = "" if website is None else " where website = :website"
        rows = self._db.execute(
            f"select {', '.join(StoredPageView._fields)} from page_views{where} order by id",  # noqa: S608 - our own column names; values are bound
            {"website": (website or "").lower()},
        )
        return [StoredPageView(*row) for row in rows]


def now_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


def _open(path: str | None) -> sqlite3.Connection:
    try:
        if path is not None:
            Path(path).touch(mode=stat.S_IRUSR | stat.S_IWUSR)
        db = sqlite3.connect(path or ":memory:", timeout=5.0, isolation_level="DEFERRED")
    except (sqlite3.Error, OSError) as error:
        raise _unusable(path, error) from None
    try:
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = normal")
        db.create_function("matches", 2, _matches, deterministic=True)
        db.create_function("no_www", 1, _no_www, deterministic=True)
        db.executescript(_LAYOUT)
    except sqlite3.Error as error:
        db.close()
        raise _unusable(path, error) from None
    return db


def _unusable(path: str | None, error: Exception) -> UsageError:
    return UsageError(
        f"the sandbox cannot use {path} as its database ({error});"
        " give --db a new file, or one that a sandbox wrote"
    )


def _matches(pattern: str, text: str | None) -> int | None:
    return None if text is None else int(re.search(pattern, text, re.IGNORECASE) is not None)


def _no_www(hostname: str | None) -> str | None:
    return None if hostname is None else re.sub("^www.", "", hostname)
