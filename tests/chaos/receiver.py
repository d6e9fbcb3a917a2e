"""The fourth actor: the sandbox on a thread of its own, with its faults, over loopback.

It keeps its port and its rows over a restart, as Umami does.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import urllib.request
from collections import Counter
from collections.abc import Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from parts import WEBSITE, free_port

from ingestor.sandbox import Sandbox, SandboxOptions

T = TypeVar("T")

# After these, nobody can know what was stored, or the program cannot.
AMBIGUOUS = (
    *("freeze", "slow", "saturate", "drop-before", "store-late", "drop-after", "cut"),
    *("500-whole", "500-passes", "500-never", "502-html", "504-html", "408"),
    *("200-html", "200-json", "200-empty"),
)


class Receiver:
    """A sandbox that can be restarted."""

    def __init__(self, directory: Path) -> None:
        self._db = directory / "umami.db"
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.fired: Counter[str] = Counter()  # by kind, of earlier lives of the sandbox
        self.set: Counter[str] = Counter()  # by kind
        self.restarts = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sandbox")
        self._thread.start()
        self._sandbox = self._start()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def _start(self) -> Sandbox:
        options = SandboxOptions(
            port=self._port,
            db=str(self._db),
            websites=(WEBSITE,),
            control_port=0,
            shutdown_timeout=0.2,
        )
        sandbox = Sandbox(options)
        self._run(sandbox.start())
        return sandbox

    def _control(self, method: str, path: str, body: str = "") -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - our own loopback
            f"{self._sandbox.control_url}{path}", body.encode() or None, method=method
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - likewise
            found: dict[str, Any] = json.load(answer)
        return found

    def do(self, act: str, how: dict[str, Any]) -> None:
        """Switch a fault on, all off, or restart."""
        if act == "fault":
            self.set[kind_of(how["spec"])] += 1
            self._control("POST", "/faults", how["spec"])
        elif act == "clear":
            self._control("DELETE", "/faults")
        else:
            self._remember()
            self._run(self._sandbox.stop())
            self._sandbox = self._start()
            self.restarts += 1

    def all_fired(self) -> Counter[str]:
        """How often each kind of fault fired."""
        found = Counter(self.fired)
        for spec, count in self._control("GET", "/")["fired"].items():
            found[name_of(spec)] += count
        return found

    def _remember(self) -> None:
        self.fired = self.all_fired()

    def busy(self) -> bool:
        """Whether requests are under way, of clients that may have left."""
        return bool(self._control("GET", "/")["in_flight"])

    def rows(self) -> list[sqlite3.Row]:
        """What is stored, in order."""
        with closing(sqlite3.connect(f"file:{self._db}?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            return db.execute("SELECT * FROM page_views ORDER BY id").fetchall()

    def close(self) -> None:
        """Stop for good."""
        self._run(self._sandbox.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def kind_of(spec: str) -> str:
    """A fault's kind."""
    return spec.partition(",")[0]


def name_of(spec: str) -> str:
    """A fault's kind, with what makes another fault of it."""
    kind = kind_of(spec)
    code = next((o.removeprefix("code=") for o in spec.split(",") if o.startswith("code=")), "")
    return f"{kind} {code}".rstrip() + (" stored" if "stored=yes" in spec else "")
