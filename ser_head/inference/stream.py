"""Prediction stream: samples that arrive piece by piece, scored window by window."""

from collections.abc import Callable, Sequence
from typing import Any

from ser_head.inference.audio import AudioArray, Segment, as_segment, window_buffer
from ser_head.inference.prediction_table import Scores


class PredictionStream:
    """Scores each window as soon as its samples have arrived. Belongs to one source, and to one thread at a time.

    >>> stream = predictor.stream(rate=16000, window=3, hop=1)  # doctest: +SKIP
    >>> for block in microphone:  # doctest: +SKIP
    ...     for result in stream.push(block):
    ...         print(result["start_s"], result["scores"][0])
    """

    def __init__(
        self,
        score: Callable[[Sequence[Segment]], Scores],
        rate_hz: int,
        window_s: float,
        hop_s: float,
        target: str,
    ) -> None:
        """Begin with no samples; use `ser_head.Predictor.stream`.

        Args:
            score: scores segments.
            rate_hz: sampling rate of the samples in Hz.
            window_s: length of a window in seconds.
            hop_s: distance between the starts of two windows in seconds.
            target: label of a number, for a head that answers with one.
        """
        self._score, self._rate_hz, self._target = score, rate_hz, target
        self._buffer = window_buffer(rate_hz, window_s, hop_s)

    def push(self, samples: Any) -> list[dict[str, Any]]:
        """Add samples, and score the windows they complete.

        Args:
            samples: numbers (samples,) or (samples, channels); integers are scaled from their full range.

        Returns:
            For each window {"start_s", "end_s", "scores": [{"label", "score"}, ...], "ood_score"}; `scores` is empty
            and `ood_score` None where it is silent.
        """
        block = AudioArray.of(samples, self._rate_hz).samples
        return self._results([as_segment("stream", *window) for window in self._buffer.push(block)])

    def finish(self) -> list[dict[str, Any]]:
        """Score what is left at the end, if it holds anything that the last window did not.

        Raises:
            ClipError: all samples together are too short for an encoder.
        """
        return self._results([as_segment("stream", *window) for window in self._buffer.finish()])

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
