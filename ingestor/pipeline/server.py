"""The server that the processes of a backfill are forked from; it reads the program once for all.

That takes it as long as this process takes for its own part of the program: so it is started
before, and both read at the same time. This module imports nothing that takes long.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
from multiprocessing import forkserver, resource_tracker
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

log = logging.getLogger("ingestor")

_PROGRAM = ["ingestor.scan.worker", "ingestor.formats.blocks"]


def obstacle() -> str:
    """Say why no process of this program can be started; empty where one can."""
    # As after root became the checkpoint's user.
    if os.access(sys.executable, os.X_OK) and os.access(__file__, os.R_OK):
        return ""
    return f"this user may not read {sys.prefix}"


def start_server() -> ForkServerContext | SpawnContext:
    """Start the server, if none is there; where its socket has no place, processes begin anew.

    Raises OSError, ImportError or NotImplementedError where there can be no processes.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PROGRAM)
    # What a terminal sends to all of them is for this process, which drains.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        resource_tracker.ensure_running()  # which lets Ctrl-C through again at its end
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        forkserver.ensure_running()
    except OSError as error:
        log.debug("No server to fork processes from: %s", error)
        return multiprocessing.get_context("spawn")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context
