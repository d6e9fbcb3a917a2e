"""Other programs on the same file: `wc -l` as the floor, GoAccess, and syslog-ng into the sink."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

from measure import WORKER, Cost, run

_SYSLOG_NG = """@version: 3.35
@include "scl.conf"
source s {{
  file("{log}" read-old-records(yes) follow-freq(1) flags(no-parse)
       log-iw-size(100000) log-fetch-limit(1000) multi-line-mode(none));
}};
parser p {{ apache-accesslog-parser(); }};
filter page {{
  "${{.apache.verb}}" eq "GET"
  and match("^(2|304)", value(".apache.response"))
  and not match("\\\\.({extensions})(\\\\?|$)", value(".apache.request"))
  and not match("({bots})", value(".apache.agent"){flags});
}};
destination d {{
  http(url("http://127.0.0.1:{port}/api/batch") method("POST")
       headers("Content-Type: application/json")
       body-prefix("[") delimiter(",") body-suffix("]")
       body('{{"type":"event","payload":$(format-json --scope none
         url="${{.apache.request}}" ip="${{.apache.clientip}}" userAgent="${{.apache.agent}}"
         referrer="${{.apache.referrer}}" timestamp="${{.apache.timestamp}}")}}')
       batch-lines(500) batch-timeout(500) workers(1));
}};
log {{ source(s); parser(p); {only_pages} destination(d); }};
"""
# Enough for the corpus, and for nothing else.
_SIX_WORDS = "bot|crawl|spider|curl|python|http-client"
_QUIET = 3.0  # seconds without another page view, after which it is through
_LONGEST = 600.0  # seconds


def wc(log: Path) -> Cost | None:
    """Count lines."""
    return run(["wc", "-l", str(log)])


def goaccess(log: Path, directory: Path) -> Cost | None:
    """Parse and aggregate, into JSON; None where it is not installed."""
    if shutil.which("goaccess") is None:
        return None
    out = str(directory / "goaccess.json")
    return run(["goaccess", str(log), "--log-format=COMBINED", "-o", out, "--no-global-config"])


def syslog_ng(
    log: Path,
    directory: Path,
    port: int,
    extensions: tuple[str, ...],
    *,
    pages: bool,
    crawlers: tuple[str, ...] = (),
) -> Cost | None:
    """Tail the file through the Apache parser into the sink; None where it is not installed.

    ``pages``: only page lines are sent, and of bots none that six words tell, or ``crawlers``:
    expressions, as ingestor applies them.
    """
    if shutil.which("syslog-ng") is None:
        return None
    state = directory / "syslog-ng"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir()
    conf = state / "syslog-ng.conf"
    conf.write_text(
        _SYSLOG_NG.format(
            log=log,
            port=port,
            extensions="|".join(extensions),
            only_pages="filter(page);" if pages else "",
            bots=_quoted("|".join(crawlers)) if crawlers else _SIX_WORDS,
            flags="" if crawlers else " flags(ignore-case)",
        )
    )
    began = time.monotonic()
    process = subprocess.Popen(
        ["syslog-ng", "-F", "-f", str(conf), "-R", str(state / "persist"),
         "-p", str(state / "pid"), "-c", str(state / "ctl"), "--no-caps"],
        stdout=subprocess.DEVNULL, stderr=(state / "errors").open("wb"),
        preexec_fn=lambda: os.sched_setaffinity(0, WORKER),  # noqa: PLW1509 - no threads here
    )  # fmt: skip
    through = _wait(port, process)
    if process.returncode is not None:
        errors = (state / "errors").read_text(errors="replace")
        raise SystemExit(f"syslog-ng ended with {process.returncode}:\n{errors[-1000:]}")
    process.send_signal(signal.SIGTERM)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu = usage.ru_utime + usage.ru_stime
    return Cost(through - began, cpu, usage.ru_maxrss * 1024, process.returncode, "")


def _quoted(expression: str) -> str:
    """Write an expression as it stands in a string of syslog-ng's."""
    return expression.replace("\\", r"\\").replace('"', r"\"")


def _wait(port: int, process: subprocess.Popen[bytes]) -> float:
    """Wait until nothing more comes; when the last came."""
    last, count = time.monotonic(), -1
    end = last + _LONGEST
    while process.poll() is None and time.monotonic() < end:
        now = _count(port)
        if now != count:
            last, count = time.monotonic(), now
        elif count > 0 and time.monotonic() - last > _QUIET:
            break
        time.sleep(0.1)
    return last


def _count(port: int) -> int:
    import json  # noqa: PLC0415

    with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts") as answer:
        return int(json.load(answer)["page_views"])
