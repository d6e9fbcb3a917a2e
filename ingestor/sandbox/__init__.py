"""A small Umami-compatible receiver, for trying the program out and for the tests."""

from ingestor.sandbox.bots import is_bot
from ingestor.sandbox.counters import Counters
from ingestor.sandbox.faults import KINDS, Fault, Faults
from ingestor.sandbox.options import SandboxOptions
from ingestor.sandbox.sandbox import Sandbox
from ingestor.sandbox.store import StoredPageView

__all__ = [
    "KINDS",
    "Counters",
    "Fault",
    "Faults",
    "Sandbox",
    "SandboxOptions",
    "StoredPageView",
    "is_bot",
]
