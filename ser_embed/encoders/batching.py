"""Which clips are encoded together: neighbours in length, as many as a budget of audio allows.

A batch has no padding, so it costs what its clips last. Lanes work on several batches at once and wait for each other
at the end, some slowed by what else the machine does; so batches shrink as the clips run out (guided self-scheduling,
Polychronopoulos and Kuck, 1987).
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import numpy as np

from ser_embed.encoders.base import Encoder
from ser_embed.spec import RATE_HZ

_HASTE = 1.5  # a batch is the audio left over this and the number of lanes
_SMALLEST = 1 / 4  # of the budget: below it, matrix products of few rows cost more than waiting does


def make_batches(lengths: Sequence[int], budget: int, lanes: int = 1) -> list[list[int]]:
    """Group clips into batches, longest clips first.

    Args:
        lengths: samples of each clip.
        budget: samples a batch may have; a longer clip is a batch alone.
        lanes: how many batches are worked on at once.

    Returns:
        Positions in `lengths`, each in exactly one batch; the same for the same arguments.

    >>> make_batches([10, 30, 11, 29], budget=60)
    [[1, 3], [2, 0]]
    >>> make_batches([10] * 10, budget=60, lanes=2)
    [[0, 1, 2], [3, 4], [5, 6], [7, 8], [9]]
    """
    left = sum(lengths)  # samples that are in no batch yet
    least = min(_SMALLEST * budget, left / lanes)
    batches: list[list[int]] = []
    filled, share = 0, 0.0  # of the last batch: samples it has, and samples it should have
    for position in sorted(range(len(lengths)), key=lambda position: (-lengths[position], position)):
        length = lengths[position]
        if not batches or filled + length > budget or filled + length / 2 > share:
            share = budget if lanes == 1 else max(left / lanes / _HASTE, least)
            batches.append([])
            filled = 0
        batches[-1].append(position)
        filled += length
        left -= length
    return batches


Result = Callable[[], list[np.ndarray]]

MOST_LANES = 8  # beyond which the 100 clips of a chunk make no good batches for all
_QUEUED = 2  # batches per lane: the one it works on, and the one it goes on with


class BatchPool:
    """An encoder at work on several batches at once. To be closed, or used in a `with` statement."""

    def __init__(self, encoder: Encoder, batch_seconds: float | None = None, lanes: int | None = None) -> None:
        """Open lanes.

        Args:
            encoder: what makes the vectors.
            batch_seconds: audio in a batch; None lets the encoder choose.
            lanes: how many; None for one per thread of the encoder's, or per two or more where those are many.
        """
        self._encoder = encoder
        self._budget = round((batch_seconds or encoder.batch_seconds) * RATE_HZ)
        self._lanes = lanes or encoder.threads // -(-encoder.threads // MOST_LANES)
        self._pool = ThreadPoolExecutor(self._lanes, "lane")
        self._used = False

    def __enter__(self) -> "BatchPool":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the lanes' threads, after the batches they are at."""
        self._pool.shutdown(cancel_futures=True)
        if self._used:
            _set_num_threads(self._encoder.threads)  # a lane's choice is torch's for threads begun later, too

    def encode(self, waveforms: dict[int, np.ndarray]) -> Iterator[dict[int, np.ndarray]]:
        """Encode clips batch by batch, longest first.

        Args:
            waveforms: float32 (samples,) at 16 kHz each. A clip is taken out once its vector has been handed on.

        Yields:
            The vectors of a batch, under their clips' keys; see `Encoder.encode`.
        """
        keys = list(waveforms)
        lengths = [len(waveforms[key]) for key in keys]
        batches = make_batches(lengths, self._budget, self._lanes)
        lanes = min(self._lanes, len(batches))
        at_work: deque[tuple[list[int], Result]] = deque()

        def start(clips: list[np.ndarray]) -> Result:
            if lanes == 1:  # a single clip has all threads for itself
                return self._encoder.encode(clips)
            self._used = True
            return self._pool.submit(_encode, self._encoder, clips, max(1, self._encoder.threads // lanes)).result

        def fetch() -> dict[int, np.ndarray]:
            batch, result = at_work.popleft()
            vectors = dict(zip(batch, result(), strict=True))
            for key in batch:
                del waveforms[key]
            return vectors

        for positions in batches:
            batch = [keys[position] for position in positions]
            at_work.append((batch, start([waveforms[key] for key in batch])))
            if len(at_work) > (_QUEUED * lanes if lanes > 1 else 1):
                yield fetch()
        while at_work:
            yield fetch()


def encode_all(encoder: Encoder, waveforms: Sequence[np.ndarray], lanes: int | None = None) -> list[np.ndarray]:
    """Encode clips that are in memory already; see `Encoder.encode`, and `BatchPool` for `lanes`."""
    vectors: dict[int, np.ndarray] = {}
    with BatchPool(encoder, lanes=lanes) as opened:
        for batch in opened.encode(dict(enumerate(waveforms))):
            vectors.update(batch)
    return [vectors[row] for row in range(len(waveforms))]


def _encode(encoder: Encoder, waveforms: list[np.ndarray], threads: int) -> list[np.ndarray]:
    """Encode a batch in a lane's thread, on so many threads."""
    _set_num_threads(threads)
    return encoder.encode(waveforms)()


def _set_num_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
