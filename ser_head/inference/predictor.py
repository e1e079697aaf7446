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

from ser_embed.cli import note
from ser_embed.errors import InputError
from ser_head.evaluation.predictions import PROBABILITY
from ser_head.inference.audio import AT_ONCE, PredictConfig, Segment, find_audio, listen, load_embedder
from ser_head.inference.prediction_table import NUMBER, UNFAMILIAR, Predictions, emotions_of
from ser_head.inference.speaker_context import SpeakerContext, resolve_speaker
from ser_head.runs.ensemble import ensemble_probabilities
from ser_head.runs.run import Run


def run_prediction(run: Run, audio: Sequence[Path], hearing: PredictConfig) -> Predictions:
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
    _require_corpus(run, hearing.corpus)
    embedder = load_embedder(run.spec, hearing.model, hearing.device)
    embedders = [embedder, *_other_embedders(run, hearing)]
    voice = resolve_speaker(run, embedder, files, hearing)
    unreadable = list(voice.unreadable)
    pieces = listen(files, hearing, min(each.max_clip_s for each in embedders), unreadable)
    tables = []
    while group := list(islice(pieces, AT_ONCE)):
        tables.append(_score(run, embedders, group, voice, hearing))
    table = pd.concat(tables, ignore_index=True) if tables else _score(run, embedders, [], voice, hearing)
    once = {each["file"]: each for each in unreadable}  # a file may have been enrolled too
    predictions = Predictions(table, tuple(once.values()), voice.clips)
    _note_unfamiliar(predictions, hearing)
    return predictions


def _score(
    run: Run, embedders: Sequence[Any], pieces: Sequence[Segment], voice: SpeakerContext, hearing: PredictConfig
) -> pd.DataFrame:
    corpus = hearing.corpus or ""
    voiced = [index for index, piece in enumerate(pieces) if piece.waveform is not None]
    answers, ood_score = np.full((len(pieces), max(1, len(run.labels))), np.nan), np.full(len(pieces), np.nan)
    if voiced:
        heard = [each.embed_waveforms([pieces[index].waveform for index in voiced]) for each in embedders]
        if run.members:
            answers[voiced] = ensemble_probabilities(run, heard, corpus)
            ood_score[voiced] = np.mean(
                [member.ood_score(vectors, corpus) for member, vectors in zip(run.members, heard, strict=True)],
                axis=0,
            )
        else:
            speakers, enrolled = voice.speakers([pieces[index].file for index in voiced])
            corpora = [corpus] * len(voiced)
            answers[voiced] = run.probabilities(heard[0], speakers, embedders[0].spec, enrolled, corpora)
            ood_score[voiced] = run.ood_score(heard[0], corpus)
    where = {
        "file": [str(piece.file) for piece in pieces],
        "start_s": [round(piece.start_s, 3) for piece in pieces],
        "end_s": [round(piece.end_s, 3) for piece in pieces],
    }
    if not run.labels:
        return pd.DataFrame({**where, NUMBER: answers[:, 0], "unfamiliarity": ood_score})
    return pd.DataFrame(
        {
            **where,
            "emotion": emotions_of(answers, run.labels, ood_score, hearing.min_confidence),
            "confidence": answers.max(axis=1),
            "unfamiliarity": ood_score,
            **{f"{PROBABILITY}{label}": answers[:, index] for index, label in enumerate(run.labels)},
        }
    )


def _require_corpus(run: Run, corpus: str | None) -> None:
    known = run.corpora
    if corpus and corpus not in known:
        expected = f"one of {', '.join(sorted(known))}" if known else "left out, as all corpora are standardised alike"
        raise InputError(f"with the run {run.folder}, --corpus has to be {expected}, not {corpus!r}")


def _other_embedders(run: Run, hearing: PredictConfig) -> list[Any]:
    """Return an embedder for each member of an ensemble after the first, one for all that share an encoder."""
    if run.members and hearing.model and any(member.spec != run.spec for member in run.members):
        raise InputError(f"--model names one encoder, but the members of {run.folder} have several")
    embedders: list[tuple[Any, Any]] = []
    for member in run.members[1:]:
        known = [each for spec, each in embedders if spec == member.spec]
        embedders.append(
            (member.spec, known[0] if known else load_embedder(member.spec, hearing.model, hearing.device))
        )
    return [each for _, each in embedders]


def _note_unfamiliar(predictions: Predictions, hearing: PredictConfig) -> None:
    strange = int(predictions.unfamiliar.sum())
    if not strange:
        return
    what = "windows" if hearing.window_s else "files"
    answer = (
        "answered all the same" if hearing.min_confidence == 0 else "uncertain; --min-confidence 0 answers them too"
    )
    note(f"{strange} of {len(predictions.table)} {what} {UNFAMILIAR}: {answer}")
