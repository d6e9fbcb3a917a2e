"""The main job on real input, in one command: `make demo`.

Starts the embedded sandbox in Umami's place, backfills sample_logs/, shows the summary beside the
sandbox's own count, and runs again to show that nothing is sent twice. What it makes lies in
demo/, which may be deleted at any time.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "demo"
WEBSITE = "3c4e9b1a-0f2d-4c5e-8a7b-6d9e0f1a2b3c"
INGESTOR = [sys.executable, "-m", "ingestor"]


def main() -> int:
    """Run the demo; 0 where both counts agree and the second run sent nothing."""
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir()
    db = PLACE / "sandbox.db"
    say("$ ingestor sandbox &")
    receiver = subprocess.Popen(
        [*INGESTOR, "sandbox", "--db", db, "--website", WEBSITE], stdout=subprocess.PIPE, text=True
    )
    try:
        assert receiver.stdout is not None
        first = receiver.stdout.readline()
        if not first:
            return receiver.wait() or 1
        say(first.rstrip())
        url = first.split()[0]
        stored = backfill(url, db)
        say("\nOnce more, in the same place: nothing is sent twice.")
        again = backfill(url, db)
    finally:
        receiver.terminate()
        receiver.wait()
    if stored == 0 or again != stored:
        say(f"\nThe counts do not agree: {stored} page views, then {again}.")
        return 1
    say(f"\nThe sandbox has {stored} page views, as the summary says, after both runs.")
    return 0


def backfill(url: str, db: Path) -> int:
    """Backfill sample_logs/ and give the number of page views that the sandbox has then."""
    flags = ["--url", url, "--website", WEBSITE, "--hostname", "example.com"]
    checkpoint = ["--checkpoint", "demo/checkpoint.db"]
    say(f"$ ingestor backfill {' '.join(flags)} \\\n    {' '.join(checkpoint)} sample_logs")
    subprocess.run(
        [*INGESTOR, "backfill", *flags, *checkpoint, "sample_logs"], cwd=ROOT, check=True
    )
    with sqlite3.connect(db) as connection:
        (count,) = connection.execute("SELECT count(*) FROM page_views").fetchone()
    say(f"The sandbox has stored {count} page views.")
    return int(count)


def say(text: str) -> None:
    """Print at once, in order with what the commands print."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
