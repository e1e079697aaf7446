"""Inputs of a head: clips of a fold, and what is known of their speakers, session by session."""

from collections.abc import Callable, Sequence

import numpy as np

from ser_head.data.dataset import Dataset
from ser_head.personalization.enrollment import (
    ALL,
    SIZES,
    Session,
    enrollment_sessions,
    known_speaker_sessions,
    training_sessions,
)
from ser_head.personalization.methods import Personalizer, SpeakerState
from ser_head.training.fold import Fold

VALIDATION_SIZES = (0, *SIZES, ALL)  # clips enrolled: an epoch is chosen by the mean over what tests will ask


class InputBuilder:
    """Says of each clip by what sessions its speaker is known, and reads clips as the network takes them."""

    def __init__(
        self,
        data: Dataset,
        fold: Fold,
        sessions: Sequence[Session],
        personalizer: Personalizer,
        training: bool = False,
    ) -> None:
        """Take the sessions.

        Args:
            data: the clips.
            fold: whose scaling to use.
            sessions: each clip that will be asked for is scored in one of them; none if nothing is made of speakers.
            personalizer: what is made of them.
            training: a speaker of whom some clips are enrolled has its own row in the speaker table.
        """
        self._data, self._fold, self._sessions = data, fold, sessions
        self._personalizer, self._training = personalizer, training
        self._states: dict[int, SpeakerState] = {}
        self._session_of = np.zeros(len(data), np.int64)
        for place, session in enumerate(sessions):
            self._session_of[session.scored] = place

    def inputs(self, clips: np.ndarray) -> list[np.ndarray]:
        """Return the network's inputs for the clips at these positions, in that order."""
        vectors = self._fold.scaling.read(self._data, clips)
        if not self._sessions:
            return [vectors]
        present, state_of = np.unique(self._session_of[clips], return_inverse=True)
        return self._personalizer.inputs(vectors, [self._state(place) for place in present.tolist()], state_of)

    def answers(self, predict: Callable[[list[np.ndarray]], np.ndarray], clips: np.ndarray) -> np.ndarray:
        """Return what a network answers to the clips at these positions, ascending, read a window at a time."""
        return np.concatenate([predict(self.inputs(window)) for window in self._data.windows(clips)])

    def _state(self, place: int) -> SpeakerState:
        if place not in self._states:
            self._states[place] = self._make_state(self._sessions[place])
        return self._states[place]

    def _make_state(self, session: Session) -> SpeakerState:
        personalizer = self._personalizer
        tells = self._fold.personalizer.methods  # else nobody is known, though training may have shown voices
        if tells and not self._training and personalizer.training_speakers.row(session.speaker):
            return personalizer.known_state(session.speaker)
        enrolled = self._fold.scaling.read(self._data, session.enrolled)
        if self._training:
            return personalizer.training_state(enrolled, session.speaker)
        return personalizer.state(enrolled, speaker=session.speaker if len(enrolled) else "")


def training_inputs(data: Dataset, fold: Fold, clips: np.ndarray, random: np.random.Generator) -> InputBuilder:
    """Enrol the speakers of training `clips` with samples of every size, so that training meets what tests will."""
    sessions = training_sessions(data.speakers, clips, random) if fold.seen.listens else []
    return InputBuilder(data, fold, sessions, fold.seen, training=True)


def validation_inputs(
    data: Dataset, fold: Fold, personalizer: Personalizer, random: np.random.Generator
) -> list[InputBuilder]:
    """Let validation speakers be known if they train, and be enrolled in every size otherwise, one casting per size."""
    if not personalizer.listens:
        return [InputBuilder(data, fold, [], personalizer)]
    clips = fold.split.validation
    heard = np.isin(data.speakers[clips], personalizer.training_speakers.names) & bool(fold.personalizer.methods)
    known = known_speaker_sessions(data.speakers, clips[heard], fold.split.train)
    return [
        InputBuilder(
            data, fold, [*known, *enrollment_sessions(data.speakers, clips[~heard], size, random)], personalizer
        )
        for size in VALIDATION_SIZES
    ]
