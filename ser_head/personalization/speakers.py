"""Training speakers of a fold, and what a head knows of the speaker of a clip.

Everything is in a fold's standardised space, where the average training clip is 0 and its variance 1.
"""

from dataclasses import dataclass

import numpy as np

from ser_head.personalization.similarity import UNKNOWN_ROW, blend, one_hot


@dataclass(frozen=True)
class TrainingSpeakers:
    """The speakers of a fold's training clips.

    Attributes:
        names: ascending; "" is never among them.
        means: mean standardised vector of each, float32 (speakers, layers, width).
        variances: variance about that mean, float32 (speakers, layers, width).
        counts: clips of each by class, int64 (speakers, classes).
        numbers: mean and deviation of each one's labels, where a number is learned, float64 (speakers, 2).
    """

    names: tuple[str, ...]
    means: np.ndarray
    variances: np.ndarray
    counts: np.ndarray
    numbers: np.ndarray

    def row(self, speaker: str) -> int:
        """Return the row of a speaker in the speaker table, counted from 1; 0 for one who is not in it."""
        return self.names.index(speaker) + 1 if speaker in self.names else UNKNOWN_ROW

    def without_speakers(self) -> "TrainingSpeakers":
        """Return the same table with no speaker in it."""
        return TrainingSpeakers((), self.means[:0], self.variances[:0], self.counts[:0], self.numbers[:0])


@dataclass(frozen=True)
class SpeakerDescription:
    """What is known of the speaker of some clips; the same for every personalisation method.

    Attributes:
        enrolled: standardised vectors of the enrolled clips, float32 (clips, layers, width); none if unknown.
        row: row of the speaker table, counted from 1; 0 for a speaker who was not in training.
        pretrained_name: the speaker's name, if the encoder's pre-training may have heard it; else "".
        shift: shrunken mean of the speaker's vectors, float32 (layers, width).
        scale: shrunken standard deviation, float32 (layers, width).
    """

    enrolled: np.ndarray
    row: int
    pretrained_name: str
    shift: np.ndarray
    scale: np.ndarray

    def table_weights(self, training_speakers: TrainingSpeakers, table_rows: int) -> np.ndarray:
        """Return the weight of each row of a speaker table that stands for this speaker, float32 (table_rows,).

        A training speaker has its own row. Any other is a blend of the rows of the training speakers it resembles.
        """
        if self.row:
            return one_hot(np.array([self.row]), table_rows)[0]
        weights = blend(self.enrolled, training_speakers.means)
        return np.pad(weights, (0, table_rows - len(weights)))
