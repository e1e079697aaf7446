"""Batches of clips: clips of like length grouped up to an audio budget, and several batches encoded in parallel.

A batch has no padding, so its cost depends only on the audio in it. `BatchPool` encodes several batches at once, each
in a lane: one thread of a pool, with its share of the encoder's threads. At the end the lanes wait for the slowest
one, and other work on the machine can slow any of them. Batches therefore get smaller as fewer clips remain
(guided self-scheduling, Polychronopoulos and Kuck, 1987).
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import numpy as np

from ser_embed.encoders.base import Encoder
from ser_embed.spec import RATE_HZ

MAX_LANES = 8  # with more, the 100 clips of a chunk do not make good batches for all lanes

_LANE_SHARE_DIVISOR = 1.5  # a batch is the remaining audio divided by this and by the number of lanes
_MIN_BUDGET_SHARE = 1 / 4  # in smaller batches, matrix products of few rows cost more than lanes that wait
_BATCHES_PER_LANE = 2  # the batch a lane encodes, and the one it encodes next

BatchResult = Callable[[], list[np.ndarray]]
"""Waits for a batch and returns one vector per clip; see `Encoder.encode`."""


def make_batches(lengths: Sequence[int], budget: int, lanes: int = 1) -> list[list[int]]:
    """Group clips into batches, longest clips first.

    Args:
        lengths: samples of each clip.
        budget: the most samples in a batch; a longer clip is a batch of its own.
        lanes: the number of batches that are encoded at once.

    Returns:
        Positions in `lengths`, each in exactly one batch; the same for the same arguments.

    >>> make_batches([10, 30, 11, 29], budget=60)
    [[1, 3], [2, 0]]
    >>> make_batches([10] * 10, budget=60, lanes=2)
    [[0, 1, 2], [3, 4], [5, 6], [7, 8], [9]]
    """
    remaining = sum(lengths)  # samples that are in no batch yet
    min_size = min(_MIN_BUDGET_SHARE * budget, remaining / lanes)
    batches: list[list[int]] = []
    size, target_size = 0, 0.0  # of the last batch, in samples
    for position in sorted(range(len(lengths)), key=lambda position: (-lengths[position], position)):
        length = lengths[position]
        if not batches or size + length > budget or size + length / 2 > target_size:
            target_size = budget if lanes == 1 else max(remaining / lanes / _LANE_SHARE_DIVISOR, min_size)
            batches.append([])
            size = 0
        batches[-1].append(position)
        size += length
        remaining -= length
    return batches


class BatchPool:
    """Pool of threads that encodes several batches at once. Call `close` after use, or use it in a `with` statement."""

    def __init__(self, encoder: Encoder, batch_seconds: float | None = None, lanes: int | None = None) -> None:
        """Start a pool.

        Args:
            encoder: computes the vectors.
            batch_seconds: seconds of audio in a batch; None for the encoder's choice.
            lanes: the number of batches encoded at once. With None it is one per thread of the encoder; if those are
                more than `MAX_LANES`, one per two threads or more.
        """
        self._encoder = encoder
        self._budget = round((batch_seconds or encoder.batch_seconds) * RATE_HZ)
        self._lanes = lanes or encoder.threads // -(-encoder.threads // MAX_LANES)
        self._pool = ThreadPoolExecutor(self._lanes, "lane")
        self._used = False

    def __enter__(self) -> "BatchPool":
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the pool's threads after their current batches, and restore torch's number of threads."""
        self._pool.shutdown(cancel_futures=True)
        if self._used:
            # torch applies the number that a lane has set to every thread that is started later.
            _set_num_threads(self._encoder.threads)

    def encode(self, waveforms: dict[int, np.ndarray]) -> Iterator[dict[int, np.ndarray]]:
        """Encode clips batch by batch, longest first.

        Args:
            waveforms: float32 (samples,) at 16 kHz each. A clip is removed from this dict once it is encoded, to free
                its memory.

        Yields:
            The vectors of one batch, under the keys of its clips; see `Encoder.encode`.
        """
        keys = list(waveforms)
        lengths = [len(waveforms[key]) for key in keys]
        batches = make_batches(lengths, self._budget, self._lanes)
        lanes = min(self._lanes, len(batches))
        pending: deque[tuple[list[int], BatchResult]] = deque()

        def finish_oldest() -> dict[int, np.ndarray]:
            batch, result = pending.popleft()
            vectors = dict(zip(batch, result(), strict=True))
            for key in batch:
                del waveforms[key]
            return vectors

        for positions in batches:
            batch = [keys[position] for position in positions]
            pending.append((batch, self._start([waveforms[key] for key in batch], lanes)))
            if len(pending) > (_BATCHES_PER_LANE * lanes if lanes > 1 else 1):
                yield finish_oldest()
        while pending:
            yield finish_oldest()

    def _start(self, clips: list[np.ndarray], lanes: int) -> BatchResult:
        """Start encoding a batch: in a thread of the pool, or, with a single lane, here and with all threads."""
        if lanes == 1:
            return self._encoder.encode(clips)
        self._used = True
        return self._pool.submit(_encode_in_lane, self._encoder, clips, max(1, self._encoder.threads // lanes)).result


def encode_all(encoder: Encoder, waveforms: Sequence[np.ndarray], lanes: int | None = None) -> list[np.ndarray]:
    """Encode clips that are already in memory.

    Args:
        encoder: computes the vectors.
        waveforms: float32 (samples,) at 16 kHz each.
        lanes: the number of batches encoded at once; see `BatchPool`.

    Returns:
        The vectors of each clip, in the order of `waveforms`; see `Encoder.encode`.
    """
    vectors: dict[int, np.ndarray] = {}
    with BatchPool(encoder, lanes=lanes) as pool:
        for batch in pool.encode(dict(enumerate(waveforms))):
            vectors.update(batch)
    return [vectors[row] for row in range(len(waveforms))]


def _encode_in_lane(encoder: Encoder, waveforms: list[np.ndarray], threads: int) -> list[np.ndarray]:
    """Encode a batch with so many of torch's threads, in the thread of a lane."""
    _set_num_threads(threads)
    return encoder.encode(waveforms)()


def _set_num_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
