"""Which crops make a step: every batch follows from the seed and the step's number alone.

So a run that is resumed sees what it would have seen, and batches can be cut ahead in threads. In an epoch every clip
gives as many crops as fit into it. Crops of one batch have one length, that of the shortest clip among them, as in
fairseq: nothing is padded, and clips of like length meet.
"""

import dataclasses
import functools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from ser_embed.audio.augmentation import augment_batch
from ser_embed.errors import InputError
from ser_embed.pretraining.audio_cache import FULL_SCALE, Waveforms
from ser_embed.pretraining.features.frames import HOP, normalized, num_frames, num_samples
from ser_embed.pretraining.features.functionals import functionals
from ser_embed.pretraining.pseudo_labels import LabelSets
from ser_embed.spec import RATE_HZ


def span_mask(rng: np.random.Generator, shape: tuple[int, int], probability: float, length: int) -> np.ndarray:
    """Draw masked spans, as many in every clip of a batch.

    Args:
        rng: where chance comes from.
        shape: clips, frames.
        probability: number of spans times their length, over frames. Spans may overlap, so fewer frames are masked.
        length: frames of a span. In a clip of less than twice that, spans are half the clip.

    Returns:
        bool (clips, frames), True where a frame is hidden.
    """
    clips, frames = shape
    length = max(1, min(length, frames // 2))
    places = frames - length + 1
    spans = min(places, max(1, int(probability * frames / length + rng.random())))
    starts = rng.random((clips, places)).argpartition(spans - 1, axis=1)[:, :spans]  # without a start twice
    hidden = (starts[:, :, np.newaxis] + np.arange(length)).reshape(clips, -1)
    mask = np.zeros(shape, dtype=bool)
    np.put_along_axis(mask, hidden, True, axis=1)
    return mask


_EPOCH, _STEP, _VALIDATION = range(3)  # what a generator is for
_AHEAD = 4  # batches cut while the network works on one


@dataclasses.dataclass(frozen=True)
class Batch:
    """Crops of one length.

    Attributes:
        waveforms: float32 (crops, samples).
        mask: bool (crops, frames), True where a frame is hidden.
        labels: int64 (sets, crops, frames).
        speakers: int64 (crops,), rows of the speaker table; 0 is nobody known.
        heard: bool (crops,), True for a crop of which nothing is hidden, and whose functionals are to be told.
        functionals: float32 (crops, functionals), of every crop; (crops, 0) in runs that have none.
    """

    waveforms: np.ndarray
    mask: np.ndarray
    labels: np.ndarray
    speakers: np.ndarray
    heard: np.ndarray
    functionals: np.ndarray

    def share(self, rank: int, world: int) -> "Batch":
        """Return the crops of one of `world` processes."""
        return self._cut(slice(rank, None, world))

    def parts(self, size: int) -> "Iterator[Batch]":
        """Yield the batch in parts of at most `size` crops."""
        for first in range(0, len(self.waveforms), size):
            yield self._cut(slice(first, first + size))

    def _cut(self, crops: slice) -> "Batch":
        return Batch(
            self.waveforms[crops],
            self.mask[crops],
            self.labels[:, crops],
            self.speakers[crops],
            self.heard[crops],
            self.functionals[crops],
        )


@dataclasses.dataclass(frozen=True)
class CropConfig:
    """How crops are cut and hidden.

    Attributes:
        batch: crops per batch.
        crop_s: their greatest length in seconds.
        mask_probability: masked spans times their length, over frames.
        mask_length: frames of a span.
        normalize: bring each crop to zero mean and unit variance, as the network expects.
        augment: chance of each kind of disturbance.
        heard: share of the crops that are heard whole.
        seed: of everything random.
    """

    batch: int
    crop_s: float
    mask_probability: float
    mask_length: int
    normalize: bool
    augment: float
    heard: float
    seed: int

    @property
    def crop_frames(self) -> int:
        """The greatest number of frames of a crop."""
        return int(num_frames(round(self.crop_s * RATE_HZ)))

    @property
    def least_frames(self) -> int:
        """The number of frames below which a clip is too short to hide a span in."""
        return min(2 * self.mask_length, self.crop_frames)


class Batches:
    """The batches of a training set, by step."""

    def __init__(self, waveforms: Waveforms, sets: LabelSets, speakers: np.ndarray, rows: np.ndarray, cut: CropConfig):
        """Plan batches.

        Args:
            waveforms: all clips.
            sets: their labels, and contours if crops are to be heard whole.
            speakers: int64 (clips,), rows of the speaker table.
            rows: the clips to use. Those too short to hide a span in are left out.
            cut: how crops are cut.

        Raises:
            InputError: no clip is long enough.
        """
        self._samples, self._starts = waveforms.samples, waveforms.starts
        self._frame_starts, self._frame_counts = waveforms.frame_starts, waveforms.frame_counts
        self._labels, self._contours, self._speakers, self._cut = sets.labels, sets.contours, speakers, cut
        self.seed = cut.seed
        self.rows = rows[self._frame_counts[rows] >= cut.least_frames]
        if not len(self.rows):
            least_s = num_samples(cut.least_frames) / RATE_HZ
            raise InputError(f"expected clips of at least {least_s:.2f} s to learn from, found none")
        crops = np.maximum(1, np.rint(self._frame_counts[self.rows] / cut.crop_frames).astype(np.int64))
        self._crops = np.repeat(self.rows, crops)
        self.per_epoch = -(-len(self._crops) // cut.batch)
        self._plan = functools.lru_cache(maxsize=2)(self._plan_epoch)

    def __getitem__(self, step: int) -> Batch:
        """Return the batch of a training step, counted from 0 through all epochs."""
        epoch, position = divmod(step, self.per_epoch)
        rng = np.random.default_rng([self._cut.seed, _STEP, step])
        return self._make(self._plan(epoch)[position], rng, self._cut.augment)

    def held_out(self) -> Iterator[Batch]:
        """Yield every crop once for validation: undisturbed, and the same crops and masks each time."""
        for index, rows in enumerate(self._plan(0)):
            yield self._make(rows, np.random.default_rng([self._cut.seed, _VALIDATION, index]), 0.0)

    def ahead(self, first: int, last: int, workers: int) -> Iterator[Batch]:
        """Yield the batches of steps `first` to `last` - 1, cut in threads ahead of use."""
        with ThreadPoolExecutor(workers, thread_name_prefix="cut") as pool:
            waiting: deque[Future[Batch]] = deque()
            for step in range(first, last):
                waiting.append(pool.submit(self.__getitem__, step))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _plan_epoch(self, epoch: int) -> list[np.ndarray]:
        """Return the clips of each batch: chance decides which, like lengths together, batches in any order."""
        rng = np.random.default_rng([self._cut.seed, _EPOCH, epoch])
        crops = rng.permutation(self._crops)
        lengths = np.minimum(self._frame_counts[crops], self._cut.crop_frames)
        crops = crops[lengths.argsort(kind="stable")]
        batches = np.array_split(crops, range(self._cut.batch, len(crops), self._cut.batch))
        return [batches[index] for index in rng.permutation(len(batches))]

    def _make(self, rows: np.ndarray, rng: np.random.Generator, augment: float) -> Batch:
        counts = self._frame_counts[rows]
        frames = int(min(counts.min(), self._cut.crop_frames))
        firsts = rng.integers(0, counts - frames + 1)  # in frames, so that labels are cut alike
        samples = (self._starts[rows] + firsts * HOP)[:, np.newaxis] + np.arange(num_samples(frames))
        waveforms = self._samples[samples].astype(np.float32) / np.float32(FULL_SCALE)
        if augment:
            waveforms = augment_batch(rng, waveforms, augment)
        if self._cut.normalize:
            waveforms = normalized(waveforms)
        at = (self._frame_starts[rows] + firsts)[:, np.newaxis] + np.arange(frames)
        mask = span_mask(rng, (len(rows), frames), self._cut.mask_probability, self._cut.mask_length)
        heard = np.zeros(len(rows), dtype=bool)
        told = np.zeros((len(rows), 0), dtype=np.float32)
        if self._contours is not None:
            heard[rng.permutation(len(rows))[: round(self._cut.heard * len(rows))]] = True
            mask[heard] = False
            told = functionals(self._contours[at])
        return Batch(waveforms, mask, self._labels[:, at].astype(np.int64), self._speakers[rows], heard, told)
