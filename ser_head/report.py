"""The report of a run: one html file that explains it to a person who does not program, and shows the evidence."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_embed.store import Store
from ser_head.evidence import frequent_confusions
from ser_head.figures.style import emotion_colors
from ser_head.illustrations import illustrate
from ser_head.pages import render_page
from ser_head.results import Results
from ser_head.wording import UNKNOWN

_PROTOCOLS = {
    "speaker": "The speakers were divided into three groups: one to learn from, one to choose the best moment of the "
    "training, and one, kept aside until the end, for the test.",
    "random": "The clips were divided at random into training, validation and test, whoever speaks in them.",
    "kfold": "The speakers were divided into groups. Each group was tested once, by a head trained on the others.",
    "loso": "Each speaker was tested once, by a head trained on all the other speakers.",
    "cross": "The head was trained on one corpus, {}, and tested on another, {}.",
}
_CONDITIONS = {
    "closed": "the speaker was heard in training",
    "unknown": "the head is not told who speaks",
    "enrolled": "some unlabelled clips of the speaker were given beforehand, never the ones scored",
    "transductive": "all clips of the speaker were used, without their labels, the scored ones included",
}


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
    temporary = path.with_suffix(".tmp")
    temporary.write_text(page, "utf-8")
    os.replace(temporary, path)
    return path


def used_clips(results: Results, store: Store) -> pd.DataFrame:
    """Return the clips of the store that the run used, indexed by their row, with a column part.

    `part` is "test" for clips that were scored, else "validation" for clips an epoch was chosen by, else "training".
    """
    clips = store.utterances
    used = clips["emotion"].isin(results.labels)
    if results.chosen_corpora:
        used &= clips["corpus"].isin(results.chosen_corpora)
    tested = clips["utterance_id"].isin(set(results.tested["utterance_id"]))
    validated = clips["utterance_id"].isin(results.validated)
    return clips.assign(part=np.select([tested, validated], ["test", "validation"], "training"))[used]


def protocol_in_words(protocol: str) -> str:
    """Return how the clips were parted, for people; "" for a protocol this module does not know."""
    kind, *corpora = protocol.split(":")
    return _PROTOCOLS.get(kind, "").format(*corpora)


def _context(results: Results, store: Store) -> dict[str, Any]:
    clips = used_clips(results, store)
    metrics = results.metrics
    labels, test = results.labels, metrics["test"]
    return {
        "name": results.name,
        "settings": results.run.settings,
        "encoder": store.spec.model,
        "labels": labels,
        "colors": emotion_colors(labels),
        "test": test,
        "intervals": test.get("ci95") or {},
        "disjoint": bool(metrics["speaker_disjoint"]),
        "protocol": metrics["protocol"],
        "protocol_in_words": protocol_in_words(metrics["protocol"]),
        "corpora": _corpora(clips),
        "synthetic": _synthetic(clips),
        "num_clips": len(clips),
        "divided_once": clips["part"].nunique() > 1,
        "num_rounds": len(results.run.about["folds"]),
        "num_speakers": _num_speakers(clips),
        "num_tested": len(results.tested),
        "num_test_speakers": _num_speakers(results.tested),
        "chance": 1 / len(labels),
        "majority": results.tested["label"].value_counts(normalize=True).iloc[0],
        "confusions": frequent_confusions(test["confusion"], labels) if test.get("confusion") else [],
        "conditions": [
            {"name": name, "meaning": _CONDITIONS.get(name.partition(":")[0], ""), **figures}
            for name, figures in metrics.get("conditions", {}).items()
        ],
        "pictures": illustrate(results, store, clips),
        "record": {
            "Settings": list(in_words(results.run.settings.to_dict())),
            "Vectors": list(in_words(vars(store.spec))),
            "Versions": list(in_words(results.run.about.get("versions", {}))),
        },
    }


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


def in_words(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each value as (name, text).

    >>> list(in_words({"seed": 0, "personalized": False, "split": [0.6, 0.4], "trim_db": None}))
    [('seed', '0'), ('personalized', 'no'), ('split', '0.6, 0.4'), ('trim_db', '–')]
    """
    for name, value in values.items():
        if isinstance(value, bool):
            yield name, "yes" if value else "no"
        elif isinstance(value, list | tuple):
            yield name, ", ".join(map(str, value)) or UNKNOWN
        else:
            yield name, UNKNOWN if value in (None, "") else str(value)
