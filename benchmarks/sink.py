"""An Umami that costs nothing: answers what a healthy one would, stores nothing, counts.

    python benchmarks/sink.py --port 3999

It looks at no page view, so that it cannot be the bottleneck: a request of any size costs it some
30 µs. `GET /counts` tells what came in; `POST /reset` forgets it. It reads only what ingestor
sends: HTTP/1.1 with Content-Length.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_KNOWN = b'{"timestamp":1,"userAgent":1,"ip":1,"id":1}'
_FIELDS = b'{"error":{"properties":{"payload":{"properties":%b}}}}' % _KNOWN
_STORED = b'{"cache":"token","sessionId":"s","visitId":"v"}'
_ELEMENT = b'{"type":"event"'
_ROOM = 512 * 1024  # bytes of a request; longer ones make more


class Counts:
    """What came in since the last reset."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.requests = 0
        self.page_views = 0
        self.bytes = 0
        self.last: list[tuple[float, str]] = []  # arrival and url of lone page views


class Connection(asyncio.BufferedProtocol):
    """One keep-alive connection. What comes in is never copied: its cost would look like ours."""

    def __init__(self, counts: Counts, *, remember: bool) -> None:
        self._counts = counts
        self._remember = remember
        self._buffer = bytearray(_ROOM)
        self._have = 0
        self._need = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, _: int) -> memoryview:
        """Give what is free; asyncio reads into it."""
        if self._have == len(self._buffer):
            self._buffer = self._buffer + bytearray(self._have)
        return memoryview(self._buffer)[self._have :]

    def buffer_updated(self, nbytes: int) -> None:
        """Answer whole requests; only their heads are searched."""
        self._have += nbytes
        start, buffer = 0, self._buffer
        while start + self._need <= self._have and start < self._have:
            head = buffer.find(b"\r\n\r\n", start, self._have)
            if head < 0:
                break
            length = _LENGTH.search(buffer, start, head)
            self._need = head + 4 - start + (int(length[1]) if length else 0)
            if start + self._need > self._have:
                break
            request = bytes(buffer[start : buffer.find(b"\r", start)])
            self._answer(request, head + 4, start + self._need)
            start += self._need
            self._need = 0
        if start:
            buffer[: self._have - start] = buffer[start : self._have]
            self._have -= start

    def _answer(self, request: bytes, start: int, end: int) -> None:
        assert self._transport is not None
        status, words = self._say(request, start, end)
        self._transport.write(
            b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (status, len(words), words)
        )

    def _say(self, request: bytes, start: int, end: int) -> tuple[int, bytes]:
        """``start`` and ``end`` of the body, exclusive."""
        counts = self._counts
        if b"/counts" in request:
            return 200, json.dumps(vars(counts)).encode()
        if b"/reset" in request:
            counts.reset()
            return 200, b"{}"
        if b"/api/batch" in request:
            size = self._buffer.count(_ELEMENT, start, end)
            self._count(size, start, end)
            return 200, b'{"size":%d,"processed":%d,"errors":0,"details":[],"cache":"token"}' % (
                size,
                size,
            )
        if self._buffer.find(b'"abc"', start, end) >= 0:
            return 400, _FIELDS
        self._count(1, start, end)
        return 200, _STORED

    def _count(self, size: int, start: int, end: int) -> None:
        counts = self._counts
        counts.requests += 1
        counts.page_views += size
        counts.bytes += end - start
        if self._remember:
            now = time.time()
            elements = json.loads(self._buffer[start:end])
            for element in elements if isinstance(elements, list) else [elements]:
                counts.last.append((now, element["payload"].get("url", "")))


async def serve(port: int, *, remember: bool) -> None:
    """Serve until killed; prints the port when it listens."""
    counts = Counts()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(counts, remember=remember), "127.0.0.1", port
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--remember", action="store_true", help="keep arrival times and urls")
    args = parser.parse_args()
    asyncio.run(serve(args.port, remember=args.remember))


if __name__ == "__main__":
    main()
