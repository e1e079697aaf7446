"""Data of a pre-training: decoded waveforms, pseudo-labels, and the split into training and held-out clips.

Waveforms and labels are saved in the run's folder, and read from it when the run is resumed.
"""

import dataclasses
from pathlib import Path

import numpy as np

from ser_embed.encoders.speaker_embeddings import speaker_names
from ser_embed.errors import InputError
from ser_embed.pretraining.audio_cache import Waveforms, load_waveforms
from ser_embed.pretraining.batches import Batches, CropConfig
from ser_embed.pretraining.clips import find_clips, split_clips
from ser_embed.pretraining.config import AUTO, PretrainConfig
from ser_embed.pretraining.initialization import takes_saved_targets
from ser_embed.pretraining.pseudo_labels import LabelSets, load_clusterings, load_labels, make_labels, save_labels
from ser_embed.pretraining.targets import DEFAULT_TARGETS, all_clip_contours, parse_targets
from ser_embed.pretraining.trainer import BatchSplit


@dataclasses.dataclass(frozen=True)
class PreparedData:
    """Clips, labels and speakers of a pre-training.

    Attributes:
        waveforms: all clips.
        sets: their labels.
        speakers: names of the rows of the speaker table, from row 1 on.
        training: clips to train on, int64 (training clips,).
        held_out: clips for validation, int64 (held-out clips,).
    """

    waveforms: Waveforms
    sets: LabelSets
    speakers: tuple[str, ...]
    training: np.ndarray
    held_out: np.ndarray

    def batches(self, config: PretrainConfig, normalize: bool) -> BatchSplit:
        """Return the batches of the training clips and of the held-out clips.

        Args:
            config: the settings of crops, masks and augmentation.
            normalize: whether to scale crops to zero mean and unit variance.

        Raises:
            InputError: no training clip is long enough.
        """
        crop_config = CropConfig(
            batch=config.batch,
            crop_s=config.crop_s,
            mask_probability=config.mask_probability,
            mask_length=config.mask_length,
            normalize=normalize,
            augment=config.augment,
            unmasked_share=config.functionals,
            seed=config.seed,
        )
        row_of = {name: row for row, name in enumerate(self.speakers, start=1)}
        speaker_rows = np.array([row_of.get(name, 0) for name in self.waveforms.speakers], dtype=np.int64)
        held_out = self.held_out[self.waveforms.frame_counts[self.held_out] >= crop_config.min_frames]

        def batches_of(clips: np.ndarray) -> Batches:
            return Batches(self.waveforms, self.sets, speaker_rows, clips, crop_config)

        return BatchSplit(batches_of(self.training), batches_of(held_out) if len(held_out) else None)


def prepare(config: PretrainConfig, device: str) -> PreparedData:
    """Decode, split and label the clips, or read what an earlier call saved.

    Args:
        config: the settings of the pre-training.
        device: the torch device for the network of a layer target.

    Returns:
        The data. With speaker embeddings, rows of the model continued from come before those of new speakers.

    Raises:
        InputError: the data folder or the model continued from does not fit the settings.
    """
    clips = find_clips(config.data)
    waveforms = load_waveforms(config.data, clips, config.cache_folder, config.workers)
    num_speakers = len(np.unique(waveforms.speakers[waveforms.speakers != ""]))
    if config.with_speakers and not num_speakers:
        raise InputError(
            f"speaker embeddings need speakers, but the speakers of the clips in {config.data} are unknown"
        )
    hold_out = config.hold_out
    if hold_out == "auto":
        hold_out = "clips" if config.with_speakers or num_speakers < 2 else "speakers"
    training, held_out = split_clips(waveforms.speakers, hold_out, config.validation, config.seed)
    saved_speakers = speaker_names(Path(config.model or "")) if config.with_speakers else []
    if config.speakers_only and not saved_speakers:
        raise InputError(f"expected a model with speaker embeddings in {config.model}, found none")
    training_speakers = np.unique(waveforms.speakers[training]).tolist() if config.with_speakers else []
    new_speakers = [name for name in training_speakers if name and name not in saved_speakers]
    sets = _load_or_make_labels(config, waveforms, training, device)
    return PreparedData(waveforms, sets, (*saved_speakers, *new_speakers), training, held_out)


def _load_or_make_labels(config: PretrainConfig, waveforms: Waveforms, training: np.ndarray, device: str) -> LabelSets:
    folder = config.output / "labels"
    if not folder.exists():
        if takes_saved_targets(config):
            targets, clusterings = load_clusterings(Path(str(config.model)))
        else:
            targets, clusterings = parse_targets(DEFAULT_TARGETS if config.targets == AUTO else config.targets), ()
        sets = make_labels(waveforms, training.tolist(), targets, clusterings, device, config.seed)
        if config.functionals:
            sets = dataclasses.replace(sets, contours=all_clip_contours(waveforms))
        save_labels(sets, folder)
    return load_labels(folder)
