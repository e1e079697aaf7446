"""Is an audio file whole? What the container promises against the bytes that are there.

libsndfile decodes a file that was cut short without a word: the missing end of a wav, ogg or mp3 is simply not in the
samples. Each check here reads the few header bytes that say how long the file ought to be.
"""

import mmap
import struct

_OGG_HEADER_BYTES = 27
_OGG_LAST_PAGE = 0x04
_STREAMED = (0, 0xFFFFFFFF)  # data sizes written by programs that did not know the length yet
_MP3_HAS_FRAMES, _MP3_HAS_BYTES = 0x1, 0x2


def shortfall(data: bytes | mmap.mmap) -> str | None:
    """Say how a wav, ogg or mp3 file falls short of its own header.

    Args:
        data: the whole file, read or mapped.

    Returns:
        What was promised and what came, such as "64000 bytes of audio promised, 1200 there", or None if the file is
        whole or its container makes no promise. A flac's promise is its number of samples, which the decoder checks.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return _riff_shortfall(data)
    if data[:4] == b"OggS":
        return _ogg_shortfall(data)
    return _mp3_shortfall(data)


def _riff_shortfall(data: bytes | mmap.mmap) -> str | None:
    position = 12
    while position + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, position)
        if name == b"data":
            there = len(data) - position - 8
            return None if size in _STREAMED or there >= size else _promise(size, there)
        position += 8 + size + size % 2  # chunks begin at even bytes
    return "the wav header has no audio behind it"


def _ogg_shortfall(data: bytes | mmap.mmap) -> str | None:
    last = data.rfind(b"OggS")
    header = data[last : last + _OGG_HEADER_BYTES]
    if len(header) < _OGG_HEADER_BYTES or not header[5] & _OGG_LAST_PAGE:
        return "the ogg stream stops before its last page"
    lengths = data[last + _OGG_HEADER_BYTES :][: header[26]]
    there = len(data) - last - _OGG_HEADER_BYTES - len(lengths)
    return None if there >= sum(lengths) else _promise(sum(lengths), there)


def _mp3_shortfall(data: bytes | mmap.mmap) -> str | None:
    """Encoders that write a Xing or Info header say in it how many bytes the stream has."""
    start = _after_id3(data)
    for tag in (b"Xing", b"Info"):
        at = data.find(tag, start, start + 200)
        if at < 0:
            continue
        flags = int.from_bytes(data[at + 4 : at + 8], "big")
        if flags & _MP3_HAS_BYTES:
            size_at = at + 8 + (4 if flags & _MP3_HAS_FRAMES else 0)
            promised = int.from_bytes(data[size_at : size_at + 4], "big")
            there = len(data) - start
            return None if there >= promised else _promise(promised, there)
    return None


def _after_id3(data: bytes | mmap.mmap) -> int:
    """Return where an mp3's audio begins: behind the ID3v2 tag, whose size is four 7-bit bytes."""
    if data[:3] != b"ID3" or len(data) < 10:
        return 0
    size = 0
    for byte in data[6:10]:
        size = size << 7 | byte & 0x7F
    return size + 10


def _promise(promised: int, there: int) -> str:
    return f"{promised} bytes of audio promised, {there} there"
