"""Takes one safeguard away at a time, on a copy of the tree, and demands that a test fails.

A safeguard that no test misses is either not needed or not tested. Usage:
``python tests/chaos/mutations.py [NAME…]``; prints a table, 1 where a mutation was not caught.
"""

# ruff: noqa: T201 - its output is its purpose
from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
_COPIED = ("ingestor", "tests", "sample_logs", "pyproject.toml", "config.example.yaml")


@dataclass(frozen=True)
class Mutation:
    """``find`` in ``file`` becomes ``put``; then ``test`` has to fail."""

    name: str
    file: str
    find: str
    put: str
    test: str


MUTATIONS = (
    Mutation(
        "the journal before the send",
        "ingestor/pipeline/ledger.py",
        "        written = await self._committer.journalled(batch, bodies=bodies)",
        "        written = True",
        "tests/chaos/test_seeds.py::"
        "test_a_crash_amid_ambiguous_answers_repeats_something_and_loses_nothing",
    ),
    Mutation(
        "the marker",
        "ingestor/logfiles/identity.py",
        "    return Fit.YES if has_marker(known.marker, content) else Fit.NO",
        "    return Fit.YES",
        "tests/chaos/test_model.py::"
        "test_a_log_that_begins_as_the_one_before_is_told_from_it_by_the_marker",
    ),
    Mutation(
        "the head, where the bytes before the position are the same",
        "ingestor/logfiles/turns.py",
        "        if not head.startswith(log.head):",
        "        if not head.startswith(log.head) and log.position < HEAD:",
        "tests/integration/logfiles/test_faults.py::"
        "test_fault_03_cut_and_filled_at_once_with_lines_as_long_that_end_alike",
    ),
    Mutation(
        "the line of which a part was taken for a whole one",
        "ingestor/logfiles/lines.py",
        '    if not after or after[0] in b"\\r\\n\\0" or before.endswith((b"\\n", b"\\0")):',
        "    if True:",
        "tests/integration/logfiles/test_faults.py::"
        "test_fault_27_half_a_line_that_was_taken_is_read_again_when_it_is_whole",
    ),
    Mutation(
        "earlier markers",
        "ingestor/logfiles/identity.py",
        "            kept.setdefault(",
        "            {}.setdefault(",
        "tests/integration/logfiles/test_faults.py::"
        "test_fault_19_of_a_log_that_lost_its_end_only_what_is_new_is_read",
    ),
    Mutation(
        "no earlier marker among lines that are all the same",
        "ingestor/logfiles/identity.py",
        "    return line > WINDOW and before[line - WINDOW : line] != before[-WINDOW:]",
        "    return True",
        "tests/unit/logfiles/test_identity.py::test_lines_that_are_all_the_same_tell_no_place",
    ),
    Mutation(
        "a rotated log is held open while lines of it are held back",
        "ingestor/logfiles/closing.py",
        "        elif not self._roster.registry.unread(log.key, log.position):",
        "        else:",
        "tests/integration/logfiles/test_faults.py::"
        "test_fault_08_what_is_held_back_of_a_rotated_log_outlives_its_deletion",
    ),
    Mutation(
        "two sites",
        "ingestor/logfiles/recognition.py",
        "    if None not in (found.site, home.site) and found.site != home.site:",
        "    if False:",
        "tests/integration/logfiles/test_faults.py::"
        "test_fault_28_logs_of_two_sites_are_two_though_they_are_alike",
    ),
    Mutation(
        "a log that was cut amid a look",
        "ingestor/logfiles/recognition.py",
        "                _check_home(other, known, around)",
        "                pass",
        "tests/integration/logfiles/test_follower_rotation.py::"
        "test_a_log_that_is_cut_amid_a_look_is_not_doubled_by_its_copy",
    ),
    Mutation(
        "what came after a head was read",
        "ingestor/logfiles/reader.py",
        "    if head is not None and len(head) < HEAD:",
        "    if False:",
        "tests/integration/logfiles/test_reader.py::"
        "test_what_was_written_after_its_head_was_looked_at_is_not_read_yet",
    ),
    Mutation(
        "what two logs have in common for a moment",
        "ingestor/logfiles/intake.py",
        "copied.length >= DEEP and copied.is_of(file)",
        "copied.is_of(file)",
        "tests/integration/logfiles/test_faults.py::"
        "test_fault_28_logs_that_were_alike_for_a_moment_are_both_read_whole",
    ),
    Mutation(
        "the marker that goes with the first acks",
        "ingestor/pipeline/ledger.py",
        "            self._store.set_marker(key, marker_of(before, offset))",
        "            _ = marker_of(before, offset)",
        "tests/chaos/test_seeds.py::test_what_broke_once_stays_whole[same-head-no-marker-yet]",
    ),
    Mutation(
        "the fingerprint of decompressed bytes",
        "ingestor/logfiles/reader.py",
        "        if self.compression is None:\n            return _pread_fully",
        "        if True:\n            return _pread_fully",
        "tests/integration/logfiles/test_faults.py::"
        "test_fault_06_the_unread_rest_of_a_gzipped_log_is_read",
    ),
    Mutation(
        "the watermark's contiguity",
        "ingestor/checkpoint/watermark.py",
        "        return max(origin, self._ends[at]) if at >= 0 else origin",
        "        return max(origin, self._ends[-1]) if self._ends else origin",
        "tests/unit/checkpoint/test_watermark.py",
    ),
    Mutation(
        "the acks beyond the watermark",
        "ingestor/checkpoint/registry.py",
        "            return taken.gaps(start, end)",
        "            return taken.gaps(taken.contiguous(start), end)[:1] and "
        "[(taken.contiguous(start), end)]",
        "tests/chaos/test_model.py::test_acks_beyond_a_hole_survive_a_crash",
    ),
    Mutation(
        "the per-item reading of batch answers",
        "ingestor/delivery/answers.py",
        "        readings[index] = _detail(response)",
        "        _detail(response)",
        "tests/unit/delivery/test_answers.py::"
        "test_one_page_view_of_a_batch_fails_for_its_own_reason",
    ),
    Mutation(
        "the in-doubt look-up",
        "ingestor/delivery/resolving.py",
        "            missing = await self._look(doubt, ended)",
        "            missing = list(doubt.open)",
        "tests/integration/delivery/test_exactly_once_in_time.py::"
        "test_a_request_that_times_out_is_looked_up_and_not_repeated",
    ),
    Mutation(
        "the settle time",
        "ingestor/delivery/options.py",
        "            return self.settle_time\n",
        "            return 0.001\n",
        "tests/integration/delivery/test_exactly_once_in_time.py::"
        "test_a_server_that_stores_late_is_waited_for",
    ),
)


def main(names: list[str]) -> int:
    """Try the mutations (those of these names, or all) one by one."""
    missed = []
    chosen = [m for m in MUTATIONS if not names or any(name in m.name for name in names)]
    with tempfile.TemporaryDirectory(prefix="mutations-") as temporary:
        tree = Path(temporary)
        for part in _COPIED:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, tree / part)
        print(f"{'without':<42} {'caught':<8} {'s':>5}  by")
        for mutation in chosen:
            began = time.monotonic()
            caught = _try(mutation, tree)
            seconds = time.monotonic() - began
            word = "yes" if caught else "NO"
            print(f"{mutation.name:<42} {word:<8} {seconds:>5.1f}  {mutation.test}", flush=True)
            if not caught:
                missed.append(mutation.name)
    return 1 if missed else 0


def _try(mutation: Mutation, tree: Path) -> bool:
    """Whether the test fails with the mutation; without it, it has to pass."""
    path = tree / mutation.file
    whole = path.read_text()
    if whole.count(mutation.find) != 1:
        raise SystemExit(f"{mutation.name}: {mutation.file} has changed; mend mutations.py")
    if not _passes(mutation.test, tree):
        raise SystemExit(f"{mutation.name}: {mutation.test} fails without any mutation")
    path.write_text(whole.replace(mutation.find, mutation.put))
    try:
        return not _passes(mutation.test, tree)
    finally:
        path.write_text(whole)


def _passes(test: str, tree: Path) -> bool:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        check=False,
    )
    if done.returncode not in (0, 1):  # 1: tests failed; anything else: they could not run
        raise SystemExit(f"{test} cannot be run:\n{done.stdout.decode()}{done.stderr.decode()}")
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
