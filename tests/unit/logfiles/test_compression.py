"""Archives in memory: each is read whole, and none that lacks its end passes for a whole one."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
from collections.abc import Callable

import pytest
import zstandard

from ingestor.logfiles.compression import Incomplete, compression_of, open_stream

TEXT = b"".join(b"line %d and some more words\n" % i for i in range(30))
NOISE = random.Random(1).randbytes(300_000)  # several blocks, however it is compressed


def zst(text: bytes, **options: bool) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(text)


def streamed(text: bytes) -> bytes:
    """As from a pipe: the frame does not say how much is in it."""
    compressor = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    return compressor.compress(text) + compressor.flush()


def skippable(kind: int, size: int) -> bytes:
    """What pzstd and others keep beside the data (RFC 8878, section 3.1.2)."""
    return bytes([0x50 + kind]) + b"\x2a\x4d\x18" + size.to_bytes(4, "little") + b"s" * size


def one_byte_again(count: int) -> bytes:
    """A frame of one RLE block, with a byte for the size of its content."""
    block = (1 | 1 << 1 | count << 3).to_bytes(3, "little")
    return b"\x28\xb5\x2f\xfd\x20" + bytes([count]) + block + b"x"


# what it is called → its parts, each of which can stand alone, and their content
ARCHIVES = {
    "gz": ([gzip.compress(TEXT)], TEXT),
    "bz2": ([bz2.compress(TEXT)], TEXT),
    "xz": ([lzma.compress(TEXT)], TEXT),
    "two of gz": ([gzip.compress(TEXT), gzip.compress(b"more\n")], TEXT + b"more\n"),
    "zst": ([zst(TEXT)], TEXT),
    "zst without its size": ([streamed(TEXT)], TEXT),
    "zst with a checksum": ([zst(TEXT, write_checksum=True)], TEXT),
    "zst without a checksum": ([zst(TEXT, write_content_size=False)], TEXT),
    "zst of one byte again and again": ([one_byte_again(200), zst(TEXT)], b"x" * 200 + TEXT),
    "zst of several frames": ([zst(TEXT), streamed(b"a"), zst(b"b\n")], TEXT + b"ab\n"),
    "zst after what is skipped": ([skippable(0, 4), zst(TEXT)], TEXT),
    "zst before what is skipped": ([zst(TEXT), skippable(15, 12)], TEXT),
    "zst around what is skipped": (
        [skippable(15, 1), zst(b"a"), skippable(7, 0), zst(b"b")],
        b"ab",
    ),
}


def read(data: bytes) -> bytes:
    compression = compression_of(data)
    assert compression is not None
    stream = open_stream(compression, lambda length, at: data[at : at + length])
    return b"".join(iter(stream.read, b""))


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_is_read_whole_and_said_to_lack_its_end_wherever_it_was_cut(name: str) -> None:
    parts, text = ARCHIVES[name]
    whole = b"".join(parts)
    assert read(whole) == text
    between = {len(b"".join(parts[:count])) for count in range(len(parts))}
    for cut in set(range(6, len(whole))) - between:
        with pytest.raises(Incomplete):
            read(whole[:cut])


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_that_is_empty_for_a_moment_lacks_its_end(name: str) -> None:
    """As when another is copied onto it, after its first bytes were looked at."""
    whole = b"".join(ARCHIVES[name][0])
    compression = compression_of(whole)
    assert compression is not None
    contents = iter([b""])
    stream = open_stream(compression, lambda n, at: next(contents, whole)[at : at + n])
    with pytest.raises(Incomplete):
        stream.read()


@pytest.mark.parametrize("size", [255, 256, 300, 65_791, 65_792, 200_000, 300_000])
def test_zst_of_any_size_is_whole_only_with_its_last_byte(size: int) -> None:
    text = NOISE[:size]
    for whole in (zst(text), zst(text, write_checksum=True), streamed(text)):
        assert read(whole) == text
        with pytest.raises(Incomplete):
            read(whole[:-1])


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zst])
def test_no_more_of_an_archive_is_taken_in_than_is_about_to_be_handed_out(
    pack: Callable[[bytes], bytes],
) -> None:
    """Else the memory for it would be as large as the archive."""
    whole = pack(TEXT) + pack(NOISE * 20)
    ends = [0]

    def pread(length: int, at: int) -> bytes:
        ends.append(at + length)
        return whole[at : at + length]

    compression = compression_of(whole)
    assert compression is not None
    stream = open_stream(compression, pread)
    stream.read()
    stream.read()
    assert max(ends) < len(whole) // 2
