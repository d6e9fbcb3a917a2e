"""Lets go: of files that ended, of deleted files that fill the disk, of what is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingestor.logfiles.findings import Finding
from ingestor.logfiles.followed import Followed, youngest
from ingestor.logfiles.reader import (
    Rewritten,
    read_last,
)

if TYPE_CHECKING:
    from ingestor.logfiles.roster import Roster

_SETTLE = 20.0  # seconds between looks whether an archive's lines are all acked
_FEW = 32  # so many are looked at with each rescan: what a crash finds noted is not read again
_FORGET = 3600.0  # seconds until a closed content that is nowhere any more is forgotten
_ABANDONED = 30  # graces after which a file is closed that is out of sight: it is not found again


class Closing:
    """Closes files, and forgets contents and places."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._next_settle = roster.clock() + _SETTLE

    def report_lost(self) -> None:
        """Say what was cut or replaced unread, and was found nowhere else."""
        for log in self._roster.logs.values():
            if log.lost_home and log.owned > log.reading.cutter.start and not log.archived:
                lost = log.owned - log.reading.cutter.start
                what = f"cut or replaced before {lost:,} bytes of it were read"
                advice = "rotate by rename and create, or let the source cover the copies"
                self._roster.say(Finding(log.path, what, advice, lost=True))
                log.owned = log.reading.cutter.start

    def close_finished(self) -> None:
        """Close what ended, was quiet for a while, and has a successor or is out of sight.

        The latter was deleted or moved out of the sources. Its server may still write to it, where
        it was not told to reopen its log, and nobody else could read that.
        """
        now = self._roster.clock()
        last = youngest(self._roster.logs.values())
        for log in list(self._roster.open.values()):
            graces = 1 if log.present else _ABANDONED
            quiet = now - log.changed_at
            if log.key in self._roster.ready or quiet < graces * self._roster.options.grace:
                continue
            if not log.present or self._is_succeeded(log, last):
                self._finish(log)
        for log in list(self._roster.parked.values()):
            if log.key in self._roster.ready:  # it may have grown since its size was noted
                continue
            if last.get(log.lineage, 0) <= log.order:
                continue
            if not log.backlog:
                del self._roster.parked[log.key]
                self._roster.closed(log)
            elif now - log.changed_at >= self._roster.options.grace and self._roster.reopen(log):
                self._finish(log)

    def _is_succeeded(self, log: Followed, last: dict[bytes, int]) -> bool:
        """Whether a younger generation is there, or another file where this one was."""
        other = self._roster.at_path.get(log.path, log.home)
        return last.get(log.lineage, 0) > log.order or other != log.home

    def _finish(self, log: Followed) -> None:
        """Hand out an unfinished last line; close, unless the file is needed for a reread.

        What waits for a website or a format to be mended may be deleted at any time.
        """
        if log.file is None:
            return
        if log.backlog:
            try:
                self._roster.pending += read_last(log.file, log.reading, self._roster.read_options)
            except Rewritten:
                self._roster.broke(log)
                return
            except OSError as error:
                self._roster.failed(log, error)
                return
            log.changed_at = self._roster.clock()
        elif not self._roster.registry.unread(log.key, log.position):
            log.close()
            del self._roster.open[log.key]
            self._roster.closed(log)

    def limit_deleted(self) -> None:
        """Keep the disk from filling with deleted files: past the limit the oldest is given up."""
        held = [log for log in self._roster.open.values() if log.deleted]
        total = sum(log.size for log in held)
        for log in sorted(held, key=lambda one: one.order):
            if log.backlog:
                what = "deleted before all of it was read; held open until it is"
                # Not in `what`, which is said once: the number changes with each look.
                left = f"{log.backlog:,} bytes are unread, and its disk space is free after them"
                self._roster.say(Finding(log.path, what, left))
            if total <= self._roster.options.max_deleted_bytes:
                continue
            total -= log.size
            unread = self._roster.registry.unread(log.key, log.size)
            given_up = sum(end - start for start, end in unread)
            if given_up:
                what = f"deleted files hold too much disk: {given_up:,} unread bytes are given up"
                self._roster.say(Finding(log.path, what, "see follow.max_deleted_bytes", lost=True))
            elif not self._is_succeeded(log, youngest(self._roster.logs.values())):
                what = "deleted, and too large to be held open: followed no more"
                self._roster.say(Finding(log.path, what, "have its server open its log anew"))
            self._roster.ready.pop(log.key, None)
            log.close()
            del self._roster.open[log.key]
            log.lost_home = True
            log.size = log.owned = log.reading.cutter.start

    def forget_vanished(self) -> None:
        """Forget places that are gone, and contents of which nothing is left to do."""
        held = {log.home for log in self._roster.open.values()} | self._roster.present
        for mark in [mark for mark in self._roster.places if mark not in held]:
            del self._roster.places[mark]
            self._roster.done_before.pop(mark, None)
        self._roster.not_it = {entry for entry in self._roster.not_it if entry[0] in held}
        now = self._roster.clock()
        waiting = {*self._roster.parked, *self._roster.archives}  # whoever reads them finds out
        for log in list(self._roster.logs.values()):
            if log.file is None and log.home not in self._roster.present and log.key not in waiting:
                if now - log.changed_at < _FORGET:
                    continue
                if not self._roster.registry.unread(log.key, log.position):
                    del self._roster.logs[log.key]
                    self._roster.plain.pop(log.key, None)
                    self._roster.registry.release(log.key)  # the checkpoint forgets nothing claimed

    def settle(self, *, at_once: bool = False) -> None:
        """Note which archives and copies are acked whole: they are never looked into again."""
        now = self._roster.clock()
        waiting = len(self._roster.settling)
        if not waiting or (now < self._next_settle and not at_once and waiting > _FEW):
            return
        self._next_settle = now + _SETTLE
        for place, (key, found, length) in list(self._roster.settling.items()):
            known = self._roster.known().get(key)
            if known is None or known.origin > 0:  # a backfill may want what is before
                del self._roster.settling[place]
            elif not self._roster.registry.unread(key, length):
                self._roster.registry.remember_copy(*found.id, found.size, found.mtime_ns, key)
                del self._roster.settling[place]
