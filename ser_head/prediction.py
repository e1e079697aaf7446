"""Emotions of new audio: files to waveforms, waveforms to vectors, vectors to the probabilities of a run's head.

Encoder, layers, scaler and class order come from the run alone. Whole files are scored in groups, long ones window by
window, so that memory depends on neither their number nor their length.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from ser_embed.console import note, quiet
from ser_embed.errors import ClipError, InputError, SilentClipError
from ser_head.runs import Run

SILENT = "silent"  # what a window without a voice is called; it has no probabilities
_AT_ONCE = 32  # waveforms held in memory
_STRETCHES = 12  # stretches of one emotion told in a file's line; --output has all windows


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What was heard.

    Attributes:
        table: one row per file, or per window: file, start_s, end_s, emotion, confidence, and p_<emotion> per class.
        unreadable: one {"file", "reason"} for each file that could not be scored.
    """

    table: pd.DataFrame
    unreadable: tuple[dict[str, str], ...]

    def lines(self) -> list[str]:
        """Return one line per file: its emotion and probabilities, or its timeline."""
        return [_line(str(file), rows) for file, rows in self.table.groupby("file", sort=False)]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, a list of windows per file."""
        plain = self.table.astype(object).where(self.table.notna(), None)
        files = [
            {"file": file, "windows": rows.drop(columns="file").to_dict("records")}
            for file, rows in plain.groupby("file", sort=False)
        ]
        return {"files": files, "unreadable": list(self.unreadable)}

    def write(self, path: Path) -> None:
        """Write the table as csv, or everything as json, by the suffix of `path`."""
        import json

        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".csv":
            self.table.to_csv(path, index=False)
        else:
            path.write_text(json.dumps(self.to_json(), indent=2, ensure_ascii=False) + "\n", "utf-8")


@dataclasses.dataclass(frozen=True)
class Hearing:
    """How audio is listened to.

    Attributes:
        window_s: length of a window in seconds, or None for whole files.
        hop_s: step between windows in seconds; half a window if None.
        speaker: who speaks, as the training corpus names them, or None.
        device: where the encoder runs.
        model: where the encoder is, if not where it was in training.
    """

    window_s: float | None = None
    hop_s: float | None = None
    speaker: str | None = None
    device: str = "auto"
    model: str | None = None

    def __post_init__(self) -> None:
        if self.window_s is None and self.hop_s is not None:
            raise InputError("--hop needs a --window to step with")
        for name, value in (("window", self.window_s), ("hop", self.hop_s)):
            if value is not None and not 0.1 <= value < np.inf:
                raise InputError(f"--{name} has to be at least 0.1 s, not {value}")
        if self.window_s is not None and self.hop_s is not None and self.hop_s > self.window_s:
            raise InputError(f"--hop has to be at most the window ({self.window_s} s), not {self.hop_s}")


@dataclasses.dataclass(frozen=True)
class Piece:
    """A stretch of audio to score: a window, or a whole file.

    Attributes:
        file: where it is from.
        start_s: where it begins, in seconds.
        end_s: where it ends, in seconds.
        waveform: float32 (samples,) at 16 kHz; None if it is silent.
    """

    file: Path
    start_s: float
    end_s: float
    waveform: np.ndarray | None


def run_prediction(run: Run, audio: Sequence[Path], hearing: Hearing) -> Predictions:
    """Score audio files with a run.

    Args:
        run: the trained head with its encoder's description.
        audio: files, and folders that are searched for audio.
        hearing: windows, speaker, device.

    Raises:
        InputError: a folder holds no audio, or the run's encoder cannot be had.
    """
    files = find_audio(audio)
    _note_speaker(run, hearing.speaker)
    from ser_embed.embed import Embedder

    embedder = Embedder.of(run.spec, hearing.model, hearing.device)
    unreadable: list[dict[str, str]] = []
    pieces = _pieces(tqdm(files, "listening", unit="file", disable=quiet()), hearing, unreadable)
    tables = [pd.DataFrame(columns=["file", "start_s", "end_s", "emotion", "confidence"])]
    while group := list(islice(pieces, _AT_ONCE)):
        tables.append(_score(run, embedder, group, hearing.speaker))
    return Predictions(pd.concat(tables[1:] or tables, ignore_index=True), tuple(unreadable))


def find_audio(paths: Iterable[Path]) -> list[Path]:
    """Return the files among `paths` and the audio files below the folders among them, each once.

    Raises:
        InputError: a folder holds no audio.
    """
    from ser_embed.corpora.files import SUFFIXES, audio_files

    files: dict[Path, None] = {}
    for path in paths:
        if not path.is_dir():
            files[path] = None
            continue
        found = audio_files(path)
        if not found:
            raise InputError(f"expected audio ({', '.join(SUFFIXES)}) in the folder {path}, found none")
        files.update((path / file, None) for file in found)
    return list(files)


def _note_speaker(run: Run, speaker: str | None) -> None:
    if speaker is None:
        return
    if not run.settings.personalized:
        note(f"the run {run.folder} is not personalised: --speaker makes no difference")
    elif not any(speaker in fold["known"] for fold in run.about["folds"]):
        note(f"{speaker} was not in training: scored as an unknown speaker")


def _pieces(files: Iterable[Path], hearing: Hearing, unreadable: list[dict[str, str]]) -> Iterator[Piece]:
    """Read files one after the other; one that cannot be read goes to `unreadable`."""
    for file in files:
        try:
            yield from _windows(file, hearing) if hearing.window_s else _whole(file)
        except ClipError as error:
            unreadable.append({"file": str(file), "reason": str(error)})


def _whole(file: Path) -> Iterator[Piece]:
    from ser_embed.audio import Preparation, load_clip
    from ser_embed.encoders.encoder import MAX_CLIP_S
    from ser_embed.spec import RATE_HZ

    waveform, facts = load_clip(file, Preparation())
    if len(waveform) > MAX_CLIP_S * RATE_HZ:
        raise ClipError(f"too long to score whole: {facts.duration_s:.0f} s, at most {MAX_CLIP_S:.0f} s; use --window")
    yield Piece(file, 0.0, facts.duration_s, waveform)


def _windows(file: Path, hearing: Hearing) -> Iterator[Piece]:
    from ser_embed.audio import check_waveform, windows

    window_s = hearing.window_s or 0.0
    for start_s, end_s, waveform in windows(file, window_s, hearing.hop_s or window_s / 2):
        try:
            check_waveform(waveform)
        except SilentClipError:
            yield Piece(file, start_s, end_s, None)
        else:
            yield Piece(file, start_s, end_s, waveform)


def _score(run: Run, embedder: Any, pieces: list[Piece], speaker: str | None) -> pd.DataFrame:
    voiced = [index for index, piece in enumerate(pieces) if piece.waveform is not None]
    probabilities = np.full((len(pieces), len(run.labels)), np.nan)
    if voiced:
        vectors = embedder.embed_waveforms([pieces[index].waveform for index in voiced])
        probabilities[voiced] = run.probabilities(vectors, [speaker or ""] * len(voiced), embedder.spec)
    table = pd.DataFrame(
        {
            "file": [str(piece.file) for piece in pieces],
            "start_s": [round(piece.start_s, 3) for piece in pieces],
            "end_s": [round(piece.end_s, 3) for piece in pieces],
            "emotion": SILENT,
            "confidence": np.nan,
        }
    )
    table.loc[voiced, "emotion"] = [run.labels[best] for best in probabilities[voiced].argmax(axis=1)]
    table.loc[voiced, "confidence"] = probabilities[voiced].max(axis=1)
    return table.assign(**{f"p_{label}": probabilities[:, index] for index, label in enumerate(run.labels)})


def _line(file: str, rows: pd.DataFrame) -> str:
    if len(rows) == 1:
        row = rows.iloc[0]
        classes = rows.filter(like="p_").iloc[0].sort_values(ascending=False)
        others = ", ".join(f"{str(name)[2:]} {value:.2f}" for name, value in classes.iloc[1:3].items())
        return f"{file}: {row['emotion']} {row['confidence']:.2f} ({others})"
    begins = rows[rows["emotion"] != rows["emotion"].shift()]  # the first window of each stretch of one emotion
    ends = [*begins["start_s"].iloc[1:], rows["end_s"].iloc[-1]]
    told = [
        f"{_clock(start)}-{_clock(end)} {emotion}"
        for start, end, emotion in zip(begins["start_s"], ends, begins["emotion"], strict=True)
    ]
    more = f", ... ({len(told) - _STRETCHES} more)" if len(told) > _STRETCHES else ""
    return f"{file}: {', '.join(told[:_STRETCHES])}{more}"


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"
