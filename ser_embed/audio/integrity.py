"""Integrity of an audio file: what its container promises, compared with what is in the file, before it is decoded.

libsndfile decodes a damaged or truncated wav, ogg or mp3 file without an error: what is missing is just absent from the
samples. Each check here walks the structure of one container from its first byte to its last. A flac file is checked as
it is decoded, see `ser_embed.audio.flac`.
"""

import os
import re
import struct
import zlib
from typing import BinaryIO

from ser_embed.errors import ClipError

_UNKNOWN_SIZES = (0, 0xFFFFFFFF)  # data sizes written by programs that stream, and do not know the length in advance
_CHUNK_NAME = re.compile(rb"[0-9A-Za-z _]{4}")
_PLAIN_KINDS, _EXTENSIBLE = (1, 3, 6, 7), 0xFFFE  # PCM, float, A-law, mu-law

_OGG_HEADER = struct.Struct("<4sBBqIIIB")  # magic, version, flags, granule, stream, number, CRC, segments
_FIRST_PAGE, _LAST_PAGE = 0x02, 0x04
_NO_GRANULE = -1  # of a page on which no packet ends
_OPUS_RATE_HZ = 48_000  # of its granules, whatever the rate of its source
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))

_MP3_KBPS = {  # by version (1, or 2 for 2 and 2.5) and layer, ISO 11172-3 and 13818-3
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MP3_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_MP3_SAMPLES = {(1, 1): 384, (1, 2): 1152, (1, 3): 1152, (2, 1): 384, (2, 2): 1152, (2, 3): 576}
_MP3_TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3", b"3DI")  # what may follow the last frame
_MP3_LOST_FRAMES = 3  # at most so many at the start need bytes of frames before them, or only prime the decoder


def promised_samples(file: BinaryIO) -> int:
    """Check the container of an audio file, and return how many samples it promises.

    Args:
        file: the whole file, at any position.

    Returns:
        The decoder has to find at least so many, per channel; 0 where the container does not say.

    Raises:
        ClipError: something is missing or damaged; the message says what.
    """
    start = audio_start(file)
    magic = _at(file, start, 12)
    if magic[:4] in (b"RIFF", b"RF64", b"RIFX") and magic[8:] == b"WAVE":
        _check_wav(file, ">" if magic[:4] == b"RIFX" else "<")
    elif magic[:4] == b"OggS":
        return _check_ogg(file, start)
    elif magic[:1] == b"\xff" or start or not magic.strip(b"\0"):
        return 0 if magic[:4] == b"fLaC" else _check_mp3(file, start)
    elif magic[:4] != b"fLaC":
        raise ClipError("not audio: neither wav, flac, ogg, opus nor mp3")
    return 0


def _at(file: BinaryIO, position: int, count: int) -> bytes:
    file.seek(position)
    return file.read(count)


def _size(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)


def _check_wav(file: BinaryIO, order: str) -> None:
    """Walk the chunks of a wav file: the audio is as long as declared, and what follows it is no audio.

    Args:
        file: the file.
        order: "<" or ">", the byte order of its numbers.
    """
    size, position, long_size, found, length = _size(file), 12, 0, False, 0
    while position + 8 <= size:
        if length % 2 and _CHUNK_NAME.fullmatch(_at(file, position - 1, 4)):
            position -= 1  # some programs leave out the byte that fills up a chunk of odd length
        name, length = struct.unpack(f"{order}4sI", _at(file, position, 8))
        present = size - position - 8
        if found and not _CHUNK_NAME.fullmatch(name):
            if not any(_at(file, position, min(present + 8, 1 << 16))):
                return  # zeros up to the next sector
            raise ClipError(f"damaged: no chunk of a wav file follows its audio at byte {position}")
        if name == b"ds64":  # of RF64, whose sizes have 64 bits
            long_size = int.from_bytes(_at(file, position + 16, 8), "little")
        elif name == b"fmt ":
            _check_wav_format(_at(file, position + 8, 26), order)
        elif name == b"data":
            length = long_size if long_size and length == _UNKNOWN_SIZES[1] else length
            if length in _UNKNOWN_SIZES:
                return
            if present < length:
                raise ClipError(f"truncated: {length} bytes of audio declared, {present} present")
            found = True
        position += 8 + length + length % 2  # chunks begin at even bytes
    if not found:
        raise ClipError("truncated: no audio follows the wav header")


def _check_wav_format(fields: bytes, order: str) -> None:
    """Check that the numbers in a wav header agree with each other, which a changed rate or channel count would not."""
    if len(fields) < 16:
        raise ClipError("damaged: a wav header with no format")
    kind, channels, rate_hz, bytes_per_s, block, bits = struct.unpack(f"{order}HHIIHH", fields[:16])
    if kind == _EXTENSIBLE and len(fields) >= 26:
        kind = struct.unpack(f"{order}H", fields[24:26])[0]
    # Of ADPCM, programs disagree what the bytes per second are.
    if kind in _PLAIN_KINDS and (block != channels * -(-bits // 8) or bytes_per_s != rate_hz * block):
        found = f"{channels} channels of {bits} bits, {rate_hz} Hz, {bytes_per_s} bytes/s"
        raise ClipError(f"damaged: the numbers of its wav header do not agree: {found}")


def _check_ogg(file: BinaryIO, start: int) -> int:
    """Walk the pages of an ogg file: each has its CRC, none is missing, and the last says it is the last.

    Returns:
        The samples between the first and the last page of audio: those of the first page itself are not declared.
    """
    size, position, number, stream, flags, rate_ratio = _size(file), start, 0, 0, 0, 1.0
    granules: list[int] = []
    while position < size and not flags & _LAST_PAGE:
        header = _at(file, position, _OGG_HEADER.size)
        if len(header) < _OGG_HEADER.size:
            raise ClipError("truncated: the ogg stream ends within a page")
        magic, _, flags, granule, page_stream, page_number, crc, segments = _OGG_HEADER.unpack(header)
        lengths = file.read(segments)
        body = file.read(sum(lengths))
        if magic != b"OggS":
            raise ClipError(f"damaged: no ogg page at byte {position}")
        if len(lengths) < segments or len(body) < sum(lengths):
            raise ClipError("truncated: the ogg stream ends within a page")
        if _ogg_crc(header[:22] + bytes(4) + header[26:] + lengths + body) != crc:
            raise ClipError(f"damaged: the ogg page at byte {position} is not as it was written (CRC)")
        if number == 0:
            stream, rate_ratio = page_stream, _opus_rate(body) / _OPUS_RATE_HZ if body[:8] == b"OpusHead" else 1.0
        elif page_stream != stream:
            raise ClipError("several ogg streams in one file, of which only one would be read")
        if page_number != number:
            raise ClipError(f"damaged: pages {number} to {page_number - 1} of the ogg stream are missing")
        if granule not in (0, _NO_GRANULE):
            granules.append(granule)
        number, position = number + 1, position + len(header) + len(lengths) + len(body)
    if not flags & _LAST_PAGE:
        raise ClipError("truncated: the ogg stream ends before its last page")
    if _at(file, position, 4) == b"OggS":
        raise ClipError("several ogg streams in one file, of which only one would be read")
    return int((granules[-1] - granules[0]) * rate_ratio) if granules else 0


def _opus_rate(head: bytes) -> int:
    """Return the rate at which libsndfile decodes opus: that of its source where opus has it, else 48 kHz."""
    source_hz = int.from_bytes(head[12:16], "little")
    return source_hz if source_hz in (8_000, 12_000, 16_000, 24_000) else _OPUS_RATE_HZ


def _ogg_crc(page: bytes) -> int:
    """Return the CRC of an ogg page, RFC 3533: the polynomial of zlib's, from the highest bit down, from 0."""
    register = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{register:032b}"[::-1], 2)


def _check_mp3(file: BinaryIO, start: int) -> int:
    """Walk the frames of an mp3 file: each begins where the one before it ends, up to the end or to a tag."""
    size, position, frames, declared, kind, samples_per_frame, trimmed = _size(file), start, 0, 0, None, 0, 0
    while position < size:
        header = _at(file, position, 4)
        frame = _mp3_frame(header)
        if frame is None:
            if not frames and not header.strip(b"\0"):
                position += 1
                continue
            if frames and (header.startswith(tuple(tag[:4] for tag in _MP3_TAGS)) or not header.strip(b"\0")):
                break
            if not frames:
                raise ClipError("not audio: no frame of an mp3 at its start")
            if size - position < 4:
                raise ClipError("truncated: the mp3 ends within a frame")
            raise ClipError(f"damaged: no frame of an mp3 at byte {position}")
        length, samples_per_frame, frame_kind = frame
        if not length:
            raise ClipError("damaged, or an mp3 of free format, whose frames do not tell their length")
        if kind not in (None, frame_kind):
            raise ClipError(f"damaged: the mp3 changes its rate or layer at byte {position}")
        if position + length > size:
            raise ClipError(f"truncated: {length} bytes in the last frame of an mp3, {size - position} present")
        if not frames:
            declared, trimmed = _mp3_declared(_at(file, position, length))
        kind, frames, position = frame_kind, frames + 1, position + length
    if not frames:
        raise ClipError("not audio: no frame of an mp3")
    if declared and declared not in (frames - 1, frames):  # with or without the one that declares it
        what = "truncated" if declared >= frames else "damaged"
        raise ClipError(f"{what}: {declared} frames of an mp3 declared, {frames - 1} present")
    return max(0, (frames - _MP3_LOST_FRAMES) * samples_per_frame - trimmed)


def _mp3_frame(header: bytes) -> tuple[int, int, tuple[int, int, int]] | None:
    """Read the header of an mp3 frame.

    Returns:
        Its length in bytes, 0 where it does not tell; its samples; and what all frames of a file have in common:
        version, layer and rate in Hz. None where there is no frame.
    """
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    bitrate_index, rate_index, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 4 or bitrate_index == 15 or rate_index == 3:
        return None
    rate_hz, table = _MP3_RATES_HZ[version][rate_index], (1 if version == 3 else 2, layer)
    samples, kind = _MP3_SAMPLES[table], (version, layer, rate_hz)
    if not bitrate_index:
        return 0, samples, kind
    bits_per_s = 1_000 * _MP3_KBPS[table][bitrate_index - 1]
    if layer == 1:
        return (12 * bits_per_s // rate_hz + padding) * 4, samples, kind
    return samples // 8 * bits_per_s // rate_hz + padding, samples, kind


def _mp3_declared(frame: bytes) -> tuple[int, int]:
    """Return the number of frames that the first one declares after it, and the samples to cut; 0 and 0 for neither.

    Raises:
        ClipError: it has the name of an encoder, and is not what that has written.
    """
    for tag in (b"Xing", b"Info"):
        position = frame[:64].find(tag)
        if position >= 0 and frame[position + 7] & 1:
            flags = frame[position + 7]
            encoder = position + 8 + sum(length for bit, length in ((1, 4), (2, 4), (4, 100), (8, 4)) if flags & bit)
            crc = frame[encoder + 34 : encoder + 36]
            without = (frame[: encoder + 34] + bytes(2) + frame[encoder + 36 :]).ljust(190, b"\0")[:190]
            # LAME sums what is before it, ffmpeg 190 bytes.
            if any(crc) and int.from_bytes(crc, "big") not in (_crc_16(frame[: encoder + 34]), _crc_16(without)):
                raise ClipError("damaged: the first frame of the mp3 is not as it was written (CRC)")
            cut = int.from_bytes(frame[encoder + 21 : encoder + 24], "big")
            return int.from_bytes(frame[position + 8 : position + 12], "big"), (cut >> 12) + (cut & 0xFFF)
    if frame[36:40] == b"VBRI":
        return int.from_bytes(frame[50:54], "big"), 0
    if frame[40:200].find(b"LAME") >= 0 or frame[40:200].find(b"Lav") >= 0:
        raise ClipError("damaged: the first frame of the mp3 names its encoder, but not what it has encoded")
    return 0, 0


def _crc_16(data: bytes) -> int:
    """Return the CRC of the first frame of an mp3 as LAME has it: polynomial 0x8005 from the lowest bit up, from 0."""
    register = 0
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xA001 if register & 1 else 0)
    return register


def audio_start(file: BinaryIO) -> int:
    """Return where the audio begins: after the ID3v2 tag, whose size is four 7-bit bytes, if there is one."""
    head = _at(file, 0, 10)
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return size + 10
