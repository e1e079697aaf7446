"""What a personalised head makes of a speaker: how the clips are moved, and what the network is told beside them.

Everything happens in a fold's standardised space, where the average training clip is 0 and its variance 1. The methods
work on the enrolled clips alone, without labels; an empty enrolment is a speaker of whom nothing is known.

    normalize   the speaker's mean and variance, shrunk to the global ones, are taken out of the clips
    embedding   a row per training speaker, learned; a new voice gets a blend of the rows of those it resembles
    features    the speaker's mean vector, through a dense layer of the network
    papt        what the encoder's pre-training learned of the speaker, e_s, is added to its output: mean(f) + e_s
    calibrate   no part of this module: it moves the probabilities (`ser_head.personalization.output_adaptation`)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from ser_embed.errors import InputError
from ser_head.personalization.normalization import shrinkage, speaker_statistics
from ser_head.personalization.similarity import blend, one_hot

METHODS = ("normalize", "embedding", "features", "papt", "calibrate")
BEST = ("normalize",)  # what --personalized alone stands for


def parse_methods(text: str | bool | Sequence[str]) -> tuple[str, ...]:
    """Return the methods that are meant, in the order of `METHODS`.

    Args:
        text: "normalize,calibrate", a sequence of names, True for the best, or False for none.

    Raises:
        InputError: there is no such method.

    >>> parse_methods("calibrate,normalize")
    ('normalize', 'calibrate')
    """
    if isinstance(text, bool):
        return BEST if text else ()
    names = [name.strip() for name in text.split(",")] if isinstance(text, str) else list(text)
    for name in names:
        if name not in METHODS:
            raise InputError(f"--personalized has to be made of {', '.join(METHODS)}, not {name!r}")
    return tuple(name for name in METHODS if name in names)


@dataclass(frozen=True)
class TrainingSpeakers:
    """The speakers of a fold's training clips.

    Attributes:
        names: ascending; "" is none of them.
        means: mean standardised vector of each, float32 (speakers, layers, width).
        variances: variance about that mean, float32 (speakers, layers, width).
        counts: clips of each by class, int64 (speakers, classes).
        numbers: mean and deviation of the numbers of each one's clips, where a number is learned, (speakers, 2).
    """

    names: tuple[str, ...]
    means: np.ndarray
    variances: np.ndarray
    counts: np.ndarray
    numbers: np.ndarray

    def row(self, speaker: str) -> int:
        """Return the place of a speaker in the table, counted from 1; 0 for one who is not in it."""
        return self.names.index(speaker) + 1 if speaker in self.names else 0

    def nobody(self) -> "TrainingSpeakers":
        """Return the same without any speaker."""
        return TrainingSpeakers((), self.means[:0], self.variances[:0], self.counts[:0], self.numbers[:0])


@dataclass(frozen=True)
class SpeakerState:
    """What is made of one speaker.

    Attributes:
        shift: taken off the clips, float32 (layers, width).
        scale: then divided by, float32 (layers, width).
        added: to the clips in the end, float32 (layers, width).
        speaker_inputs: further inputs of the network, float32 (numbers,) each.
    """

    shift: np.ndarray
    scale: np.ndarray
    added: np.ndarray
    speaker_inputs: tuple[np.ndarray, ...]


class Personalizer:
    """Turns clips and what is known of their speakers into the inputs of a network.

    Attributes:
        methods: those in use; none makes every speaker the average one.
        training_speakers: the training speakers.
        pretrained: e_s of speakers whom the encoder's pre-training heard, float32 (layers, width) each.
    """

    def __init__(
        self,
        methods: Sequence[str],
        training_speakers: TrainingSpeakers,
        rows: int = 0,
        pretrained: Mapping[str, np.ndarray] = MappingProxyType({}),
    ) -> None:
        """Take the methods and the speakers they borrow from.

        Args:
            methods: some of `METHODS`.
            training_speakers: the training speakers.
            rows: rows of the speaker table, where the network has more than there are speakers and row 0.
            pretrained: e_s by name, in the fold's standardised space.
        """
        self.methods = tuple(methods)
        self.training_speakers = training_speakers
        self.pretrained = pretrained
        self._rows = max(rows, len(training_speakers.names) + 1)
        self._kappa = shrinkage(
            training_speakers.means, training_speakers.variances, training_speakers.counts.sum(axis=1)
        )

    @property
    def listens(self) -> bool:
        """Whether the network's inputs depend on who speaks."""
        return any(name != "calibrate" for name in self.methods)

    @property
    def input_widths(self) -> dict[str, int]:
        """Name and width of each input of the network beside the vectors, in their order."""
        widths = {"embedding": self._rows, "features": self.training_speakers.means.shape[2]}
        return {name: width for name, width in widths.items() if name in self.methods}

    def state(self, enrolled: np.ndarray, row: int = 0, speaker: str = "") -> SpeakerState:
        """Describe a speaker by some clips.

        Args:
            enrolled: standardised clips, float32 (clips, layers, width); none for a speaker nothing is known of.
            row: the speaker's place in the table, where it is known; 0 blends rows by likeness.
            speaker: its name, if the pre-training may have heard it.
        """
        moments = speaker_statistics(enrolled, self._kappa)
        weights = self._row_alone(row) if row else blend(enrolled, self.training_speakers.means)
        return self._state(moments, moments[0], weights, speaker)

    def training_state(self, enrolled: np.ndarray, speaker: str) -> SpeakerState:
        """Describe a training speaker by some clips; without any it is nobody, whoever speaks."""
        return (
            self.state(enrolled, self.training_speakers.row(speaker), speaker)
            if len(enrolled)
            else self.state(enrolled)
        )

    def known_state(self, speaker: str) -> SpeakerState:
        """Describe a training speaker by all its training clips; a stranger by none."""
        row = self.training_speakers.row(speaker)
        if not row:
            return self.state(self.training_speakers.means[:0], speaker=speaker)
        count = self.training_speakers.counts[row - 1].sum()
        share = count / (count + self._kappa)
        shift = (share * self.training_speakers.means[row - 1]).astype(np.float32)
        variance = share * self.training_speakers.variances[row - 1] + (1 - share)  # as `speaker_statistics` has it
        return self._state((shift, np.sqrt(variance).astype(np.float32)), shift, self._row_alone(row), speaker)

    def inputs(self, vectors: np.ndarray, states: Sequence[SpeakerState], state_of: np.ndarray) -> list[np.ndarray]:
        """Return the network's inputs.

        Args:
            vectors: standardised clips, float32 (clips, layers, width).
            states: their speakers.
            state_of: position of each clip's card, int (clips,).
        """
        if not self.listens:
            return [vectors]
        if "normalize" in self.methods:
            shift, scale = np.stack([state.shift for state in states]), np.stack([state.scale for state in states])
            vectors = (vectors - shift[state_of]) / scale[state_of]
        if "papt" in self.methods:
            vectors = vectors + np.stack([state.added for state in states])[state_of]
        speaker_inputs = [
            np.stack(kind)[state_of] for kind in zip(*(state.speaker_inputs for state in states), strict=True)
        ]
        return [vectors, *speaker_inputs]

    def _row_alone(self, row: int) -> np.ndarray:
        return one_hot(np.array([row]), self._rows)[0]

    def _state(
        self, moments: tuple[np.ndarray, np.ndarray], mean: np.ndarray, weights: np.ndarray, speaker: str
    ) -> SpeakerState:
        # The features of a speaker are its mean over the layers too: one dense layer for all of them.
        table = np.pad(weights, (0, self._rows - len(weights)))
        speaker_inputs = {"embedding": table, "features": mean.mean(axis=0)}
        added = self.pretrained.get(speaker, np.zeros_like(moments[0]))
        return SpeakerState(*moments, added, tuple(speaker_inputs[name] for name in self.input_widths))
