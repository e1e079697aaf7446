"""The database's contract, the same on SQLite and PostgreSQL.

Both stand in this one file, so that processes that share the tests start one PostgreSQL.
"""

import dataclasses
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ser_embed.errors import InputError
from ser_monitor.database import schema
from ser_monitor.database.batches import write_items
from ser_monitor.database.database import Database
from ser_monitor.database.records import alert_from, event_from, session_from
from ser_monitor.database.writer import EventWriter
from ser_monitor.events import NO_SPEECH, UTTERANCE, WINDOW, Alert, AlertEnd, Event, Item, Session, SessionEnd, new_id
from tests.ser_monitor.conftest import PostgresServer
from tests.ser_monitor.database.items import (
    START,
    make_alert,
    make_event,
    make_session,
    without_speech,
)
from tests.ser_monitor.database.strategies import any_alert, any_event, any_session

PROPERTIES = settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])


def write(database: Database, *items: Item) -> None:
    """Write items in one transaction."""
    with database.writing() as connection:
        write_items(connection, items)


def rows(database: Database, table: sa.Table, **key: object) -> list[dict[str, Any]]:
    """Return the rows of a table that have these values."""
    conditions = [table.c[name] == value for name, value in key.items()]
    with database.reading() as connection:
        return [dict(row) for row in connection.execute(sa.select(table).where(*conditions)).mappings()]


def counts(database: Database) -> dict[str, int]:
    """Return the number of rows of each table that has any."""
    with database.reading() as connection:
        number = {
            table.name: connection.scalar(sa.select(sa.func.count()).select_from(table))
            for table in schema.metadata.sorted_tables
        }
    return {name: count for name, count in number.items() if count and name != "about"}


class TestRoundTrip:
    @PROPERTIES
    @given(session=any_session, events=st.lists(any_event, max_size=3, unique_by=lambda event: event.number))
    def test_sessions_and_events_come_back_as_they_were(
        self, database: Database, session: Session, events: Sequence[Event]
    ) -> None:
        session = dataclasses.replace(session, id=new_id())  # examples share the database
        events = [dataclasses.replace(event, session_id=session.id) for event in events]
        write(database, session, *events)
        (row,) = rows(database, schema.sessions, id=session.id)
        (source,) = rows(database, schema.sources, id=row["source_id"])
        again = session_from({**row, "source": source["name"], "kind": session.kind})
        assert again == session
        assert repr(again.settings) == repr(session.settings)  # also the order of keys, and the sign of zero
        stored = {row["number"]: event_from(row) for row in rows(database, schema.segments, session_id=session.id)}
        assert stored == {event.number: event for event in events}
        assert all(event.started_at.tzinfo is UTC for event in stored.values())

    @PROPERTIES
    @given(alert=any_alert)
    def test_alerts_and_their_deliveries_come_back_as_they_were(self, database: Database, alert: Alert) -> None:
        alert = dataclasses.replace(alert, id=new_id(), session_id="s1")
        write(database, make_session(), alert)
        assert [alert_from(row) for row in rows(database, schema.alerts, id=alert.id)] == [alert]
        due = [delivery for delivery in database.due_deliveries(START) if delivery.alert.id == alert.id]
        assert {delivery.channel for delivery in due} == set(alert.channels)
        assert all(delivery.alert == alert and delivery.attempts == 0 for delivery in due)

    @pytest.mark.parametrize("text", ["caf\udce9.wav", "a\0b"])
    def test_what_no_database_holds_in_a_text_is_kept_escaped(self, database: Database, text: str) -> None:
        write(database, make_session(recording=text, settings={"path": text}))
        (row,) = rows(database, schema.sessions)
        assert row["recording"] == schema.storable(text)
        assert row["settings"] == {"path": text}

    def test_moments_of_other_zones_are_kept_in_utc(self, database: Database) -> None:
        kathmandu = START.astimezone(datetime.now().astimezone().tzinfo) + timedelta(microseconds=1)
        write(database, make_session(), make_event(started_at=kathmandu))
        (moment,) = (row["started_at"] for row in rows(database, schema.segments))
        assert moment == kathmandu
        assert moment.tzinfo is UTC


class TestWriting:
    def test_writing_again_changes_nothing(self, database: Database) -> None:
        items = [
            make_session(),
            *map(make_event, range(5)),
            make_alert(),
            AlertEnd("a1", START),
            SessionEnd("s1", START + timedelta(minutes=1), "stopped", {"events": 5}),
        ]
        write(database, *items)
        database.record_sent("a1", "terminal", START)
        before = [rows(database, table) for table in schema.metadata.sorted_tables]
        write(database, *items)
        write(database, *items[3:])
        assert [rows(database, table) for table in schema.metadata.sorted_tables] == before

    def test_an_end_is_kept_with_what_ended(self, database: Database) -> None:
        end = SessionEnd("s1", START + timedelta(minutes=1), "end of file", {"seconds": 60.0, "dropouts": 0})
        alert_end = AlertEnd("a1", START + timedelta(seconds=30))
        write(database, make_session(), make_alert(), alert_end, end)
        (session,) = rows(database, schema.sessions)
        assert (session["ended_at"], session["end_reason"], session["facts"]) == (end.ended_at, end.reason, end.facts)
        assert rows(database, schema.alerts)[0]["ended_at"] == alert_end.ended_at

    def test_sessions_of_one_source_share_it(self, database: Database) -> None:
        write(database, make_session("s1"), make_session("s2"), make_session("s3", source="hall"))
        table = database.sources()
        assert dict(zip(table["name"], table["sessions"], strict=True)) == {"desk": 2, "hall": 1}

    def test_several_writers_of_one_database_lose_nothing(self, database: Database) -> None:
        def listen(session_id: str) -> None:
            with EventWriter(database) as writer:
                writer.put(make_session(session_id))
                for number in range(50):
                    writer.put(make_event(number, session_id))

        threads = [threading.Thread(target=listen, args=(name,)) for name in ("s1", "s2", "s3")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        table = database.segments()
        assert {name: group["number"].tolist() for name, group in table.groupby("session_id")} == {
            name: list(range(50)) for name in ("s1", "s2", "s3")
        }

    def test_an_item_that_cannot_be_written_holds_up_no_other(
        self, database: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        committed: list[Item] = []
        wrong = [
            make_event(3, started_at=START.replace(tzinfo=None)),
            make_event(4, "no such session"),
            make_event(5, speech=float("nan")),
            make_event(6, probabilities={"angry": float("inf")}),
            dataclasses.replace(make_event(7), number=2**70),
        ]
        with EventWriter(database, committed.extend) as writer:
            for item in (make_session(), make_event(0), *wrong, make_event(1), make_event(2)):
                writer.put(item)
        assert writer.refused == len(wrong)
        assert database.segments()["number"].tolist() == [0, 1, 2]
        assert committed == [make_session(), *map(make_event, range(3))]
        assert [record.name for record in caplog.records].count("ser_monitor.database.writer") == len(wrong)
        assert "event 4 of session no such session cannot be written" in caplog.text


class TestTables:
    @pytest.fixture
    def filled(self, database: Database) -> Database:
        """Return a database with two sources and speakers, an hour apart."""
        later = START + timedelta(hours=1)
        write(
            database,
            make_session("s1"),
            make_session("s2", source="hall", speaker="", started_at=later, labels=("calm", "angry")),
            *map(make_event, range(4)),
            without_speech(4),
            make_event(5, kind=UTTERANCE, end_s=7.5),
            make_event(0, "s2", start=later, probabilities={"calm": 0.9, "angry": 0.1}, smoothed={}, activation=None),
            make_alert("a1"),
            make_alert("a2", "s2", source="hall", speaker="", raised_at=later),
        )
        return database

    def test_segments_have_a_column_for_each_probability(self, filled: Database) -> None:
        table = filled.segments()
        events = [*map(make_event, range(4)), without_speech(4)]
        assert table["number"].tolist() == [0, 1, 2, 3, 4, 0]
        assert table["source"].tolist() == ["desk"] * 5 + ["hall"]
        for event, row in zip(events, table.to_dict("records"), strict=False):
            assert row["started_at"] == event.started_at
            for emotion in ("angry", "happy", "neutral", "sad"):
                probability = event.probabilities.get(emotion)
                assert row[f"p_{emotion}"] == probability or (probability is None and pd.isna(row[f"p_{emotion}"]))
            assert row["confidence"] == max(event.smoothed.values(), default=None) or pd.isna(row["confidence"])
        assert table["p_calm"].tolist()[-1] == 0.9
        assert table["s_calm"].isna().all()

    def test_the_last_windows_of_a_speaker_by_one_run_are_those_of_segments(self, database: Database) -> None:
        write(database, make_session(), *map(make_event, range(9)), make_session("s2", run="run-2"))
        write(database, make_event(20, "s2"), make_session("s3", speaker="ben"), make_event(30, "s3"))
        latest = database.latest_windows("desk", "anna", "run-1", 4)
        segments = database.segments(speaker="anna")
        expected = segments[segments["session_id"] == "s1"].tail(4).reset_index(drop=True)
        pd.testing.assert_frame_equal(latest, expected)
        assert database.latest_windows("desk", "nobody", "run-1", 4).empty

    def test_segments_are_chosen(self, filled: Database) -> None:
        second = START + timedelta(seconds=2)
        chosen: list[tuple[int, dict[str, Any]]] = [
            (6, {}),
            (7, {"kind": None}),
            (1, {"kind": UTTERANCE}),
            (5, {"source": "desk"}),
            (1, {"speaker": ""}),
            (4, {"since": second}),
            (2, {"until": second}),
            (1, {"since": "2026-11-01T11:00+01:00", "until": "2026-11-02"}),
            (0, {"source": "nowhere"}),
        ]
        types = filled.segments().dtypes
        for number, selection in chosen:
            table = filled.segments(**selection)
            assert len(table) == number, selection
            assert table.dtypes.equals(types), selection  # however many rows

    def test_other_tables_are_chosen_too(self, filled: Database) -> None:
        assert filled.sessions()["id"].tolist() == ["s1", "s2"]
        assert filled.sessions(speaker="anna")["labels"].tolist() == [["angry", "happy", "neutral", "sad"]]
        assert filled.sessions(since=START + timedelta(minutes=1))["source"].tolist() == ["hall"]
        assert filled.alerts()["id"].tolist() == ["a1", "a2"]
        assert filled.alerts(source="hall")["id"].tolist() == ["a2"]
        assert filled.alerts(speaker="anna", kind="rule")["id"].tolist() == ["a1"]
        assert filled.alerts(kind="unusual").empty

    def test_a_naive_moment_is_refused(self, filled: Database) -> None:
        with pytest.raises(InputError, match="has to have a time zone"):
            filled.segments(since=datetime(2026, 11, 1))

    def test_chunks_are_the_table(self, filled: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        from ser_monitor.database import queries
        from ser_monitor.database.periods import Selection

        whole = filled.segments()
        monkeypatch.setattr(queries, "CHUNK_ROWS", 2)
        chunks = list(filled.segment_chunks(Selection(kind=WINDOW)))
        assert [len(chunk) for chunk in chunks] == [2, 2, 2]
        pd.testing.assert_frame_equal(pd.concat(chunks, ignore_index=True), whole)


class TestTrends:
    LABELS = ("angry", "neutral", "uncertain", NO_SPEECH)

    @pytest.fixture
    def filled(self, database: Database) -> Database:
        """Return a database with windows every 17 minutes over five days, across the end of summer time."""
        items: list[Item] = [make_session("s1"), make_session("s2", source="hall", speaker="")]
        for number in range(400):
            label = self.LABELS[number * number % 7 % 4]
            event = make_event(number, "s1" if number % 3 else "s2", label=label, hop_s=[1.0, 5.0][number % 2])
            event = dataclasses.replace(
                event, started_at=datetime(2026, 10, 22, tzinfo=UTC) + number * timedelta(minutes=17)
            )
            ood_score = None if label == NO_SPEECH else number % 5 / 2
            items.append(dataclasses.replace(event, ood_score=ood_score, activation=ood_score and event.activation))
        items.append(make_event(400, kind=UTTERANCE))
        write(database, *items)
        return database

    def test_they_are_what_pandas_makes_of_the_segments(self, filled: Database) -> None:
        table = filled.segments()
        for by, zone in (
            ("day", "UTC"),
            ("day", "Europe/Berlin"),
            ("day", "Asia/Kathmandu"),
            ("hour", "Asia/Kathmandu"),
        ):
            local = table["started_at"].dt.tz_convert(zone)
            self.check(filled.trends(by, zone=zone), by, table, local.dt.date if by == "day" else local.dt.hour)
        for by in ("speaker", "source"):
            self.check(filled.trends(by), by, table, table[by])

    @staticmethod
    def check(trends: pd.DataFrame, by: str, table: pd.DataFrame, group: "pd.Series[Any]") -> None:
        """Check trends against the table of segments and the group of each."""
        assert trends[by].tolist() == sorted(set(group))
        for row in trends.to_dict("records"):
            windows = table[group == row[by]]
            scored = windows[windows["label"] != NO_SPEECH]
            shares = {label: (scored["label"] == label).mean() for label in ("angry", "neutral", "uncertain")}
            expected = {
                by: row[by],
                "segments": len(windows),
                "scored": len(scored),
                "speech_s": (windows["speech"] * windows["hop_s"].clip(upper=3.0)).sum(),
                "activation": scored["activation"].mean(),
                "unfamiliar": (scored["ood_score"] > 1).mean(),
                "uncertain": shares["uncertain"],
                "share_angry": shares["angry"],
                "share_neutral": shares["neutral"],
            }
            assert list(row) == list(trends)
            assert {name: value for name, value in row.items() if name != by} == pytest.approx(
                {name: value for name, value in expected.items() if name != by}, nan_ok=True
            )

    def test_they_are_of_what_is_chosen(self, filled: Database) -> None:
        chosen = filled.trends("source", since="2026-10-24", until="2026-10-25", speaker="")
        number = len(filled.segments(since="2026-10-24", until="2026-10-25", speaker=""))
        assert chosen["source"].tolist() == ["hall"]
        assert chosen["segments"].tolist() == [number]

    def test_of_nothing_they_are_empty(self, database: Database) -> None:
        for by in ("day", "hour", "speaker", "source"):
            table = database.trends(by)
            assert table.empty
            assert list(table) == [by, "segments", "speech_s", "scored", "activation", "uncertain", "unfamiliar"]

    def test_an_unknown_grouping_or_zone_is_refused(self, database: Database) -> None:
        with pytest.raises(InputError, match="trends are by day, hour, speaker, source, not 'week'"):
            database.trends("week")
        for zone in ("Europe/Bonn", "../etc/passwd", ""):
            with pytest.raises(InputError, match="time zone has to be like Europe/Berlin"):
                database.trends(zone=zone)


class TestDeliveries:
    @pytest.fixture
    def filled(self, database: Database) -> Database:
        """Return a database with an alert on two channels and one on another."""
        write(database, make_session(), make_alert("a1", channels=("x", "y")), make_alert("a2", channels=("z",)))
        return database

    @staticmethod
    def due(database: Database, now: datetime = START) -> list[tuple[str, str, int]]:
        return [(item.alert.id, item.channel, item.attempts) for item in database.due_deliveries(now)]

    def test_all_are_due_at_once(self, filled: Database) -> None:
        assert self.due(filled) == [("a1", "x", 0), ("a1", "y", 0), ("a2", "z", 0)]
        assert filled.next_delivery_at() is not None

    def test_what_was_sent_or_given_up_is_never_due(self, filled: Database) -> None:
        filled.record_sent("a1", "x", START)
        filled.record_failure("a2", "z", "gone", None)
        assert self.due(filled, START + timedelta(days=999)) == [("a1", "y", 0)]
        filled.record_failure("a1", "x", "late answer", START)  # a sent one stays sent
        filled.record_sent("a1", "y", START)
        assert self.due(filled, START + timedelta(days=999)) == []
        assert filled.next_delivery_at() is None
        states = {row["channel"]: (row["state"], row["attempts"]) for row in rows(filled, schema.deliveries)}
        assert states == {"x": ("sent", 1), "y": ("sent", 1), "z": ("failed", 1)}

    def test_what_failed_is_due_later(self, filled: Database) -> None:
        filled.record_sent("a1", "x", START)
        for minutes in (1, 2):
            filled.record_failure("a1", "y", "timeout", START + timedelta(minutes=minutes))
        filled.record_failure("a2", "z", "timeout", START + timedelta(minutes=3))
        assert self.due(filled, START + timedelta(seconds=119)) == []
        assert self.due(filled, START + timedelta(minutes=2)) == [("a1", "y", 2)]
        assert filled.next_delivery_at() == START + timedelta(minutes=2)

    def test_what_one_process_claims_no_other_sees_until_it_must_be_dead(self, filled: Database) -> None:
        until = START + timedelta(minutes=5)
        assert len(filled.claim_deliveries(START, until)) == 3
        assert filled.claim_deliveries(START, until) == []
        filled.record_sent("a1", "x", START)
        again = filled.claim_deliveries(until, until + timedelta(minutes=5))
        assert [(item.alert.id, item.channel) for item in again] == [("a1", "y"), ("a2", "z")]

    def test_thousands_that_are_due_are_claimed_part_by_part(self, database: Database) -> None:
        write(database, make_session(), *(make_alert(f"a{number}", channels=("x",)) for number in range(1500)))
        later, claimed = START + timedelta(days=1), list[str]()
        while part := database.claim_deliveries(later, later + timedelta(minutes=5)):
            claimed += [item.alert.id for item in part]
        assert len(claimed) == len(set(claimed)) == 1500

    def test_the_last_alert_of_a_rule_is_per_source_and_speaker(self, filled: Database) -> None:
        later = START + timedelta(hours=1)
        write(filled, make_alert("a3", raised_at=later), make_alert("a4", speaker="ben", raised_at=START))
        assert filled.last_raised("raised voice", "desk", "anna") == later
        assert filled.last_raised("raised voice", "desk", "ben") == START
        assert filled.last_raised("raised voice", "hall", "anna") is None
        assert filled.last_raised("other", "desk", "anna") is None


class TestFeedback:
    @pytest.fixture
    def filled(self, database: Database) -> Database:
        """Return a database with three windows and an alert."""
        write(database, make_session(), *map(make_event, range(3)), make_alert())
        return database

    def test_a_later_correction_by_the_same_author_replaces_the_earlier(self, filled: Database) -> None:
        filled.add_feedback("s1", 1, "sad", "mia")
        filled.add_feedback("s1", 1, "angry", "leo")
        filled.add_feedback("s1", 1, "happy", "mia", "on second thought")
        table = filled.feedback()
        assert dict(zip(table["author"], table["emotion"], strict=True)) == {"mia": "happy", "leo": "angry"}
        assert set(table["label"]) == {make_event(1).label}
        assert table["p_angry"].tolist() == [make_event(1).probabilities["angry"]] * 2
        assert len(filled.feedback(speaker="anna", source="desk", since="1d")) == 2
        assert filled.feedback(until="1d").empty

    def test_an_unknown_segment_is_refused(self, filled: Database) -> None:
        for session, number in (("s1", 3), ("s2", 0)):
            with pytest.raises(InputError, match=f"no number {number} in session '{session}'"):
                filled.add_feedback(session, number, "sad", "mia")
        with pytest.raises(InputError, match="has to have an emotion"):
            filled.add_feedback("s1", 0, " ", "mia")
        with pytest.raises(InputError, match="has to be one of .*angry.*, not 'Angry'"):
            filled.add_feedback("s1", 1, "Angry", "mia")
        with pytest.raises(InputError, match="has to have an author"):
            filled.add_feedback("s1", 0, "sad", "")
        assert filled.feedback().empty

    def test_the_first_acknowledgement_stays(self, filled: Database) -> None:
        filled.acknowledge("a1", "mia", START)
        filled.acknowledge("a1", "leo", START + timedelta(hours=1))
        (row,) = rows(filled, schema.alerts)
        assert (row["acknowledged_at"], row["acknowledged_by"]) == (START, "mia")
        with pytest.raises(InputError, match="found none with the id 'a2'"):
            filled.acknowledge("a2", "mia")


class TestRetention:
    NOW = START + timedelta(days=30)

    @pytest.fixture
    def filled(self, database: Database) -> Database:
        """Return a database with an old session, one that has run for long and still runs, and a new one."""
        recent = self.NOW - timedelta(hours=1)
        write(
            database,
            *(
                make_session("old"),
                make_session("long", speaker="ben"),
                make_session("new", source="hall", started_at=recent),
            ),
            *(make_event(number, "old") for number in range(7)),
            SessionEnd("old", START + timedelta(minutes=1), "stopped"),
            *(make_event(number, "long") for number in range(5)),
            *(make_event(number, "long", start=recent) for number in range(5, 8)),
            *(make_event(number, "new", start=recent) for number in range(2)),
            SessionEnd("new", recent + timedelta(minutes=1), "stopped"),
            *(
                make_alert("a1", "old"),
                make_alert("a2", "long", speaker="ben"),
                make_alert("a3", "new", raised_at=recent),
            ),
        )
        for session, number in (("old", 1), ("long", 1), ("long", 6), ("new", 0)):
            database.add_feedback(session, number, "sad", "mia")
        return database

    @pytest.fixture(autouse=True)
    def _small_lots(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from ser_monitor.database import retention

        monkeypatch.setattr(retention, "ROWS_AT_ONCE", 3)

    def test_what_is_old_goes_and_the_rest_stays(self, filled: Database) -> None:
        deleted = filled.apply_retention(7, self.NOW)
        assert deleted == {"feedback": 2, "segments": 12, "alerts": 2, "sessions": 1}
        assert sorted(filled.sessions()["id"]) == ["long", "new"]
        assert sorted(filled.segments()["number"]) == [0, 1, 5, 6, 7]
        assert filled.alerts()["id"].tolist() == ["a3"]
        assert sorted(filled.feedback()["number"]) == [0, 6]
        assert {row["alert_id"] for row in rows(filled, schema.deliveries)} == {"a3"}
        (entry,) = filled.audit().to_dict("records")
        assert (entry["author"], entry["action"], entry["target"]) == ("ser_monitor", "retention", "older than 7 days")
        assert entry["details"] == deleted
        assert filled.apply_retention(7, self.NOW) == dict.fromkeys(deleted, 0)

    def test_a_live_session_goes_on_after_its_past_was_deleted(self, filled: Database) -> None:
        filled.apply_retention(7, self.NOW)
        write(filled, make_event(8, "long", start=self.NOW))
        assert filled.segments(speaker="ben")["number"].tolist() == [5, 6, 7, 8]

    @pytest.mark.parametrize("days", [0, -1, float("nan")])
    def test_days_have_to_be_positive(self, filled: Database, days: float) -> None:
        before = counts(filled)
        with pytest.raises(InputError, match="--days has to be positive"):
            filled.apply_retention(days, self.NOW)
        assert counts(filled) == before

    @pytest.mark.parametrize(
        ("what", "left", "deleted"),
        [
            ({"speaker": "ben"}, ["new", "old"], {"feedback": 2, "segments": 8, "alerts": 1, "sessions": 1}),
            ({"session": "old"}, ["long", "new"], {"feedback": 1, "segments": 7, "alerts": 1, "sessions": 1}),
            ({"source": "desk"}, ["new"], {"feedback": 3, "segments": 15, "alerts": 2, "sessions": 2}),
        ],
    )
    def test_all_of_one_is_erased(
        self, filled: Database, what: dict[str, str], left: list[str], deleted: dict[str, int]
    ) -> None:
        erased = filled.erase(**what, author="mia")
        assert erased == {**deleted, **({"sources": 1} if "source" in what else {})}
        assert sorted(filled.sessions()["id"]) == left
        for table in (schema.segments, schema.alerts, schema.feedback):
            assert {row["session_id"] for row in rows(filled, table)} <= set(left)
        assert set(filled.sources()["name"]) == ({"hall"} if "source" in what else {"desk", "hall"})
        (entry,) = filled.audit().to_dict("records")
        assert (entry["author"], entry["action"], entry["details"]) == ("mia", "erase", erased)

    @pytest.mark.parametrize(
        ("what", "message"),
        [
            ({}, "expected one of --source, --speaker and --session"),
            ({"speaker": "ben", "source": "desk"}, "expected one of"),
            ({"speaker": "carl"}, "expected sessions of the speaker 'carl'"),
        ],
    )
    def test_it_has_to_be_said_what_to_erase(self, filled: Database, what: dict[str, str], message: str) -> None:
        before = counts(filled)
        with pytest.raises(InputError, match=message):
            filled.erase(**what)
        assert counts(filled) == before


class TestRecovery:
    def test_sessions_of_dead_processes_end_with_their_last_event(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from ser_monitor.database import batches, processes

        own = processes.this_process()
        dead = own.rsplit(":", 1)[0] + ":another-start"
        for session, process in {"dead": dead, "empty": dead, "own": own, "far": "far-machine:1:1"}.items():
            monkeypatch.setattr(batches, "this_process", lambda process=process: process)
            write(database, make_session(session))
        write(database, make_event(0, "dead"), make_event(1, "dead"), make_event(0, "own"), make_alert("a1", "dead"))
        assert database.close_interrupted_sessions() == 2
        assert database.close_interrupted_sessions() == 0
        ends = {row["id"]: (row["ended_at"], row["end_reason"]) for row in rows(database, schema.sessions)}
        assert ends == {
            "dead": (make_event(1).ended_at, "interrupted"),
            "empty": (START, "interrupted"),
            "own": (None, None),
            "far": (None, None),
        }
        assert rows(database, schema.alerts)[0]["ended_at"] == make_event(1).ended_at


def test_several_processes_may_create_the_tables_at_once(database_url: str) -> None:
    barrier, failures = threading.Barrier(6), []

    def open_it() -> None:
        barrier.wait()
        try:
            Database(database_url).close()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    with Database(database_url, create=False) as database, database.reading() as connection:
        assert connection.execute(sa.select(schema.about)).all() == [("ser-monitor", 1)]


def test_every_index_that_trends_need_is_there(database: Database) -> None:
    indexed = {
        (table, tuple(index["column_names"]))
        for table in ("segments", "alerts", "sessions", "deliveries")
        for index in sa.inspect(database.engine).get_indexes(table)
    }
    assert {
        ("segments", ("started_at",)),
        ("alerts", ("raised_at",)),
        ("alerts", ("rule", "source", "speaker", "raised_at")),
        ("deliveries", ("state", "next_attempt_at")),
        ("sessions", ("started_at",)),
    } <= indexed


class TestServer:
    def test_a_database_that_does_not_exist_is_one_line(self, postgres_server: PostgresServer) -> None:
        with pytest.raises(InputError, match='database "nothing" does not exist'):
            Database(postgres_server.url("nothing"))

    def test_another_programs_database_is_refused(self, postgres_server: PostgresServer, postgres_url: str) -> None:
        postgres_server.execute("CREATE TABLE users (id INTEGER)")
        with pytest.raises(InputError, match="is another program's"):
            Database(postgres_url)
        postgres_server.execute("DROP TABLE users", "DROP SCHEMA public")  # which fails if anything else is in it
        postgres_server.execute("CREATE SCHEMA public")
