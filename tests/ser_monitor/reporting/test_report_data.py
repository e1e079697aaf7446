"""Data of a report, read from a real database: the figures are those of its own trends, whatever the period."""

import dataclasses
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from ser_monitor.database.database import Database
from ser_monitor.database.writer import EventWriter
from ser_monitor.events import NO_SPEECH, Alert, AlertEnd, Event, Session
from ser_monitor.patterns.change_points import unusual_stretches
from ser_monitor.reporting.findings import Findings
from ser_monitor.reporting.periods import Period
from ser_monitor.reporting.report_data import STRETCH_COLUMNS, ReportData, Scope
from tests.ser_monitor.reporting.fabricated import BERLIN, LABELS, START, no_stretches

NUM_WINDOWS = 300
STEP_S = 900.0


def session(name, source, speaker):
    return Session(name, source, "file", "a.wav", speaker, START, "emodb", LABELS)


def event(name, number, rng):
    """Return a window of 3 s, of which the next one covers two."""
    values = dict(zip(LABELS, rng.dirichlet(np.ones(len(LABELS))).tolist(), strict=True))
    label = [NO_SPEECH, "uncertain", max(values, key=values.__getitem__)][rng.choice(3, p=[0.3, 0.1, 0.6])]
    is_speech = label != NO_SPEECH
    return Event(
        session_id=name,
        number=number,
        kind="window",
        start_s=number * STEP_S,
        end_s=number * STEP_S + 3,
        started_at=START + timedelta(seconds=number * STEP_S),
        speech=float(rng.uniform()),
        label=label,
        probabilities=values if is_speech else {},
        smoothed=values if is_speech else {},
        activation=float(rng.uniform()) if is_speech else None,
        ood_score=float(rng.uniform(0, 1.3)) if is_speech else None,
        enrolled=0,
        hop_s=1.0,
        delay_s=0.1,
    )


def alert(name):
    at = START + timedelta(hours=2)
    return Alert("a1", "rule", "raised voice", name, "hall", "anna", at, at, 0.7, "angry", ("terminal",))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Return a database with two sources, an alert and a correction of each of 40 windows."""
    path, rng = tmp_path_factory.mktemp("database") / "monitor.db", np.random.default_rng(0)
    with Database(path) as database:
        with EventWriter(database) as writer:
            for name, source, speaker in (("s1", "hall", "anna"), ("s2", "desk", "")):
                writer.put(session(name, source, speaker))
                for number in range(NUM_WINDOWS):
                    writer.put(event(name, number, rng))
            writer.put(alert("s1"))
            writer.put(AlertEnd("a1", START + timedelta(hours=3)))
        database.acknowledge("a1", "ben", START + timedelta(hours=4))
        for number in range(40):
            database.add_feedback("s1", number, LABELS[number % 4], "ben")
    return path


@pytest.fixture(scope="module")
def database(path):
    with Database(path, create=False) as database:
        yield database


def load(database, since=START, until=START + timedelta(days=4), **chosen):
    return ReportData.load(database, Scope(Period(since, until, BERLIN), **chosen), no_stretches)


@pytest.fixture(scope="module")
def part(database):
    """Return what is found in a part of the days."""
    return Findings(load(database, START + timedelta(hours=7), START + timedelta(days=2, hours=5)))


@pytest.mark.parametrize("key", ["day", "hour", "speaker", "source"])
def test_trends_are_those_of_the_database(database, part, key):
    period = part.data.period
    expected = database.trends(key, period.since, period.until, zone="Europe/Berlin").set_index(key)
    table = part.trend(key).set_index(key)
    assert list(table.index) == list(expected.index)
    for column in ("segments", "activation", "uncertain", "unfamiliar", *(f"share_{label}" for label in LABELS)):
        assert table[column].to_numpy(float) == pytest.approx(expected[column].to_numpy(float)), column
    assert (table["speech"] * table["heard_h"] * 3600).to_numpy() == pytest.approx(expected["speech_s"].to_numpy())


def test_alerts_and_corrections_are_read_with_what_became_of_them(database):
    shown = Findings(load(database, until=datetime.now(UTC)))  # corrections are of the present
    (row,) = shown.alerts.to_dict("records")
    assert (row["lasted_s"], row["acknowledged_by"]) == (3600, "ben")
    assert len(shown.data.feedback) == 40
    scored = shown.data.feedback["label"] != NO_SPEECH
    assert shown.performance.num_corrections == scored.sum()
    assert shown.runs == ["emodb"]


def test_source_and_speaker_choose(database):
    one_day = {"until": START + timedelta(days=1)}
    assert load(database, source="desk", **one_day).cells["segments"].sum() == 96
    assert load(database, speaker="anna", **one_day).cells["segments"].sum() == 96
    assert load(database, source="desk", speaker="anna", **one_day).cells.empty
    assert load(database, source="nowhere").alerts.empty


def test_a_period_that_begins_centuries_ago_is_read_at_once(database):
    data = load(database, since=datetime(1, 1, 2, tzinfo=UTC))
    assert data.cells["segments"].sum() == 2 * NUM_WINDOWS
    assert load(database, since=datetime(2001, 1, 1, tzinfo=UTC), until=datetime(2002, 1, 1, tzinfo=UTC)).cells.empty


def test_change_points_are_found_in_the_whole_period_of_each_source(database):
    seen = []

    def find(rows):
        seen.append(rows)
        return unusual_stretches(rows)

    ReportData.load(database, Scope(Period(START, START + timedelta(days=3), BERLIN)), find)
    assert [rows["source"].unique().tolist() for rows in seen] == [["desk"], ["hall"]]
    assert all(rows["number"].tolist() == list(range(3 * 96)) for rows in seen)


def test_a_raised_hour_is_an_unusual_stretch(tmp_path):
    rng = np.random.default_rng(1)
    with Database(tmp_path / "monitor.db") as database, EventWriter(database) as writer:
        writer.put(session("s1", "hall", "anna"))
        for number in range(600):
            calm = dataclasses.replace(event("s1", number, rng), label="sad", activation=float(rng.uniform(0.2, 0.4)))
            writer.put(dataclasses.replace(calm, activation=0.97) if 300 <= number < 360 else calm)
        writer.flush()
        period = Period(START, START + timedelta(days=7), BERLIN)
        stretches = ReportData.load(database, Scope(period), unusual_stretches).stretches
    assert set(STRETCH_COLUMNS) == set(stretches)
    (row,) = stretches.to_dict("records")
    assert (row["session"], row["speaker"], row["direction"]) == ("s1", "anna", "higher")
    begin, end = (START + timedelta(seconds=number * STEP_S) for number in (300, 360))
    assert abs(row["start"] - begin) <= timedelta(seconds=2 * STEP_S)
    assert abs(row["end"] - end) <= timedelta(seconds=2 * STEP_S)
