"""Integrity of an audio file: the length its container declares, compared with the bytes in the file.

libsndfile decodes a truncated wav, ogg or mp3 file without an error: the missing end is just absent from the samples.
Each check here reads the few header bytes that declare how long the file is.
"""

import mmap
import struct

_OGG_HEADER_BYTES = 27
_OGG_LAST_PAGE = 0x04
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)  # data sizes written by programs that stream, and do not know the length in advance
_MP3_HAS_FRAMES, _MP3_HAS_BYTES = 0x1, 0x2
_MP3_TAG_SEARCH_BYTES = 200  # from the start of the audio


def describe_truncation(data: bytes | mmap.mmap) -> str | None:
    """Compare a wav, ogg or mp3 file with the length its header declares.

    Args:
        data: the whole file, read or mapped.

    Returns:
        The declared and the actual length, such as "64000 bytes of audio declared, 1200 present", or None if the file
        is complete or its container declares no length. A flac file declares its number of samples, which the decoder
        checks.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return _check_riff(data)
    if data[:4] == b"OggS":
        return _check_ogg(data)
    return _check_mp3(data)


def _check_riff(data: bytes | mmap.mmap) -> str | None:
    position = 12
    while position + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, position)
        if name == b"data":
            present = len(data) - position - 8
            return None if size in _UNKNOWN_SIZES or present >= size else _describe(size, present)
        position += 8 + size + size % 2  # chunks begin at even bytes
    return "no audio follows the wav header"


def _check_ogg(data: bytes | mmap.mmap) -> str | None:
    page = data.rfind(b"OggS")
    header = data[page : page + _OGG_HEADER_BYTES]
    if len(header) < _OGG_HEADER_BYTES or not header[5] & _OGG_LAST_PAGE:
        return "the ogg stream ends before its last page"
    segment_lengths = data[page + _OGG_HEADER_BYTES :][: header[26]]
    declared = sum(segment_lengths)
    present = len(data) - page - _OGG_HEADER_BYTES - len(segment_lengths)
    return None if present >= declared else _describe(declared, present)


def _check_mp3(data: bytes | mmap.mmap) -> str | None:
    """Check the number of bytes in a Xing or Info header, which some encoders write."""
    start = _skip_id3(data)
    for tag in (b"Xing", b"Info"):
        position = data.find(tag, start, start + _MP3_TAG_SEARCH_BYTES)
        if position < 0:
            continue
        flags = int.from_bytes(data[position + 4 : position + 8], "big")
        if flags & _MP3_HAS_BYTES:
            size_position = position + 8 + (4 if flags & _MP3_HAS_FRAMES else 0)
            declared = int.from_bytes(data[size_position : size_position + 4], "big")
            present = len(data) - start
            return None if present >= declared else _describe(declared, present)
    return None


def _skip_id3(data: bytes | mmap.mmap) -> int:
    """Return the position of the audio in an mp3 file: after the ID3v2 tag, whose size is four 7-bit bytes."""
    if data[:3] != b"ID3" or len(data) < 10:
        return 0
    size = 0
    for byte in data[6:10]:
        size = size << 7 | byte & 0x7F
    return size + 10


def _describe(declared: int, present: int) -> str:
    return f"{declared} bytes of audio declared, {present} present"
