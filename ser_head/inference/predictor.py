"""Predictor: a run loaded once, that scores audio many times.

Encoder, layers, scaling and class order come from the run alone. Files are scored in groups, long ones window by
window, so that memory depends on neither their number nor their length.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ser_embed.errors import ClipError, InputError
from ser_head.config.inference import PredictConfig
from ser_head.inference.audio import AudioArray, Segment, read_segments
from ser_head.inference.clips import AT_ONCE, find_audio
from ser_head.inference.prediction_table import OUT_OF_DOMAIN, Predictions, Scores
from ser_head.inference.segment_scorer import SegmentScorer, Speaker
from ser_head.inference.speaker_context import SpeakerContext, resolve_speaker
from ser_head.inference.stream import PredictionStream, SegmentStream
from ser_head.runs.location import resolve_run
from ser_head.runs.run import Run

logger = logging.getLogger(__name__)
_WARM_UP_SAMPLES = 16_000


class Predictor:
    """A run with its encoder, loaded once; may be used from several threads at the same time.

    After loading, nothing is read from disk but the audio that is to be scored.

    >>> predictor = Predictor("runs/mine")  # doctest: +SKIP
    >>> predictor("speech.mp3")[0]  # as transformers' pipeline("audio-classification")  # doctest: +SKIP
    {'label': 'happy', 'score': 0.71}
    >>> predictor.predict("folder/", window=3, hop=1).table  # doctest: +SKIP

    Attributes:
        run: the run.
        config: how audio is scored, if a call does not say otherwise.
        scorer: the run's encoders and heads, to score segments of many sources together.
    """

    def __init__(
        self, run: "str | Path | Run | None" = None, config: PredictConfig | None = None, **options: Any
    ) -> None:
        """Load a run and its encoder.

        Args:
            run: the run, its folder, or the name of one that ships; None takes the newest in runs/, or the one that
                ships where there is none.
            config: how audio is scored; None takes the defaults.
            **options: fields of `PredictConfig`, in place of `config`: window, hop, speaker, enroll, profiles, corpus,
                min_confidence, model, device.

        Raises:
            InputError: no such run, an encoder that cannot be had, a profile of another encoder, or no clip to enrol
                can be read.
        """
        if config is not None and options:
            raise InputError(f"give either config or {', '.join(options)}, not both")
        self.config = config or PredictConfig(**options)
        self.run = run if isinstance(run, Run) else Run.load(resolve_run(run))
        self.run.require_corpus(self.config.corpus)
        self.scorer = SegmentScorer(self.run, self.config)
        self._speaker = resolve_speaker(self.run, self.scorer.embedders[0], self.config)
        self.scorer.load_heads()
        self._warm_up()

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes; none for a head that answers with a number."""
        return self.run.labels

    def __repr__(self) -> str:
        """Return the run and its encoder."""
        return f"Predictor({self.run!r})"

    def __call__(self, audio: Any, rate: int | None = None, top_k: int | None = None) -> list[Any]:
        """Score audio, each item whole, and answer as transformers' pipeline("audio-classification").

        Args:
            audio: a path, an array of samples, {"array": samples, "sampling_rate": rate}, or a list of these.
            rate: sampling rate of arrays in Hz.
            top_k: return so many classes; None for all.

        Returns:
            [{"label", "score"}, ...], likeliest first; a list of these for a list.

        Raises:
            InputError: an array without a rate.
            ClipError: a single item cannot be scored.
        """
        if isinstance(audio, (list, tuple)):
            return self.predict_batch(audio, rate, top_k)
        return self._answers([_as_item(audio, rate)], top_k, strict=True)[0]

    def predict_batch(
        self, audio: Sequence[Any], rate: int | None = None, top_k: int | None = None
    ) -> list[list[dict[str, Any]]]:
        """Score several items in one pass; see `__call__`.

        Args:
            audio: paths or arrays.
            rate: sampling rate of arrays in Hz.
            top_k: return so many classes; None for all.

        Returns:
            [{"label", "score"}, ...] of each item; an empty list, and a warning in the log, where one cannot be scored.
        """
        items = [_as_item(item, rate, f"array {number}") for number, item in enumerate(audio, 1)]
        return self._answers(items, top_k, strict=False)

    def predict(
        self, audio: Any, rate: int | None = None, window: float | None = None, hop: float | None = None
    ) -> Predictions:
        """Score audio, whole or window by window.

        Args:
            audio: a path, a folder, an array of samples, or a list of these.
            rate: sampling rate of arrays in Hz.
            window: seconds of a window; None for the config's, which may be None for whole files.
            hop: seconds between windows; None for the config's, or half a window.

        Returns:
            A table with a row per file or window, and the files that could not be read.

        Raises:
            InputError: a folder without audio, an array without a rate, or windows that make no sense.
        """
        config = self.config if window is None and hop is None else PredictConfig(window=window, hop=hop)
        items = self._items(audio, rate)
        speaker = self._speaker.for_files([item for item in items if isinstance(item, Path)])
        unreadable = list(speaker.unreadable)
        segments = read_segments(items, config.window, config.hop_s, self.scorer.longest_s, unreadable)
        scores = self._score_all(segments, speaker)
        by_file = {entry["file"]: entry for entry in unreadable}  # a file may have been enrolled too
        table = scores.table(self.config.min_confidence)
        # The end of a file may have shown that it is damaged, after windows of it were scored.
        is_whole = np.array([file not in by_file for file in table["file"]], dtype=bool)
        table = table[is_whole].reset_index(drop=True)
        predictions = Predictions(table, tuple(by_file.values()), speaker.num_enrolled, self.run.is_shipped)
        self._warn_of_out_of_domain(predictions, is_windowed=config.window is not None)
        return predictions

    def stream(self, rate: int, window: float | None = None, hop: float | None = None) -> PredictionStream:
        """Return a stream that scores samples as they arrive, window by window.

        Args:
            rate: sampling rate of the samples in Hz.
            window: seconds of a window; None for the config's, or 3.
            hop: seconds between windows; None for the config's, or half a window.
        """
        return PredictionStream(self._score_stream, self.segments(rate, window, hop), self._target)

    def segments(
        self, rate: int, window: float | None = None, hop: float | None = None, name: str = "stream"
    ) -> SegmentStream:
        """Return what `stream` cuts samples with, to be scored by `scorer` together with those of other sources.

        Args:
            rate: sampling rate of the samples in Hz.
            window: seconds of a window; None for the config's, or 3.
            hop: seconds between windows; None for the config's, or half a window.
            name: `file` of the segments.
        """
        window = window or self.config.window or 3.0
        config = PredictConfig(window=window, hop=hop or self.config.hop)
        return SegmentStream(rate, window, config.hop_s or window, name)

    @property
    def speaker(self) -> Speaker:
        """Who speaks by the config, as `scorer` takes it: a profile's vectors, a training speaker's name, or None."""
        profile = self._speaker.profile
        return profile.vectors if profile is not None else self._speaker.speaker or None

    @property
    def _target(self) -> str:
        return self.run.config.target

    def _items(self, audio: Any, rate: int | None) -> list[Path | AudioArray]:
        listed = list(audio) if isinstance(audio, (list, tuple)) else [audio]
        items = [
            _as_item(item, rate, f"array {number}" if len(listed) > 1 else "array")
            for number, item in enumerate(listed, 1)
        ]
        arrays = [item for item in items if isinstance(item, AudioArray)]
        return [*find_audio(item for item in items if isinstance(item, Path)), *arrays]

    def _answers(
        self, items: list[Path | AudioArray], top_k: int | None, *, strict: bool
    ) -> list[list[dict[str, Any]]]:
        answers: list[list[dict[str, Any]]] = []
        speaker = self._speaker.for_files([item for item in items if isinstance(item, Path)])
        segments: list[Segment] = []
        for item in items:
            unreadable: list[dict[str, str]] = []
            item_segments = list(read_segments([item], None, None, self.scorer.longest_s, unreadable))
            if not item_segments:
                if strict:
                    raise ClipError(f"{unreadable[0]['file']}: {unreadable[0]['reason']}")
                logger.warning("%s: %s", unreadable[0]["file"], unreadable[0]["reason"])
            segments += item_segments or [Segment(unreadable[0]["file"], 0.0, 0.0, None)]
        scores = self._score_all(iter(segments), speaker)
        answers += [scores.ranked(row, self._target, top_k) for row in range(len(segments))]
        return answers

    def _score_all(self, segments: Iterable[Segment], speaker: SpeakerContext) -> Scores:
        """Score segments in groups."""
        groups = []
        iterator = iter(segments)
        while group := list(islice(iterator, AT_ONCE)):
            scores = self._score(group, speaker)
            slim = [Segment(segment.file, segment.start_s, segment.end_s, None) for segment in group]
            groups.append((slim, scores.outputs, scores.ood_scores))
        if not groups:
            return Scores([], self.labels, np.zeros((0, max(1, len(self.labels)))), np.zeros(0))
        parts, outputs, ood_scores = zip(*groups, strict=True)
        all_segments = [segment for part in parts for segment in part]
        return Scores(all_segments, self.labels, np.concatenate(outputs), np.concatenate(ood_scores))

    def _score_stream(self, segments: Sequence[Segment]) -> Scores:
        return self._score(segments, self._speaker)

    def _score(self, segments: Sequence[Segment], speaker: SpeakerContext) -> Scores:
        voiced = [row for row, segment in enumerate(segments) if segment.waveform is not None]
        outputs = np.full((len(segments), max(1, len(self.labels))), np.nan)
        ood_scores = np.full(len(segments), np.nan)
        if voiced:
            vectors = self.scorer.embed([segments[row] for row in voiced])
            names, enrolled = speaker.speakers([segments[row].file for row in voiced])
            outputs[voiced], ood_scores[voiced] = self.scorer.score_names(vectors, names, enrolled)
        return Scores(segments, self.labels, outputs, ood_scores)

    def _warm_up(self) -> None:
        """Score one second of noise, so that nothing is left to be loaded by the first call."""
        noise = np.random.default_rng(0).normal(0, 0.1, _WARM_UP_SAMPLES).astype(np.float32)
        segments = read_segments([AudioArray.of(noise, 16_000)], None, None, self.scorer.longest_s, [])
        self._score_all(segments, self._speaker)

    def _warn_of_out_of_domain(self, predictions: Predictions, *, is_windowed: bool) -> None:
        count = int(predictions.is_out_of_domain.sum())
        if count:
            unit = "windows" if is_windowed else "files"
            answer = (
                "answered all the same"
                if self.config.min_confidence == 0
                else "uncertain; --min-confidence 0 answers them too"
            )
            logger.warning("%d of %d %s %s: %s", count, len(predictions.table), unit, OUT_OF_DOMAIN, answer)


def _as_item(item: Any, rate: int | None, name: str = "array") -> Path | AudioArray:
    """Return a path, or an array with its rate."""
    if isinstance(item, (str, Path)):
        return Path(item)
    if isinstance(item, Mapping):
        samples = item.get("array", item.get("raw"))
        if samples is None:
            raise InputError(f'expected {{"array": samples, "sampling_rate": rate}}, found {", ".join(map(str, item))}')
        return AudioArray.of(samples, item.get("sampling_rate", rate), name)
    return AudioArray.of(item, rate, name)
