"""Cutting of a recording into what is scored: windows as `predict --window` cuts them, and whole utterances."""

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ser_monitor.events import UTTERANCE, WINDOW
from ser_monitor.segments.utterances import Utterance, UtteranceCutter
from ser_monitor.segments.voice_activity import VoiceActivity

if TYPE_CHECKING:
    from ser_head import Segment, SegmentStream

MIN_SPEECH = 0.1  # share of a window that has to be speech: 0.3 s of 3 s, a short word
_WHOLE_S = 60.0  # longer than any utterance


@dataclasses.dataclass(frozen=True)
class Cut:
    """A stretch of a recording to be scored.

    Attributes:
        kind: `WINDOW` or `UTTERANCE`.
        segment: the stretch; its waveform is None where it is digital silence.
        speech: share that is voice, 0 to 1.
    """

    kind: str
    segment: "Segment"
    speech: float

    @property
    def is_speech(self) -> bool:
        """Whether there is enough voice to score."""
        return self.segment.waveform is not None and self.speech >= MIN_SPEECH


class Cutter:
    """Cuts the samples of one recording as they arrive.

    Attributes:
        voice: its voice activity; None where every window counts as speech that is not silent.
    """

    def __init__(
        self,
        make_stream: "Callable[[float, float], SegmentStream]",
        rate_hz: int,
        window_s: float,
        hop_s: float,
        *,
        detects_voice: bool = True,
        with_utterances: bool = False,
        is_scored: Callable[[int], bool] = lambda _: True,
    ) -> None:
        """Begin with no samples.

        Args:
            make_stream: makes a stream of windows by their length and hop in seconds, at the recording's rate.
            rate_hz: sampling rate of the recording in Hz.
            window_s: length of a window in seconds.
            hop_s: distance between the starts of two windows in seconds.
            detects_voice: whether voice activity is detected.
            with_utterances: whether whole utterances are cut too, which needs voice activity.
            is_scored: tells of a window, by its number, whether it will be scored as things stand.
        """
        self._make_stream = make_stream
        self._windows = make_stream(window_s, hop_s)
        self._window_s, self._hop_s, self._is_scored = window_s, hop_s, is_scored
        self.voice = VoiceActivity(rate_hz, self._is_voice_needed) if detects_voice else None
        self._utterances = UtteranceCutter(rate_hz) if with_utterances else None
        self._num_samples = 0

    def push(self, samples: np.ndarray) -> list[Cut]:
        """Add samples, float32 (samples, channels), and return what they complete.

        Raises:
            ClipError: they hold NaN.
        """
        self._num_samples += len(samples)
        frames = self.voice.push(samples) if self.voice else []
        cuts = [self._window(segment) for segment in self._windows.push(samples)]
        utterances = self._utterances.push(samples, frames) if self._utterances else []
        return cuts + self._cut_utterances(utterances)

    def finish(self) -> list[Cut]:
        """Return what the end of the recording completes.

        Raises:
            ClipError: the recording is too short for an encoder, or its last samples hold NaN.
        """
        frames = self.voice.finish() if self.voice else []
        cuts = [self._window(segment) for segment in self._windows.finish()]
        return cuts + self._cut_utterances(self._utterances.finish(frames) if self._utterances else [])

    def _is_voice_needed(self, at_s: float) -> bool:
        """Return whether a moment is part of an utterance or of a window that will be scored."""
        if self._utterances is not None:
            return True
        last = int(at_s / self._hop_s)
        first = max(0, math.floor((at_s - self._window_s) / self._hop_s) + 1)
        return any(map(self._is_scored, range(last, first - 1, -1)))

    def _window(self, segment: "Segment") -> Cut:
        if self.voice is None:
            return Cut(WINDOW, segment, 0.0 if segment.waveform is None else 1.0)
        return Cut(WINDOW, segment, self.voice.share(segment.start_s, segment.end_s))

    def _cut_utterances(self, utterances: list[Utterance]) -> list[Cut]:
        cuts = []
        for utterance in utterances:
            stream = self._make_stream(_WHOLE_S, _WHOLE_S)
            (segment,) = stream.push(utterance.samples) + stream.finish()
            segment = dataclasses.replace(segment, start_s=utterance.start_s, end_s=utterance.end_s)
            share = self.voice.share(utterance.start_s, utterance.end_s) if self.voice else 1.0
            cuts.append(Cut(UTTERANCE, segment, share))
        return cuts
