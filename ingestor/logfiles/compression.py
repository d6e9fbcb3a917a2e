"""Compressed logs → their bytes: gz, bz2, xz and zst, told by their first bytes, not their names.

Several members one after the other are one log. Every step gives a bounded number of bytes, so
that no archive can fill the memory; what stands before a damage is given before the damage is
said. Formats: RFC 1952, RFC 8878, the xz file format 1.2.
"""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable
from typing import Protocol, cast

import zstandard
from isal import igzip_lib

PIECE = 65536  # compressed bytes read at a time
MAGIC_BYTES = 6  # at the beginning of a file: they tell its compression
BLOCK = 65536  # decompressed bytes a step
_MAX_XZ_MEMORY = 100 * 1024 * 1024  # bytes: enough for `xz -9`
_MAX_ZST_WINDOW = 2**27  # bytes: enough for `zstd --long`

# What a finding says of one, and advises.
TAR = "a tar archive, which is not read", "unpack it, or leave it out with exclude:"

Pread = Callable[[int, int], bytes]  # (length, offset) → compressed bytes, b"" at the end


class Damage(Exception):
    """The archive cannot be read further; what came before is good. The text says why."""


class Incomplete(Damage):
    """It ends in the middle: still being written, or cut off."""


class Corrupt(Damage):
    """It is broken: waiting will not mend it."""


class Stream(Protocol):
    """Decompressed bytes, from the beginning on."""

    def read(self) -> bytes:
        """Give some bytes (at most about `BLOCK`); b"" at the end of a whole archive.

        Raises:
            Damage: nothing more can be had.
            OSError: the file cannot be read.

        """


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def _gz() -> _Decompressor:
    decompressor: _Decompressor = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    return decompressor


def _xz() -> _Decompressor:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_MAX_XZ_MEMORY)


_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gz"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zst"),
    (b"\x1f\x9d", "compress"),
    (b"PK\x03\x04", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
)
_ERRORS: tuple[type[Exception], ...] = (
    cast("type[Exception]", igzip_lib.IsalError),  # its stub has an instance here
    lzma.LZMAError,
    EOFError,
    OSError,  # what bz2 raises
    ValueError,
)
_NEW: dict[str, Callable[[], _Decompressor]] = {"gz": _gz, "bz2": bz2.BZ2Decompressor, "xz": _xz}


def compression_of(first: bytes) -> str | None:
    """Name the compression by a file's first bytes; None for a plain file."""
    for magic, name in _MAGIC:
        if first.startswith(magic):
            return name
    return "zst" if first[1:4] == b"\x2a\x4d\x18" and 0x50 <= first[0] <= 0x5F else None  # noqa: PLR2004 - a skippable frame, RFC 8878


def is_supported(compression: str | None) -> bool:
    """Whether `open_stream` reads it."""
    return compression in _NEW or compression == "zst"


def is_readable(compression: str | None) -> bool:
    """Whether content can be had: plain, or compressed in a way that is read here."""
    return compression is None or is_supported(compression)


def is_tar(content: bytes) -> bool:
    """Tell a tar archive by the beginning of its content: its lines may be a log's, and are copies.

    A header's mode (bytes 100 to 107) ends with a NUL. No server writes one, so that no visitor can
    make a log look like an archive.
    """
    return content[257:262] == b"ustar" and content[107:108] == b"\0"


def open_stream(compression: str, pread: Pread, *, seekable: bool = True) -> Stream:
    """Decompress what ``pread`` reads; a pipe (not ``seekable``) ignores the offset."""
    if compression == "zst":
        return _ZstStream(pread, seekable=seekable)
    return _MemberStream(compression, pread)


class _MemberStream:
    """gz, bz2 or xz: members one after the other, perhaps padded with NULs."""

    def __init__(self, compression: str, pread: Pread) -> None:
        self._new = _NEW[compression]
        self._magic = next(magic for magic, name in _MAGIC if name == compression)
        self._pread = pread
        self._offset = 0
        self._rest = b""  # compressed bytes read and not yet fed
        self._member: _Decompressor | None = None

    def read(self) -> bytes:
        while True:
            member = self._member or self._next_member()
            if member is None:
                return b""
            self._member = member
            fed = self._feed() if member.needs_input else b""
            try:
                block = member.decompress(fed, BLOCK)
            except _ERRORS as error:
                raise Corrupt(f"corrupt: {error}") from error
            if member.eof:
                self._rest, self._member = member.unused_data, None
            if block:
                return block

    def _feed(self) -> bytes:
        piece, self._rest = self._rest or self._more(), b""
        if not piece:
            raise Incomplete("it ends in the middle")
        return piece

    def _more(self) -> bytes:
        piece = self._pread(PIECE, self._offset)
        self._offset += len(piece)
        return piece

    def _next_member(self) -> _Decompressor | None:
        """Begin the next member; None at the end."""
        while True:
            self._rest = self._rest.lstrip(b"\0")
            if len(self._rest) >= len(self._magic):
                break
            piece = self._more()
            if not piece:
                break
            self._rest += piece
        if not self._rest and self._offset:  # else: emptied since its first bytes were looked at
            return None
        if self._rest.startswith(self._magic):
            return self._new()
        if self._magic.startswith(self._rest):
            raise Incomplete("it ends in the middle")
        raise Corrupt("corrupt: something else follows the compressed data")


class _ZstStream:
    """zst. The library does not say whether the last frame was whole, so the frames are walked."""

    def __init__(self, pread: Pread, *, seekable: bool) -> None:
        self._pread = pread
        self._seekable = seekable
        decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_ZST_WINDOW)
        self._source = _Sequential(pread)
        self._reader = decompressor.stream_reader(
            self._source,  # type: ignore[arg-type]  # it only ever calls read
            read_size=PIECE,
            read_across_frames=True,
        )

    def read(self) -> bytes:
        try:
            block = self._reader.read(BLOCK)
        except zstandard.ZstdError as error:
            raise Corrupt(f"corrupt: {error}") from error
        if not block and not self._is_whole():
            raise Incomplete("it ends in the middle")
        return block

    def _is_whole(self) -> bool:
        if not self._source.offset:  # emptied since its first bytes were looked at
            return False
        return not self._seekable or _frames_are_whole(self._pread)


class _Sequential:
    """A read-only file object over ``pread``."""

    def __init__(self, pread: Pread) -> None:
        self._pread = pread
        self.offset = 0

    def read(self, size: int = PIECE) -> bytes:
        piece = self._pread(PIECE if size < 0 else size, self.offset)
        self.offset += len(piece)
        return piece


_FRAME_MAGIC = 0xFD2FB528
_SKIPPABLE = 0x184D2A50  # to …5F
_RLE_BLOCK = 1
_CONTENT_SIZE_BYTES = (0, 2, 4, 8)
_DICTIONARY_BYTES = (0, 1, 2, 4)


def _frames_are_whole(pread: Pread) -> bool:
    """Walk the zst frames (RFC 8878, section 3.1) without decompressing them."""
    offset = 0
    while True:
        head = pread(8, offset)
        if not head:
            return True
        magic = int.from_bytes(head[:4], "little")
        if _SKIPPABLE <= magic <= _SKIPPABLE + 15:
            offset += 8 + int.from_bytes(head[4:], "little")
            if not pread(1, offset - 1):
                return False
            continue
        if len(head) < 5 or magic != _FRAME_MAGIC:  # noqa: PLR2004 - magic and descriptor
            return False
        end = _end_of_frame(pread, offset, head[4])
        if end is None:
            return False
        offset = end


def _end_of_frame(pread: Pread, offset: int, descriptor: int) -> int | None:
    """Where a frame ends (exclusive); None if the file ends before."""
    single = bool(descriptor & 0x20)
    size_flag = descriptor >> 6
    size_bytes = 1 if single and size_flag == 0 else _CONTENT_SIZE_BYTES[size_flag]
    offset += 5 + (not single) + _DICTIONARY_BYTES[descriptor & 3] + size_bytes
    last = False
    while not last:
        block = pread(3, offset)
        if len(block) < 3:  # noqa: PLR2004 - a block's header
            return None
        header = int.from_bytes(block, "little")
        last = bool(header & 1)
        size = 1 if (header >> 1) & 3 == _RLE_BLOCK else header >> 3
        offset += 3 + size
    if descriptor & 4:  # a checksum follows
        offset += 4
    return offset if pread(1, offset - 1) else None
