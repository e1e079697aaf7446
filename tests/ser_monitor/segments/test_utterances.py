"""Utterances: cut where the pauses are, with their samples, whatever the blocks; against whole-recording oracles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_monitor.segments import utterances
from ser_monitor.segments.utterances import Utterance, UtteranceCutter
from ser_monitor.segments.voice_activity import FRAME, FRAME_S

RATE_HZ = 16_000


def cut(frames: list[bool], block_frames: int) -> list[Utterance]:
    samples = np.arange(len(frames) * FRAME, dtype=np.float32)[:, np.newaxis]
    cutter, found = UtteranceCutter(RATE_HZ), []
    for start in range(0, len(frames), block_frames):
        part = samples[start * FRAME : (start + block_frames) * FRAME]
        found += cutter.push(part, frames[start : start + block_frames])
    return found + cutter.finish([])


def stretches(frames: list[bool]) -> list[tuple[int, int]]:
    """Return the first and last frame of each stretch of speech, shorter pauses bridged, and short ones left out."""
    pause = int(np.ceil(utterances._PAUSE_S / FRAME_S - 1e-9))
    found: list[list[int]] = []
    for index, is_speech in enumerate(frames):
        if is_speech and (not found or index - found[-1][-1] > pause):
            found.append([index])
        elif is_speech:
            found[-1].append(index)
    return [(indices[0], indices[-1]) for indices in found if len(indices) * FRAME_S >= utterances._SHORTEST_S]


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 30)), max_size=12).map(
        lambda parts: [value for value, count in parts for _ in range(count)]
    ),
    st.integers(1, 40),
)
def test_utterances_are_the_stretches_between_pauses(frames: list[bool], block_frames: int) -> None:
    found, expected = cut(frames, block_frames), stretches(frames)
    assert len(found) == len(expected)
    for utterance, (first, last) in zip(found, expected, strict=True):
        assert utterance.start_s == pytest.approx(max(first * FRAME_S - 0.1, 0), abs=1e-4)
        assert -1e-6 <= utterance.end_s - (last + 1) * FRAME_S <= 0.1 + 1e-4
        start = round(utterance.start_s * RATE_HZ)
        expected_samples = np.arange(start, round(utterance.end_s * RATE_HZ), dtype=np.float32)
        assert np.array_equal(utterance.samples[:, 0], expected_samples)


def test_speech_without_a_pause_is_cut_at_the_longest_length() -> None:
    found = cut([True] * 2000, 10)
    assert all(utterance.end_s - utterance.start_s <= utterances._LONGEST_S + 0.3 for utterance in found)
    assert len(found) == int(np.ceil(2000 * FRAME_S / utterances._LONGEST_S))


def test_samples_of_long_silence_are_not_kept() -> None:
    cutter = UtteranceCutter(RATE_HZ)
    for _ in range(500):
        cutter.push(np.zeros((FRAME, 1), np.float32), [False])
    assert len(cutter._samples) < RATE_HZ
