"""Scorer: stored vectors, and what is known of who speaks, to calibrated probabilities.

A scorer holds all that one fold has learned: scaling, head, training speakers, calibration, out-of-domain detector. The
same code scores the test clips of a training and new audio later.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from ser_head.data.frames import clip_means
from ser_head.data.scaling import Alignment
from ser_head.personalization.methods import METHODS
from ser_head.personalization.output_adaptation import OutputCalibration
from ser_head.personalization.personalizer import Personalizer, SpeakerState
from ser_head.scoring.calibrators import CALIBRATORS
from ser_head.scoring.ood import KnnOodDetector
from ser_head.scoring.temperature import safe_log

Predict = Callable[[list[np.ndarray]], np.ndarray]  # a head: its inputs to probabilities, float32 (clips, classes)


@dataclasses.dataclass(frozen=True)
class ScoringRequest:
    """Clips of one speaker, known or unknown, to be scored together.

    Attributes:
        vectors: the clips, float32 (clips, layers, width).
        enrolled: unlabelled clips of the speaker, float32 (n, layers, width), or None.
        speaker: the speaker's name, if it may be a training speaker; else "".
        corpus: corpus of the clips, if training may have known it; else "".
        pretrained: the speaker's name, if only the encoder's pre-training may have heard it; else "".
    """

    vectors: np.ndarray
    enrolled: np.ndarray | None = None
    speaker: str = ""
    corpus: str = ""
    pretrained: str = ""


class Scorer:
    """The head of one fold with everything around it.

    Attributes:
        scaling: standardises vectors.
        personalizer: applies the personalisation methods.
        output_calibration: calibrates the head's outputs.
        ood_detector: tells audio unlike the training clips; None if there is none.
    """

    def __init__(
        self,
        predict: Predict,
        scaling: Alignment,
        personalizer: Personalizer,
        output_calibration: OutputCalibration,
        ood_detector: KnnOodDetector | None = None,
    ) -> None:
        """Take the parts.

        Args:
            predict: the head.
            scaling: standardises vectors.
            personalizer: applies the personalisation methods.
            output_calibration: calibrates the head's outputs.
            ood_detector: tells audio unlike the training clips.
        """
        self._predict = predict
        self.scaling = scaling
        self.personalizer = personalizer
        self.output_calibration = output_calibration
        self.ood_detector = ood_detector

    def score(self, requests: Sequence[ScoringRequest]) -> np.ndarray:
        """Score clips of several speakers in one pass.

        Returns:
            Probabilities, float32 (clips of all requests, classes), or numbers (clips of all requests, 1), in the order
            of `requests`.
        """
        vectors = [self.scaling.apply(request.vectors, request.corpus) for request in requests]
        enrolled = [
            clips[:0] if request.enrolled is None else self.scaling.apply(request.enrolled, request.corpus)
            for request, clips in zip(requests, vectors, strict=True)
        ]
        states = [self._state(request, clips) for request, clips in zip(requests, enrolled, strict=True)]
        outputs = self._calibrated(vectors, states)
        if not self._adapts_outputs:
            return np.concatenate(outputs)
        enrolled_outputs = self._calibrated(enrolled, states)
        speakers = [request.speaker for request in requests]
        return np.concatenate(list(map(self._adapted, outputs, enrolled_outputs, enrolled, speakers)))

    def ood_score(self, vectors: np.ndarray, corpora: str | np.ndarray = "") -> np.ndarray:
        """Return how unlike the training clips each clip is, float64 (clips,); above 1 it is out of domain.

        Args:
            vectors: float32 (clips, layers, width), as the store holds them.
            corpora: corpus of the clips, one or one per clip (clips,), if training may have known it.
        """
        if self.ood_detector is None:
            return np.zeros(len(vectors))
        return self.ood_detector.score(self.scaling.apply(clip_means(vectors), corpora)) / self.ood_detector.threshold

    def calibrated(self, outputs: np.ndarray) -> np.ndarray:
        """Return what the head answered as it is told: calibrated probabilities, or numbers on their own scale.

        Args:
            outputs: of the head, float32 (clips, outputs).
        """
        calibration = self.output_calibration
        if calibration.numbers is None:
            return CALIBRATORS[calibration.calibrator].apply(outputs, calibration.parameters)
        mean, deviation = calibration.numbers
        return outputs * np.float32(deviation) + np.float32(mean)

    @property
    def temperature(self) -> float:
        """What the logits of the head are divided by."""
        calibration = self.output_calibration
        return CALIBRATORS[calibration.calibrator].temperature(calibration.parameters)

    @property
    def _adapts_outputs(self) -> bool:
        has_statistics = bool(self.output_calibration.prior_shift or self.output_calibration.numbers)
        return has_statistics and any(METHODS[name].adapts_outputs for name in self.personalizer.methods)

    def _state(self, request: ScoringRequest, enrolled: np.ndarray) -> SpeakerState:
        if self.personalizer.training_speakers.row(request.speaker):
            return self.personalizer.known_state(request.speaker)
        return self.personalizer.state(enrolled, pretrained_name=request.pretrained or request.speaker)

    def _calibrated(self, groups: Sequence[np.ndarray], states: Sequence[SpeakerState]) -> list[np.ndarray]:
        """Return the calibrated outputs of groups of clips, each of one speaker, in one pass through the head."""
        sizes = [len(clips) for clips in groups]
        inputs = self.personalizer.inputs(np.concatenate(groups), states, np.repeat(np.arange(len(groups)), sizes))
        return np.split(self.calibrated(self._predict(inputs)), np.cumsum(sizes)[:-1])

    def _adapted(
        self, outputs: np.ndarray, enrolled_outputs: np.ndarray, enrolled: np.ndarray, speaker: str
    ) -> np.ndarray:
        """Let the methods that adapt outputs, such as `calibrate`, change those of one speaker."""
        training_speakers, calibration = self.personalizer.training_speakers, self.output_calibration
        log = safe_log if calibration.numbers is None else lambda numbers: numbers
        for name in self.personalizer.methods:
            adapted = METHODS[name].adapt(
                log(outputs),
                log(enrolled_outputs),
                enrolled,
                training_speakers.row(speaker),
                training_speakers,
                calibration,
            )
            outputs = outputs if adapted is None else adapted
        return outputs
