"""Inputs of a head: clips of a fold with what is known of their speakers, session by session."""

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
from ser_head.personalization.personalizer import Personalizer, SpeakerState
from ser_head.training.fold import Fold

VALIDATION_SIZES = (0, *SIZES, ALL)  # clips enrolled: an epoch is chosen by the mean over the conditions of the test


class InputBuilder:
    """Reads clips as the head takes them, each with what its session knows of the speaker."""

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
            data: the clips of all folds.
            fold: its scaling is applied.
            sessions: every recording that will be asked for is scored in one of them, and so are its augmented copies;
                none where no method changes inputs.
            personalizer: applies the personalisation methods.
            training: whether a speaker with enrolled clips has its own row in the speaker table.
        """
        self._data, self._fold, self._sessions = data, fold, sessions
        self._personalizer, self._training = personalizer, training
        self._states: dict[int, SpeakerState] = {}
        self._session_of = np.zeros(len(data), np.int64)
        for number, session in enumerate(sessions):
            self._session_of[session.scored] = number

    def inputs(self, clips: np.ndarray) -> list[np.ndarray]:
        """Return the head's inputs for the clips at these positions, in that order."""
        vectors = self._fold.scaling.read(self._data, clips)
        if not self._sessions:
            return [vectors]
        numbers, state_of = np.unique(self._session_of[self._data.recordings[clips]], return_inverse=True)
        return self._personalizer.inputs(vectors, [self._state(number) for number in numbers.tolist()], state_of)

    def outputs(self, predict: Callable[[list[np.ndarray]], np.ndarray], clips: np.ndarray) -> np.ndarray:
        """Return what a head answers for the clips at these positions, ascending, read a window at a time."""
        return np.concatenate([predict(self.inputs(window)) for window in self._data.windows(clips)])

    def _state(self, number: int) -> SpeakerState:
        if number not in self._states:
            self._states[number] = self._describe(self._sessions[number])
        return self._states[number]

    def _describe(self, session: Session) -> SpeakerState:
        personalizer = self._personalizer
        # Without methods of its own the head knows nobody, even where augmentation showed it speakers in training.
        is_personalized = bool(self._fold.personalizer.methods)
        if is_personalized and not self._training and personalizer.training_speakers.row(session.speaker):
            return personalizer.known_state(session.speaker)
        enrolled = self._fold.scaling.read(self._data, session.enrolled)
        if self._training:
            return personalizer.training_state(enrolled, session.speaker)
        return personalizer.state(enrolled, pretrained_name=session.speaker if len(enrolled) else "")


def training_inputs(data: Dataset, fold: Fold, clips: np.ndarray, random: np.random.Generator) -> InputBuilder:
    """Return inputs in which the speakers of training clips are enrolled with samples of every size, as in tests.

    Args:
        data: the clips of all folds.
        fold: the fold that is trained.
        clips: positions of the training clips.
        random: draws groups and enrolments.
    """
    changes_inputs = fold.training_personalizer.changes_inputs
    recordings = data.without_copies(clips)  # nobody enrols with copies
    sessions = training_sessions(data.speakers, recordings, random) if changes_inputs else []
    return InputBuilder(data, fold, sessions, fold.training_personalizer, training=True)


def validation_inputs(
    data: Dataset, fold: Fold, personalizer: Personalizer, random: np.random.Generator
) -> list[InputBuilder]:
    """Return the validation clips as inputs, once for each enrolment size; speakers who also train are known.

    Args:
        data: the clips of all folds.
        fold: the fold.
        personalizer: applies the personalisation methods.
        random: draws groups and enrolments.
    """
    if not personalizer.changes_inputs:
        return [InputBuilder(data, fold, [], personalizer)]
    clips = fold.split.validation
    trains_too = np.isin(data.speakers[clips], personalizer.training_speakers.names) & bool(fold.personalizer.methods)
    known = known_speaker_sessions(data.speakers, clips[trains_too], data.without_copies(fold.split.train))
    return [
        InputBuilder(
            data, fold, [*known, *enrollment_sessions(data.speakers, clips[~trains_too], size, random)], personalizer
        )
        for size in VALIDATION_SIZES
    ]
