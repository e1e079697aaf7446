"""Protocols of evaluation: which clips a fold trains on, chooses the epoch by, and is scored on.

A split holds positions in the dataset. All protocols but `random` split speakers, never the clips of one speaker, and
every random choice comes from a seed. Speakers are ordered by the numbers in their names (2 before 10), so that blocks
are those of the literature: 18 or 19 CREMA-D speakers in five folds, RAVDESS actors 1-4, 5-8, ... in six.

A new protocol is a function that splits clips and one entry of `PROTOCOLS`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ser_embed.errors import InputError

# Folds in which each corpus is usually scored (EmoBox for CREMA-D and RAVDESS; EmoDB: one speaker each).
USUAL_FOLDS = {"crema-d": 5, "ravdess": 6, "emodb": 10}
_FEWEST_SPEAKERS = 3  # one to train on, one to choose the epoch by, one to score
_WAY_OUT = "--protocol random splits clips instead, with speakers shared"


@dataclass(frozen=True)
class Protocol:
    """Protocol as written on the command line.

    Attributes:
        name: entry of `PROTOCOLS`.
        folds: number of folds of "kfold"; None for the usual number of the corpus.
        train: corpus that "cross" trains on.
        test: corpus that "cross" scores.
    """

    name: str
    folds: int | None = None
    train: str = ""
    test: str = ""

    @classmethod
    def parse(cls, text: str) -> "Protocol":
        """Parse a protocol as written on the command line.

        >>> Protocol.parse("kfold:6").folds
        6

        Raises:
            InputError: `text` is no protocol.
        """
        name, colon, argument = text.partition(":")
        spec = PROTOCOLS.get(name)
        fields = None
        if spec is not None:
            fields = {} if not colon and spec.argument_optional else spec.parse_argument(argument) if colon else None
        if fields is None:
            forms = [form for spec in PROTOCOLS.values() for form in spec.forms]
            raise InputError(f"protocol has to be {', '.join(forms[:-1])} or {forms[-1]}, not {text!r}")
        return cls(name, **fields)

    @property
    def spec(self) -> "ProtocolSpec":
        """The entry of `PROTOCOLS`."""
        return PROTOCOLS[self.name]

    @property
    def corpora(self) -> tuple[str, ...]:
        """The corpora that the protocol names; most protocols name none."""
        return (self.train, self.test) if self.train else ()


@dataclass(frozen=True)
class Split:
    """One fold: positions in the dataset, ascending, int64; no clip is in two parts."""

    fold: int
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class ClipMetadata:
    """Metadata of clips that splitting needs.

    Attributes:
        speakers: speaker of each clip, "" where the corpus names none, object (clips,).
        corpora: corpus of each clip, object (clips,).
        targets: class of each clip, int (clips,).
    """

    speakers: np.ndarray
    corpora: np.ndarray
    targets: np.ndarray


def make_splits(protocol: Protocol, clips: ClipMetadata, shares: Sequence[float], seed: int) -> list[Split]:
    """Split clips into training, validation and test.

    Args:
        protocol: how to split them.
        clips: metadata of the clips.
        shares: shares of training, validation and test, for protocols with one fold.
        seed: seed of all random choices.

    Returns:
        One split, or one per fold; over all folds every clip is tested exactly once, and with "cross" every clip of
        the test corpus.

    Raises:
        InputError: the clips cannot be split in this way.
    """
    if protocol.spec.keeps_speakers_apart:
        _require_speakers(clips)
    return protocol.spec.split(protocol, clips, shares, np.random.default_rng(seed))


def are_disjoint(splits: Sequence[Split], speakers: np.ndarray) -> bool:
    """Return whether no split has a speaker in both test and training or validation.

    A clip of an unknown speaker could be of any speaker, so with one the answer is no.
    """
    if np.any(speakers == ""):
        return False
    seen_clips = (np.concatenate([split.train, split.validation]) for split in splits)
    return all(
        not np.isin(speakers[split.test], speakers[seen]).any() for split, seen in zip(splits, seen_clips, strict=True)
    )


def _split_clips(
    protocol: Protocol, clips: ClipMetadata, shares: Sequence[float], random: np.random.Generator
) -> list[Split]:
    """Split clips at random, with the same shares of every class."""
    order = _interleaved(clips.targets, random)
    return [Split(1, *(np.sort(part) for part in _cut(order, shares, "clips")))]


def _split_speakers(
    protocol: Protocol, clips: ClipMetadata, shares: Sequence[float], random: np.random.Generator
) -> list[Split]:
    """Split speakers at random, with the same shares of every corpus."""
    return [Split(1, *_speaker_parts(clips, np.ones(len(clips.speakers), bool), shares, random))]


def _split_corpora(
    protocol: Protocol, clips: ClipMetadata, shares: Sequence[float], random: np.random.Generator
) -> list[Split]:
    """Train and choose the epoch on speakers of one corpus, in the ratio of the first two shares; test on the other."""
    both = shares[0] + shares[1]
    in_training_corpus = clips.corpora == protocol.train
    ratio = (shares[0] / both, shares[1] / both, 0.0)
    train, validation, _ = _speaker_parts(clips, in_training_corpus, ratio, random)
    return [Split(1, train, validation, np.flatnonzero(clips.corpora == protocol.test))]


def _split_folds(
    protocol: Protocol, clips: ClipMetadata, shares: Sequence[float], random: np.random.Generator
) -> list[Split]:
    """Test each block of speakers in one fold."""
    return _folds_of(clips, _speaker_blocks(clips, _num_folds(protocol, clips)))


def _leave_one_out(
    protocol: Protocol, clips: ClipMetadata, shares: Sequence[float], random: np.random.Generator
) -> list[Split]:
    """Test each speaker in one fold."""
    return _folds_of(clips, _single_speakers(clips))


def _folds_of(clips: ClipMetadata, blocks: list[list[str]]) -> list[Split]:
    """Return one fold per block of speakers."""
    return [_fold(clips, blocks, number) for number in range(len(blocks))]


def _fold(clips: ClipMetadata, blocks: list[list[str]], number: int) -> Split:
    """Return the fold that tests one block, chooses the epoch by the next, cyclically, and trains on the others."""
    test = np.isin(clips.speakers, blocks[number])
    validation = np.isin(clips.speakers, blocks[(number + 1) % len(blocks)])
    return Split(number + 1, np.flatnonzero(~(test | validation)), np.flatnonzero(validation), np.flatnonzero(test))


def _num_folds(protocol: Protocol, clips: ClipMetadata) -> int:
    """Return the number of folds asked for, or the usual number of the only corpus."""
    if protocol.folds is not None:
        return protocol.folds
    corpora = np.unique(clips.corpora)
    if len(corpora) == 1 and corpora[0] in USUAL_FOLDS:
        return USUAL_FOLDS[corpora[0]]
    raise InputError(f"no usual number of folds is known for {', '.join(corpora)}; give one with kfold:N")


def _speaker_blocks(clips: ClipMetadata, folds: int) -> list[list[str]]:
    """Cut the ordered speakers of each corpus into `folds` blocks; block i of all corpora is tested in fold i."""
    rosters = [_ordered_speakers(clips, clips.corpora == corpus) for corpus in np.unique(clips.corpora)]
    largest = max(len(roster) for roster in rosters)
    if largest < folds:
        raise InputError(
            f"kfold:{folds} needs a corpus of at least {folds} speakers, the largest here has {largest}; {_WAY_OUT}"
        )
    return [
        [name for roster in rosters for name in roster[len(roster) * i // folds : len(roster) * (i + 1) // folds]]
        for i in range(folds)
    ]


def _single_speakers(clips: ClipMetadata) -> list[list[str]]:
    """Return one block per speaker."""
    speakers = _ordered_speakers(clips, np.ones(len(clips.speakers), bool))
    if len(speakers) < _FEWEST_SPEAKERS:
        raise InputError(f"loso needs at least {_FEWEST_SPEAKERS} speakers, found {len(speakers)}; {_WAY_OUT}")
    return [[name] for name in speakers]


def _speaker_parts(
    clips: ClipMetadata, inside: np.ndarray, shares: Sequence[float], random: np.random.Generator
) -> list[np.ndarray]:
    """Split the speakers of the clips where `inside` is true.

    Args:
        clips: metadata of all clips.
        inside: which clips to split, bool (clips,).
        shares: shares of training, validation and test in the speakers of every corpus.
        random: draws the speakers of each part.

    Returns:
        The clips of training, validation and test, int64 each.
    """
    speakers = np.array(_ordered_speakers(clips, inside), dtype=object)
    corpus_of = dict(zip(clips.speakers[inside], clips.corpora[inside], strict=True))
    order = _interleaved(np.array([corpus_of[name] for name in speakers], dtype=object), random)
    parts = _cut(order, shares, "speakers")
    return [np.flatnonzero(inside & np.isin(clips.speakers, speakers[part])) for part in parts]


def _interleaved(groups: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the positions of `groups` in an order that spreads each group evenly and is random within groups."""
    order = random.permutation(len(groups))
    position = np.empty(len(groups))
    for group in np.unique(groups):
        members = order[groups[order] == group]
        position[members] = (np.arange(len(members)) + 0.5) / len(members)
    return order[np.argsort(position[order], kind="stable")]


def _cut(order: np.ndarray, shares: Sequence[float], what: str) -> list[np.ndarray]:
    """Cut positions into training, validation and test.

    Args:
        order: positions, int (n,).
        shares: shares of the three parts; a part whose share is above 0 gets at least one position.
        what: what is counted, "clips" or "speakers", for the error.
    """
    validation, test = (max(1, round(share * len(order))) if share else 0 for share in shares[1:])
    train = len(order) - validation - test
    if train < 1:
        parts = ", ".join(f"{share:g}" for share in shares if share)
        way_out = f"; {_WAY_OUT}" if what == "speakers" else ""
        raise InputError(f"expected enough {what} for parts of {parts}, found {len(order)}{way_out}")
    return np.split(order, [train, train + validation])


def _ordered_speakers(clips: ClipMetadata, inside: np.ndarray) -> list[str]:
    """Return the distinct speakers of the clips where `inside` is true, in natural order."""
    return sorted(set(clips.speakers[inside].tolist()), key=_natural_key)


def _natural_key(name: str) -> list[tuple[int, str]]:
    """Return a sort key that compares runs of digits by value: 2 before 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _require_speakers(clips: ClipMetadata) -> None:
    unnamed = int(np.sum(clips.speakers == ""))
    if unnamed:
        raise InputError(
            f"speakers have to be known to be kept apart, but {unnamed} clips name none; use --protocol random"
        )


def _no_argument(argument: str) -> None:
    """Return None: the protocol takes no argument."""


def _parse_folds(argument: str) -> dict[str, Any] | None:
    """Parse N of kfold:N; None if it is no number."""
    if not re.fullmatch(r"\d+", argument):
        return None
    if int(argument) < _FEWEST_SPEAKERS:
        raise InputError(f"kfold needs at least {_FEWEST_SPEAKERS} folds, not {argument}: two are held out")
    return {"folds": int(argument)}


def _parse_corpora(argument: str) -> dict[str, Any] | None:
    """Parse TRAIN:TEST of cross:TRAIN:TEST; None if these are not two names."""
    names = re.fullmatch(r"([^:]+):([^:]+)", argument)
    if names is None:
        return None
    if names[1] == names[2]:
        raise InputError(f"cross needs two corpora, but 'cross:{argument}' names one twice")
    return {"train": names[1], "test": names[2]}


@dataclass(frozen=True)
class ProtocolSpec:
    """One way to split clips.

    Attributes:
        forms: forms in which it may be written on the command line.
        split: splits clips, from protocol, metadata of clips, shares of training, validation and test, and generator.
        summary: explanation for people; {train} and {test} stand for the corpora that the protocol names.
        parse_argument: parses the text after the colon into fields of `Protocol`; None if the text is malformed.
        argument_optional: whether it may be written without a colon.
        keeps_speakers_apart: whether test speakers are never in training.
        has_folds: whether every clip is tested in some fold.
    """

    forms: tuple[str, ...]
    split: Callable[[Protocol, ClipMetadata, Sequence[float], np.random.Generator], list[Split]]
    summary: str
    parse_argument: Callable[[str], dict[str, Any] | None] = _no_argument
    argument_optional: bool = True
    keeps_speakers_apart: bool = True
    has_folds: bool = False


PROTOCOLS = {
    "speaker": ProtocolSpec(
        ("speaker",),
        _split_speakers,
        "The speakers were divided into three groups: one to learn from, one to choose the best moment of the "
        "training, and one, kept aside until the end, for the test.",
    ),
    "random": ProtocolSpec(
        ("random",),
        _split_clips,
        "The clips were divided at random into training, validation and test, whoever speaks in them.",
        keeps_speakers_apart=False,
    ),
    "kfold": ProtocolSpec(
        ("kfold", "kfold:N"),
        _split_folds,
        "The speakers were divided into groups. Each group was tested once, by a model trained on the others.",
        _parse_folds,
        has_folds=True,
    ),
    "loso": ProtocolSpec(
        ("loso",),
        _leave_one_out,
        "Each speaker was tested once, by a model trained on all the other speakers.",
        has_folds=True,
    ),
    "cross": ProtocolSpec(
        ("cross:TRAIN:TEST",),
        _split_corpora,
        "The model was trained on one corpus, {train}, and tested on another, {test}.",
        _parse_corpora,
        argument_optional=False,
    ),
}
