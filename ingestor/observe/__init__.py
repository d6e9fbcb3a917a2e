"""What an operator sees: metrics, progress, reports, systemd notifications."""

from ingestor.observe.logs import printable, set_up
from ingestor.observe.report import Counts, human_bytes, reasons

__all__ = ["Counts", "human_bytes", "printable", "reasons", "set_up"]
