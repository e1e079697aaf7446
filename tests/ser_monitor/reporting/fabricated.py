"""Fabricated monitoring: segments, alerts and corrections in the form in which the database gives them."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from ser_monitor.events import NO_SPEECH, UNCERTAIN
from ser_monitor.reporting.findings import Findings
from ser_monitor.reporting.periods import Period
from ser_monitor.reporting.report_data import STRETCH_COLUMNS, ReportData, Scope

LABELS = ("angry", "happy", "neutral", "sad")
BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 11, 20, 23, tzinfo=UTC)  # midnight in Berlin
HOSTILE = "<script>alert('x')</script> & \"co\""


def segments(*, num: int = 400, session: str = "s1", source: str = "hall", speaker: str = "anna", seed: int = 0,
             begin: datetime = START, step_s: float = 600.0, run: str = "emodb") -> pd.DataFrame:  # fmt: skip
    """Return windows of 3 s, one each `step_s` seconds, with a third of them without speech."""
    rng = np.random.default_rng(seed)
    start_s = np.arange(num) * float(step_s)
    probabilities = rng.dirichlet(np.ones(len(LABELS)), num)
    smoothed = rng.dirichlet(np.ones(len(LABELS)), num)
    label = np.array(LABELS, object)[smoothed.argmax(axis=1)]
    label[smoothed.max(axis=1) < 0.4] = UNCERTAIN
    is_silent = rng.random(num) < 1 / 3
    label[is_silent] = NO_SPEECH
    speech = np.where(is_silent, 0.1, rng.uniform(0.4, 1, num))

    def scored(values: np.ndarray) -> np.ndarray:
        return np.where(is_silent, np.nan, values)

    return pd.DataFrame(
        {
            "source": source,
            "speaker": speaker,
            "session_id": session,
            "number": np.arange(num),
            "kind": "window",
            "start_s": start_s,
            "end_s": start_s + 3,
            "started_at": pd.to_datetime([begin + timedelta(seconds=second) for second in start_s], utc=True),
            "speech": speech,
            "label": label,
            "confidence": scored(smoothed.max(axis=1)),
            "activation": scored(rng.uniform(0, 1, num)),
            "ood_score": scored(rng.uniform(0, 1.2, num)),
            "enrolled": 0,
            "hop_s": rng.choice([1.0, 2.0], num),
            "delay_s": 0.1,
            **{f"p_{name}": scored(probabilities[:, index]) for index, name in enumerate(LABELS)},
            **{f"s_{name}": scored(smoothed[:, index]) for index, name in enumerate(LABELS)},
            "run": run,
        }
    )


def alerts(*, num: int = 6, rule: str = "raised voice", kind: str = "rule", seed: int = 0) -> pd.DataFrame:
    """Return alerts, one each five hours; every other one is acknowledged, and the last one still holds."""
    raised = [START + timedelta(hours=5 * index + 1) for index in range(num)]
    lasted = np.random.default_rng(seed).uniform(5, 90, num)
    ended = [at + timedelta(seconds=seconds) for at, seconds in zip(raised, lasted, strict=True)]
    rows = {
        "id": [f"{rule}-{index}" for index in range(num)],
        "kind": kind,
        "rule": rule,
        "session_id": "s1",
        "source": "hall",
        "speaker": "anna",
        "began_at": pd.to_datetime([at - timedelta(seconds=5) for at in raised], utc=True),
        "raised_at": pd.to_datetime(raised, utc=True),
        "value": np.random.default_rng(seed).uniform(0.6, 1, num),
        "message": f"{rule}: angry 0.71 for 5 s",
        "channels": [["terminal"]] * num,
        "ended_at": pd.to_datetime([*ended[:-1], None], utc=True),
        "acknowledged_at": pd.to_datetime([at if index % 2 else None for index, at in enumerate(raised)], utc=True),
        "acknowledged_by": ["ben" if index % 2 else None for index in range(num)],
    }
    return pd.DataFrame(rows)


def feedback(rows: pd.DataFrame, *, num: int = 80, author: str = "ben", seed: int = 0) -> pd.DataFrame:
    """Return corrections of segments that agree with the answer in two of three."""
    rng = np.random.default_rng(seed)
    chosen = rows[rows["label"].isin([*LABELS, UNCERTAIN])].iloc[:num].reset_index(drop=True)
    others = rng.choice(np.array(LABELS, object), len(chosen))
    agrees = (rng.random(len(chosen)) < 2 / 3) & (chosen["label"] != UNCERTAIN)
    emotion = chosen["label"].where(agrees, pd.Series(others, index=chosen.index))
    created = pd.to_datetime([START + timedelta(hours=1)] * len(chosen), utc=True)
    return chosen.assign(emotion=emotion, author=author, created_at=created, note="")


def stretches() -> pd.DataFrame:
    """Return one unusual stretch."""
    begin = pd.Timestamp(START)
    row = ("s1", "hall", "anna", begin, begin + pd.Timedelta(minutes=4), "activation", "higher", 1.5)
    return pd.DataFrame([row], columns=list(STRETCH_COLUMNS))


@dataclass
class FakeTables:
    """A database in memory."""

    rows: pd.DataFrame = field(default_factory=lambda: segments(num=0))
    raised: pd.DataFrame = field(default_factory=lambda: alerts(num=1)[:0])
    corrections: pd.DataFrame = field(default_factory=lambda: feedback(segments(num=3), num=0))

    def sources(self) -> pd.DataFrame:
        return pd.DataFrame({"name": sorted(self.rows["source"].unique())})

    def sessions(self, *, until, source) -> pd.DataFrame:
        rows = self.rows[(self.rows["source"] == source) & (self.rows["started_at"] < until)]
        first = rows.groupby("session_id", as_index=False)[["run", "started_at"]].first()
        return first.rename(columns={"session_id": "id"})

    def segments(self, *, kind=None, **chosen):
        assert kind is None
        return _chosen(self.rows.drop(columns="run"), "started_at", **chosen)

    def alerts(self, **chosen):
        return _chosen(self.raised, "raised_at", **chosen)

    def feedback(self, **chosen):
        return _chosen(self.corrections, "created_at", **chosen)


def _chosen(rows, moment, *, since, until, source, speaker):
    inside = (rows[moment] >= since) & (rows[moment] < until)
    inside &= (rows["source"] == source) if source is not None else True
    inside &= (rows["speaker"] == speaker) if speaker is not None else True
    return rows[inside].reset_index(drop=True)


def week(zone=BERLIN) -> Period:
    return Period(START, START + timedelta(days=7), zone)


def filled_tables() -> FakeTables:
    """Return four days of two sources and three speakers, one without a name and one with a hostile one."""
    rows = pd.concat(
        [
            segments(),
            segments(num=300, session="s2", source="desk", speaker="", seed=1, begin=START + timedelta(hours=30)),
            segments(num=200, session="s3", source=HOSTILE, speaker=HOSTILE, seed=2, begin=START + timedelta(hours=9)),
        ],
        ignore_index=True,
    )
    rows = rows.assign(end_s=rows["start_s"] + 120, hop_s=rows["hop_s"] * 60)  # an hour of the week has enough speech
    raised = pd.concat(
        [alerts(), alerts(num=3, rule="unusual activation", kind="unusual", seed=1), alerts(num=2, rule=HOSTILE)]
    )
    return FakeTables(rows, raised.reset_index(drop=True), feedback(rows.iloc[::7]))


def no_stretches(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(columns=list(STRETCH_COLUMNS))


def findings(tables=None, period=None, run_folders=None, find_stretches=no_stretches, **chosen) -> Findings:
    scope = Scope(period or week(), **chosen)
    return Findings(ReportData.load(tables or filled_tables(), scope, find_stretches), run_folders or {})


def write_metrics(folder, seed: int = 0) -> dict:
    """Write a run's metrics.json with a test of 100 clips; return its content."""
    from ser_head.evaluation.metrics import compute_metrics

    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(len(LABELS)) / 2, 100).astype(np.float32)
    names = np.array(LABELS, object)
    table = pd.DataFrame(probabilities, columns=[f"p_{name}" for name in LABELS])
    table = table.assign(
        utterance_id=[f"c/{index}" for index in range(100)],
        speaker=[f"c/{index % 5}" for index in range(100)],
        label=rng.choice(names, 100),
        prediction=names[probabilities.argmax(axis=1)],
    )
    document = {
        "protocol": "loso",
        "speaker_disjoint": True,
        "labels": list(LABELS),
        "test": compute_metrics(table, LABELS),
    }
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(document))
    return document
