"""Through a proxy that the environment names, and without what ~/.netrc holds."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from pathlib import Path

import pytest
from yarl import URL

from ingestor.delivery.proxy import proxy_of
from ingestor.errors import ConfigError

UMAMI = "http://umami.example.com"
WHO = f"Basic {b64encode(b'me:pa ss').decode()}"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def test_page_views_go_through_the_proxy(umami, views, deliver, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", umami.url.replace("http://", "http://me:pa%20ss@"))
    umami.prefix = UMAMI
    delivery = await deliver(UMAMI)
    await delivery.submit(views(3))
    assert await delivery.drain(10)
    assert umami.urls.total() == 3
    assert all(r.headers["proxy-authorization"] == WHO.lower() for r in umami.requests)
    assert all(r.headers["host"] == "umami.example.com" for r in umami.requests)


async def test_a_tunnel_is_asked_for_with_the_password_and_the_refusal_told(
    ledger, deliver, monkeypatch, caplog
):
    asked: list[str] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setenv("https_proxy", f"http://me:pa%20ss@127.0.0.1:{port}")
    starting = asyncio.create_task(deliver("https://umami.example.com"))
    await ledger.until(lambda: bool(ledger.is_away))
    starting.cancel()
    server.close()
    assert "CONNECT umami.example.com:443" in asked[0]
    assert f"Proxy-Authorization: {WHO}" in asked[0]
    assert "answers 407" in caplog.text


async def test_netrc_is_not_read(umami, views, deliver, monkeypatch, tmp_path: Path):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password s3cret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", umami.url)
    umami.prefix = UMAMI
    delivery = await deliver(UMAMI)
    await delivery.submit(views(1))
    assert await delivery.drain(10)
    assert umami.requests
    for request in umami.requests:
        assert not {"authorization", "proxy-authorization"} & set(request.headers)


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("umami.example.com", UMAMI),
        (".example.com", UMAMI),
        ("example.com", UMAMI),
        ("umami.example.com:8080", f"{UMAMI}:8080"),
        ("*", UMAMI),
        ("nothing", "http://127.0.0.1:3000"),
        ("nothing", "http://localhost:3000"),
        ("2001:db8::1", "http://[2001:db8::1]/"),
    ],
)
def test_no_proxy_is_heeded(value: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example.net:3128")
    monkeypatch.setenv("no_proxy", value)
    assert proxy_of(URL(url)) is None
    assert proxy_of(URL("http://another.example.org")) is not None or value == "*"


@pytest.mark.parametrize(
    "value",
    [
        "proxy.example.net:3128",
        "https://me:s3cret@proxy.example.net",
        "socks5://me:s3cret@proxy.example.net:1080",
        "http://me:s3cret@",
        "http://me:s3cret@proxy.example.net:port",
        "me:s3cret",
        "http://[::1",
    ],
)
@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY"])
def test_a_proxy_that_cannot_be_used_is_refused_by_its_name(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as caught:
        proxy_of(URL(UMAMI))
    assert variable in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert proxy_of(URL("https://umami.example.com")) is None
