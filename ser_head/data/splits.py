"""Protocols: which clips train, which choose the epoch, which are scored.

A split holds positions in the dataset. All protocols but `random` part speakers, never clips, and every random choice
comes from a seed. Speakers are ordered as people count (2 before 10), so that blocks are those of the literature:
18 or 19 CREMA-D speakers in five folds, RAVDESS actors 1-4, 5-8, ... in six.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ser_embed.errors import InputError

# Folds in which each corpus is usually scored (EmoBox for CREMA-D and RAVDESS; EmoDB: one speaker each).
USUAL_FOLDS = {"crema-d": 5, "ravdess": 6, "emodb": 10}
_FEWEST_SPEAKERS = 3  # one to train on, one to choose the epoch by, one to score
_WAY_OUT = "--protocol random parts clips instead, with speakers shared"


@dataclass(frozen=True)
class Protocol:
    """How clips are parted.

    Attributes:
        kind: "speaker", "random", "kfold", "loso" or "cross".
        folds: number of folds of "kfold"; None for the corpus's usual one.
        train: corpus "cross" trains on.
        test: corpus "cross" scores.
    """

    kind: str
    folds: int | None = None
    train: str = ""
    test: str = ""

    @classmethod
    def parse(cls, text: str) -> "Protocol":
        """Read a protocol as written on the command line.

        >>> Protocol.parse("kfold:6").folds
        6

        Raises:
            InputError: it is none of the protocols.
        """
        if text in ("speaker", "random", "kfold", "loso"):
            return cls(text)
        if found := re.fullmatch(r"kfold:(\d+)", text):
            if int(found[1]) < _FEWEST_SPEAKERS:
                raise InputError(f"kfold needs at least {_FEWEST_SPEAKERS} folds, not {found[1]}: two are held out")
            return cls("kfold", folds=int(found[1]))
        if found := re.fullmatch(r"cross:([^:]+):([^:]+)", text):
            if found[1] == found[2]:
                raise InputError(f"cross needs two corpora, but {text!r} names one twice")
            return cls("cross", train=found[1], test=found[2])
        raise InputError(f"protocol has to be speaker, random, kfold, kfold:N, loso or cross:TRAIN:TEST, not {text!r}")


@dataclass(frozen=True)
class Split:
    """One fold: positions in the dataset, ascending, int64, no clip in two parts."""

    fold: int
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class ClipMetadata:
    """What splitting needs to know of each clip, as arrays of one length.

    Attributes:
        speakers: speaker, "" where the corpus names none.
        corpora: corpus.
        targets: class, int.
    """

    speakers: np.ndarray
    corpora: np.ndarray
    targets: np.ndarray


def make_splits(protocol: Protocol, clips: ClipMetadata, shares: Sequence[float], seed: int) -> list[Split]:
    """Part clips into training, validation and test.

    Args:
        protocol: how.
        clips: the clips.
        shares: of training, validation and test, for the protocols with one fold.
        seed: draws what is random.

    Returns:
        One split, or one per fold; over all folds every clip is tested exactly once, and with "cross" every clip of
        the test corpus.

    Raises:
        InputError: the clips cannot be parted so.
    """
    random = np.random.default_rng(seed)
    if protocol.kind == "random":
        order = _interleaved(clips.targets, random)
        return [Split(1, *(np.sort(part) for part in _cut(order, shares, "clips")))]
    _require_speakers(clips)
    if protocol.kind == "speaker":
        parts = _speaker_parts(clips, np.ones(len(clips.speakers), bool), shares, random)
        return [Split(1, *parts)]
    if protocol.kind == "cross":
        return [_cross(protocol, clips, shares, random)]
    blocks = _loso_blocks(clips) if protocol.kind == "loso" else _speaker_blocks(clips, _num_folds(protocol, clips))
    return [_fold(clips, blocks, fold) for fold in range(len(blocks))]


def are_disjoint(splits: Sequence[Split], speakers: np.ndarray) -> bool:
    """Tell whether no split has a speaker on both sides of training (or validation) and test.

    A clip whose speaker is unknown may be anybody's, so it makes the answer no.
    """
    if np.any(speakers == ""):
        return False
    held = (np.concatenate([split.train, split.validation]) for split in splits)
    return all(
        not np.isin(speakers[split.test], speakers[rest]).any() for split, rest in zip(splits, held, strict=True)
    )


def _fold(clips: ClipMetadata, blocks: list[list[str]], fold: int) -> Split:
    """Test one block of speakers, choose the epoch by the next, cyclically, and train on the rest."""
    held = blocks[(fold + 1) % len(blocks)]
    test = np.isin(clips.speakers, blocks[fold])
    validation = np.isin(clips.speakers, held)
    return Split(fold + 1, np.flatnonzero(~(test | validation)), np.flatnonzero(validation), np.flatnonzero(test))


def _num_folds(protocol: Protocol, clips: ClipMetadata) -> int:
    if protocol.folds is not None:
        return protocol.folds
    corpora = np.unique(clips.corpora)
    if len(corpora) == 1 and corpora[0] in USUAL_FOLDS:
        return USUAL_FOLDS[corpora[0]]
    raise InputError(f"no usual number of folds is known for {', '.join(corpora)}; give one with kfold:N")


def _speaker_blocks(clips: ClipMetadata, folds: int) -> list[list[str]]:
    """Cut each corpus's ordered speakers into `folds` blocks; block i of all corpora together is tested in fold i."""
    rosters = [_ordered_speakers(clips, clips.corpora == corpus) for corpus in np.unique(clips.corpora)]
    most = max(len(roster) for roster in rosters)
    if most < folds:
        raise InputError(
            f"kfold:{folds} needs a corpus of at least {folds} speakers, the largest here has {most}; {_WAY_OUT}"
        )
    return [
        [name for roster in rosters for name in roster[len(roster) * i // folds : len(roster) * (i + 1) // folds]]
        for i in range(folds)
    ]


def _loso_blocks(clips: ClipMetadata) -> list[list[str]]:
    speakers = _ordered_speakers(clips, np.ones(len(clips.speakers), bool))
    if len(speakers) < _FEWEST_SPEAKERS:
        raise InputError(f"loso needs at least {_FEWEST_SPEAKERS} speakers, found {len(speakers)}; {_WAY_OUT}")
    return [[name] for name in speakers]


def _cross(protocol: Protocol, clips: ClipMetadata, shares: Sequence[float], random: np.random.Generator) -> Split:
    """Train and choose the epoch on one corpus, its speakers parted by the first two shares; test on all the other."""
    rest = shares[0] + shares[1]
    inside = clips.corpora == protocol.train
    train, validation, _ = _speaker_parts(clips, inside, (shares[0] / rest, shares[1] / rest, 0.0), random)
    return Split(1, train, validation, np.flatnonzero(clips.corpora == protocol.test))


def _speaker_parts(
    clips: ClipMetadata, inside: np.ndarray, shares: Sequence[float], random: np.random.Generator
) -> list[np.ndarray]:
    """Part the speakers of the clips `inside`, each corpus's evenly, and return the clips of each part."""
    speakers = np.array(_ordered_speakers(clips, inside), dtype=object)
    home = dict(zip(clips.speakers[inside], clips.corpora[inside], strict=True))
    order = _interleaved(np.array([home[name] for name in speakers], dtype=object), random)
    parts = _cut(order, shares, "speakers")
    return [np.flatnonzero(inside & np.isin(clips.speakers, speakers[part])) for part in parts]


def _interleaved(groups: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the positions of `groups` in an order that spreads each group evenly, at random within it."""
    order = random.permutation(len(groups))
    place = np.empty(len(groups))
    for group in np.unique(groups):
        members = order[groups[order] == group]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return order[np.argsort(place[order], kind="stable")]


def _cut(order: np.ndarray, shares: Sequence[float], what: str) -> list[np.ndarray]:
    """Cut `order` into three parts of the given shares, at least one of each where its share is above 0."""
    validation, test = (max(1, round(share * len(order))) if share else 0 for share in shares[1:])
    train = len(order) - validation - test
    if train < 1:
        wanted = ", ".join(f"{share:g}" for share in shares if share)
        way_out = f"; {_WAY_OUT}" if what == "speakers" else ""
        raise InputError(f"expected enough {what} for parts of {wanted}, found {len(order)}{way_out}")
    return np.split(order, [train, train + validation])


def _ordered_speakers(clips: ClipMetadata, inside: np.ndarray) -> list[str]:
    return sorted(set(clips.speakers[inside].tolist()), key=_natural)


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key that compares runs of digits by value."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _require_speakers(clips: ClipMetadata) -> None:
    unnamed = int(np.sum(clips.speakers == ""))
    if unnamed:
        raise InputError(
            f"speakers have to be known to be kept apart, but {unnamed} clips name none; use --protocol random"
        )
