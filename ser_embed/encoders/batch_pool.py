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

from ser_embed.encoders import Encoder
from ser_embed.encoders.batching import make_batches
from ser_embed.spec import RATE_HZ

Result = Callable[[], list[np.ndarray]]

MOST_LANES = 8  # beyond which the 100 clips of a chunk make no good batches for all
_QUEUED = 2  # batches per lane: the one it works on, and the one it goes on with


class Lanes:
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

    def __enter__(self) -> "Lanes":
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
    """Encode clips that are in memory already; see `Encoder.encode`, and `Lanes` for `lanes`."""
    vectors: dict[int, np.ndarray] = {}
    with Lanes(encoder, lanes=lanes) as opened:
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
