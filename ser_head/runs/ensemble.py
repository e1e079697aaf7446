"""A head made of other runs: the mean of their log-probabilities, for clips that all of them were tested on.

The members may differ in encoder, head, anything but the folds: each clip has to have been tested in the same fold, by
heads that had learned from the same speakers. The mean is tempered by the validation clips of the fold, as any head.
"""

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from ser_embed.errors import InputError
from ser_head.config import TrainConfig
from ser_head.evaluation.predictions import PROBABILITY, primary_rows_first, probability_matrix, read_predictions
from ser_head.runs.run import Run
from ser_head.scoring.temperature import apply_temperature, fit_temperature, safe_log

_KEY = ["utterance_id", "fold", "condition"]
_HAS_TO_AGREE = ("protocol",)  # of the settings; that the folds are the same shows in the predictions
_OF_MEMBERS = ("corpus", "protocol", "split", "seed")  # settings that an ensemble has from the first member
_LEFT_OUT = ("report.html", "profiles")


def load_members(folders: Sequence[str | Path]) -> list[Run]:
    """Open the runs of an ensemble.

    Raises:
        InputError: fewer than two, one is no run or an ensemble itself, or two differ in their classes or protocol.
    """
    if len(folders) < 2:
        raise InputError(f"--head ensemble needs at least two runs as --members, not {len(folders)}")
    members = [Run.load(folder) for folder in folders]
    for member in members:
        if not member.labels:
            raise InputError(f"--head ensemble averages probabilities, but {member.folder} answers with a number")
        if member.members:
            raise InputError(f"--head ensemble averages heads, but {member.folder} is an ensemble; name its members")
    for member in members[1:]:
        if member.labels != members[0].labels:
            classes = [" ".join(run.labels) for run in (members[0], member)]
            raise InputError(f"the members {members[0].folder} and {member.folder} differ in classes: {classes}")
        for name in _HAS_TO_AGREE:
            values = [getattr(run.config, name) for run in (members[0], member)]
            if values[0] != values[1]:
                raise InputError(
                    f"the members {members[0].folder} and {member.folder} differ in {name}: {values[0]} and {values[1]}"
                )
    return members


def settings_of_members(config: TrainConfig, first: Run) -> TrainConfig:
    """Return an ensemble's settings: what its members were trained on is what it is of.

    Args:
        config: as they were asked for.
        first: the first member.

    Raises:
        InputError: something was asked for that the members are not.
    """
    usual = TrainConfig()
    for name in _OF_MEMBERS:
        wanted, theirs = getattr(config, name), getattr(first.config, name)
        if wanted not in (getattr(usual, name), theirs):
            raise InputError(f"--{name} of an ensemble is that of its members, {theirs}, not {wanted}")
    theirs = {name: getattr(first.config, name) for name in _OF_MEMBERS}
    return dataclasses.replace(config, store=config.store or first.config.store, **theirs)


def combine(probabilities: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean of log-probabilities, as probabilities.

    Args:
        probabilities: (clips, classes) of each member.

    Returns:
        float32 (clips, classes).
    """
    return softmax(np.mean([safe_log(each) for each in probabilities], axis=0), axis=1).astype(np.float32)


def combined_predictions(members: Sequence[Run]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the ensemble's predictions of the test clips and of the validation clips.

    Raises:
        InputError: the members were not tested on the same clips in the same folds.
    """
    labels = members[0].labels
    tested, validated = (
        _combined([read_predictions(member.folder / name) for member in members], labels)
        for name in ("predictions.csv", "validation.csv")
    )
    temperatures = {
        fold: fit_temperature(probability_matrix(rows, labels), rows["label"].map(labels.index).to_numpy(np.int64))
        for fold, rows in validated.groupby("fold")
    }
    return primary_rows_first(_tempered(tested, labels, temperatures)), _tempered(validated, labels, temperatures)


def ensemble_probabilities(run: Run, vectors: Sequence[np.ndarray], corpus: str = "") -> np.ndarray:
    """Score clips by an ensemble.

    Args:
        run: the ensemble.
        vectors: the clips as each member's encoder has them.
        corpus: which they are of, for members that standardise by corpus; "" if it is not known.

    Returns:
        float64 (clips, classes).
    """
    each = [
        member.probabilities(clips, corpora=[corpus] * len(clips))
        for member, clips in zip(run.members, vectors, strict=True)
    ]
    return apply_temperature(combine(each), run.about["temperature"]).astype(np.float64)


def copy_members(members: Sequence[Run], folder: Path) -> list[str]:
    """Copy the members into a run folder, so that it is whole by itself; return their places in it."""
    places = [f"members/{number}" for number in range(1, len(members) + 1)]
    for member, place in zip(members, places, strict=True):
        shutil.copytree(member.folder, folder / place, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    return places


def _combined(tables: Sequence[pd.DataFrame], labels: Sequence[str]) -> pd.DataFrame:
    """Combine tables row by row, over the conditions that all of them have."""
    shared = set.intersection(*(set(table["condition"]) for table in tables))
    aligned = [_first_seed(table[table["condition"].isin(shared)]).set_index(_KEY) for table in tables]
    first = aligned[0]
    for other in aligned[1:]:
        if set(other.index) != set(first.index):
            raise InputError("the members of an ensemble have to be tested on the same clips in the same folds")
    probabilities = combine([probability_matrix(table.loc[first.index], labels) for table in aligned])
    return _answered(first.reset_index(), probabilities, labels)


def _first_seed(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["seed"] == table["seed"].iloc[0]].drop(columns="seed") if "seed" in table else table


def _tempered(table: pd.DataFrame, labels: Sequence[str], temperatures: dict[Any, float]) -> pd.DataFrame:
    each = table["fold"].map(temperatures).to_numpy(np.float64)
    probabilities = apply_temperature(probability_matrix(table, labels), each[:, np.newaxis])
    return _answered(table.assign(temperature=each), probabilities, labels)


def _answered(table: pd.DataFrame, probabilities: np.ndarray, labels: Sequence[str]) -> pd.DataFrame:
    """Return the table with these probabilities and the prediction they make."""
    columns = {PROBABILITY + label: probabilities[:, place] for place, label in enumerate(labels)}
    return table.assign(prediction=np.array(labels, dtype=object)[probabilities.argmax(axis=1)], **columns)
