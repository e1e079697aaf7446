"""What will be trained on what: the clips that settings choose, how they are parted, and whether that is honest."""

from dataclasses import dataclass, replace

import numpy as np

from ser_embed.errors import InputError
from ser_embed.store.reader import Store
from ser_head.config import TrainConfig
from ser_head.data.dataset import Dataset
from ser_head.data.leakage import Audit, audit, require_disjoint
from ser_head.data.splits import ClipMetadata, Protocol, Split, make_splits
from ser_head.evaluation.groups import with_groups
from ser_head.heads.registry import HEADS


@dataclass(frozen=True)
class Plan:
    """The folds of a run.

    Attributes:
        splits: the folds of the first seed, which the run is judged by.
        others: the folds of the further seeds, by seed.
        audit: what test clips share with clips learned from, in the folds of the first seed.
    """

    splits: list[Split]
    others: dict[int, list[Split]]
    audit: Audit


def choose_clips(store: Store, config: TrainConfig) -> Dataset:
    """Return the clips that settings choose.

    Raises:
        InputError: the store has not what is asked for.
    """
    protocol = Protocol.parse(config.protocol)
    if protocol.kind == "cross" and config.corpus:
        raise InputError(f"{config.protocol} names its corpora itself; leave out --corpus")
    cross = protocol.kind == "cross"
    corpora = (protocol.train, protocol.test) if cross else config.corpus
    return Dataset(
        store,
        config.layer,
        corpora,
        shared=cross,
        frames=HEADS[config.head].takes_frames,
        target=config.target,
        frame_step=config.frame_step,
    )


def make_plan(data: Dataset, config: TrainConfig) -> Plan:
    """Part the clips.

    Raises:
        InputError: they cannot be parted so, a fold could not be learned from, or a protocol that keeps speakers apart
            does not.
    """
    if "papt" in config.personalized and not data.speaker_vectors:
        raise InputError(
            f"--personalized papt needs the vectors of a model pre-trained with --speaker-embeddings, its output among "
            f"the layers; {data.store.path} knows no speakers of it"
        )
    with_groups(data.clips, data.clips, config.by)  # a column that is not there is better missed now
    by_seed = {seed: _splits(data, replace(config, seed=seed)) for seed in config.all_seeds}
    audits = {seed: audit(data.clips, splits) for seed, splits in by_seed.items()}
    for found in audits.values():
        require_disjoint(found, config.protocol)
    return Plan(by_seed.pop(config.seed), by_seed, audits[config.seed])


def _splits(data: Dataset, config: TrainConfig) -> list[Split]:
    clips = ClipMetadata(data.speakers, data.clips["corpus"].to_numpy(object), data.targets)
    try:
        splits = make_splits(Protocol.parse(config.protocol), clips, config.split, config.seed)
    except InputError as error:
        raise InputError(f"{data.store.path}: {error}") from error
    for split in splits:
        missing = set(range(len(data.labels))) - set(data.targets[split.train])
        if missing:
            names = ", ".join(_counted(data, place) for place in sorted(missing))
            raise InputError(
                f"fold {split.fold} of {config.protocol} has no training clip that is {names}; correct the label if "
                "it is a slip, add speakers who have it, or take another --protocol"
            )
        if config.personalized and not np.any(data.speakers[split.train] != ""):
            raise InputError("a personalised head needs to know who speaks, but the training clips name no speaker")
    return splits


def _counted(data: Dataset, place: int) -> str:
    """Return a class with how much of it there is."""
    own = data.targets == place
    return f"{data.labels[place]} (clips in all: {own.sum()}, their speakers: {len(set(data.speakers[own]) - {''})})"
