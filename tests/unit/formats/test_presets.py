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


def test_the_table_in_the_documentation_is_the_presets_own(root: Path) -> None:
    script = runpy.run_path(str(root / "docs" / "formats.py"))
    page = (root / "docs" / "formats.md").read_text("utf-8")
    assert script["with_table"](page) == page, "run: python docs/formats.py"
