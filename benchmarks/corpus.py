"""A seeded corpus of log lines with the mix of a real site: the same bytes for the same seed.

    python benchmarks/corpus.py --lines 1000000 --format combined access.log

Per hundred lines about 70 are assets, 15 bots, 15 page views; under one in a hundred is garbage.
Addresses, paths, referrers and several hundred user agents are made up but look real.
"""

from __future__ import annotations

import argparse
import gzip
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import zstandard

START = 1_717_200_000  # 2024-06-01T00:00:00Z: in the past, whatever the clock says

_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_WORDS = (
    "about shop blog news docs guide price team jobs contact product review garden kitchen music "
    "travel photo city winter summer story recipe bread coffee tea bicycle train mountain river"
).split()
_ASSETS = ("css", "js", "png", "jpg", "webp", "svg", "woff2", "ico", "gif", "map")
_REFERRERS = (
    "-",
    "-",
    "https://www.google.com/",
    "https://duckduckgo.com/",
    "https://www.bing.com/",
    "https://news.ycombinator.com/",
    "https://example.com/",
    "https://example.com/blog/",
)
_BOTS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; GPTBot/1.2; +https://openai.com/gptbot)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)",
    "curl/8.5.0",
    "python-requests/2.32.3",
    "Go-http-client/2.0",
)
_GARBAGE = (
    '{address} - - [{time}] "\\x16\\x03\\x01\\x02\\x00\\x01\\x00" 400 157 "-" "-"\n',
    '{address} - - [{time}] "" 400 0 "-" "-"\n',
    '{address} - - [{time}] "-" 408 0 "-" "-"\n',
    "garbage that no server wrote\n",
)


class Request(NamedTuple):
    """One request before it is written in a format."""

    address: str
    time: int
    path: str
    status: int
    size: int
    referrer: str
    agent: str
    host: str


def _clock(stamp: int) -> str:
    t = time.gmtime(stamp)
    month = _MONTHS[t.tm_mon - 1]
    return f"{t.tm_mday:02}/{month}/{t.tm_year}:{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} +0000"


def _combined(r: Request) -> str:
    return (
        f'{r.address} - - [{_clock(r.time)}] "GET {r.path} HTTP/1.1" {r.status} {r.size} '
        f'"{r.referrer}" "{r.agent}"\n'
    )


def _vhost(r: Request) -> str:
    return f"{r.host}:443 {_combined(r)}"


def _custom(r: Request) -> str:
    """nginx: combined with request time and upstream time behind it."""
    return f'{_combined(r)[:-1]} "-" rt=0.012 uct="0.000" urt="0.011"\n'


def _json(r: Request) -> str:
    """nginx escape=json."""
    t = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(r.time))
    return (
        f'{{"time_iso8601":"{t}","remote_addr":"{r.address}","host":"{r.host}",'
        f'"request":"GET {r.path} HTTP/1.1","status":"{r.status}","body_bytes_sent":"{r.size}",'
        f'"http_referer":"{r.referrer}","http_user_agent":"{r.agent}"}}\n'
    )


FORMATS: dict[str, Callable[[Request], str]] = {
    "combined": _combined,
    "vhost_combined": _vhost,
    "custom": _custom,
    "json": _json,
}


def agents(rng: random.Random) -> list[str]:
    """Several hundred user agents of people: browsers × systems × versions."""
    found = []
    systems = (
        "Windows NT 10.0; Win64; x64",
        "Macintosh; Intel Mac OS X 10_15_7",
        "X11; Linux x86_64",
        "Linux; Android 10; K",
    )
    for version in range(120, 144):
        for system in systems:
            mobile = "Mobile " if "Android" in system else ""
            chrome = (
                f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) "
                f"Chrome/{version}.0.0.0 {mobile}Safari/537.36"
            )
            found += [chrome, f"{chrome} Edg/{version}.0.0.0", f"{chrome} OPR/{version - 16}.0.0.0"]
        found += [
            f"Mozilla/5.0 ({system}; rv:{version}.0) Gecko/20100101 Firefox/{version}.0"
            for system in systems[:3]
        ]
    for major in range(15, 19):
        for minor in range(7):
            found.append(
                f"Mozilla/5.0 (iPhone; CPU iPhone OS {major}_{minor} like Mac OS X) "
                f"AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{major}.{minor} "
                "Mobile/15E148 Safari/604.1"
            )
    rng.shuffle(found)
    return found


def lines(
    count: int, *, seed: int = 1, log_format: str = "combined", mix: str = "real"
) -> Iterator[bytes]:
    """Yield log lines; ``mix``: real, assets, bots or pages."""
    rng = random.Random(seed)
    write = FORMATS[log_format]
    people = agents(rng)
    addresses = [_address(rng) for _ in range(max(50, count // 40))]
    paths = [
        f"/{rng.choice(_WORDS)}/{rng.choice(_WORDS)}-{rng.randrange(1000)}" for _ in range(3000)
    ]
    for i in range(count):
        stamp = START + i // 10
        kind = _kind(rng, mix)
        if kind == "garbage":
            text = rng.choice(_GARBAGE)
            yield text.format(address=rng.choice(addresses), time=_clock(stamp)).encode()
            continue
        agent = rng.choice(_BOTS) if kind == "bot" else rng.choice(people)
        path = rng.choice(paths)
        if kind == "asset":
            path = f"/static{path}.{rng.choice(_ASSETS)}"
            if rng.random() < 0.3:
                path += f"?v={rng.randrange(10**6)}"
        elif rng.random() < 0.2:
            path += f"?utm_source={rng.choice(_WORDS)}&page={rng.randrange(20)}"
        request = Request(
            rng.choice(addresses),
            stamp,
            path,
            200 if rng.random() < 0.97 else 304,
            rng.randrange(200, 90000),
            rng.choice(_REFERRERS),
            agent,
            rng.choice(("example.com", "www.example.com")),
        )
        yield write(request).encode()


def _kind(rng: random.Random, mix: str) -> str:
    if mix != "real":
        return {"assets": "asset", "bots": "bot", "pages": "page"}[mix]
    roll = rng.random()
    if roll < 0.007:
        return "garbage"
    return "asset" if roll < 0.70 else "bot" if roll < 0.85 else "page"


def _address(rng: random.Random) -> str:
    if rng.random() < 0.12:
        return f"2001:db8:{rng.randrange(65536):x}::{rng.randrange(1, 65536):x}"
    return f"{rng.choice(('198.51.100', '203.0.113', '192.0.2'))}.{rng.randrange(1, 255)}"


def write(
    path: Path, count: int, *, seed: int = 1, log_format: str = "combined", mix: str = "real"
) -> None:
    """Write a corpus; a name that ends in .gz or .zst is compressed."""
    found = lines(count, seed=seed, log_format=log_format, mix=mix)
    if path.suffix == ".zst":
        with path.open("wb") as raw, zstandard.ZstdCompressor(3).stream_writer(raw) as writer:
            for line in found:
                writer.write(line)
        return
    with gzip.open(path, "wb", 6) if path.suffix == ".gz" else path.open("wb") as file:
        file.writelines(found)


def main() -> None:
    """Write a corpus to a file or to standard output."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--format", choices=FORMATS, default="combined")
    parser.add_argument("--mix", choices=("real", "assets", "bots", "pages"), default="real")
    parser.add_argument("path", nargs="?", type=Path)
    args = parser.parse_args()
    if args.path is None:
        sys.stdout.buffer.writelines(
            lines(args.lines, seed=args.seed, log_format=args.format, mix=args.mix)
        )
    else:
        write(args.path, args.lines, seed=args.seed, log_format=args.format, mix=args.mix)


if __name__ == "__main__":
    main()
