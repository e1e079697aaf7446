"""From vectors as the store holds them, and what is known of who speaks, to calibrated probabilities.

A scorer is all that one fold has learned: scaling, network, training speakers, temperature. The same code scores the
test clips of a training and the audio of years later.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ser_embed.errors import InputError
from ser_head.data.frames import clip_means
from ser_head.data.scaling import Alignment
from ser_head.personalization.methods import Card, Personalizer, Voices
from ser_head.personalization.output_adaptation import (
    Calibration,
    borrowed_bias,
    borrowed_moments,
    borrowed_prior,
    moments,
    rescale,
    shift,
)
from ser_head.personalization.similarity import most_similar
from ser_head.scoring.ood import Familiarity
from ser_head.scoring.temperature import log_of, temper

ARRAYS = "fold.npz"
LENDERS = 5  # speakers a new voice borrows the deviation of its numbers from
Predict = Callable[[list[np.ndarray]], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Heard:
    """Clips of one speaker, or of nobody known, and what is known of them.

    Attributes:
        vectors: to be scored, float32 (clips, layers, width).
        enrolled: unlabelled clips of the speaker, float32 (clips, layers, width), or None.
        speaker: its name, if it may be one of the training's.
        pretrained: its name, if only the encoder's pre-training may have heard it.
        corpus: what the clips are from, if it may be one the training knew.
    """

    vectors: np.ndarray
    enrolled: np.ndarray | None = None
    speaker: str = ""
    corpus: str = ""
    pretrained: str = ""


@dataclasses.dataclass(frozen=True)
class Tempering:
    """How probabilities are moved after the network.

    Attributes:
        temperature: divides the logits; above 1 the network was too sure.
        prior: effective share of each class in training, (classes,): with weighted classes, not that of the clips.
        borrowing: how label shares are borrowed from training speakers; None where that does not help.
        numbers: mean and deviation of the training's numbers, for a head that answers with one; nothing else applies.
    """

    temperature: float
    prior: np.ndarray
    borrowing: Calibration | None = None
    numbers: tuple[float, float] | None = None


class Scorer:
    """One fold's head.

    Attributes:
        scaling: what standardises vectors.
        personalizer: what is made of speakers.
        tempering: what is made of the network's probabilities.
        familiarity: what the training clips look like, to tell audio unlike them.
    """

    def __init__(
        self,
        predict: Predict,
        scaling: Alignment,
        personalizer: Personalizer,
        tempering: Tempering,
        familiarity: Familiarity | None = None,
    ) -> None:
        """Take the parts; `predict` maps a network's inputs to probabilities, float32 (clips, classes)."""
        self._predict = predict
        self.scaling = scaling
        self.personalizer = personalizer
        self.tempering = tempering
        self.familiarity = familiarity

    def score(self, heard: Sequence[Heard]) -> np.ndarray:
        """Score clips of several speakers.

        Returns:
            Probabilities, float32 (clips of all, classes), or numbers (clips of all, 1), in the order of `heard`.
        """
        vectors = [self.scaling.apply(each.vectors, each.corpus) for each in heard]
        enrolled = [
            vectors[place][:0] if each.enrolled is None else self.scaling.apply(each.enrolled, each.corpus)
            for place, each in enumerate(heard)
        ]
        cards = [self._card(each, own) for each, own in zip(heard, enrolled, strict=True)]
        scored = self._tempered(vectors, cards)
        if "calibrate" not in self.personalizer.methods or not (self.tempering.borrowing or self.tempering.numbers):
            return np.concatenate(scored)
        known = self._tempered(enrolled, cards)
        speakers = [each.speaker for each in heard]
        return np.concatenate([self._moved(*each) for each in zip(scored, known, enrolled, speakers, strict=True)])

    def unfamiliarity(self, vectors: np.ndarray, corpora: str | np.ndarray = "") -> np.ndarray:
        """Return how unlike the training clips each vector is, (clips,); above 1 is worth a warning.

        Args:
            vectors: float32 (clips, layers, width), as the store holds them.
            corpora: what the clips are from, or each of them, (clips,), if it may be one the training knew.
        """
        if self.familiarity is None:
            return np.zeros(len(vectors))
        return self.familiarity.score(self.scaling.apply(clip_means(vectors), corpora)) / self.familiarity.threshold

    def _card(self, heard: Heard, enrolled: np.ndarray) -> Card:
        if self.personalizer.voices.row(heard.speaker):
            return self.personalizer.known_card(heard.speaker)
        return self.personalizer.card(enrolled, speaker=heard.pretrained or heard.speaker)

    def _tempered(self, groups: Sequence[np.ndarray], cards: Sequence[Card]) -> list[np.ndarray]:
        sizes = [len(group) for group in groups]
        inputs = self.personalizer.inputs(np.concatenate(groups), cards, np.repeat(np.arange(len(groups)), sizes))
        answers, numbers = self._predict(inputs), self.tempering.numbers
        if numbers is None:
            answers = temper(answers, self.tempering.temperature)
        else:
            answers = answers * np.float32(numbers[1]) + np.float32(numbers[0])
        return np.split(answers, np.cumsum(sizes)[:-1])

    def _rescaled(self, scored: np.ndarray, known: np.ndarray, enrolled: np.ndarray) -> np.ndarray:
        """Stretch numbers to the deviation of the speakers that the voice resembles, as enrolled clips need it."""
        if len(known) < 2 or not len(scored):
            return scored
        voices = self.personalizer.voices
        nearest = most_similar(enrolled, voices.means, LENDERS)
        borrowed = borrowed_moments(voices.numbers[:, 0], voices.numbers[:, 1], nearest)
        return rescale(scored[:, 0], *borrowed, own=moments(known)).astype(np.float32)[:, np.newaxis]

    def _moved(self, scored: np.ndarray, known: np.ndarray, enrolled: np.ndarray, speaker: str) -> np.ndarray:
        """Move probabilities to the label shares that the speaker's voice, or its own training clips, promise."""
        if self.tempering.numbers is not None:
            return self._rescaled(scored, known, enrolled)
        borrowing, prior, voices = self.tempering.borrowing, self.tempering.prior, self.personalizer.voices
        row = voices.row(speaker)
        if row and borrowing:
            own = borrowed_prior(voices.counts, np.array([row - 1]), prior, borrowing.alpha)
            return shift(log_of(scored), np.log(own) - np.log(prior))
        if not len(enrolled) or not len(scored) or not borrowing:
            return scored
        nearest = most_similar(enrolled, voices.means, borrowing.k)
        return shift(log_of(scored), borrowed_bias(borrowing, log_of(known), nearest, voices.counts, prior))


def save_scorer(scorer: Scorer, path: Path) -> dict[str, Any]:
    """Write the arrays of a scorer, all but its network's, as one .npz.

    Returns:
        The rest, for run.json.
    """
    voices, tempering = scorer.personalizer.voices, scorer.tempering
    arrays: dict[str, Any] = {
        **scorer.scaling.to_arrays(),
        "prior": tempering.prior,
        "voice_means": voices.means,
        "voice_variances": voices.variances,
        "voice_counts": voices.counts,
        "voice_numbers": voices.numbers,
    }
    pretrained = scorer.personalizer.pretrained
    if pretrained:
        arrays["pretrained"] = np.stack(list(pretrained.values()))
    if scorer.familiarity is not None:
        arrays |= {f"familiarity_{name}": array for name, array in scorer.familiarity.to_arrays().items()}
    np.savez(path, **arrays)
    return {
        "known": list(voices.names),
        "pretrained": list(pretrained),
        "corpora": scorer.scaling.measured(),
        "temperature": tempering.temperature,
        "numbers": tempering.numbers,
        "borrowing": _plain(tempering.borrowing),
        "table_rows": scorer.personalizer.told_widths.get("embedding", 0),
    }


def load_scorer(path: Path, about: dict[str, Any], methods: Sequence[str], predict: Predict) -> Scorer:
    """Read back what `save_scorer` wrote.

    Args:
        path: the .npz.
        about: what `save_scorer` returned.
        methods: of personalisation.
        predict: the head.

    Raises:
        InputError: the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        kinds = ("means", "variances", "counts", "numbers")
        voices = Voices(tuple(about["known"]), *(arrays[f"voice_{kind}"] for kind in kinds))
        pretrained = dict(zip(about.get("pretrained", []), arrays.get("pretrained", ()), strict=True))
        borrowing = _borrowing(about["borrowing"])
        numbers = about["numbers"] and tuple(about["numbers"])
        tempering = Tempering(about["temperature"], arrays["prior"], borrowing, numbers)
        kept = {
            name.removeprefix("familiarity_"): array
            for name, array in arrays.items()
            if name.startswith("familiarity_")
        }
        familiarity = Familiarity.from_arrays(kept) if kept else None
        scaling = Alignment.from_arrays(arrays)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"the run is damaged: {path} cannot be used ({error})") from error
    personalizer = Personalizer(methods, voices, about["table_rows"], pretrained)
    return Scorer(predict, scaling, personalizer, tempering, familiarity)


def _plain(borrowing: Calibration | None) -> dict[str, float | None] | None:
    """Return JSON values; JSON has no infinity, so an infinite tau is null."""
    return borrowing and {**borrowing._asdict(), "tau": borrowing.tau if np.isfinite(borrowing.tau) else None}


def _borrowing(plain: dict[str, Any] | None) -> Calibration | None:
    return Calibration(**{**plain, "tau": np.inf if plain["tau"] is None else plain["tau"]}) if plain else None
