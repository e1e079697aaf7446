"""Integrity of audio files: whole ones of every kind are accepted, damaged ones are named."""

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_embed.audio.decode import AudioPreprocessing, decode, load_clip
from ser_embed.audio.integrity import _ogg_crc, promised_samples
from ser_embed.audio.windows import windows
from ser_embed.errors import ClipError
from tests.ser_embed.audio.formats import FORMATS, encode
from tests.ser_embed.conftest import tone

SOUND = tone(80_000)
WHOLE = {name: encode(SOUND, 16_000, name) for name in FORMATS}


def refused(data: bytes) -> str:
    """Return why a file is refused."""
    with pytest.raises(ClipError) as error:
        decode(data)
    return str(error.value)


def ogg_pages(data: bytes) -> list[bytes]:
    pages, position = [], 0
    while position < len(data):
        segments = data[position + 26]
        length = 27 + segments + sum(data[position + 27 : position + 27 + segments])
        pages.append(data[position : position + length])
        position += length
    return pages


def with_crc(page: bytes) -> bytes:
    return page[:22] + struct.pack("<I", _ogg_crc(page[:22] + bytes(4) + page[26:])) + page[26:]


def with_granule(page: bytes, granule: int) -> bytes:
    return with_crc(page[:6] + struct.pack("<q", granule) + page[14:])


@pytest.mark.parametrize("name", ["ogg", "opus"])
class TestOgg:
    def test_a_flipped_bit_anywhere_is_seen(self, name: str) -> None:
        for position in range(0, len(WHOLE[name]), 211):
            data = bytearray(WHOLE[name])
            data[position] ^= 4
            assert refused(bytes(data))

    def test_a_page_that_is_missing_is_seen(self, name: str) -> None:
        pages = ogg_pages(WHOLE[name])
        for missing in range(len(pages)):
            assert refused(b"".join(pages[:missing] + pages[missing + 1 :]))

    def test_a_stream_that_was_cut_out_of_a_longer_one_is_read(self, name: str) -> None:
        pages = ogg_pages(WHOLE[name])
        granules = [struct.unpack_from("<q", page, 6)[0] for page in pages]
        later = [
            with_granule(page, granule + 2**24) if granule else page
            for page, granule in zip(pages, granules, strict=True)
        ]
        samples, _ = decode(b"".join(later))
        assert len(samples) == len(SOUND)

    def test_a_last_page_that_promises_more_is_refused_and_nothing_is_allocated(self, name: str) -> None:
        pages = ogg_pages(WHOLE[name])
        pages[-1] = with_granule(pages[-1], 2**50)
        assert "samples in the file" in refused(b"".join(pages))

    def test_two_streams_in_one_file_are_refused(self, name: str) -> None:
        assert "several ogg streams" in refused(WHOLE[name] + WHOLE[name])


class TestMp3:
    def frames(self) -> list[int]:
        """Return the positions of the frames."""
        data, positions = WHOLE["mp3"], [0]
        header = data[:2]
        while (position := data.find(header, positions[-1] + 100)) > 0:
            positions.append(position)
        return positions

    def test_frames_that_are_missing_at_the_end_are_seen(self) -> None:
        cut = self.frames()[-4]
        assert "frames of an mp3 declared" in refused(WHOLE["mp3"][:cut])

    def test_bytes_that_are_missing_in_the_middle_are_seen(self) -> None:
        data = WHOLE["mp3"]
        assert "no frame of an mp3 at byte" in refused(data[:6_000] + data[6_050:])

    def test_a_frame_of_another_rate_is_seen(self) -> None:
        data = bytearray(WHOLE["mp3"])
        data[self.frames()[9] + 2] ^= 0b100
        assert "mp3" in refused(bytes(data))

    def test_tags_before_and_after_are_no_damage(self) -> None:
        tagged = b"ID3\4\0\0\0\0\0\x0a" + bytes(10) + WHOLE["mp3"] + b"TAG" + bytes(125)
        assert len(decode(tagged)[0]) == len(decode(WHOLE["mp3"])[0])


class TestFlac:
    def with_total(self, total: int) -> bytes:
        data = bytearray(encode((SOUND * 32_767).astype(np.int16), 16_000, "flac"))
        data[21] = data[21] & 0xF0 | total >> 32
        data[22:26] = (total & 0xFFFFFFFF).to_bytes(4, "big")
        return bytes(data)

    def test_a_stream_of_unknown_length_is_read(self) -> None:
        assert len(decode(self.with_total(0))[0]) == len(SOUND)

    @pytest.mark.parametrize("total", [79_999, 40_000, 1, 80_001, 2**35])
    def test_a_changed_number_of_samples_is_seen(self, total: int) -> None:
        assert "flac" in refused(self.with_total(total)) or "declared" in refused(self.with_total(total))

    def test_a_changed_rate_is_seen(self) -> None:
        data = bytearray(WHOLE["flac"])
        data[19] ^= 1
        assert "another rate in its frames" in refused(bytes(data))

    def test_other_samples_are_seen(self) -> None:
        data = bytearray(WHOLE["flac"])
        data[30] ^= 1  # of the MD5
        assert "MD5" in refused(bytes(data))

    @pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
    def test_samples_are_those_of_libsndfile(self, subtype: str) -> None:
        buffer = io.BytesIO()
        soundfile.write(buffer, np.stack([SOUND, SOUND[::-1]], axis=1) * 0.9, 16_000, format="FLAC", subtype=subtype)
        buffer.seek(0)
        expected = soundfile.read(buffer, dtype="float32")[0].mean(axis=1)
        samples = decode(buffer.getvalue())[0]
        assert samples.dtype == np.float32
        np.testing.assert_array_equal(samples, expected)

    def test_a_tag_before_it_is_no_damage_and_changes_no_check(self) -> None:
        tag = b"ID3\4\0\0\0\0\0\x0a" + bytes(10)
        assert len(decode(tag + self.with_total(0))[0]) == len(SOUND)
        assert "MD5" in refused(tag + self.with_total(40_000))


class TestWav:
    def with_size(self, size: int) -> bytes:
        data = WHOLE["wav"]
        position = data.index(b"data") + 4
        return data[:position] + struct.pack("<I", size) + data[position + 4 :]

    def test_a_stream_of_unknown_length_is_read(self) -> None:
        assert len(decode(self.with_size(0xFFFFFFFF))[0]) == len(SOUND)

    def test_what_follows_audio_of_odd_length_may_follow_at_once(self) -> None:
        buffer = io.BytesIO()
        soundfile.write(buffer, SOUND[:16_001], 16_000, format="WAV", subtype="PCM_U8")
        data = buffer.getvalue()[: 44 + 16_001]
        for filling in (b"", b"\0"):
            assert len(decode(data + filling + b"LIST" + struct.pack("<I", 4) + b"abcd")[0]) == 16_001

    @pytest.mark.parametrize("size", [0, 2, 80_000, 150_000, 160_002, 2**31])
    def test_a_changed_length_is_seen(self, size: int) -> None:
        assert refused(self.with_size(size))

    @pytest.mark.parametrize(("offset", "bit"), [(22, 1), (24, 0), (25, 6), (28, 3), (32, 1), (34, 3)])
    def test_a_changed_header_is_seen(self, offset: int, bit: int) -> None:
        data = bytearray(WHOLE["wav"])
        data[offset] ^= 1 << bit
        assert refused(bytes(data))

    @pytest.mark.parametrize(
        "subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM"]
    )
    @pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64"])
    def test_every_kind_is_read_whole_and_seen_when_cut(self, container: str, subtype: str) -> None:
        if not soundfile.check_format(container, subtype):
            pytest.skip("there is no such file")
        buffer = io.BytesIO()
        soundfile.write(buffer, SOUND, 16_000, format=container, subtype=subtype)
        data = buffer.getvalue()
        assert len(decode(data)[0]) >= len(SOUND)
        for end in (len(data) // 3, len(data) - 300):
            assert refused(data[:end])


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_whole_promises_no_more_than_it_has(name: str) -> None:
    for length in (400, 1_000, 5_000, 80_000):
        data = encode(SOUND[:length], 16_000, name)
        assert promised_samples(io.BytesIO(data)) <= len(decode(data)[0])


@pytest.mark.parametrize("name", FORMATS)
def test_windows_of_a_damaged_file_end_in_its_reason(tmp_path: Path, name: str) -> None:
    data = WHOLE[name]
    (tmp_path / "a").write_bytes(data[: len(data) // 2])
    with pytest.raises(ClipError):
        list(windows(tmp_path / "a", 1, 1))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "zero.wav").symlink_to("/dev/zero")
    for name, reason in (("pipe.wav", "a named pipe"), ("zero.wav", "a device")):
        with pytest.raises(ClipError, match=f"no file, but {reason}"):
            load_clip(tmp_path / name, AudioPreprocessing())
        with pytest.raises(ClipError, match=f"no file, but {reason}"):
            list(windows(tmp_path / name, 1, 1))


def test_files_no_recording_is_like_are_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "slow.wav", SOUND[:200], 1)
    with pytest.raises(ClipError, match="a sampling rate of 1 Hz"):
        load_clip(tmp_path / "slow.wav", AudioPreprocessing())
    (tmp_path / "large.wav").write_bytes(WHOLE["wav"])
    os.truncate(tmp_path / "large.wav", 1 << 33)
    with pytest.raises(ClipError, match="too large to be one clip"):
        load_clip(tmp_path / "large.wav", AudioPreprocessing())
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros((100, 100)), 16_000, format="WAV")
    assert "100 channels" in refused(buffer.getvalue())
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(1_900_000), 1_000, format="FLAC", subtype="PCM_S8")
    assert "too long to be one clip: more than 1800 s" in refused(buffer.getvalue())
