"""Decoding of audio files: equal samples in every format, a reason for every unusable clip, preprocessing, digests."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_embed.audio.decode import AudioPreprocessing, check_waveform, decode, load_clip, to_16k_mono
from ser_embed.errors import ClipError, InputError
from tests.ser_embed.audio.formats import FORMATS, encode
from tests.ser_embed.conftest import tone


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_decodes_to_the_same_waveform(tmp_path: Path, name: str) -> None:
    sound = tone(48_000)
    (tmp_path / f"clip.{name}").write_bytes(encode(np.stack([sound, sound], axis=1), 48_000, name))
    waveform, facts = load_clip(tmp_path / f"clip.{name}", AudioPreprocessing())
    expected = to_16k_mono(sound[:, None], 48_000)
    assert waveform.dtype == np.float32
    assert facts.duration_s == 1.0
    assert len(waveform) == 16_000
    assert np.corrcoef(waveform[2000:14000], expected[2000:14000])[0, 1] > 0.98


def test_the_samples_of_a_16_khz_file_are_unchanged(tmp_path: Path) -> None:
    steps = np.arange(-500, 500, dtype=np.int16) * 30
    soundfile.write(tmp_path / "a.wav", steps, 16_000)
    waveform, _ = load_clip(tmp_path / "a.wav", AudioPreprocessing())
    np.testing.assert_array_equal(waveform, steps / np.float32(32768))


def test_channels_are_averaged_and_resampled() -> None:
    left, right = tone(44_100, 1), tone(44_100, 2)
    mixed = to_16k_mono(np.stack([left, right], axis=1), 44_100)
    assert len(mixed) == 16_000
    resampled_channels = [to_16k_mono(channel[:, None], 44_100) for channel in (left, right)]
    np.testing.assert_allclose(mixed, np.mean(resampled_channels, axis=0), atol=1e-6)


@pytest.mark.parametrize("name", FORMATS)
@given(fraction=st.floats(0.05, 0.97))
@settings(max_examples=15, deadline=None)
def test_a_truncated_file_is_always_an_error(name: str, fraction: float) -> None:
    whole = encode(tone(24_000), 16_000, name)
    with pytest.raises(ClipError, match="truncated|not audio"):
        decode(whole[: int(len(whole) * fraction)])


def test_every_unusable_clip_has_its_reason(tmp_path: Path) -> None:
    sound = tone(8_000)
    content_by_reason = {
        "empty": b"",
        "git-lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
        "not audio": b"this is text, not audio" * 20,
        "silent": encode(np.zeros(8_000), 16_000, "wav"),
        "too short": encode(sound[:399], 16_000, "wav"),
        "without samples": encode(sound[:0], 16_000, "wav"),
    }
    for reason, data in content_by_reason.items():
        (tmp_path / "clip.wav").write_bytes(data)
        with pytest.raises(ClipError, match=reason):
            load_clip(tmp_path / "clip.wav", AudioPreprocessing())
    soundfile.write(tmp_path / "nan.wav", np.full(8_000, np.nan), 16_000, subtype="FLOAT")
    with pytest.raises(ClipError, match="NaN"):
        load_clip(tmp_path / "nan.wav", AudioPreprocessing())
    with pytest.raises(ClipError, match="missing"):
        load_clip(tmp_path / "absent.wav", AudioPreprocessing())
    with pytest.raises(ClipError, match="cannot be opened"):
        load_clip(tmp_path, AudioPreprocessing())


def test_the_minimum_length_of_an_encoder_is_accepted() -> None:
    check_waveform(tone(400))


def test_trimming_and_levelling() -> None:
    silence = np.zeros(8_000, np.float32)
    padded = np.concatenate([silence, tone(16_000), silence])
    trimmed = AudioPreprocessing(trim_db=40).apply(padded)
    assert 15_500 < len(trimmed) < 17_500
    levelled = AudioPreprocessing(level_db=-20).apply(padded)
    assert 20 * np.log10(np.sqrt(np.mean(levelled.astype(float) ** 2))) == pytest.approx(-20, abs=1e-3)
    np.testing.assert_array_equal(AudioPreprocessing().apply(padded), padded)
    for value in (-3, float("nan"), float("inf")):
        with pytest.raises(InputError, match="positive"):
            AudioPreprocessing(trim_db=value)
    for value in (3, float("nan"), float("-inf")):
        with pytest.raises(InputError, match="at most 0 dB"):
            AudioPreprocessing(level_db=value)


def test_equal_audio_in_different_files_has_an_equal_audio_digest(tmp_path: Path) -> None:
    steps = (tone(8_000) * 32_767).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", steps, 16_000)
    soundfile.write(tmp_path / "a.flac", steps, 16_000)
    (_, wav), (_, flac) = (load_clip(tmp_path / f"a.{name}", AudioPreprocessing()) for name in ("wav", "flac"))
    assert wav.audio_digest == flac.audio_digest
    assert wav.digest != flac.digest
