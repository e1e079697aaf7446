"""Personalisation methods: ways for a head to use the enrolled clips of a speaker.

Each method is one object in `METHODS`, and everything that depends on a method is an attribute or a function of that
object. Methods see the enrolled clips alone, never their labels; without enrolled clips the speaker is unknown.

    normalize   takes the speaker's mean and variance, shrunk to those of all speakers, out of the vectors
    embedding   feeds the head a learned row per training speaker; a new speaker gets a blend of similar ones' rows
    features    feeds the head the speaker's mean vector, through a dense layer
    papt        adds e_s to the encoder's output, what its pre-training learned of the speaker: mean(f_t) + e_s
    calibrate   moves the probabilities to the label shares of similar training speakers (PLDC)

A new method is a subclass of `Method` in a module of its own, and one entry of `METHODS`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ser_embed.errors import InputError
from ser_head.personalization.conditions import CLOSED, ENROLLED, TRANSDUCTIVE, UNKNOWN
from ser_head.personalization.speakers import SpeakerDescription, TrainingSpeakers

if TYPE_CHECKING:
    from ser_head.personalization.output_adaptation import OutputCalibration, PriorShift, ValidationSession

DEFAULT_METHODS = ("normalize",)  # what --personalized alone stands for


class Method:
    """A personalisation method. The defaults are those of a method that changes nothing.

    Attributes:
        summary: what it does with a voice, as the end of a sentence that begins with "the head".
        conditions: the conditions it may honestly be scored under.
        changes_inputs: whether what enters the network depends on the speaker, so that training has to show it.
        uses_speaker_table: whether it feeds the network the weights of a learned table of speakers.
        uses_pretraining: whether it needs the speaker vectors of the encoder's pre-training, which are added to vectors
            as the encoder gives them.
        borrows: whether it makes use of training speakers like the new one.
    """

    summary = "listens to the voice"
    conditions: tuple[str, ...] = (CLOSED, UNKNOWN, ENROLLED, TRANSDUCTIVE)
    changes_inputs = True
    uses_speaker_table = False
    uses_pretraining = False
    borrows = False

    @property
    def adds_input(self) -> bool:
        """Whether the network has an input beside the vectors for it."""
        return type(self).input_width is not Method.input_width

    @property
    def adapts_outputs(self) -> bool:
        """Whether it changes what a trained head answers."""
        return type(self).adapt is not Method.adapt

    def input_width(self, width: int, table_rows: int) -> int:
        """Return the width of the network's input beside the vectors; methods without one do not define this.

        Args:
            width: numbers per layer of a vector.
            table_rows: rows of the speaker table, the unknown speaker's included.
        """
        raise TypeError(f"{type(self).__name__} has no input beside the vectors")

    def describe(
        self,
        speaker: SpeakerDescription,
        training_speakers: TrainingSpeakers,
        table_rows: int,
        pretrained: Mapping[str, np.ndarray],
    ) -> tuple[np.ndarray, ...]:
        """Return the arrays this method keeps of a speaker; the first is the network's input, if it has one.

        Args:
            speaker: what is known of the speaker.
            training_speakers: the speakers of the fold's training clips.
            table_rows: rows of the speaker table.
            pretrained: speaker vectors of the encoder's pre-training, float32 (layers, width) each.
        """
        return ()

    def transform(self, vectors: np.ndarray, *arrays: np.ndarray) -> np.ndarray:
        """Return the vectors as this method changes them.

        Args:
            vectors: standardised clips, float32 (clips, layers, width).
            *arrays: what `describe` returned, stacked for the speaker of each clip, (clips, ...).
        """
        return vectors

    def fit_output(
        self, sessions: Sequence["ValidationSession"], training_speakers: TrainingSpeakers, prior: np.ndarray
    ) -> "PriorShift | None":
        """Choose how to adapt outputs, by sessions of speakers who were held out of training.

        Args:
            sessions: the sessions.
            training_speakers: the speakers of the fold's training clips.
            prior: share of each class in training, (classes,).
        """
        return None

    def adapt(
        self,
        outputs: np.ndarray,
        enrolled_outputs: np.ndarray,
        enrolled: np.ndarray,
        row: int,
        training_speakers: TrainingSpeakers,
        calibration: "OutputCalibration",
    ) -> np.ndarray | None:
        """Return a speaker's outputs as this method changes them, or None to leave them as they are.

        Args:
            outputs: log-probabilities of the clips to score, float64 (clips, classes), or numbers, float32 (clips, 1).
            enrolled_outputs: the same of the enrolled clips.
            enrolled: standardised vectors of the enrolled clips, float32 (clips, layers, width).
            row: the speaker's row of the speaker table; 0 for a speaker who was not in training.
            training_speakers: the speakers of the fold's training clips.
            calibration: of the fold's outputs.

        Returns:
            Probabilities, float32 (clips, classes), or numbers, float32 (clips, 1).
        """
        return None


class Normalize(Method):
    """Speaker normalisation: (x - shift) / scale with the speaker's shrunken mean and deviation."""

    summary = "takes the voice's own average and spread out of the numbers"

    def describe(self, speaker: SpeakerDescription, *_: Any) -> tuple[np.ndarray, ...]:
        """Return shift and scale, float32 (layers, width) each."""
        return speaker.shift, speaker.scale

    def transform(self, vectors: np.ndarray, *arrays: np.ndarray) -> np.ndarray:
        """Return (vectors - shift) / scale."""
        shift, scale = arrays
        return (vectors - shift) / scale


class Embedding(Method):
    """Speaker embedding: weights of the rows of a learned table of training speakers."""

    summary = "describes a voice as a blend of the training voices it resembles"
    uses_speaker_table = True
    borrows = True

    def input_width(self, width: int, table_rows: int) -> int:
        """Return the number of rows of the table."""
        return table_rows

    def describe(
        self, speaker: SpeakerDescription, training_speakers: TrainingSpeakers, table_rows: int, *_: Any
    ) -> tuple[np.ndarray, ...]:
        """Return the weight of each row, float32 (table_rows,)."""
        return (speaker.table_weights(training_speakers, table_rows),)


class Features(Method):
    """Speaker features: the speaker's mean vector, averaged over layers so that one dense layer serves all of them."""

    summary = "is given the voice's average numbers"

    def input_width(self, width: int, table_rows: int) -> int:
        """Return the width of a vector."""
        return width

    def describe(self, speaker: SpeakerDescription, *_: Any) -> tuple[np.ndarray, ...]:
        """Return the speaker's shrunken mean, float32 (width,)."""
        return (speaker.shift.mean(axis=0),)


class Papt(Method):
    """Personalised adaptive pre-training (Tran, Yin and Soleymani, 2023): e_s is added to the mean vector.

    The pre-training learned e_s from all clips of the speaker, so no figure for a few enrolled clips can be honest.
    """

    summary = "adds what the encoder's pre-training learned of the voice"
    conditions = (CLOSED, UNKNOWN, TRANSDUCTIVE)
    uses_pretraining = True

    def describe(
        self, speaker: SpeakerDescription, _speakers: Any, _rows: Any, pretrained: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, ...]:
        """Return e_s, float32 (layers, width); 0 for a speaker the pre-training did not hear."""
        return (pretrained.get(speaker.pretrained_name, np.zeros_like(speaker.shift)),)

    def transform(self, vectors: np.ndarray, *arrays: np.ndarray) -> np.ndarray:
        """Return vectors + e_s."""
        return vectors + arrays[0]


class Calibrate(Method):
    """Label calibration by similar speakers (PLDC; Tran, Yin and Soleymani, 2023)."""

    summary = "expects emotions as often as in the training voices it resembles"
    changes_inputs = False
    borrows = True

    def fit_output(
        self, sessions: Sequence["ValidationSession"], training_speakers: TrainingSpeakers, prior: np.ndarray
    ) -> "PriorShift | None":
        """Choose the prior shift with the least log-loss; None where none is better than no shift at all."""
        from ser_head.personalization.output_adaptation import choose_prior_shift

        return choose_prior_shift(sessions, training_speakers.counts, prior)

    def adapt(
        self,
        outputs: np.ndarray,
        enrolled_outputs: np.ndarray,
        enrolled: np.ndarray,
        row: int,
        training_speakers: TrainingSpeakers,
        calibration: "OutputCalibration",
    ) -> np.ndarray | None:
        """Move probabilities to a prior, or stretch numbers to a deviation, borrowed from similar speakers."""
        from ser_head.personalization.output_adaptation import adapt_numbers, adapt_probabilities

        adapt = adapt_probabilities if calibration.numbers is None else adapt_numbers
        return adapt(outputs, enrolled_outputs, enrolled, row, training_speakers, calibration)


METHODS: dict[str, Method] = {
    "normalize": Normalize(),
    "embedding": Embedding(),
    "features": Features(),
    "papt": Papt(),
    "calibrate": Calibrate(),
}


def parse_methods(text: str | bool | Sequence[str]) -> tuple[str, ...]:
    """Return the names of the methods that are meant, in the order of `METHODS`.

    Args:
        text: "normalize,calibrate", a sequence of names, True for `DEFAULT_METHODS`, or False for none.

    Raises:
        InputError: there is no such method.

    >>> parse_methods("calibrate,normalize")
    ('normalize', 'calibrate')
    """
    if isinstance(text, bool):
        return DEFAULT_METHODS if text else ()
    names = [name.strip() for name in text.split(",")] if isinstance(text, str) else list(text)
    for name in names:
        if name not in METHODS:
            raise InputError(f"--personalized has to be made of {', '.join(METHODS)}, not {name!r}")
    return tuple(name for name in METHODS if name in names)


def input_widths(names: Sequence[str], width: int, table_rows: int) -> dict[str, int]:
    """Return name and width of each input of the network beside the vectors, in their order.

    Args:
        names: the methods in use.
        width: numbers per layer of a vector.
        table_rows: rows of the speaker table.
    """
    return {name: METHODS[name].input_width(width, table_rows) for name in names if METHODS[name].adds_input}
