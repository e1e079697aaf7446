"""Emotions of new audio: files to waveforms, waveforms to vectors, vectors to the probabilities of a run's head.

Encoder, layers, scaler and class order come from the run alone. Whole files are scored in groups, long ones window by
window, so that memory depends on neither their number nor their length.
"""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_embed.console import note
from ser_head.answers import UNFAMILIAR, Predictions, emotions_of
from ser_head.enrolling import Voice, find_voice
from ser_head.listening import AT_ONCE, Hearing, Piece, find_audio, listen, load_embedder
from ser_head.predictions import PROBABILITY
from ser_head.runs import Run


def run_prediction(run: Run, audio: Sequence[Path], hearing: Hearing) -> Predictions:
    """Score audio files with a run.

    Args:
        run: the trained head with its encoder's description.
        audio: files, and folders that are searched for audio.
        hearing: windows, who speaks, device.

    Raises:
        InputError: a folder holds no audio, the run's encoder cannot be had, the profile is damaged or of another
            encoder, or none of the clips to enrol can be read.
    """
    files = find_audio(audio)
    embedder = load_embedder(run.spec, hearing.model, hearing.device)
    voice = find_voice(run, embedder, files, hearing)
    unreadable = list(voice.unreadable)
    pieces = listen(files, hearing, unreadable)
    tables = []
    while group := list(islice(pieces, AT_ONCE)):
        tables.append(_score(run, embedder, group, voice, hearing.min_confidence))
    table = pd.concat(tables, ignore_index=True) if tables else _score(run, embedder, [], voice, None)
    predictions = Predictions(table, tuple(unreadable), voice.clips)
    _note_unfamiliar(predictions, hearing)
    return predictions


def _score(
    run: Run, embedder: Any, pieces: Sequence[Piece], voice: Voice, min_confidence: float | None
) -> pd.DataFrame:
    voiced = [index for index, piece in enumerate(pieces) if piece.waveform is not None]
    probabilities, unfamiliarity = np.full((len(pieces), len(run.labels)), np.nan), np.full(len(pieces), np.nan)
    if voiced:
        vectors = embedder.embed_waveforms([pieces[index].waveform for index in voiced])
        speakers, enrolled = voice.speakers([pieces[index].file for index in voiced])
        probabilities[voiced] = run.probabilities(vectors, speakers, embedder.spec, enrolled)
        unfamiliarity[voiced] = run.unfamiliarity(vectors)
    return pd.DataFrame(
        {
            "file": [str(piece.file) for piece in pieces],
            "start_s": [round(piece.start_s, 3) for piece in pieces],
            "end_s": [round(piece.end_s, 3) for piece in pieces],
            "emotion": emotions_of(probabilities, run.labels, unfamiliarity, min_confidence),
            "confidence": probabilities.max(axis=1),
            "unfamiliarity": unfamiliarity,
            **{f"{PROBABILITY}{label}": probabilities[:, index] for index, label in enumerate(run.labels)},
        }
    )


def _note_unfamiliar(predictions: Predictions, hearing: Hearing) -> None:
    strange = int(predictions.unfamiliar.sum())
    if not strange:
        return
    what = "windows" if hearing.window_s else "files"
    answer = (
        "answered all the same" if hearing.min_confidence == 0 else "uncertain; --min-confidence 0 answers them too"
    )
    note(f"{strange} of {len(predictions.table)} {what} {UNFAMILIAR}: {answer}")
