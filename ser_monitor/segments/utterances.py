"""Utterances: stretches of speech between pauses, with their samples, as voice activity shows them."""

import dataclasses

import numpy as np

from ser_monitor.segments.voice_activity import FRAME_S

_PAUSE_S = 0.5  # a pause this long ends an utterance
_SHORTEST_S = 0.3  # of speech; less is a click or a cough
_LONGEST_S = 15.0  # of an utterance, which is cut there: an encoder's time grows faster than its length
_MARGIN_S = 0.1  # before the first and after the last frame of speech


@dataclasses.dataclass(frozen=True)
class Utterance:
    """A stretch of speech.

    Attributes:
        start_s: where it begins, in seconds from the recording's first sample.
        end_s: where it ends.
        samples: float32 (samples, channels) at the recording's rate.
    """

    start_s: float
    end_s: float
    samples: np.ndarray


class UtteranceCutter:
    """Cuts the speech of one recording into utterances."""

    def __init__(self, rate_hz: int) -> None:
        """Begin with no samples.

        Args:
            rate_hz: sampling rate of the recording in Hz.
        """
        self._rate_hz = rate_hz
        self._samples = np.zeros((0, 1), np.float32)
        self._start = 0  # sample at which `_samples` begin
        self._frame = 0
        self._first: int | None = None  # frame at which the utterance begins
        self._last = 0  # its last frame of speech
        self._num_speech = 0

    def push(self, samples: np.ndarray, frames: list[bool]) -> list[Utterance]:
        """Add samples with the frames they complete, and return the utterances that end with them.

        Args:
            samples: float32 (samples, channels).
            frames: of `ser_monitor.segments.voice_activity.VoiceActivity.push` for the same samples.
        """
        self._samples = np.concatenate([self._samples, samples]) if len(self._samples) else samples
        utterances = self._take(frames)
        self._forget()
        return utterances

    def finish(self, frames: list[bool]) -> list[Utterance]:
        """Return the utterances that end with the last frames, and the one that the recording's end cuts off.

        Args:
            frames: of `ser_monitor.segments.voice_activity.VoiceActivity.finish`.
        """
        utterances = self._take(frames)
        return utterances if self._first is None else utterances + self._cut()

    def _take(self, frames: list[bool]) -> list[Utterance]:
        utterances: list[Utterance] = []
        for is_speech in frames:
            if is_speech:
                self._first = self._frame if self._first is None else self._first
                self._last = self._frame
                self._num_speech += 1
            self._frame += 1
            if self._first is not None and self._is_over(self._first):
                utterances += self._cut()
        return utterances

    def _is_over(self, first: int) -> bool:
        pause_s, length_s = (self._frame - 1 - self._last) * FRAME_S, (self._frame - first) * FRAME_S
        return pause_s >= _PAUSE_S or length_s >= _LONGEST_S

    def _cut(self) -> list[Utterance]:
        first, num_speech = self._first or 0, self._num_speech
        self._first, self._num_speech = None, 0
        if num_speech * FRAME_S < _SHORTEST_S:
            return []
        start = max(round((first * FRAME_S - _MARGIN_S) * self._rate_hz), self._start)
        end = min(round(((self._last + 1) * FRAME_S + _MARGIN_S) * self._rate_hz), self._start + len(self._samples))
        samples = self._samples[start - self._start : end - self._start]
        return [Utterance(start / self._rate_hz, end / self._rate_hz, samples.copy())]

    def _forget(self) -> None:
        """Drop samples that no utterance can begin with any more."""
        oldest = self._frame if self._first is None else self._first
        start = round((oldest * FRAME_S - 2 * _MARGIN_S) * self._rate_hz)
        if start > self._start:
            self._samples, self._start = self._samples[start - self._start :], start
