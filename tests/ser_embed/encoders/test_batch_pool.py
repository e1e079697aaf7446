"""Batches encoded side by side."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from ser_embed.encoders.base import EncoderOptions
from ser_embed.encoders.batching import BatchPool, encode_all
from ser_embed.encoders.registry import load_encoder
from tests.ser_embed.conftest import tone

CLIPS = [tone(400 + 777 * (index * 7 % 10)) for index in range(10)]


def counted(clips: int) -> dict[int, np.ndarray]:
    return {row: np.full(1_000 + row, row, np.float32) for row in range(clips)}


class Stub:
    """An encoder that answers with the clip's first sample, calls `wait` before, and notes who asked."""

    batch_seconds = 0.1  # one clip of a thousand samples

    def __init__(self, threads: int, wait: Callable[[], object] = lambda: None) -> None:
        self.threads, self._wait, self.callers = threads, wait, set[tuple[str, int]]()

    def encode(self, waveforms: Sequence[np.ndarray]) -> Callable[[], list[np.ndarray]]:
        self._wait()
        self.callers.add((threading.current_thread().name.partition("_")[0], torch.get_num_threads()))
        return lambda: [waveform[:1] for waveform in waveforms]


@pytest.mark.parametrize("lanes", [1, 2, 5])
@pytest.mark.parametrize("clips", [0, 1, 2, 23])
def test_every_clip_comes_once_and_is_let_go_of(lanes: int, clips: int) -> None:
    waveforms = counted(clips)
    with BatchPool(Stub(lanes)) as open_lanes:  # type: ignore[arg-type]
        batches = list(open_lanes.encode(waveforms))
    found = [(row, float(vector[0])) for batch in batches for row, vector in batch.items()]
    assert sorted(found) == [(row, float(row)) for row in range(clips)]
    assert not waveforms


def test_as_many_batches_as_lanes_are_worked_on_at_once() -> None:
    together = threading.Barrier(3, timeout=20)
    stub = Stub(3, together.wait)  # breaks the barrier unless three are in it
    assert len(encode_all(stub, list(counted(6).values()))) == 6  # type: ignore[arg-type]


def test_few_clips_are_shared_by_all_lanes() -> None:
    stub = Stub(2)
    stub.batch_seconds = 100.0
    with BatchPool(stub) as lanes:  # type: ignore[arg-type]
        assert [len(batch) for batch in lanes.encode(counted(4))] == [2, 2]


def test_one_clip_is_encoded_where_it_was_asked_for() -> None:
    stub = Stub(4)
    encode_all(stub, [np.ones(5_000, np.float32)])  # type: ignore[arg-type]
    assert stub.callers == {(threading.current_thread().name, torch.get_num_threads())}


@pytest.mark.parametrize(("threads", "clips", "each"), [(2, 9, 1), (7, 9, 1), (9, 9, 2), (24, 30, 3), (16, 2, 8)])
def test_lanes_share_all_threads(threads: int, clips: int, each: int) -> None:
    stub, before = Stub(threads), torch.get_num_threads()
    try:
        encode_all(stub, list(counted(clips).values()))  # type: ignore[arg-type]
        assert stub.callers == {("lane", each)}
    finally:
        torch.set_num_threads(before)


def test_one_lane_keeps_the_budget() -> None:
    waveforms = {row: np.zeros(length, np.float32) for row, length in enumerate([10_000, 1_000, 1_000, 1_000])}
    with BatchPool(Stub(1), batch_seconds=3.0) as lanes:  # type: ignore[arg-type]
        assert [len(batch) for batch in lanes.encode(waveforms)] == [4]


def test_what_fails_in_a_lane_is_raised() -> None:
    def fail() -> None:
        raise OSError("no such lane")

    with pytest.raises(OSError, match="no such lane"):
        encode_all(Stub(2, fail), list(counted(3).values()))  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["hubert-base", "hubert-large", "wavlm-base"])
def test_lanes_give_the_vectors_of_one_batch_at_a_time(models: dict[str, Path], model: str) -> None:
    encoder = load_encoder(str(models[model]), EncoderOptions(dtype="float32"))
    encoder.batch_seconds = 0.5
    one, several = (encode_all(encoder, CLIPS, lanes) for lanes in (1, 3))
    np.testing.assert_allclose(several, one, atol=1e-5)


def test_threads_are_given_back(models: dict[str, Path]) -> None:
    before = torch.get_num_threads()
    seen = []
    try:
        torch.set_num_threads(6)
        encode_all(load_encoder(str(models["hubert-base"])), CLIPS)
        later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        later.start()
        later.join()
        assert [torch.get_num_threads(), *seen] == [6, 6]
    finally:
        torch.set_num_threads(before)


def test_feature_sets_take_one_lane() -> None:
    assert load_encoder("mfcc").threads == 1
