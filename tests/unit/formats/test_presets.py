"""Every preset reads its own sample, and the documentation shows the same ones."""

from __future__ import annotations

import runpy
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ingestor.errors import FormatError
from ingestor.formats import PRESETS, format_named
from ingestor.model import Hit

STATUS = {"nginx_proxy_manager_standard": 301}  # redirection hosts
TIME = 1795338672  # 2026-11-22T10:11:12+01:00


@pytest.mark.parametrize("name", PRESETS)
def test_every_presets_sample_is_read(name: str, latest: int) -> None:
    preset = PRESETS[name]
    line_format = format_named(name, timezone=ZoneInfo("Europe/Berlin"))
    hit = line_format.parse(preset.sample.encode(), latest)
    assert isinstance(hit, Hit), hit
    assert (hit.time, hit.method, hit.status) == (TIME, "GET", STATUS.get(name, 200))
    assert hit.address == "192.0.2.10"
    assert hit.target.endswith("/pricing")
    if "host" in line_format.fields:
        assert hit.host in {"www.example.com", "www.example.com:443"}
    if "user_agent" in line_format.fields:
        assert hit.user_agent is not None
        assert "Chrome/142.0.0.0 Safari" in hit.user_agent
    if "referrer" in line_format.fields:
        assert hit.referrer in {"https://www.example.org/", ""}
    columns = line_format.split(preset.sample.encode())
    assert columns is None or line_format.hit(columns, latest) == hit


@pytest.mark.parametrize("name", PRESETS)
def test_a_presets_format_bears_its_name_and_columns(name: str) -> None:
    line_format = format_named(name, timezone=ZoneInfo("UTC"))
    assert line_format.name == name
    assert line_format.definition == PRESETS[name].template
    assert {"time", "address", "target", "method", "status"} <= line_format.fields
    assert sorted(line_format.columns.values()) == list(range(len(line_format.columns)))


def test_haproxys_times_need_a_zone() -> None:
    with pytest.raises(FormatError, match="timezone"):
        format_named("haproxy")


def test_the_presets_in_the_documentation_are_the_programs_own(root: Path) -> None:
    script = runpy.run_path(str(root / "docs" / "formats.py"))
    page = (root / "docs" / "formats.md").read_text("utf-8")
    assert script["with_presets"](page) == page, "run: python docs/formats.py"


_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
OTHERS = {
    "AWS Classic Load Balancer": (
        "2026-11-22T09:11:12.945958Z web 192.0.2.10:2817 10.0.0.1:80 0.000086 0.001 0.0013 200 200 "
        f'0 57 "GET https://www.example.com:443/pricing HTTP/1.1" "{_AGENT}" ECDHE-RSA TLSv1.2'
    ),
    "AWS S3 (website hosting)": (
        "79a59df900b9 www.example.com [22/Nov/2026:09:11:12 +0000] 192.0.2.10 - 3E57427F3EXAMPLE "
        'WEBSITE.GET.OBJECT pricing "GET /pricing HTTP/1.1" 200 - 113 113 7 6 "-" '
        f'"{_AGENT}" - s9lzHYrFp76ZVxRcpX9+5c= - - - www.example.com - -'
    ),
    "Cloudflare Logpush": (
        '{"ClientIP":"192.0.2.10","ClientRequestHost":"www.example.com","ClientRequestMethod":'
        f'"GET","ClientRequestURI":"/pricing","ClientRequestUserAgent":"{_AGENT}",'
        '"EdgeStartTimestamp":1795338672000000000,"EdgeResponseStatus":200,"RayID":"8f3c"}'
    ),
    "Istio's default": (
        '[2026-11-22T09:11:12.310Z] "GET /pricing HTTP/1.1" 200 - via_upstream - "-" 0 5316 226 '
        f'100 "192.0.2.10" "{_AGENT}" "cc21d9b0" "www.example.com" "10.0.2.1:80" inbound|80|| '
        "127.0.0.6:1 10.0.0.1:80 10.0.0.2:1 outbound_.80_._.web default"
    ),
}


def test_the_definitions_of_others_in_the_documentation_read_their_lines(
    root: Path, latest: int
) -> None:
    page = (root / "docs" / "formats.md").read_text("utf-8")
    _, _, section = page.partition("## Others, by their definition")
    rows = [row.strip("|").split(" | ") for row in section.partition("\n## ")[0].splitlines()]
    found = {row[0].strip(): row[1].strip(" `") for row in rows if row[0].strip() in OTHERS}
    assert found.keys() == OTHERS.keys()
    for name, definition in found.items():
        hit = format_named(definition).parse(OTHERS[name].encode(), latest)
        assert isinstance(hit, Hit), name
        assert (hit.time, hit.address, hit.user_agent) == (TIME, "192.0.2.10", _AGENT)
        assert hit.target.endswith("/pricing")
