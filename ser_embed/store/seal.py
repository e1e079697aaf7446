"""Seal of a store: a checksum of every byte of its file but the vectors, compared before HDF5 reads any of them.

HDF5 keeps no checksum of texts, and on damaged structures it may give other data, loop or crash. So labels, ids and the
structure itself are summed here; vectors have checksums of their own. The seal lies before the HDF5 file proper, in a
block that HDF5 leaves to its user:

    0       magic, 16 bytes
    16      length of the whole file, uint64
    24      number of stretches of vectors, uint32
    28      CRC-32 of what follows, but for the vectors, uint32
    32      position and length of each stretch of vectors, uint64; zeros up to the end of the block
    32768   the HDF5 file

A file without a seal, as earlier versions and other software write it, begins with HDF5's signature and cannot be
mistaken for one whose seal is damaged.
"""

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from zlib_ng import zlib_ng

from ser_embed.errors import InputError

SEAL_BYTES = 1 << 15
FileIdentity = tuple[int, int]  # device and inode
_MAGIC = b"ser-embeddings\r\n"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_HEADER = struct.Struct("<16sQII")
_MOST_STRETCHES = (SEAL_BYTES - _HEADER.size) // 16
_READ_AT_ONCE = 1 << 20  # bytes


class DamagedStore(InputError):
    """A file was a store, but is not as it was written."""

    def __init__(self, path: Path, problem: str) -> None:
        """Name the file and what is wrong with it."""
        super().__init__(f"the store {path} is damaged: {problem}")


def write_seal(file: BinaryIO, vectors: Iterable[tuple[int, int]]) -> None:
    """Seal a file that is complete.

    Args:
        file: the file, open for reading and writing, its first `SEAL_BYTES` unused.
        vectors: position and length of each stretch of vectors.
    """
    gap, ordered = 0, sorted(vectors)
    # Between stretches are pieces of HDF5's index. Of more than six million clips, the smaller pieces are left out.
    while len(stretches := list(_joined(ordered, gap))) > _MOST_STRETCHES:
        gap = 2 * gap + 1024
    listed = np.array(stretches, "<u8").tobytes().ljust(SEAL_BYTES - _HEADER.size, b"\0")
    size = file.seek(0, os.SEEK_END)
    crc = _sum(file, listed, stretches, size)
    file.seek(0)
    file.write(_HEADER.pack(_MAGIC, size, len(stretches), crc) + listed)


def check_seal(path: Path) -> tuple[bool, FileIdentity]:
    """Compare a file with its seal, if it has one.

    Returns:
        Whether it has, and which file it was: another may have taken its place before it is opened again.

    Raises:
        DamagedStore: the file is not as it was written.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        head = file.read(SEAL_BYTES + len(_HDF5))
        has_seal = head[:16] == _MAGIC or (head[SEAL_BYTES:] == _HDF5 and not head.startswith(_HDF5))
        if has_seal and not _is_as_sealed(file, head[:SEAL_BYTES], status.st_size):
            raise DamagedStore(path, "not as it was written (checksum); extract --force replaces it")
        return has_seal, (status.st_dev, status.st_ino)


def _is_as_sealed(file: BinaryIO, seal: bytes, size: int) -> bool:
    """Compare a file of some size with its seal."""
    if len(seal) < SEAL_BYTES:
        return False
    magic, sealed_size, count, crc = _HEADER.unpack_from(seal)
    if (magic, sealed_size) != (_MAGIC, size) or count > _MOST_STRETCHES:
        return False
    listed = seal[_HEADER.size :]
    stretches = np.frombuffer(listed[: 16 * count], "<u8").reshape(-1, 2).tolist()
    bounds = [SEAL_BYTES, *(bound for start, length in stretches for bound in (start, start + length)), size]
    return bounds == sorted(bounds) and _sum(file, listed, stretches, size) == crc


def _joined(stretches: Iterable[tuple[int, int]], gap: int) -> Iterator[tuple[int, int]]:
    """Join stretches, given in order, that are no more than `gap` bytes apart."""
    start = end = 0
    for position, length in stretches:
        if position > end + gap:
            if end:
                yield start, end - start
            start = position
        end = position + length
    if end:
        yield start, end - start


def _sum(file: BinaryIO, listed: bytes, stretches: Iterable[Sequence[int]], size: int) -> int:
    """Return the CRC-32 of all that a seal covers.

    Args:
        file: the file.
        listed: the stretches of vectors, as the seal has them.
        stretches: the same, as numbers.
        size: of the file.
    """
    crc, position = zlib_ng.crc32(listed), SEAL_BYTES
    for start, length in [*stretches, (size, 0)]:
        file.seek(position)
        while position < start and (block := file.read(min(_READ_AT_ONCE, start - position))):
            crc = zlib_ng.crc32(block, crc)
            position += len(block)
        position = start + length
    return crc
