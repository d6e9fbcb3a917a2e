"""The sandbox itself: opens the store, listens on one or two ports, stops in order."""

from __future__ import annotations

import asyncio
import socket
import uuid
from typing import TYPE_CHECKING, Self

from aiohttp import web

from ingestor.errors import UsageError
from ingestor.sandbox.bots import is_bot
from ingestor.sandbox.collector import Collector, blocked, version_of
from ingestor.sandbox.control import Control
from ingestor.sandbox.counters import Counters
from ingestor.sandbox.faults import Faults, parse
from ingestor.sandbox.receiving import NO_ANSWER, Receiver
from ingestor.sandbox.routes import Routes
from ingestor.sandbox.schema import is_uuid
from ingestor.sandbox.store import Store, StoredPageView

if TYPE_CHECKING:
    from ingestor.sandbox.options import SandboxOptions

_BACKLOG = 512
_CLOSING = 0.1  # seconds for idle connections to close


class Sandbox:
    """An embedded receiver that answers as Umami does.

    Listening between ``start()`` and ``stop()``, or inside ``async with``. Constructing one
    opens nothing; `start` raises UsageError for what the options got wrong.
    """

    def __init__(self, options: SandboxOptions) -> None:
        self._options = options
        self.counters = Counters()
        self.faults = Faults(self._apply_refusal)
        self.url = ""
        self.control_url: str | None = None
        self._store: Store | None = None
        self._server: web.Server | None = None
        self._control: web.Server | None = None
        self._listening: asyncio.Server | None = None
        self._listening_for_control: asyncio.Server | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        self._opening: asyncio.Task[None] | None = None
        self._address: tuple[str, int] = ("", 0)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def websites(self) -> list[str]:
        """Ids of the websites, in the order they were made."""
        return list(self._open_store.websites)

    @property
    def _open_store(self) -> Store:
        if self._store is None:
            raise RuntimeError("the sandbox is not started")
        return self._store

    def page_views(self, website: str | None = None) -> list[StoredPageView]:
        """The stored page views (of one website), in stored order."""
        return self._open_store.page_views(website)

    def count(self, website: str | None = None) -> int:
        """How many page views are stored (of one website)."""
        return self._open_store.count(website)

    def reset_website(self, website: str) -> None:
        """Set a website's resetAt to now and keep its rows: the read API hides them."""
        self._open_store.reset_website(website.lower(), keep_rows=True)

    async def start(self) -> None:
        """Listen.

        Raises UsageError: a port is in use, the database cannot be opened, a website id is no
        UUID, a fault or a version cannot be read.
        """
        options = self._options
        self._check()
        self._store = Store(options.db)
        try:
            await self._start(options, self._store)
        except BaseException:
            await self.stop()
            raise

    def _check(self) -> None:
        for website in self._options.websites:
            if not is_uuid(website):
                raise UsageError(
                    f"{website!r} is no website id; Umami's are UUIDs such as {uuid.uuid4()}"
                )
        try:
            version_of(self._options.version)
        except ValueError:
            raise UsageError(
                f"{self._options.version!r} is no version of Umami; write 3.1.0"
            ) from None
        try:
            blocked(self._options.ignore_ip)
        except ValueError as error:
            raise UsageError(f"ignore_ip holds addresses and CIDRs: {error}") from None
        for spec in self._options.fail:
            parse(spec)

    async def _start(self, options: SandboxOptions, store: Store) -> None:
        for place, website in enumerate(options.websites):
            store.add_website(website, f"sandbox {place + 1}", None)
        if not store.websites:
            store.add_website(str(uuid.uuid4()), "sandbox", None)
        collector = Collector(store, self.counters, options, options.is_bot or is_bot)
        receiver = Receiver(options, store, collector, self.faults, self.counters)
        self._routes = Routes(options, store, receiver, self.faults)
        self._server = web.Server(
            self._serve, access_log=None, auto_decompress=False, keepalive_timeout=options.keepalive
        )
        self._address = (options.host, options.port)
        listener = bind(*self._address)
        self._address = (options.host, listener.getsockname()[1])
        self.url = url_of(*self._address)
        await self._listen(listener)
        if options.control_port is not None:
            control = Control(store, self.faults, self.counters)
            self._control = web.Server(control.dispatch, access_log=None)
            listener = bind(options.host, options.control_port)
            self.control_url = url_of(options.host, listener.getsockname()[1])
            loop = asyncio.get_running_loop()
            self._listening_for_control = await loop.create_server(self._control, sock=listener)
        self.faults.set(*options.fail)

    async def _listen(self, listener: socket.socket) -> None:
        if self._server is not None:
            loop = asyncio.get_running_loop()
            self._listening = await loop.create_server(
                self._server, sock=listener, backlog=_BACKLOG
            )

    async def stop(self) -> None:
        """Stop listening, let requests under way finish for a while, close the store."""
        for listening in (self._listening, self._listening_for_control):
            if listening is not None:
                listening.close()
        server, self._server = self._server, None
        self.faults.clear()
        if self._opening is not None:
            await self._opening
        self._listening = self._listening_for_control = None
        await self._finish()
        for each in (server, self._control):
            if each is not None:
                each.pre_shutdown()
                await each.shutdown(_CLOSING)
        self._control = None
        if self._store is not None:
            self._store.close()
            self._store = None

    async def _finish(self) -> None:
        """Let requests under way finish, also those whose client hung up."""
        if self._under_way:
            _, late = await asyncio.wait(
                set(self._under_way), timeout=self._options.shutdown_timeout
            )
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        counters = self.counters
        counters.requests[request.path] += 1
        counters.in_flight += 1
        counters.most_in_flight = max(counters.most_in_flight, counters.in_flight)
        task = asyncio.current_task()
        if task is not None:  # it outlives its connection, and stop() has to know it
            self._under_way.add(task)
        try:
            try:
                response = await self._routes.dispatch(request)
            except ConnectionError:  # the client went away in the middle of its request
                response = web.Response(status=NO_ANSWER)
            counters.answers[response.status] += 1
            return response
        finally:
            counters.in_flight -= 1
            if task is not None:
                self._under_way.discard(task)

    def _apply_refusal(self) -> None:
        """Stop listening while a `refuse` is on, listen on the same port when it is off."""
        if self._server is None:
            return
        refused = self.faults.is_on("refuse")
        if refused and self._listening is not None:
            self._refuse(self._listening, self._server)
        elif not refused and self._listening is None:
            listener = bind(*self._address)
            self._opening = asyncio.get_running_loop().create_task(self._listen(listener))

    def _refuse(self, listening: asyncio.Server, server: web.Server) -> None:
        listening.close()
        self._listening = None
        for connection in list(server.connections):
            if connection.transport is not None:
                connection.transport.abort()
        for fault in self.faults:
            if fault.kind == "refuse":
                fault.fired += 1
                self.faults.counters[fault.spec] += 1


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; raises UsageError where the address cannot be had."""
    if not host:  # to the system that would be every address there is
        raise UsageError("the sandbox needs an address to listen on, such as 127.0.0.1")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError, TypeError) as error:  # TypeError: bytes that are no name
        listener.close()
        raise UsageError(
            f"the sandbox cannot listen on {host} port {port} ({error}); choose another --port,"
            " or 0 for any free one"
        ) from None
    listener.setblocking(False)  # noqa: FBT003 - the socket's own signature
    return listener


def url_of(host: str, port: int) -> str:
    """The address as a URL."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"
