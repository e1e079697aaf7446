"""Training plan: the clips a config chooses, how they are split, and whether that is honest.

Recordings are split; the augmented copies of those trained on are trained on too, the others are not used.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ser_embed.errors import InputError
from ser_embed.store.reader import Store
from ser_head.config.experiment import ExperimentConfig
from ser_head.data.dataset import Dataset
from ser_head.data.encoder_leakage import require_untrained
from ser_head.data.leakage import Audit, audit, require_disjoint
from ser_head.data.splits import ClipMetadata, Protocol, Split, make_splits
from ser_head.evaluation.groups import with_groups
from ser_head.heads.registry import HEADS
from ser_head.personalization.methods import METHODS

logger = logging.getLogger(__name__)

STORES = Path("embeddings")


@dataclass(frozen=True)
class Plan:
    """The folds of a run.

    Attributes:
        splits: the folds of the first seed, by which the run is judged.
        other_splits: the folds of further seeds, by seed.
        audit: what test clips share with clips learned from, in the folds of the first seed.
    """

    splits: list[Split]
    other_splits: dict[int, list[Split]]
    audit: Audit


def find_store(folder: Path | None = None) -> Path:
    """Return the only store in a folder.

    Args:
        folder: where to look; None for `STORES`.

    Raises:
        InputError: there is none, or there are several.
    """
    folder = STORES if folder is None else folder
    stores: Sequence[Path] = sorted(folder.glob("*.h5"))
    if len(stores) == 1:
        return stores[0]
    if stores:
        names = ", ".join(path.name for path in stores)
        raise InputError(f"expected one store in {folder}/, found {names}; choose with --store")
    raise InputError(f"no store in {folder}/; make one with: python -m ser_embed.extract --model NAME")


def choose_clips(store: Store, config: ExperimentConfig) -> Dataset:
    """Return the clips that a config chooses.

    Raises:
        InputError: the store lacks what is asked for.
    """
    protocol = Protocol.parse(config.protocol)
    if protocol.corpora and config.corpus:
        raise InputError(f"{config.protocol} names its corpora itself; leave out --corpus")
    return Dataset(
        store,
        config.layer,
        protocol.corpora or config.corpus,
        shared=bool(protocol.corpora),
        frames=HEADS[config.head].takes_frames,
        target=config.target,
        frame_step=config.frame_step,
    )


def make_plan(data: Dataset, config: ExperimentConfig) -> Plan:
    """Split the clips, and audit the splits.

    Raises:
        InputError: the clips cannot be split so, a fold could not be learned from, or a protocol that keeps speakers
            apart does not, or the encoder was fine-tuned on what would be tested.
    """
    for name in config.personalized:
        if METHODS[name].uses_pretraining and not data.speaker_vectors:
            raise InputError(
                f"--personalized {name} needs the vectors of a model pre-trained with --speaker-embeddings, its output "
                f"among the layers; {data.store.path} knows no speakers of it"
            )
    if data.left_out:
        logger.warning(
            "%d augmented copies are left out: their recording is not among the clips, such as that of %s",
            len(data.left_out),
            data.left_out[0],
        )
    with_groups(data.clips, data.clips, config.by)  # a missing column is told before the training
    splits = {seed: _splits(data, config.replaced(seed=seed)) for seed in config.all_seeds}
    training_clips = data.store.training_clips
    audits = {seed: audit(data.clips, seed_splits, training_clips) for seed, seed_splits in splits.items()}
    for seed_audit in audits.values():
        require_disjoint(seed_audit, config.protocol)
        require_untrained(seed_audit.encoder, config.protocol, data.store.path)
    _warn_of_validation(data, audits[config.seed])
    return Plan(splits.pop(config.seed), splits, audits[config.seed])


def _warn_of_validation(data: Dataset, plan_audit: Audit) -> None:
    """Warn if the encoder was fine-tuned on clips, or speakers, by which epoch and temperature are chosen."""
    if plan_audit.encoder is not None and plan_audit.encoder.validation:
        logger.warning(
            "the encoder of %s was fine-tuned on %d of the validation clips, or on their speakers: epoch and "
            "temperature are chosen on what it has learned; the test is not concerned",
            data.store.path,
            plan_audit.encoder.validation,
        )


def _splits(data: Dataset, config: ExperimentConfig) -> list[Split]:
    recordings = data.without_copies(np.arange(len(data)))
    clips = ClipMetadata(data.speakers[recordings], data.corpora[recordings], data.targets[recordings])
    try:
        splits = make_splits(Protocol.parse(config.protocol), clips, config.split, config.seed)
        splits = [_with_training_copies(split, data, recordings) for split in splits]
    except InputError as error:
        raise InputError(f"{data.store.path}: {error}") from error
    for split in splits:
        missing = set(range(len(data.labels))) - set(data.targets[split.train])
        if missing:
            names = ", ".join(_class_size(data, target) for target in sorted(missing))
            raise InputError(
                f"fold {split.fold} of {config.protocol} has no training clip that is {names}; correct the label if "
                "it is a slip, add speakers who have it, or take another --protocol"
            )
        if config.personalized and not np.any(data.speakers[split.train] != ""):
            raise InputError("a personalised head needs to know who speaks, but the training clips name no speaker")
    return splits


def _with_training_copies(split: Split, data: Dataset, recordings: np.ndarray) -> Split:
    """Return a split of the recordings as one of the dataset, with the copies of training clips.

    Args:
        split: positions among the recordings.
        data: the clips, recordings and copies.
        recordings: position of each recording in the dataset.
    """
    train = data.with_copies(recordings[split.train])
    return Split(split.fold, train, recordings[split.validation], recordings[split.test])


def _class_size(data: Dataset, target: int) -> str:
    """Return a class with its numbers of clips and speakers."""
    clips = (data.targets == target) & (data.recordings == np.arange(len(data)))
    num_speakers = len(set(data.speakers[clips]) - {""})
    return f"{data.labels[target]} (clips in all: {clips.sum()}, their speakers: {num_speakers})"
