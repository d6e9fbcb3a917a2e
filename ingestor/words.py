"""Words for the operator that several rooms write: a number with its noun, what to do."""

import errno

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FEW = {errno.EMFILE, errno.ENFILE}
_BROKEN = {errno.EIO, errno.ESTALE}


def counted(n: int, noun: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def what_helps(error: OSError, rights: str) -> str:
    """Say what to do about a file that cannot be used: ``rights``, where it is not the disk."""
    if error.errno in _FULL:
        return "make room there"
    if error.errno in _FEW:
        return "raise the limit (ulimit -n, LimitNOFILE= of the unit)"
    return "check the disk and the system's log" if error.errno in _BROKEN else rights
