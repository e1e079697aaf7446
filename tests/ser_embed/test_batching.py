from hypothesis import given
from hypothesis import strategies as st

from ser_embed.batching import make_batches


@given(lengths=st.lists(st.integers(400, 200_000), max_size=60), budget=st.integers(1_000, 400_000))
def test_every_clip_is_in_one_batch_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = make_batches(lengths, budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or max(lengths[index] for index in batch) * len(batch) <= budget
    flat = [lengths[index] for batch in batches for index in batch]
    assert flat == sorted(lengths, reverse=True)
