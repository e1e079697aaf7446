"""From settings to what is learnt from: waveforms, who validates, pseudo-labels. Each is kept, and found again."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np

from ser_embed.encoders.speaker_embeddings import speaker_names
from ser_embed.errors import InputError
from ser_embed.pretraining.audio_cache import Waveforms, load_waveforms
from ser_embed.pretraining.batches import Batches, CropConfig
from ser_embed.pretraining.clips import find_clips, split
from ser_embed.pretraining.config import AUTO, PretrainConfig
from ser_embed.pretraining.initialization import takes_saved_targets
from ser_embed.pretraining.pseudo_labels import LabelSets, load_clusterings, load_labels, make_labels, save_labels
from ser_embed.pretraining.targets import DEFAULT, measure, parse_targets
from ser_embed.pretraining.trainer import Data


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What is learnt from.

    Attributes:
        waveforms: all clips.
        sets: their labels.
        speakers: names of the rows of the speaker table, from row 1 on.
        training: clips to learn from.
        held_out: clips that validate.
    """

    waveforms: Waveforms
    sets: LabelSets
    speakers: tuple[str, ...]
    training: np.ndarray
    held_out: np.ndarray

    def data(self, settings: PretrainConfig, normalize: bool) -> Data:
        """Return the batches.

        Raises:
            InputError: no clip is long enough.
        """
        cut = CropConfig(
            batch=settings.batch,
            crop_s=settings.crop_s,
            mask_probability=settings.mask_probability,
            mask_length=settings.mask_length,
            normalize=normalize,
            augment=settings.augment,
            heard=settings.functionals,
            seed=settings.seed,
        )
        place = {name: row for row, name in enumerate(self.speakers, start=1)}
        rows = np.array([place.get(name, 0) for name in self.waveforms.speakers], dtype=np.int64)
        held_out = self.held_out[self.waveforms.frame_counts[self.held_out] >= cut.least_frames]

        def batches(clips: np.ndarray) -> Batches:
            return Batches(self.waveforms, self.sets, rows, clips, cut)

        return Data(batches(self.training), batches(held_out) if len(held_out) else None)


def prepare(settings: PretrainConfig, device: str) -> Prepared:
    """Decode, hold out and label, or find what an earlier call left.

    Raises:
        InputError: the data cannot be worked with.
    """
    clips = find_clips(settings.data)
    waveforms = load_waveforms(settings.data, clips, settings.cache_folder, settings.workers)
    known = np.unique(waveforms.speakers[waveforms.speakers != ""]).tolist()
    if settings.with_speakers and not known:
        raise InputError(f"speaker embeddings need speakers, and nothing in {settings.data} says who speaks")
    hold_out = settings.hold_out
    if hold_out == "auto":
        hold_out = "clips" if settings.with_speakers or len(known) < 2 else "speakers"
    training, held_out = split(waveforms.speakers, hold_out, settings.validation, settings.seed)
    earlier = speaker_names(Path(settings.model or "")) if settings.with_speakers else []
    if settings.speakers_only and not earlier:
        raise InputError(f"expected a model with speaker embeddings in {settings.model}, found none")
    heard = np.unique(waveforms.speakers[training]).tolist()
    new = [name for name in heard if name and name not in earlier] if settings.with_speakers else []
    return Prepared(waveforms, _labels(settings, waveforms, training, device), (*earlier, *new), training, held_out)


def _labels(settings: PretrainConfig, waveforms: Waveforms, training: np.ndarray, device: str) -> LabelSets:
    folder = settings.output / "labels"
    if not folder.exists():
        if takes_saved_targets(settings):
            targets, known = load_clusterings(Path(str(settings.model)))
        else:
            targets, known = parse_targets(DEFAULT if settings.targets == AUTO else settings.targets), ()
        sets = make_labels(waveforms, training.tolist(), targets, known, device, settings.seed)
        if settings.functionals:
            sets = dataclasses.replace(sets, contours=measure(waveforms))
        for left in settings.output.glob(".labels.tmp-*"):
            shutil.rmtree(left)
        save_labels(sets, folder)
    return load_labels(folder)
