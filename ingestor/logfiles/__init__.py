"""Bytes on disk → chunks of whole lines, each with its file's key and offsets.

`watcher` is imported by name, where logs are followed: no other command needs watchdog.
"""

from ingestor.logfiles.backfill import Backfill, BackfillCounts
from ingestor.logfiles.compression import Corrupt, Damage, Incomplete
from ingestor.logfiles.copies import Copies
from ingestor.logfiles.descriptor import read_descriptor
from ingestor.logfiles.discovery import Discovered, FollowSource, Found, discover, owned
from ingestor.logfiles.findings import Finding, readable
from ingestor.logfiles.followed import FileState, Start
from ingestor.logfiles.follower import Follower
from ingestor.logfiles.identity import marker_of
from ingestor.logfiles.options import FollowOptions
from ingestor.logfiles.reader import ReadOptions, Unsupported
from ingestor.logfiles.registry import END, MemoryRegistry, Registry

__all__ = [
    "END",
    "Backfill",
    "BackfillCounts",
    "Copies",
    "Corrupt",
    "Damage",
    "Discovered",
    "FileState",
    "Finding",
    "FollowOptions",
    "FollowSource",
    "Follower",
    "Found",
    "Incomplete",
    "MemoryRegistry",
    "ReadOptions",
    "Registry",
    "Start",
    "Unsupported",
    "discover",
    "marker_of",
    "owned",
    "read_descriptor",
    "readable",
]
