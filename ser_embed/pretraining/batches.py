"""Batches of masked crops: the batch of a step follows from the seed and the number of the step alone.

A run that is resumed therefore trains on the same batches as one that was not stopped, and threads can prepare batches
in advance. In an epoch every clip gives as many crops as fit into it. All crops of a batch have the same length, that
of the shortest clip among them, as in fairseq: nothing is padded, and clips of similar length share a batch.
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
from ser_embed.pretraining.features.functionals import compute_functionals
from ser_embed.pretraining.pseudo_labels import LabelSets
from ser_embed.spec import RATE_HZ

_EPOCH, _STEP, _VALIDATION = range(3)  # purposes of a random generator, part of its seed
_PREFETCHED = 4  # batches prepared while the network trains on one


@dataclasses.dataclass(frozen=True)
class Batch:
    """Crops of one length.

    Attributes:
        waveforms: float32 (crops, samples).
        mask: bool (crops, frames), True where a frame is masked.
        labels: int64 (sets, crops, frames).
        speakers: int64 (crops,), rows of the speaker table; 0 is an unknown speaker.
        unmasked: bool (crops,), True for a crop without any masked frame, whose functionals are to be predicted.
        functionals: float32 (crops, functionals), of every crop; (crops, 0) in runs without functionals.
    """

    waveforms: np.ndarray
    mask: np.ndarray
    labels: np.ndarray
    speakers: np.ndarray
    unmasked: np.ndarray
    functionals: np.ndarray

    def share(self, rank: int, world_size: int) -> "Batch":
        """Return the crops for process `rank` of `world_size` processes."""
        return self._select(slice(rank, None, world_size))

    def parts(self, size: int) -> "Iterator[Batch]":
        """Yield the batch in parts of at most `size` crops."""
        for first in range(0, len(self.waveforms), size):
            yield self._select(slice(first, first + size))

    def _select(self, crops: slice) -> "Batch":
        return Batch(
            self.waveforms[crops],
            self.mask[crops],
            self.labels[:, crops],
            self.speakers[crops],
            self.unmasked[crops],
            self.functionals[crops],
        )


@dataclasses.dataclass(frozen=True)
class CropConfig:
    """Parameters of cropping and masking.

    Attributes:
        batch: crops per batch.
        crop_s: maximum length of a crop in seconds.
        mask_probability: number of masked spans times their length, divided by the number of frames.
        mask_length: frames of a masked span.
        normalize: whether to scale each crop to zero mean and unit variance, as the network expects.
        augment: probability of each kind of disturbance.
        unmasked_share: share of the crops that are left unmasked, in runs with functionals.
        seed: seed of all random choices.
    """

    batch: int
    crop_s: float
    mask_probability: float
    mask_length: int
    normalize: bool
    augment: float
    unmasked_share: float
    seed: int

    @property
    def crop_frames(self) -> int:
        """Maximum number of frames of a crop."""
        return int(num_frames(round(self.crop_s * RATE_HZ)))

    @property
    def min_frames(self) -> int:
        """Minimum number of frames of a clip; in a shorter one no span can be masked."""
        return min(2 * self.mask_length, self.crop_frames)


class Batches:
    """Batches of a set of clips, by step.

    Attributes:
        rows: the clips that are long enough to be used, int64 (clips used,).
        per_epoch: batches per epoch.
        seed: seed of all random choices.
    """

    def __init__(
        self, waveforms: Waveforms, sets: LabelSets, speakers: np.ndarray, rows: np.ndarray, crop_config: CropConfig
    ):
        """Prepare to make batches.

        Args:
            waveforms: all clips.
            sets: their labels, and their contours if crops are to be left unmasked.
            speakers: int64 (clips,), rows of the speaker table.
            rows: the clips to use. Those too short to mask a span in are left out.
            crop_config: parameters of cropping and masking.

        Raises:
            InputError: no clip is long enough.
        """
        self._samples, self._starts = waveforms.samples, waveforms.starts
        self._frame_starts, self._frame_counts = waveforms.frame_starts, waveforms.frame_counts
        self._labels, self._contours, self._speakers = sets.labels, sets.contours, speakers
        self._crop_config = crop_config
        self.seed = crop_config.seed
        self.rows = rows[self._frame_counts[rows] >= crop_config.min_frames]
        if not len(self.rows):
            min_s = num_samples(crop_config.min_frames) / RATE_HZ
            raise InputError(f"expected clips of at least {min_s:.2f} s to learn from, found none")
        crop_counts = np.maximum(1, np.rint(self._frame_counts[self.rows] / crop_config.crop_frames).astype(np.int64))
        self._crop_rows = np.repeat(self.rows, crop_counts)  # the clip of each crop of an epoch
        self.per_epoch = -(-len(self._crop_rows) // crop_config.batch)
        self._plan = functools.lru_cache(maxsize=2)(self._plan_epoch)

    def __getitem__(self, step: int) -> Batch:
        """Return the batch of a training step, counted from 0 through all epochs."""
        epoch, index = divmod(step, self.per_epoch)
        rng = np.random.default_rng([self._crop_config.seed, _STEP, step])
        return self._make_batch(self._plan(epoch)[index], rng, self._crop_config.augment)

    def prefetch(self, first: int, last: int, workers: int) -> Iterator[Batch]:
        """Yield the batches of steps `first` to `last` - 1, prepared by threads before they are needed.

        Args:
            first: the first step.
            last: the step after the last one.
            workers: threads.
        """
        with ThreadPoolExecutor(workers, thread_name_prefix="cut") as pool:
            pending: deque[Future[Batch]] = deque()
            for step in range(first, last):
                pending.append(pool.submit(self.__getitem__, step))
                if len(pending) > _PREFETCHED:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def validation_batches(self) -> Iterator[Batch]:
        """Yield every crop once, without augmentation, and with the same crops and masks at every call."""
        for index, rows in enumerate(self._plan(0)):
            yield self._make_batch(rows, np.random.default_rng([self._crop_config.seed, _VALIDATION, index]), 0.0)

    def _plan_epoch(self, epoch: int) -> list[np.ndarray]:
        """Return the clips of each batch: drawn at random, sorted by length into batches, batches in random order."""
        rng = np.random.default_rng([self._crop_config.seed, _EPOCH, epoch])
        rows = rng.permutation(self._crop_rows)
        lengths = np.minimum(self._frame_counts[rows], self._crop_config.crop_frames)
        rows = rows[lengths.argsort(kind="stable")]
        batches = np.array_split(rows, range(self._crop_config.batch, len(rows), self._crop_config.batch))
        return [batches[index] for index in rng.permutation(len(batches))]

    def _make_batch(self, rows: np.ndarray, rng: np.random.Generator, augment: float) -> Batch:
        """Crop, augment and mask one crop of each of `rows`."""
        config = self._crop_config
        frame_counts = self._frame_counts[rows]
        num_crop_frames = int(min(frame_counts.min(), config.crop_frames))
        first_frames = rng.integers(0, frame_counts - num_crop_frames + 1)  # whole frames, to align crops with labels
        first_samples = self._starts[rows] + first_frames * HOP
        samples = first_samples[:, np.newaxis] + np.arange(num_samples(num_crop_frames))  # (crops, samples)
        waveforms = self._samples[samples].astype(np.float32) / np.float32(FULL_SCALE)
        if augment:
            waveforms = augment_batch(rng, waveforms, augment)
        if config.normalize:
            waveforms = normalized(waveforms)
        frames = (self._frame_starts[rows] + first_frames)[:, np.newaxis] + np.arange(num_crop_frames)
        mask = span_mask(rng, (len(rows), num_crop_frames), config.mask_probability, config.mask_length)
        unmasked = np.zeros(len(rows), dtype=bool)
        functionals = np.zeros((len(rows), 0), dtype=np.float32)
        if self._contours is not None:
            unmasked[rng.permutation(len(rows))[: round(config.unmasked_share * len(rows))]] = True
            mask[unmasked] = False
            functionals = compute_functionals(self._contours[frames])
        labels = self._labels[:, frames].astype(np.int64)
        return Batch(waveforms, mask, labels, self._speakers[rows], unmasked, functionals)


def span_mask(rng: np.random.Generator, shape: tuple[int, int], probability: float, length: int) -> np.ndarray:
    """Draw masked spans, the same number in every crop of a batch.

    Args:
        rng: the random generator.
        shape: crops, frames.
        probability: number of spans times their length, divided by the number of frames. Spans may overlap, so the
            share of masked frames is smaller.
        length: frames of a span. In a crop of less than twice that, spans are half the crop.

    Returns:
        bool (crops, frames), True where a frame is masked.
    """
    crops, frames = shape
    length = max(1, min(length, frames // 2))
    positions = frames - length + 1  # where a span can start
    spans = min(positions, max(1, int(probability * frames / length + rng.random())))
    starts = rng.random((crops, positions)).argpartition(spans - 1, axis=1)[:, :spans]  # all different in a crop
    masked_frames = (starts[:, :, np.newaxis] + np.arange(length)).reshape(crops, -1)
    mask = np.zeros(shape, dtype=bool)
    np.put_along_axis(mask, masked_frames, True, axis=1)
    return mask
