"""Ensemble: the mean of the log-probabilities of several runs, its members, on clips that all of them tested.

The members may differ in encoder, head and any other setting, but not in the folds: every member has to have tested a
clip in the same fold, with a head trained on the same speakers. The temperature of the mean is fitted on the fold's
validation clips.
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
from ser_embed.store.reader import Store
from ser_head.config.registry import COMMAND
from ser_head.config.training import TrainConfig
from ser_head.data.encoder_leakage import ENCODER
from ser_head.evaluation.groups import columns_of, with_groups
from ser_head.evaluation.metrics import metrics_document
from ser_head.evaluation.predictions import (
    PROBABILITY,
    primary_rows_first,
    probability_matrix,
    read_predictions,
    require_answers,
)
from ser_head.runs.document import TESTED_FOLDS, unsigned
from ser_head.runs.results import read_metrics
from ser_head.runs.run import Run
from ser_head.runs.writer import RunWriter
from ser_head.scoring.temperature import apply_temperature, fit_temperature, safe_log

_KEY = ["utterance_id", "fold", "condition"]
_EQUAL_SETTINGS = ("protocol",)  # of all members; whether the folds are equal is checked on the predictions
_INHERITED_SETTINGS = ("corpus", "protocol", "split", "seed")  # taken from the first member
_NOT_COPIED = ("report.html", "profiles")  # files of a member's run folder


def load_members(folders: Sequence[str | Path]) -> list[Run]:
    """Load the member runs of an ensemble.

    Raises:
        InputError: there are fewer than two, one is no run, predicts a number or is an ensemble itself, or two differ
            in their classes or protocol.
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
        for name in _EQUAL_SETTINGS:
            values = [getattr(run.config, name) for run in (members[0], member)]
            if values[0] != values[1]:
                raise InputError(
                    f"the members {members[0].folder} and {member.folder} differ in {name}: {values[0]} and {values[1]}"
                )
    return members


def plan_ensemble(config: TrainConfig) -> tuple[TrainConfig, list[Run]]:
    """Load the members of an ensemble, and complete its config by that of the first one.

    Args:
        config: the config as the user gave it.

    Returns:
        The config with store, corpora, protocol, split and seed of the first member, and the members.

    Raises:
        InputError: the members do not fit together, or the config has another value than they do for a setting that is
            taken from them.
    """
    members = load_members(config.members)
    defaults, first = TrainConfig(), members[0].config
    for name in _INHERITED_SETTINGS:
        value, member_value = getattr(config, name), getattr(first, name)
        if value not in (getattr(defaults, name), member_value):
            raise InputError(f"--{name} of an ensemble is that of its members, {member_value}, not {value}")
    inherited = {name: getattr(first, name) for name in _INHERITED_SETTINGS}
    return dataclasses.replace(config, store=config.store or first.store, **inherited), members


def write_ensemble(writer: RunWriter, config: TrainConfig, members: Sequence[Run], store: Store) -> None:
    """Combine runs, evaluate the ensemble like any head, and write it as a run that contains its members.

    Args:
        writer: writer of the new run.
        config: config of the ensemble.
        members: the runs to combine.
        store: the store of the first member, open.

    Raises:
        InputError: the members were not tested on the same clips in the same folds.
    """
    first = members[0]
    first.require_spec(store.spec)
    tested, validated = combined_predictions(members)
    tested = with_groups(tested, store.utterances, config.by)
    member_metrics = [read_metrics(member) for member in members]
    metrics = metrics_document(
        config.protocol,
        all(metrics["speaker_disjoint"] for metrics in member_metrics),
        first.labels,
        tested,
        validated,
        leakage=_leakage(member_metrics),
        by=columns_of(tested),
    )
    folders = copy_members(members, writer.folder)
    about = {key: value for key, value in unsigned(first.about).items() if key != TESTED_FOLDS}
    about = {**about, COMMAND: config.command, "settings": config.to_dict(), "folds": [], "members": folders}
    writer.write_json("run.json", {**about, "temperature": float(tested["temperature"].mean())})
    writer.write_json("metrics.json", metrics)
    tested.to_csv(writer.folder / "predictions.csv", index=False)
    validated.to_csv(writer.folder / "validation.csv", index=False)


def _leakage(member_metrics: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the audit of the folds, which are the same for all members, with the worst finding about an encoder."""
    leakage = member_metrics[0].get("leakage")
    encoders = [metrics["leakage"][ENCODER] for metrics in member_metrics if ENCODER in (metrics.get("leakage") or {})]
    if leakage is None or not encoders:
        return leakage
    return {**leakage, ENCODER: max(encoders, key=lambda finding: (finding["clips"], finding["validation"]))}


def combine(probabilities: Sequence[np.ndarray]) -> np.ndarray:
    """Average the log-probabilities of the members, and return probabilities.

    Args:
        probabilities: probabilities of each member, (clips, classes).

    Returns:
        float32 (clips, classes).
    """
    return softmax(np.mean([safe_log(member) for member in probabilities], axis=0), axis=1).astype(np.float32)


def combined_predictions(members: Sequence[Run]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the ensemble's predictions of the test clips and of the validation clips, calibrated per fold.

    Raises:
        InputError: the members were not tested on the same clips in the same folds.
    """
    labels = members[0].labels
    tested, validated = (
        _combined([_member_predictions(member, name) for member in members], labels)
        for name in ("predictions.csv", "validation.csv")
    )
    temperatures = {
        fold: fit_temperature(probability_matrix(rows, labels), rows["label"].map(labels.index).to_numpy(np.int64))
        for fold, rows in validated.groupby("fold")
    }
    return primary_rows_first(_calibrated(tested, labels, temperatures)), _calibrated(validated, labels, temperatures)


def ensemble_probabilities(run: Run, vectors: Sequence[np.ndarray], corpus: str = "") -> np.ndarray:
    """Score clips with an ensemble.

    Args:
        run: the ensemble.
        vectors: per member, the vectors of the clips by that member's encoder.
        corpus: corpus of the clips, for members that standardise by corpus; "" if it is unknown.

    Returns:
        float64 (clips, classes).
    """
    probabilities = [
        member.probabilities(clips, corpora=[corpus] * len(clips))
        for member, clips in zip(run.members, vectors, strict=True)
    ]
    return apply_temperature(combine(probabilities), run.about["temperature"]).astype(np.float64)


def copy_members(members: Sequence[Run], folder: Path) -> list[str]:
    """Copy the members into a run folder, so that it is self-contained; return their folders relative to it."""
    folders = [f"members/{number}" for number in range(1, len(members) + 1)]
    for member, member_folder in zip(members, folders, strict=True):
        shutil.copytree(member.folder, folder / member_folder, ignore=shutil.ignore_patterns(*_NOT_COPIED))
    return folders


def _combined(tables: Sequence[pd.DataFrame], labels: Sequence[str]) -> pd.DataFrame:
    """Combine tables of predictions row by row, over the conditions that all of them have."""
    conditions = set.intersection(*(set(table["condition"]) for table in tables))
    aligned = [_first_seed(table[table["condition"].isin(conditions)]).set_index(_KEY) for table in tables]
    first = aligned[0]
    for table in aligned[1:]:
        if set(table.index) != set(first.index):
            raise InputError("the members of an ensemble have to be tested on the same clips in the same folds")
    probabilities = combine([probability_matrix(table.loc[first.index], labels) for table in aligned])
    return _with_probabilities(first.reset_index(), probabilities, labels)


def _member_predictions(member: Run, name: str) -> pd.DataFrame:
    """Read one of a member's tables of predictions, as it was written."""
    path = member.file(name)
    table = read_predictions(path)
    require_answers(table, member.labels, path)
    if not any(column.startswith(PROBABILITY) for column in table.columns):
        raise InputError(f"--head ensemble averages probabilities, but {path} has none")
    return table


def _first_seed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the first seed, without the column of seeds."""
    return table[table["seed"] == table["seed"].iloc[0]].drop(columns="seed") if "seed" in table else table


def _calibrated(table: pd.DataFrame, labels: Sequence[str], temperatures: dict[Any, float]) -> pd.DataFrame:
    """Return the table with probabilities at the temperature of each row's fold."""
    row_temperatures = table["fold"].map(temperatures).to_numpy(np.float64)
    probabilities = apply_temperature(probability_matrix(table, labels), row_temperatures[:, np.newaxis])
    return _with_probabilities(table.assign(temperature=row_temperatures), probabilities, labels)


def _with_probabilities(table: pd.DataFrame, probabilities: np.ndarray, labels: Sequence[str]) -> pd.DataFrame:
    """Return the table with these probabilities, and the most probable class as the prediction."""
    columns = {PROBABILITY + label: probabilities[:, index] for index, label in enumerate(labels)}
    return table.assign(prediction=np.array(labels, dtype=object)[probabilities.argmax(axis=1)], **columns)
