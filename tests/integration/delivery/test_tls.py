"""A certificate that was not trusted, and is after it was mended while the program ran."""

from __future__ import annotations

import asyncio
import re
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, chain = tmp_path / "key.pem", tmp_path / "chain.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-keyout", key, "-out", chain, "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    return key, chain


async def test_a_mended_certificate_is_trusted_without_a_restart(
    certificate, umami, ledger, views, deliver, monkeypatch, caplog
):
    key, chain = certificate
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(chain, key)
    server = await asyncio.start_server(umami.connected, "127.0.0.1", 0, ssl=server_side)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    starting = asyncio.create_task(deliver(url))
    await ledger.until(lambda: bool(ledger.is_away))
    assert re.search(
        rf"no secure connection to {url}: self[- ]signed certificate; put the certificate .*"
        r"update-ca-certificates.* SSL_CERT_FILE",
        caplog.text,
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(chain))
    delivery = await starting
    await delivery.submit(views(3))
    assert await delivery.drain(10)
    assert umami.urls.total() == 3
    assert ledger.doubts == 0
    server.close()
