"""Ensemble: the mean of the log-probabilities of other runs, for clips that all of them were tested on.

The members may differ in encoder, head, anything but the folds: each clip has to have been tested in the same fold, by
heads that had learned from the same speakers. The temperature of the mean is fitted on the fold's validation clips.
"""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from ser_embed.errors import InputError
from ser_embed.store.reader import Store
from ser_head.config.training import TrainConfig
from ser_head.evaluation.groups import columns_of, with_groups
from ser_head.evaluation.metrics import metrics_document
from ser_head.evaluation.predictions import PROBABILITY, primary_rows_first, probability_matrix, read_predictions
from ser_head.runs.run import Run
from ser_head.runs.writer import RunWriter
from ser_head.scoring.temperature import apply_temperature, fit_temperature, safe_log

_KEY = ["utterance_id", "fold", "condition"]
_MUST_AGREE = ("protocol",)  # settings; that the folds are the same shows in the predictions
_SHARED_SETTINGS = ("corpus", "protocol", "split", "seed")  # that an ensemble has from its first member
_NOT_COPIED = ("report.html", "profiles")


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
        for name in _MUST_AGREE:
            values = [getattr(run.config, name) for run in (members[0], member)]
            if values[0] != values[1]:
                raise InputError(
                    f"the members {members[0].folder} and {member.folder} differ in {name}: {values[0]} and {values[1]}"
                )
    return members


def plan_ensemble(config: TrainConfig) -> tuple[TrainConfig, list[Run]]:
    """Open the members of an ensemble, and complete its config by theirs.

    Args:
        config: as the user gave it.

    Returns:
        The config, with store, corpora, protocol, split and seed of the first member, and the members.

    Raises:
        InputError: the members do not fit together, or something was asked for that they do not have.
    """
    members = load_members(config.members)
    defaults, first = TrainConfig(), members[0].config
    for name in _SHARED_SETTINGS:
        value, member_value = getattr(config, name), getattr(first, name)
        if value not in (getattr(defaults, name), member_value):
            raise InputError(f"--{name} of an ensemble is that of its members, {member_value}, not {value}")
    shared = {name: getattr(first, name) for name in _SHARED_SETTINGS}
    return dataclasses.replace(config, store=config.store or first.store, **shared), members


def write_ensemble(writer: RunWriter, config: TrainConfig, members: Sequence[Run]) -> None:
    """Combine runs, score the combination like any head, and write it as a run that contains its members.

    Args:
        writer: of the new run.
        config: the ensemble's.
        members: the runs.

    Raises:
        InputError: the members were not tested on the same clips in the same folds.
    """
    first = members[0]
    tested, validated = combined_predictions(members)
    with Store(config.store or "") as store:
        first.require_spec(store.spec)
        tested = with_groups(tested, store.utterances, config.by)
    member_metrics = json.loads((first.folder / "metrics.json").read_text("utf-8"))
    metrics = metrics_document(
        config.protocol,
        member_metrics["speaker_disjoint"],
        first.labels,
        tested,
        validated,
        leakage=member_metrics.get("leakage"),
        by=columns_of(tested),
    )
    folders = copy_members(members, writer.folder)
    about = {**first.about, "settings": config.to_dict(), "folds": [], "members": folders}
    writer.write_json("run.json", {**about, "temperature": float(tested["temperature"].mean())})
    writer.write_json("metrics.json", metrics)
    tested.to_csv(writer.folder / "predictions.csv", index=False)
    validated.to_csv(writer.folder / "validation.csv", index=False)


def combine(probabilities: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean of log-probabilities, as probabilities.

    Args:
        probabilities: (clips, classes) of each member.

    Returns:
        float32 (clips, classes).
    """
    return softmax(np.mean([safe_log(member) for member in probabilities], axis=0), axis=1).astype(np.float32)


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
    return primary_rows_first(_calibrated(tested, labels, temperatures)), _calibrated(validated, labels, temperatures)


def ensemble_probabilities(run: Run, vectors: Sequence[np.ndarray], corpus: str = "") -> np.ndarray:
    """Score clips by an ensemble.

    Args:
        run: the ensemble.
        vectors: the clips, as vectors of each member's encoder.
        corpus: corpus of the clips, for members that standardise by corpus; "" if it is not known.

    Returns:
        float64 (clips, classes).
    """
    probabilities = [
        member.probabilities(clips, corpora=[corpus] * len(clips))
        for member, clips in zip(run.members, vectors, strict=True)
    ]
    return apply_temperature(combine(probabilities), run.about["temperature"]).astype(np.float64)


def copy_members(members: Sequence[Run], folder: Path) -> list[str]:
    """Copy the members into a run folder, which then needs nothing from elsewhere; return their folders in it."""
    folders = [f"members/{number}" for number in range(1, len(members) + 1)]
    for member, member_folder in zip(members, folders, strict=True):
        shutil.copytree(member.folder, folder / member_folder, ignore=shutil.ignore_patterns(*_NOT_COPIED))
    return folders


def _combined(tables: Sequence[pd.DataFrame], labels: Sequence[str]) -> pd.DataFrame:
    """Combine tables row by row, over the conditions that all of them have."""
    shared = set.intersection(*(set(table["condition"]) for table in tables))
    aligned = [_first_seed(table[table["condition"].isin(shared)]).set_index(_KEY) for table in tables]
    first = aligned[0]
    for other in aligned[1:]:
        if set(other.index) != set(first.index):
            raise InputError("the members of an ensemble have to be tested on the same clips in the same folds")
    probabilities = combine([probability_matrix(table.loc[first.index], labels) for table in aligned])
    return _with_probabilities(first.reset_index(), probabilities, labels)


def _first_seed(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["seed"] == table["seed"].iloc[0]].drop(columns="seed") if "seed" in table else table


def _calibrated(table: pd.DataFrame, labels: Sequence[str], temperatures: dict[Any, float]) -> pd.DataFrame:
    row_temperatures = table["fold"].map(temperatures).to_numpy(np.float64)
    probabilities = apply_temperature(probability_matrix(table, labels), row_temperatures[:, np.newaxis])
    return _with_probabilities(table.assign(temperature=row_temperatures), probabilities, labels)


def _with_probabilities(table: pd.DataFrame, probabilities: np.ndarray, labels: Sequence[str]) -> pd.DataFrame:
    """Return the table with these probabilities and the prediction they make."""
    columns = {PROBABILITY + label: probabilities[:, index] for index, label in enumerate(labels)}
    return table.assign(prediction=np.array(labels, dtype=object)[probabilities.argmax(axis=1)], **columns)
