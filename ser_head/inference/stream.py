"""Streams: samples that arrive piece by piece, cut into segments, and scored window by window."""

from collections.abc import Callable, Sequence
from typing import Any

from ser_head.inference.audio import AudioArray, Segment, as_segment, window_buffer
from ser_head.inference.prediction_table import Scores


class SegmentStream:
    """Cuts samples into overlapping windows as soon as each is complete. Belongs to one source.

    What it gives are the windows of `predict --window` on the same audio. See `ser_head.Predictor.segments`.
    """

    def __init__(self, rate_hz: int, window_s: float, hop_s: float, name: str = "stream") -> None:
        """Begin with no samples.

        Args:
            rate_hz: sampling rate of the samples in Hz.
            window_s: length of a window in seconds.
            hop_s: distance between the starts of two windows in seconds.
            name: `file` of the segments.
        """
        self._rate_hz, self._name = rate_hz, name
        self._buffer = window_buffer(rate_hz, window_s, hop_s)

    def push(self, samples: Any) -> list[Segment]:
        """Add samples, and return the windows they complete.

        Args:
            samples: numbers (samples,) or (samples, channels); integers are scaled from their full range.

        Raises:
            ClipError: they hold NaN.
        """
        block = AudioArray.of(samples, self._rate_hz).samples
        return [as_segment(self._name, *window) for window in self._buffer.push(block)]

    def finish(self) -> list[Segment]:
        """Return what is left at the end, if it holds anything that the last window did not.

        Raises:
            ClipError: all samples together are too short for an encoder.
        """
        return [as_segment(self._name, *window) for window in self._buffer.finish()]


class PredictionStream:
    """Scores each window as soon as its samples have arrived. Belongs to one source, and to one thread at a time.

    >>> stream = predictor.stream(rate=16000, window=3, hop=1)  # doctest: +SKIP
    >>> for block in microphone:  # doctest: +SKIP
    ...     for result in stream.push(block):
    ...         print(result["start_s"], result["scores"][0])
    """

    def __init__(self, score: Callable[[Sequence[Segment]], Scores], segments: SegmentStream, target: str) -> None:
        """Begin with no samples; use `ser_head.Predictor.stream`.

        Args:
            score: scores segments.
            segments: cuts samples.
            target: label of a number, for a head that answers with one.
        """
        self._score, self._segments, self._target = score, segments, target

    def push(self, samples: Any) -> list[dict[str, Any]]:
        """Add samples, and score the windows they complete.

        Args:
            samples: numbers (samples,) or (samples, channels); integers are scaled from their full range.

        Returns:
            For each window {"start_s", "end_s", "scores": [{"label", "score"}, ...], "ood_score"}; `scores` is empty
            and `ood_score` None where it is silent.
        """
        return self._results(self._segments.push(samples))

    def finish(self) -> list[dict[str, Any]]:
        """Score what is left at the end, if it holds anything that the last window did not.

        Raises:
            ClipError: all samples together are too short for an encoder.
        """
        return self._results(self._segments.finish())

    def _results(self, segments: list[Segment]) -> list[dict[str, Any]]:
        scores = self._score(segments)
        return [
            {
                "start_s": segment.start_s,
                "end_s": segment.end_s,
                "scores": scores.ranked(row, self._target),
                "ood_score": None if scores.is_silent[row] else float(scores.ood_scores[row]),
            }
            for row, segment in enumerate(segments)
        ]
