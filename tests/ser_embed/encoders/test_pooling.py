"""Pooling of frames: NumPy against torch, with and without padding."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_embed.encoders.pooling import pool_batch, pool_clip, pooled_width


@pytest.mark.parametrize("pooling", ["mean", "mean+std"])
@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=5), seed=st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_a_padded_batch_pools_as_its_clips_do(pooling: str, counts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    clips = [rng.standard_normal((count, 1, 6)).astype(np.float32) for count in counts]
    hidden = torch.full((len(clips), max(counts), 6), 1e4)  # the values in the padding must not matter
    for row, clip in enumerate(clips):
        hidden[row, : len(clip)] = torch.from_numpy(clip[:, 0])
    valid = torch.arange(max(counts)) < torch.tensor(counts)[:, None]
    pooled = pool_batch(hidden, valid, pooling).numpy()
    expected = np.stack([pool_clip(clip, pooling)[0] for clip in clips])
    assert pooled.shape == (len(clips), pooled_width(6, pooling))
    np.testing.assert_allclose(pooled, expected, rtol=1e-5, atol=1e-6)


def test_one_frame_has_no_deviation() -> None:
    pooled = pool_clip(np.ones((1, 2, 3)), "mean+std")
    np.testing.assert_array_equal(pooled, [[1, 1, 1, 0, 0, 0]] * 2)


def test_valid_frames_are_returned_clip_after_clip() -> None:
    hidden = torch.arange(12.0).reshape(2, 3, 2)
    valid = torch.tensor([[True, False, False], [True, True, False]])
    np.testing.assert_array_equal(pool_batch(hidden, valid, "frames").numpy(), [[0, 1], [6, 7], [8, 9]])
