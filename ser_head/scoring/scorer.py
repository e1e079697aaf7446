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
from ser_head.personalization.methods import Personalizer, SpeakerState, TrainingSpeakers
from ser_head.personalization.output_adaptation import (
    PriorShift,
    borrowed_moments,
    borrowed_prior,
    moments,
    prior_shift_bias,
    rescale,
    shift,
)
from ser_head.personalization.similarity import most_similar
from ser_head.scoring.ood import KnnOodDetector
from ser_head.scoring.temperature import apply_temperature, safe_log

ARRAYS = "fold.npz"
LENDERS = 5  # speakers a new voice borrows the deviation of its numbers from
Predict = Callable[[list[np.ndarray]], np.ndarray]


@dataclasses.dataclass(frozen=True)
class ScoringRequest:
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
class OutputCalibration:
    """How probabilities are moved after the network.

    Attributes:
        temperature: divides the logits; above 1 the network was too sure.
        prior: effective share of each class in training, (classes,): with weighted classes, not that of the clips.
        prior_shift: how label shares are borrowed from training speakers; None where that does not help.
        numbers: mean and deviation of the training's numbers, for a head that answers with one; nothing else applies.
    """

    temperature: float
    prior: np.ndarray
    prior_shift: PriorShift | None = None
    numbers: tuple[float, float] | None = None


class Scorer:
    """One fold's head.

    Attributes:
        scaling: what standardises vectors.
        personalizer: what is made of speakers.
        output_calibration: what is made of the network's probabilities.
        ood_detector: what the training clips look like, to tell audio unlike them.
    """

    def __init__(
        self,
        predict: Predict,
        scaling: Alignment,
        personalizer: Personalizer,
        output_calibration: OutputCalibration,
        ood_detector: KnnOodDetector | None = None,
    ) -> None:
        """Take the parts; `predict` maps a network's inputs to probabilities, float32 (clips, classes)."""
        self._predict = predict
        self.scaling = scaling
        self.personalizer = personalizer
        self.output_calibration = output_calibration
        self.ood_detector = ood_detector

    def score(self, heard: Sequence[ScoringRequest]) -> np.ndarray:
        """Score clips of several speakers.

        Returns:
            Probabilities, float32 (clips of all, classes), or numbers (clips of all, 1), in the order of `heard`.
        """
        vectors = [self.scaling.apply(each.vectors, each.corpus) for each in heard]
        enrolled = [
            vectors[place][:0] if each.enrolled is None else self.scaling.apply(each.enrolled, each.corpus)
            for place, each in enumerate(heard)
        ]
        states = [self._state(each, own) for each, own in zip(heard, enrolled, strict=True)]
        scored = self._tempered(vectors, states)
        if "calibrate" not in self.personalizer.methods or not (
            self.output_calibration.prior_shift or self.output_calibration.numbers
        ):
            return np.concatenate(scored)
        known = self._tempered(enrolled, states)
        speakers = [each.speaker for each in heard]
        return np.concatenate([self._moved(*each) for each in zip(scored, known, enrolled, speakers, strict=True)])

    def ood_score(self, vectors: np.ndarray, corpora: str | np.ndarray = "") -> np.ndarray:
        """Return how unlike the training clips each vector is, (clips,); above 1 is worth a warning.

        Args:
            vectors: float32 (clips, layers, width), as the store holds them.
            corpora: what the clips are from, or each of them, (clips,), if it may be one the training knew.
        """
        if self.ood_detector is None:
            return np.zeros(len(vectors))
        return self.ood_detector.score(self.scaling.apply(clip_means(vectors), corpora)) / self.ood_detector.threshold

    def _state(self, heard: ScoringRequest, enrolled: np.ndarray) -> SpeakerState:
        if self.personalizer.training_speakers.row(heard.speaker):
            return self.personalizer.known_state(heard.speaker)
        return self.personalizer.state(enrolled, speaker=heard.pretrained or heard.speaker)

    def _tempered(self, groups: Sequence[np.ndarray], states: Sequence[SpeakerState]) -> list[np.ndarray]:
        sizes = [len(group) for group in groups]
        inputs = self.personalizer.inputs(np.concatenate(groups), states, np.repeat(np.arange(len(groups)), sizes))
        answers, numbers = self._predict(inputs), self.output_calibration.numbers
        if numbers is None:
            answers = apply_temperature(answers, self.output_calibration.temperature)
        else:
            answers = answers * np.float32(numbers[1]) + np.float32(numbers[0])
        return np.split(answers, np.cumsum(sizes)[:-1])

    def _rescaled(self, scored: np.ndarray, known: np.ndarray, enrolled: np.ndarray) -> np.ndarray:
        """Stretch numbers to the deviation of the speakers that the voice resembles, as enrolled clips need it."""
        if len(known) < 2 or not len(scored):
            return scored
        training_speakers = self.personalizer.training_speakers
        nearest = most_similar(enrolled, training_speakers.means, LENDERS)
        borrowed = borrowed_moments(training_speakers.numbers[:, 0], training_speakers.numbers[:, 1], nearest)
        return rescale(scored[:, 0], *borrowed, own=moments(known)).astype(np.float32)[:, np.newaxis]

    def _moved(self, scored: np.ndarray, known: np.ndarray, enrolled: np.ndarray, speaker: str) -> np.ndarray:
        """Move probabilities to the label shares that the speaker's voice, or its own training clips, promise."""
        if self.output_calibration.numbers is not None:
            return self._rescaled(scored, known, enrolled)
        prior_shift, prior, training_speakers = (
            self.output_calibration.prior_shift,
            self.output_calibration.prior,
            self.personalizer.training_speakers,
        )
        row = training_speakers.row(speaker)
        if row and prior_shift:
            own = borrowed_prior(training_speakers.counts, np.array([row - 1]), prior, prior_shift.alpha)
            return shift(safe_log(scored), np.log(own) - np.log(prior))
        if not len(enrolled) or not len(scored) or not prior_shift:
            return scored
        nearest = most_similar(enrolled, training_speakers.means, prior_shift.k)
        return shift(
            safe_log(scored), prior_shift_bias(prior_shift, safe_log(known), nearest, training_speakers.counts, prior)
        )


def save_scorer(scorer: Scorer, path: Path) -> dict[str, Any]:
    """Write the arrays of a scorer, all but its network's, as one .npz.

    Returns:
        The rest, for run.json.
    """
    training_speakers, output_calibration = scorer.personalizer.training_speakers, scorer.output_calibration
    arrays: dict[str, Any] = {
        **scorer.scaling.to_arrays(),
        "prior": output_calibration.prior,
        "voice_means": training_speakers.means,
        "voice_variances": training_speakers.variances,
        "voice_counts": training_speakers.counts,
        "voice_numbers": training_speakers.numbers,
    }
    pretrained = scorer.personalizer.pretrained
    if pretrained:
        arrays["pretrained"] = np.stack(list(pretrained.values()))
    if scorer.ood_detector is not None:
        arrays |= {f"familiarity_{name}": array for name, array in scorer.ood_detector.to_arrays().items()}
    np.savez(path, **arrays)
    return {
        "known": list(training_speakers.names),
        "pretrained": list(pretrained),
        "corpora": scorer.scaling.measured(),
        "temperature": output_calibration.temperature,
        "numbers": output_calibration.numbers,
        "borrowing": _plain(output_calibration.prior_shift),
        "table_rows": scorer.personalizer.input_widths.get("embedding", 0),
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
        training_speakers = TrainingSpeakers(tuple(about["known"]), *(arrays[f"voice_{kind}"] for kind in kinds))
        pretrained = dict(zip(about.get("pretrained", []), arrays.get("pretrained", ()), strict=True))
        prior_shift = _borrowing(about["borrowing"])
        numbers = about["numbers"] and tuple(about["numbers"])
        output_calibration = OutputCalibration(about["temperature"], arrays["prior"], prior_shift, numbers)
        kept = {
            name.removeprefix("familiarity_"): array
            for name, array in arrays.items()
            if name.startswith("familiarity_")
        }
        ood_detector = KnnOodDetector.from_arrays(kept) if kept else None
        scaling = Alignment.from_arrays(arrays)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"the run is damaged: {path} cannot be used ({error})") from error
    personalizer = Personalizer(methods, training_speakers, about["table_rows"], pretrained)
    return Scorer(predict, scaling, personalizer, output_calibration, ood_detector)


def _plain(prior_shift: PriorShift | None) -> dict[str, float | None] | None:
    """Return JSON values; JSON has no infinity, so an infinite tau is null."""
    return prior_shift and {**prior_shift._asdict(), "tau": prior_shift.tau if np.isfinite(prior_shift.tau) else None}


def _borrowing(plain: dict[str, Any] | None) -> PriorShift | None:
    return PriorShift(**{**plain, "tau": np.inf if plain["tau"] is None else plain["tau"]}) if plain else None
