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


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, counts: Counts, *, remember: bool) -> None:
        self._counts = counts
        self._remember = remember
        self._parts: list[bytes] = []
        self._have = 0
        self._need = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Gather a request; only its head is searched."""
        self._parts.append(data)
        self._have += len(data)
        if self._have < self._need:
            return
        whole = b"".join(self._parts)
        while whole:
            head = whole.find(b"\r\n\r\n")
            if head < 0:
                break
            length = _LENGTH.search(whole, 0, head)
            self._need = head + 4 + (int(length[1]) if length else 0)
            if len(whole) < self._need:
                break
            self._answer(whole[: whole.find(b"\r")], whole[head + 4 : self._need])
            whole = whole[self._need :]
            self._need = 0
        self._parts = [whole] if whole else []
        self._have = len(whole)

    def _answer(self, request: bytes, body: bytes) -> None:
        assert self._transport is not None
        status, words = self._say(request, body)
        self._transport.write(
            b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (status, len(words), words)
        )

    def _say(self, request: bytes, body: bytes) -> tuple[int, bytes]:
        counts = self._counts
        if b"/counts" in request:
            return 200, json.dumps(vars(counts)).encode()
        if b"/reset" in request:
            counts.reset()
            return 200, b"{}"
        if b"/api/batch" in request:
            size = body.count(_ELEMENT)
            self._count(size, body)
            return 200, b'{"size":%d,"processed":%d,"errors":0,"details":[],"cache":"token"}' % (
                size,
                size,
            )
        if b'"abc"' in body:
            return 400, _FIELDS
        self._count(1, body)
        return 200, _STORED

    def _count(self, size: int, body: bytes) -> None:
        counts = self._counts
        counts.requests += 1
        counts.page_views += size
        counts.bytes += len(body)
        if self._remember:
            now = time.time()
            elements = json.loads(body)
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
