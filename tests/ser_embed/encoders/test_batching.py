import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_embed.encoders.batching import make_batches


@given(
    lengths=st.lists(st.integers(400, 200_000), max_size=60),
    budget=st.integers(1_000, 400_000),
    lanes=st.integers(1, 5),
)
def test_every_clip_is_in_one_batch_within_the_budget(lengths: list[int], budget: int, lanes: int) -> None:
    batches = make_batches(lengths, budget, lanes)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or sum(lengths[index] for index in batch) <= budget
    flat = [lengths[index] for batch in batches for index in batch]
    assert flat == sorted(lengths, reverse=True)


@pytest.mark.parametrize("lanes", [2, 3])
@pytest.mark.parametrize("clips", [7, 40, 100])
def test_lanes_wait_for_no_large_batch_at_the_end(lanes: int, clips: int) -> None:
    lengths = np.random.default_rng(clips).integers(20_000, 80_000, clips).tolist()
    batches = make_batches(lengths, 640_000, lanes)
    sizes = [sum(lengths[index] for index in batch) for batch in batches]
    longest = max(lengths)
    assert len(batches) >= lanes
    for done, size in enumerate(sizes):
        assert size <= max(160_000, sum(sizes[done:]) / lanes / 1.5) + longest / 2
    assert all(size >= 160_000 - longest for size in sizes[:-1]) or sum(sizes) < lanes * 160_000


def test_one_lane_fills_its_batches() -> None:
    assert [len(batch) for batch in make_batches([1_000] * 10, 4_000)] == [4, 4, 2]
