"""Report of a run: one html file that explains its results to people who do not program, with tables and plots.

The functions with a leading underscore compute the values that `templates/report.html.j2` shows, section by section.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_embed.files import atomic_write
from ser_embed.store.reader import Store
from ser_head.data.copies import recording_rows
from ser_head.heads.registry import HEADS
from ser_head.personalization.conditions import CLOSED, ENROLLED, PLAIN, TRANSDUCTIVE, UNKNOWN
from ser_head.personalization.methods import METHODS
from ser_head.reporting.analysis import frequent_confusions
from ser_head.reporting.html import render_page
from ser_head.reporting.plots.style import emotion_colors
from ser_head.reporting.run_plots import PLACED, draw_plots
from ser_head.reporting.speaker_matches import speaker_matches
from ser_head.reporting.text import (
    COPIES,
    certainty_in_words,
    condition_in_words,
    coverage_in_words,
    kept_head_in_words,
    measured_in_words,
    methods_in_words,
    protocol_in_words,
    shared_in_words,
    unchecked_in_words,
    values_in_words,
)
from ser_head.runs.baseline import BASELINE
from ser_head.runs.results import RunResults
from ser_head.runs.run import Run

_CONDITION_ORDER = (PLAIN, UNKNOWN, ENROLLED, TRANSDUCTIVE, CLOSED)  # by what is known of the speaker
_MAX_GROUPS = 12  # of one column; more are easier to read in metrics.json


def write_report(run: str | Path, store: Store, name: str | None = None) -> Path:
    """Write report.html into a run folder.

    Args:
        run: the run folder.
        store: the store the run was trained on, open.
        name: name of the run; None for that of its folder.

    Returns:
        Path of the report, one self-contained file.

    Raises:
        InputError: `run` is not a run folder, or the store holds vectors of another encoder.
    """
    results = RunResults.load(run)
    results.run.require_spec(store.spec)
    page = render_page("report.html.j2", **{**_context(results, store), "name": name or results.name})
    path = results.run.folder / "report.html"
    with atomic_write(path) as draft:
        draft.write_text(page, "utf-8")
    return path


def used_clips(results: RunResults, store: Store) -> pd.DataFrame:
    """Select the recordings of the store that the run used.

    Args:
        results: the run.
        store: the store with its vectors.

    Returns:
        The manifest rows of the clips, indexed by row number of the store, with a column part: "test" for clips that
        were scored, else "validation" for clips an epoch was chosen by, else "training".
    """
    clips = store.utterances
    used = clips["emotion"].isin(results.labels) if results.labels else clips[results.target].notna()
    if results.chosen_corpora:
        used &= clips["corpus"].isin(results.chosen_corpora)
    tested = clips["utterance_id"].isin(set(results.tested["utterance_id"]))
    validated = clips["utterance_id"].isin(results.validated)
    used &= recording_rows(clips) == np.arange(len(clips))  # what a report shows are recordings
    return clips.assign(part=np.select([tested, validated], ["test", "validation"], "training"))[used]


def _context(results: RunResults, store: Store) -> dict[str, Any]:
    clips = used_clips(results, store)
    pictures = draw_plots(results, store, clips)
    return {
        **_run_values(results, store),
        **_corpus_values(clips),
        **_test_values(results),
        **(_class_values(results) if results.labels else _number_values(results)),
        **_speaker_values(results, store),
        "pictures": pictures,
        "more_pictures": [name for name in pictures if name not in PLACED],
    }


def _run_values(results: RunResults, store: Store) -> dict[str, Any]:
    """Return the run's head and encoders, and its settings."""
    config = results.run.config
    return {
        "settings": config,
        "head": HEADS[config.head].summary,
        "trains_encoder": HEADS[config.head].trains_encoder,
        "encoders": list(dict.fromkeys(part.spec.model for part in results.run.members or [results.run])),
        "num_members": len(results.run.members),
        "num_tuned": sum(HEADS[part.config.head].trains_encoder for part in results.run.members),
        "labels": results.labels,
        "record": {
            "Settings": list(values_in_words(config.to_dict())),
            **({"Members": [_member(part) for part in results.run.members]} if results.run.members else {}),
            "Frames" if store.spec.pooling == "frames" else "Vectors": list(values_in_words(vars(store.spec))),
            "Versions": list(values_in_words(results.run.about.get("versions", {}))),
        },
    }


def _member(run: Run) -> tuple[str, str]:
    """Return the name and the description of a member of an ensemble."""
    return run.folder.name, f"{run.config.head} on {run.spec.model}"


def _corpus_values(clips: pd.DataFrame) -> dict[str, Any]:
    """Return the numbers of clips and speakers, in all and per corpus."""
    return {
        "corpora": _corpora(clips),
        "synthetic": _synthetic(clips),
        "num_clips": len(clips),
        "num_speakers": _num_speakers(clips),
        "divided_once": clips["part"].nunique() > 1,
    }


def _test_values(results: RunResults) -> dict[str, Any]:
    """Return the protocol, the figures of the test, their groups, and what the audit of leakage found."""
    metrics, num_tested = results.metrics, len(results.tested)
    baseline = metrics.get(BASELINE)
    leakage = metrics.get("leakage")
    return {
        "test": metrics["test"],
        "intervals": metrics["test"].get("ci95") or {},
        "seeds": metrics.get("seeds"),
        "disjoint": bool(metrics["speaker_disjoint"]),
        "protocol": metrics["protocol"],
        "protocol_in_words": protocol_in_words(metrics["protocol"]),
        "num_rounds": results.tested["fold"].nunique(),
        "baseline": baseline,
        "baseline_summary": HEADS[baseline["head"]].summary if baseline else "",
        "kept_head": kept_head_in_words(results.run.about),
        "num_tested": num_tested,
        "num_test_speakers": _num_speakers(results.tested),
        "audited": leakage is not None,
        "shared": shared_in_words(leakage or {}, num_tested) + measured_in_words(results.run.about["folds"]),
        "unchecked": unchecked_in_words(leakage or {}),
        "copied": any((leakage or {}).get(name, {}).get("clips") for name in COPIES),
        "groups": {column: list(_largest_groups(groups)) for column, groups in metrics.get("by", {}).items()},
        "num_groups": {column: len(groups) for column, groups in metrics.get("by", {}).items()},
    }


def _class_values(results: RunResults) -> dict[str, Any]:
    """Return what is shown of a head that predicts classes only."""
    metrics, labels = results.metrics, results.labels
    test = metrics["test"]
    return {
        "colors": emotion_colors(labels),
        "chance": 1 / len(labels),
        "majority": results.tested["label"].value_counts(normalize=True).iloc[0],
        "confusions": frequent_confusions(test["confusion"], labels) if test.get("confusion") else [],
        "certainty": certainty_in_words(test, metrics.get("calibration")) if test.get("reliability") else "",
        "coverage": coverage_in_words(test) if test.get("coverage") else "",
    }


def _number_values(results: RunResults) -> dict[str, Any]:
    """Return what is shown of a head that predicts a number only."""
    truth = results.tested["label"]
    return {
        "target": results.target,
        "lowest": truth.min(),
        "highest": truth.max(),
        "mean_error": (truth - truth.mean()).abs().mean(),  # of always answering with the mean
        "deviation": truth.std(ddof=0),
    }


def _speaker_values(results: RunResults, store: Store) -> dict[str, Any]:
    """Return the figures by condition, the gains from personalisation, and similar speakers."""
    metrics = results.metrics
    gains = metrics.get("gains", {})
    conditions = sorted(metrics.get("conditions", {}).items(), key=lambda condition: _condition_key(condition[0]))
    return {
        "methods": results.run.config.personalized,
        "has_blend": any(METHODS[name].uses_speaker_table for name in results.run.config.personalized),
        "methods_in_words": methods_in_words(results.run.config.personalized),
        "primary_conditions": list(results.tested["condition"].unique()),
        "conditions": [
            {"name": name, "meaning": condition_in_words(name), "gain": gains.get(name), **figures}
            for name, figures in conditions
        ],
        "gains": gains,
        "shown_gain": results.shown_gain,
        "speaker_matches": speaker_matches(results, store),
    }


def _condition_key(condition: str) -> tuple[int, int]:
    """Return the key that sorts conditions: by `_CONDITION_ORDER`, then by clips enrolled; unknown conditions last."""
    kind, _, size = condition.partition(":")
    return _CONDITION_ORDER.index(kind) if kind in _CONDITION_ORDER else len(_CONDITION_ORDER), int(size or 0)


def _largest_groups(groups: dict[str, dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the groups with most clips as (name, figures), sorted by name."""
    largest = sorted(groups, key=lambda name: -groups[name]["n"])[:_MAX_GROUPS]
    yield from ((name or "unknown", groups[name]) for name in sorted(largest))


def _corpora(clips: pd.DataFrame) -> list[dict[str, Any]]:
    """Return one row per corpus for the table of recordings."""
    groups = clips.groupby("corpus")
    return [
        {
            "name": name,
            "clips": len(group),
            "speakers": _num_speakers(group),
            "hours": _hours(group["duration_s"]),
        }
        for name, group in groups
    ]


def _num_speakers(clips: pd.DataFrame) -> int:
    return clips["speaker"][clips["speaker"] != ""].nunique()


def _synthetic(clips: pd.DataFrame) -> list[str]:
    """Return the corpora whose manifest marks clips as synthetic speech."""
    return sorted(clips["corpus"][clips["synthetic"] == "yes"].unique()) if "synthetic" in clips else []


def _hours(durations_s: pd.Series) -> float | None:
    return durations_s.sum() / 3600 if durations_s.notna().all() else None
