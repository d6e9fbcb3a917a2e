"""What an operator sees: log lines, counts and reports, systemd notifications."""

from ingestor.observe.logs import printable, set_up
from ingestor.observe.report import Counts, human_bytes, reasons
from ingestor.observe.systemd import Notifier, Progress

__all__ = [
    "Counts",
    "Notifier",
    "Progress",
    "human_bytes",
    "printable",
    "reasons",
    "set_up",
]
