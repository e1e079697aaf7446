"""Personalizer: the methods of a head at work on the speakers of one fold."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from ser_head.personalization.methods import METHODS, input_widths
from ser_head.personalization.normalization import shrinkage, speaker_statistics
from ser_head.personalization.similarity import UNKNOWN_ROW
from ser_head.personalization.speakers import SpeakerDescription, TrainingSpeakers

SpeakerState = dict[str, tuple[np.ndarray, ...]]  # the arrays each method keeps of one speaker, by the method's name


class Personalizer:
    """Turns clips, and what is known of their speakers, into the inputs of a network.

    Attributes:
        methods: names of the methods in use; with none, every speaker is the average one.
        training_speakers: the speakers of the fold's training clips.
        pretrained: speaker vectors of the encoder's pre-training in standardised space, float32 (layers, width) each.
    """

    def __init__(
        self,
        methods: Sequence[str],
        training_speakers: TrainingSpeakers,
        table_rows: int = 0,
        pretrained: Mapping[str, np.ndarray] = MappingProxyType({}),
    ) -> None:
        """Take the methods and the speakers they borrow from.

        Args:
            methods: names from `METHODS`.
            training_speakers: the speakers of the fold's training clips.
            table_rows: rows of the network's speaker table, where it has more than this fold needs.
            pretrained: speaker vectors of the encoder's pre-training, by speaker.
        """
        self.methods = tuple(methods)
        self.training_speakers = training_speakers
        self.pretrained = pretrained
        self._table_rows = max(table_rows, len(training_speakers.names) + 1)
        self._kappa = shrinkage(
            training_speakers.means, training_speakers.variances, training_speakers.counts.sum(axis=1)
        )

    @property
    def changes_inputs(self) -> bool:
        """Whether the network's inputs depend on who speaks."""
        return any(METHODS[name].changes_inputs for name in self.methods)

    @property
    def input_widths(self) -> dict[str, int]:
        """Name and width of each input of the network beside the vectors, in their order."""
        return input_widths(self.methods, self.training_speakers.means.shape[2], self._table_rows)

    @property
    def table_rows(self) -> int:
        """Rows of the speaker table; 0 where no method uses one."""
        return self._table_rows if any(METHODS[name].uses_speaker_table for name in self.methods) else 0

    def state(self, enrolled: np.ndarray, row: int = UNKNOWN_ROW, pretrained_name: str = "") -> SpeakerState:
        """Describe a speaker by enrolled clips.

        Args:
            enrolled: standardised clips, float32 (clips, layers, width); none for an unknown speaker.
            row: the speaker's row of the speaker table, if it is a training speaker.
            pretrained_name: the speaker's name, if the encoder's pre-training may have heard it.
        """
        shift, scale = speaker_statistics(enrolled, self._kappa)
        return self._state(SpeakerDescription(enrolled, row, pretrained_name, shift, scale))

    def training_state(self, enrolled: np.ndarray, speaker: str) -> SpeakerState:
        """Describe a training speaker by enrolled clips; without any it is the unknown speaker."""
        if not len(enrolled):
            return self.state(enrolled)
        return self.state(enrolled, self.training_speakers.row(speaker), speaker)

    def known_state(self, speaker: str) -> SpeakerState:
        """Describe a training speaker by all its training clips; any other speaker is unknown."""
        row = self.training_speakers.row(speaker)
        no_clips = self.training_speakers.means[:0]
        if not row:
            return self.state(no_clips, pretrained_name=speaker)
        num_clips = self.training_speakers.counts[row - 1].sum()
        trust = num_clips / (num_clips + self._kappa)
        shift = (trust * self.training_speakers.means[row - 1]).astype(np.float32)
        variance = trust * self.training_speakers.variances[row - 1] + (1 - trust)  # as `speaker_statistics` has it
        return self._state(SpeakerDescription(no_clips, row, speaker, shift, np.sqrt(variance).astype(np.float32)))

    def inputs(self, vectors: np.ndarray, states: Sequence[SpeakerState], state_of: np.ndarray) -> list[np.ndarray]:
        """Return the network's inputs: the vectors, then one array (clips, numbers) per method that adds an input.

        Args:
            vectors: standardised clips, float32 (clips, layers, width).
            states: what is known of their speakers.
            state_of: position in `states` of each clip's speaker, int (clips,).
        """
        if not self.changes_inputs:
            return [vectors]
        speaker_inputs = []
        for name in self.methods:
            arrays = [np.stack(column)[state_of] for column in zip(*(state[name] for state in states), strict=True)]
            vectors = METHODS[name].transform(vectors, *arrays)
            if METHODS[name].adds_input:
                speaker_inputs.append(arrays[0])
        return [vectors, *speaker_inputs]

    def _state(self, speaker: SpeakerDescription) -> SpeakerState:
        return {
            name: METHODS[name].describe(speaker, self.training_speakers, self._table_rows, self.pretrained)
            for name in self.methods
        }
