"""The report of a run: one html file that explains it to a person who does not program, and shows the evidence."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_embed.files import atomic_write
from ser_embed.store.reader import Store
from ser_head.heads.registry import HEADS
from ser_head.personalization.conditions import CLOSED, ENROLLED, PLAIN, TRANSDUCTIVE, UNKNOWN
from ser_head.reporting.analysis import frequent_confusions
from ser_head.reporting.html import render_page
from ser_head.reporting.plots.style import emotion_colors
from ser_head.reporting.run_plots import illustrate
from ser_head.reporting.speaker_matches import speaker_matches
from ser_head.reporting.text import (
    COPIES,
    certainty_in_words,
    condition_in_words,
    coverage_in_words,
    in_words,
    measured_in_words,
    methods_in_words,
    protocol_in_words,
    shared_in_words,
    unchecked_in_words,
)
from ser_head.runs.results import Results
from ser_head.runs.run import Run

_ORDER = (PLAIN, UNKNOWN, ENROLLED, TRANSDUCTIVE, CLOSED)  # of conditions, by what is known of the speaker
_MOST_GROUPS = 12  # of one column; more are better read from metrics.json


def write_report(run: str | Path, store: str | Path) -> Path:
    """Write report.html into a run folder.

    Args:
        run: the run folder.
        store: the store the run was trained on.

    Returns:
        The path of the report: one file that needs nothing from elsewhere.

    Raises:
        InputError: `run` is not a run folder, or the store holds vectors of another encoder.
    """
    results = Results.load(run)
    with Store(store) as opened:
        results.run.require_spec(opened.spec)
        page = render_page("report.html.j2", **_context(results, opened))
    path = results.run.folder / "report.html"
    with atomic_write(path) as draft:
        draft.write_text(page, "utf-8")
    return path


def used_clips(results: Results, store: Store) -> pd.DataFrame:
    """Return the clips of the store that the run used, indexed by their row, with a column part.

    `part` is "test" for clips that were scored, else "validation" for clips an epoch was chosen by, else "training".
    """
    clips = store.utterances
    used = clips["emotion"].isin(results.labels) if results.labels else clips[results.target].notna()
    if results.chosen_corpora:
        used &= clips["corpus"].isin(results.chosen_corpora)
    tested = clips["utterance_id"].isin(set(results.tested["utterance_id"]))
    validated = clips["utterance_id"].isin(results.validated)
    return clips.assign(part=np.select([tested, validated], ["test", "validation"], "training"))[used]


def _context(results: Results, store: Store) -> dict[str, Any]:
    clips = used_clips(results, store)
    return {
        **_run(results, store),
        **_recordings(clips),
        **_test(results),
        **(_classes(results) if results.labels else _number(results)),
        **_speakers(results, store),
        "pictures": illustrate(results, store, clips),
    }


def _run(results: Results, store: Store) -> dict[str, Any]:
    config = results.run.config
    return {
        "name": results.name,
        "settings": config,
        "head": HEADS[config.head].summary,
        "encoders": list(dict.fromkeys(part.spec.model for part in results.run.members or [results.run])),
        "labels": results.labels,
        "record": {
            "Settings": list(in_words(config.to_dict())),
            **({"Members": [_member(part) for part in results.run.members]} if results.run.members else {}),
            "Vectors": list(in_words(vars(store.spec))),
            "Versions": list(in_words(results.run.about.get("versions", {}))),
        },
    }


def _member(run: Run) -> tuple[str, str]:
    return run.folder.name, f"{run.config.head} on {run.spec.model}"


def _recordings(clips: pd.DataFrame) -> dict[str, Any]:
    return {
        "corpora": _corpora(clips),
        "synthetic": _synthetic(clips),
        "num_clips": len(clips),
        "num_speakers": _num_speakers(clips),
        "divided_once": clips["part"].nunique() > 1,
    }


def _test(results: Results) -> dict[str, Any]:
    metrics, num_tested = results.metrics, len(results.tested)
    leakage = metrics.get("leakage")
    return {
        "test": metrics["test"],
        "intervals": metrics["test"].get("ci95") or {},
        "seeds": metrics.get("seeds"),
        "disjoint": bool(metrics["speaker_disjoint"]),
        "protocol": metrics["protocol"],
        "protocol_in_words": protocol_in_words(metrics["protocol"]),
        "num_rounds": results.tested["fold"].nunique(),
        "num_tested": num_tested,
        "num_test_speakers": _num_speakers(results.tested),
        "audited": leakage is not None,
        "shared": shared_in_words(leakage or {}, num_tested) + measured_in_words(results.run.about["folds"]),
        "unchecked": unchecked_in_words(leakage or {}),
        "copied": any((leakage or {}).get(name, {}).get("clips") for name in COPIES),
        "groups": {column: list(_most_clips(groups)) for column, groups in metrics.get("by", {}).items()},
        "num_groups": {column: len(groups) for column, groups in metrics.get("by", {}).items()},
    }


def _classes(results: Results) -> dict[str, Any]:
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


def _number(results: Results) -> dict[str, Any]:
    truth = results.tested["label"]
    return {
        "target": results.target,
        "lowest": truth.min(),
        "highest": truth.max(),
        "mean_error": (truth - truth.mean()).abs().mean(),  # of always answering with the mean
        "deviation": truth.std(ddof=0),
    }


def _speakers(results: Results, store: Store) -> dict[str, Any]:
    metrics = results.metrics
    gains = metrics.get("gains", {})
    return {
        "methods": results.run.config.personalized,
        "methods_in_words": methods_in_words(results.run.config.personalized),
        "judged": list(results.tested["condition"].unique()),
        "conditions": [
            {"name": name, "meaning": condition_in_words(name), "gain": gains.get(name), **figures}
            for name, figures in sorted(metrics.get("conditions", {}).items(), key=lambda each: _place(each[0]))
        ],
        "gains": gains,
        "shown_gain": results.shown_gain,
        "resemblances": speaker_matches(results, store),
    }


def _place(condition: str) -> tuple[int, int]:
    """Return the key that sorts conditions, unknown ones last."""
    kind, _, size = condition.partition(":")
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER), int(size or 0)


def _most_clips(groups: dict[str, dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the groups with most clips, in the order of their names."""
    largest = sorted(groups, key=lambda name: -groups[name]["n"])[:_MOST_GROUPS]
    yield from ((name or "unknown", groups[name]) for name in sorted(largest))


def _corpora(clips: pd.DataFrame) -> list[dict[str, Any]]:
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
    """Return the corpora that say of their clips that no person spoke them."""
    return sorted(clips["corpus"][clips["synthetic"] == "yes"].unique()) if "synthetic" in clips else []


def _hours(durations_s: pd.Series) -> float | None:
    return durations_s.sum() / 3600 if durations_s.notna().all() else None
