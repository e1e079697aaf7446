import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_embed.audio.decode import AudioPreprocessing, check_waveform, decode, load_clip, to_16k_mono
from ser_embed.audio.windows import windows
from ser_embed.errors import ClipError, InputError, SilentClipError
from tests.ser_embed.conftest import tone

FORMATS = {
    "wav": {},
    "flac": {},
    "mp3": {},
    "ogg": {},
    "opus": {"format": "OGG", "subtype": "OPUS"},
}


def encoded(samples: np.ndarray, rate_hz: int, name: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, **{"format": name.upper(), **FORMATS[name]})
    return buffer.getvalue()


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_sound(tmp_path: Path, name: str) -> None:
    sound = tone(48_000)
    (tmp_path / f"clip.{name}").write_bytes(encoded(np.stack([sound, sound], axis=1), 48_000, name))
    waveform, facts = load_clip(tmp_path / f"clip.{name}", AudioPreprocessing())
    expected = to_16k_mono(sound[:, None], 48_000)
    assert waveform.dtype == np.float32
    assert facts.duration_s == 1.0
    assert len(waveform) == 16_000
    assert np.corrcoef(waveform[2000:14000], expected[2000:14000])[0, 1] > 0.98


def test_a_16k_file_comes_through_sample_by_sample(tmp_path: Path) -> None:
    steps = np.arange(-500, 500, dtype=np.int16) * 30
    soundfile.write(tmp_path / "a.wav", steps, 16_000)
    waveform, _ = load_clip(tmp_path / "a.wav", AudioPreprocessing())
    np.testing.assert_array_equal(waveform, steps / np.float32(32768))


def test_channels_are_averaged_and_the_rate_changed() -> None:
    left, right = tone(44_100, 1), tone(44_100, 2)
    mixed = to_16k_mono(np.stack([left, right], axis=1), 44_100)
    assert len(mixed) == 16_000
    alone = [to_16k_mono(side[:, None], 44_100) for side in (left, right)]
    np.testing.assert_allclose(mixed, np.mean(alone, axis=0), atol=1e-6)


@pytest.mark.parametrize("name", FORMATS)
@given(share=st.floats(0.05, 0.97))
@settings(max_examples=15, deadline=None)
def test_a_file_cut_short_never_passes(name: str, share: float) -> None:
    whole = encoded(tone(24_000), 16_000, name)
    with pytest.raises(ClipError, match="truncated|not audio"):
        decode(whole[: int(len(whole) * share)])


def test_each_bad_clip_is_told_apart(tmp_path: Path) -> None:
    sound = tone(8_000)
    content = {
        "empty": b"",
        "git-lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
        "not audio": b"these are words, not sound" * 20,
        "silent": encoded(np.zeros(8_000), 16_000, "wav"),
        "too short": encoded(sound[:399], 16_000, "wav"),
        "without samples": encoded(sound[:0], 16_000, "wav"),
    }
    for reason, data in content.items():
        (tmp_path / "clip.wav").write_bytes(data)
        with pytest.raises(ClipError, match=reason):
            load_clip(tmp_path / "clip.wav", AudioPreprocessing())
    soundfile.write(tmp_path / "nan.wav", np.full(8_000, np.nan), 16_000, subtype="FLOAT")
    with pytest.raises(ClipError, match="NaN"):
        load_clip(tmp_path / "nan.wav", AudioPreprocessing())
    with pytest.raises(ClipError, match="missing"):
        load_clip(tmp_path / "nowhere.wav", AudioPreprocessing())
    with pytest.raises(ClipError, match="cannot be opened"):
        load_clip(tmp_path, AudioPreprocessing())


def test_the_shortest_clip_an_encoder_takes_passes() -> None:
    check_waveform(tone(400))


def test_trimming_and_levelling_do_what_they_say() -> None:
    quiet = np.zeros(8_000, np.float32)
    padded = np.concatenate([quiet, tone(16_000), quiet])
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


def test_equal_audio_in_other_bytes_has_an_equal_audio_digest(tmp_path: Path) -> None:
    steps = (tone(8_000) * 32_767).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", steps, 16_000)
    soundfile.write(tmp_path / "a.flac", steps, 16_000)
    (_, wav), (_, flac) = (load_clip(tmp_path / f"a.{name}", AudioPreprocessing()) for name in ("wav", "flac"))
    assert wav.audio_digest == flac.audio_digest
    assert wav.digest != flac.digest


@given(num_samples=st.integers(400, 60_000), window=st.integers(8, 30), hop=st.integers(4, 30))
@settings(max_examples=40, deadline=None)
def test_windows_cover_the_whole_file(
    tmp_path_factory: pytest.TempPathFactory, num_samples: int, window: int, hop: int
) -> None:
    hop = min(hop, window)
    path = tmp_path_factory.mktemp("long") / "a.wav"
    sound = tone(num_samples)
    soundfile.write(path, sound, 16_000, subtype="FLOAT")
    found = list(windows(path, window / 10, hop / 10))
    starts = [start for start, _, _ in found]
    np.testing.assert_allclose(starts, np.arange(len(found)) * hop / 10, atol=1e-6)
    for start, end, waveform in found:
        np.testing.assert_array_equal(waveform, sound[round(start * 16_000) : round(end * 16_000)])
    assert num_samples - round(found[-1][1] * 16_000) < 400  # at most what no encoder takes is left over
    assert all(len(waveform) <= window * 1_600 for _, _, waveform in found)


def test_windows_of_a_bad_file_say_why(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"no sound" * 100)
    with pytest.raises(ClipError, match="not audio"):
        list(windows(tmp_path / "a.wav", 3, 1.5))
    soundfile.write(tmp_path / "c.wav", tone(80_000), 16_000)
    (tmp_path / "c.wav").write_bytes((tmp_path / "c.wav").read_bytes()[:90_000])
    with pytest.raises(ClipError, match="truncated"):
        list(windows(tmp_path / "c.wav", 3, 1.5))
    soundfile.write(tmp_path / "b.wav", tone(100), 16_000)
    with pytest.raises(ClipError, match="too short"):
        list(windows(tmp_path / "b.wav", 3, 1.5))


def test_a_window_of_nan_is_no_pause(tmp_path: Path) -> None:
    sound = tone(48_000)
    sound[16_000:32_000] = 0
    sound[40_000] = np.nan
    soundfile.write(tmp_path / "a.wav", sound, 16_000, subtype="FLOAT")
    voiced, pause, broken = (waveform for _, _, waveform in windows(tmp_path / "a.wav", 1, 1))
    check_waveform(voiced)
    with pytest.raises(SilentClipError):
        check_waveform(pause)
    with pytest.raises(ClipError, match="NaN") as caught:
        check_waveform(broken)
    assert not isinstance(caught.value, SilentClipError)


@pytest.mark.parametrize("name", FORMATS)
def test_windows_hear_what_the_whole_file_holds(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"long.{name}"
    path.write_bytes(encoded(tone(80_000), 16_000, name))
    whole, _ = load_clip(path, AudioPreprocessing())
    pieces = [waveform for _, _, waveform in windows(path, 1.3, 1.3)]
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-6)
