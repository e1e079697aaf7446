"""Windows of a long audio file: together they cover it, in every format, and an unusable file has its reason."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_embed.audio.decode import AudioPreprocessing, check_waveform, load_clip
from ser_embed.audio.windows import windows
from ser_embed.errors import ClipError, SilentClipError
from tests.ser_embed.audio.formats import FORMATS, encode
from tests.ser_embed.conftest import tone


@given(num_samples=st.integers(400, 60_000), window=st.integers(8, 30), hop=st.integers(4, 30))
@settings(max_examples=40, deadline=None)
def test_windows_cover_the_whole_file(
    tmp_path_factory: pytest.TempPathFactory, num_samples: int, window: int, hop: int
) -> None:
    hop = min(hop, window)  # both in tenths of a second
    path = tmp_path_factory.mktemp("long") / "a.wav"
    sound = tone(num_samples)
    soundfile.write(path, sound, 16_000, subtype="FLOAT")
    segments = list(windows(path, window / 10, hop / 10))
    starts = [start for start, _, _ in segments]
    np.testing.assert_allclose(starts, np.arange(len(segments)) * hop / 10, atol=1e-6)
    for start, end, waveform in segments:
        np.testing.assert_array_equal(waveform, sound[round(start * 16_000) : round(end * 16_000)])
    assert num_samples - round(segments[-1][1] * 16_000) < 400  # the rest is shorter than the minimum of an encoder
    assert all(len(waveform) <= window * 1_600 for _, _, waveform in segments)


def test_windows_of_an_unusable_file_have_its_reason(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"no audio" * 100)
    with pytest.raises(ClipError, match="not audio"):
        list(windows(tmp_path / "a.wav", 3, 1.5))
    soundfile.write(tmp_path / "truncated.wav", tone(80_000), 16_000)
    (tmp_path / "truncated.wav").write_bytes((tmp_path / "truncated.wav").read_bytes()[:90_000])
    with pytest.raises(ClipError, match="truncated"):
        list(windows(tmp_path / "truncated.wav", 3, 1.5))
    soundfile.write(tmp_path / "short.wav", tone(100), 16_000)
    with pytest.raises(ClipError, match="too short"):
        list(windows(tmp_path / "short.wav", 3, 1.5))


def test_a_window_with_nan_is_an_error_and_not_a_pause(tmp_path: Path) -> None:
    sound = tone(48_000)
    sound[16_000:32_000] = 0
    sound[40_000] = np.nan
    soundfile.write(tmp_path / "a.wav", sound, 16_000, subtype="FLOAT")
    speech, pause, damaged = (waveform for _, _, waveform in windows(tmp_path / "a.wav", 1, 1))
    check_waveform(speech)
    with pytest.raises(SilentClipError):
        check_waveform(pause)
    with pytest.raises(ClipError, match="NaN") as raised:
        check_waveform(damaged)
    assert not isinstance(raised.value, SilentClipError)


@pytest.mark.parametrize("name", FORMATS)
def test_windows_without_overlap_join_to_the_whole_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"long.{name}"
    path.write_bytes(encode(tone(80_000), 16_000, name))
    whole, _ = load_clip(path, AudioPreprocessing())
    segments = [waveform for _, _, waveform in windows(path, 1.3, 1.3)]
    np.testing.assert_allclose(np.concatenate(segments), whole, atol=1e-6)
