"""Frames in one array: a lower frame rate, random cuts, padding."""

import numpy as np
import pytest

from ser_head.data.frames import CUT_TO, PADDED_TO, average_neighbours, pad_frames, random_cuts, valid_frames


def clips_of(*lengths):
    """Clips whose frames hold their own index."""
    return [
        np.arange(length, dtype=np.float32).reshape(-1, 1, 1) * np.ones((1, 1, 3), np.float32) for length in lengths
    ]


@pytest.mark.parametrize("length", [1, 3, 4, 9])
@pytest.mark.parametrize("step", [1, 2, 4, 20])
def test_a_lower_frame_rate_is_the_mean_of_neighbours(length, step):
    (clip,) = clips_of(length)
    expected = [clip[start : start + step].mean(axis=0) for start in range(0, length, step)]
    np.testing.assert_allclose(average_neighbours(clip, step), expected, rtol=1e-6)


def test_a_cut_is_consecutive_frames_from_anywhere_in_the_clip():
    padded = pad_frames(clips_of(500, 300, 40))
    random, length = np.random.default_rng(0), CUT_TO // 6
    starts = []
    for _ in range(50):
        cut = random_cuts(padded, 6, random)
        assert cut.shape == (3, length, 1, 3)
        for row in cut[:2, :, 0, 0]:
            np.testing.assert_array_equal(row, row[0] + np.arange(length))
        np.testing.assert_array_equal(valid_frames(cut[2:])[:, 0, 0], np.arange(40))
        starts.append(cut[:2, 0, 0, 0])
    assert np.min(starts) < 60
    assert np.max(starts, axis=0) == pytest.approx([500 - length, 300 - length], abs=60)
    assert not np.isnan(cut[:2]).any()


def test_short_clips_and_vectors_are_not_cut():
    random = np.random.default_rng(0)
    short, vectors = pad_frames(clips_of(5, 30)), np.ones((4, 1, 3), np.float32)
    assert random_cuts(short, 1, random) is short
    assert random_cuts(vectors, 1, random) is vectors


def test_at_a_low_frame_rate_a_cut_still_has_the_smallest_padded_length():
    cut = random_cuts(pad_frames(clips_of(100)), 60, np.random.default_rng(0))
    assert cut.shape[1] == PADDED_TO
