"""Fixtures for every test, over the real parts of parts.py.

What is not installed makes a test skip and say so.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from parts import ROOT, Command, Line, Nginx, SandboxProcess, free_port, program, start_sandbox, until

@pytest.fixture
@pytest.fixture
@pytest.fixture
@pytest.fixture
@pytest.fixture
@pytest.fixture
@pytest.fixture
