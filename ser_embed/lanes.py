"""Batches side by side: on a processor, every lane has threads of its own.

Threads that share one batch wait for each other at the end of every operation, thousands of times a second, and all of
them for the one that another program holds up. Lanes meet only where a chunk ends. What that buys is measured by
`benchmarks/throughput.py`. An accelerator has one lane, and works on a batch while Python prepares the next.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import numpy as np

from ser_embed.batching import make_batches
from ser_embed.encoders import Encoder
from ser_embed.spec import RATE_HZ

Result = Callable[[], list[np.ndarray]]

_QUEUED = 2  # batches per lane: the one it works on, and the one it goes on with


class Lanes:
    """An encoder at work on several batches at once. To be closed, or used in a `with` statement."""

    def __init__(self, encoder: Encoder, batch_seconds: float | None = None) -> None:
        """Open as many lanes as the encoder wants.

        Args:
            encoder: what makes the vectors.
            batch_seconds: audio in a batch; None lets the encoder choose.
        """
        self._encoder, self._lanes = encoder, encoder.lanes
        self._budget = round((batch_seconds or encoder.batch_seconds) * RATE_HZ)
        self._threads = _num_threads() if self._lanes > 1 else 1
        each = max(1, self._threads // self._lanes)
        self._pool = ThreadPoolExecutor(self._lanes, "lane", _set_num_threads, (each,))

    def __enter__(self) -> "Lanes":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the lanes' threads, after the batches they are at."""
        self._pool.shutdown(cancel_futures=True)
        if self._lanes > 1:
            _set_num_threads(self._threads)  # what a lane chooses for itself, torch keeps for threads begun later

    def encode(self, waveforms: dict[int, np.ndarray]) -> Iterator[dict[int, np.ndarray]]:
        """Encode clips batch by batch, longest first.

        Args:
            waveforms: float32 (samples,) at 16 kHz each. A clip is taken out once its vector has been handed on.

        Yields:
            The vectors of a batch, under their clips' keys; see `Encoder.encode`.
        """
        keys = list(waveforms)
        lengths = [len(waveforms[key]) for key in keys]
        # Where clips are few, no lane is left without; half a clip makes up for lengths that differ.
        share = sum(lengths) // self._lanes + max(lengths, default=0) // 2
        batches = make_batches(lengths, min(self._budget, share))
        alone = self._lanes == 1 or len(batches) == 1  # a single clip has all threads for itself
        start, most = (self._encoder.encode, 1) if alone else (self._on_a_lane, _QUEUED * self._lanes)
        at_work: deque[tuple[list[int], Result]] = deque()

        def fetch() -> dict[int, np.ndarray]:
            batch, result = at_work.popleft()
            vectors = dict(zip(batch, result(), strict=True))
            for key in batch:
                del waveforms[key]
            return vectors

        for positions in batches:
            batch = [keys[position] for position in positions]
            at_work.append((batch, start([waveforms[key] for key in batch])))
            if len(at_work) > most:
                yield fetch()
        while at_work:
            yield fetch()

    def _on_a_lane(self, waveforms: Sequence[np.ndarray]) -> Result:
        return self._pool.submit(lambda: self._encoder.encode(waveforms)()).result


def encode_all(encoder: Encoder, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Encode clips that are in memory already; see `Encoder.encode`."""
    vectors: dict[int, np.ndarray] = {}
    with Lanes(encoder) as lanes:
        for batch in lanes.encode(dict(enumerate(waveforms))):
            vectors.update(batch)
    return [vectors[row] for row in range(len(waveforms))]


def _num_threads() -> int:
    import torch

    return torch.get_num_threads()


def _set_num_threads(threads: int) -> None:
    """Choose how many threads the calling thread's operations are shared by."""
    import torch

    torch.set_num_threads(threads)
