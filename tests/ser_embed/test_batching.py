import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_embed.batching import make_batches


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


@pytest.mark.parametrize("lanes", [1, 2, 3])
@pytest.mark.parametrize("clips", [7, 40, 100])
def test_batches_are_alike_and_a_multiple_of_the_lanes(lanes: int, clips: int) -> None:
    lengths = np.random.default_rng(clips).integers(20_000, 80_000, clips).tolist()
    batches = make_batches(lengths, 320_000, lanes)
    assert len(batches) % lanes == 0
    seconds = [sum(lengths[index] for index in batch) for batch in batches]
    assert max(seconds) - min(seconds) <= max(lengths)
