"""Batches of clips, and batches encoded in parallel lanes."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ser_embed.encoders.base import EncoderOptions
from ser_embed.encoders.batching import BatchPool, encode_all, make_batches
from ser_embed.encoders.registry import load_encoder
from tests.ser_embed.conftest import tone

CLIPS = [tone(400 + 777 * (index * 7 % 10)) for index in range(10)]


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
    batched_lengths = [lengths[index] for batch in batches for index in batch]
    assert batched_lengths == sorted(lengths, reverse=True)


@pytest.mark.parametrize("lanes", [2, 3])
@pytest.mark.parametrize("clips", [7, 40, 100])
def test_batches_of_several_lanes_are_small_at_the_end(lanes: int, clips: int) -> None:
    lengths = np.random.default_rng(clips).integers(20_000, 80_000, clips).tolist()
    batches = make_batches(lengths, 640_000, lanes)
    sizes = [sum(lengths[index] for index in batch) for batch in batches]
    longest = max(lengths)
    assert len(batches) >= lanes
    for position, size in enumerate(sizes):
        assert size <= max(160_000, sum(sizes[position:]) / lanes / 1.5) + longest / 2
    assert all(size >= 160_000 - longest for size in sizes[:-1]) or sum(sizes) < lanes * 160_000


def test_batches_of_one_lane_are_full() -> None:
    assert [len(batch) for batch in make_batches([1_000] * 10, 4_000)] == [4, 4, 2]


def numbered_clips(count: int) -> dict[int, np.ndarray]:
    """Clips whose samples are their number."""
    return {number: np.full(1_000 + number, number, np.float32) for number in range(count)}


class StubEncoder:
    """Encoder that returns the first sample of each clip, calls `wait` first, and records the threads that call it."""

    batch_seconds = 0.1  # one clip of a thousand samples

    def __init__(self, threads: int, wait: Callable[[], object] = lambda: None) -> None:
        self.threads, self._wait, self.callers = threads, wait, set[tuple[str, int]]()

    def encode(self, waveforms: Sequence[np.ndarray]) -> Callable[[], list[np.ndarray]]:
        self._wait()
        self.callers.add((threading.current_thread().name.partition("_")[0], torch.get_num_threads()))
        return lambda: [waveform[:1] for waveform in waveforms]


@pytest.mark.parametrize("lanes", [1, 2, 5])
@pytest.mark.parametrize("clips", [0, 1, 2, 23])
def test_every_clip_is_encoded_once_and_removed(lanes: int, clips: int) -> None:
    waveforms = numbered_clips(clips)
    with BatchPool(StubEncoder(lanes)) as pool:  # type: ignore[arg-type]
        batches = list(pool.encode(waveforms))
    first_samples = [(key, float(vector[0])) for batch in batches for key, vector in batch.items()]
    assert sorted(first_samples) == [(number, float(number)) for number in range(clips)]
    assert not waveforms


def test_as_many_batches_as_lanes_are_encoded_at_once() -> None:
    barrier = threading.Barrier(3, timeout=20)
    encoder = StubEncoder(3, barrier.wait)  # fails by timeout unless three batches are encoded at once
    assert len(encode_all(encoder, list(numbered_clips(6).values()))) == 6  # type: ignore[arg-type]


def test_few_clips_are_shared_by_all_lanes() -> None:
    encoder = StubEncoder(2)
    encoder.batch_seconds = 100.0
    with BatchPool(encoder) as pool:  # type: ignore[arg-type]
        assert [len(batch) for batch in pool.encode(numbered_clips(4))] == [2, 2]


def test_a_single_clip_is_encoded_in_the_calling_thread() -> None:
    encoder = StubEncoder(4)
    encode_all(encoder, [np.ones(5_000, np.float32)])  # type: ignore[arg-type]
    assert encoder.callers == {(threading.current_thread().name, torch.get_num_threads())}


@pytest.mark.parametrize(
    ("threads", "clips", "threads_per_lane"), [(2, 9, 1), (7, 9, 1), (9, 9, 2), (24, 30, 3), (16, 2, 8)]
)
def test_lanes_share_all_threads(threads: int, clips: int, threads_per_lane: int) -> None:
    encoder, previous = StubEncoder(threads), torch.get_num_threads()
    try:
        encode_all(encoder, list(numbered_clips(clips).values()))  # type: ignore[arg-type]
        assert encoder.callers == {("lane", threads_per_lane)}
    finally:
        torch.set_num_threads(previous)


def test_a_pool_of_one_lane_fills_the_budget() -> None:
    waveforms = {key: np.zeros(length, np.float32) for key, length in enumerate([10_000, 1_000, 1_000, 1_000])}
    with BatchPool(StubEncoder(1), batch_seconds=3.0) as pool:  # type: ignore[arg-type]
        assert [len(batch) for batch in pool.encode(waveforms)] == [4]


def test_an_error_in_a_lane_is_raised() -> None:
    def fail() -> None:
        raise OSError("no such lane")

    with pytest.raises(OSError, match="no such lane"):
        encode_all(StubEncoder(2, fail), list(numbered_clips(3).values()))  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["hubert-base", "hubert-large", "wavlm-base"])
def test_several_lanes_give_the_vectors_of_one_lane(models: dict[str, Path], model: str) -> None:
    encoder = load_encoder(str(models[model]), EncoderOptions(dtype="float32"))
    encoder.batch_seconds = 0.5
    one_lane, three_lanes = (encode_all(encoder, CLIPS, lanes) for lanes in (1, 3))
    np.testing.assert_allclose(three_lanes, one_lane, atol=1e-5)


def test_the_number_of_threads_is_restored(models: dict[str, Path]) -> None:
    previous = torch.get_num_threads()
    numbers = []
    try:
        torch.set_num_threads(6)
        encode_all(load_encoder(str(models["hubert-base"])), CLIPS)
        later_thread = threading.Thread(target=lambda: numbers.append(torch.get_num_threads()))
        later_thread.start()
        later_thread.join()
        assert [torch.get_num_threads(), *numbers] == [6, 6]
    finally:
        torch.set_num_threads(previous)
