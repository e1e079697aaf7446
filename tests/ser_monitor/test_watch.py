"""Listening end to end: the answers of predict, events without gaps, alerts, folders, pipes, and what is refused."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

import ser_embed
import ser_head
import ser_monitor
from ser_monitor.database.writer import EventWriter
from ser_monitor.events import Alert, Event, Item, Session, SessionEnd
from ser_monitor.sources import folder
from ser_monitor.watch import main
from tests.ser_embed.conftest import tone, write_corpus

RATE_HZ = 16_000
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}  # the commands run in another folder
# A shell starts what it runs in the background with Ctrl-C ignored, and so may have started these tests.
INTERRUPTIBLE = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from ser_monitor import watch"
PLAIN: dict[str, Any] = {"vad": "off", "smoothing": 0, "adapt": "off", "speed": "max", "window": 1, "hop": 0.5}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    data = write_corpus(folder / "data" / "tones", 24)
    ser_embed.extract("mfcc", data=data, store=folder / "mfcc.h5")
    return ser_head.train(
        store=folder / "mfcc.h5", protocol="random", epochs=2, personalized="normalize", out=folder / "run"
    ).run


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audio") / "speech.wav"
    pause = np.zeros(RATE_HZ * 2, np.float32)
    samples = np.concatenate([tone(50_000, 1), pause, tone(30_000, 2), tone(13_000, 5)])
    soundfile.write(path, samples, RATE_HZ, subtype="FLOAT")
    return path


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def listened(sources: Any, run: Path, **config: Any) -> tuple[list[Item], ser_monitor.watch.WatchResult]:
    items: list[Item] = []
    result = ser_monitor.watch(sources, items.extend, run=run, database="m.db", **{**PLAIN, **config})
    return items, result


def events_of(items: list[Item]) -> list[Event]:
    return [item for item in items if isinstance(item, Event)]


def test_with_everything_off_the_answers_are_those_of_predict(run: Path, speech: Path) -> None:
    items, _ = listened(speech, run)
    events = events_of(items)
    table = ser_head.predict(speech, run=run, window=1, hop=0.5).table
    assert [event.start_s for event in events] == pytest.approx(table["start_s"].tolist(), abs=1e-3)
    assert [event.end_s for event in events] == pytest.approx(table["end_s"].tolist(), abs=1e-3)
    labels = [column for column in table.columns if column.startswith("p_")]
    for event, (_, row) in zip(events, table.iterrows(), strict=True):
        if row["emotion"] == "silent":
            assert event.label == "no speech"
            assert event.probabilities == {}
        else:
            assert event.label == row["emotion"]
            assert event.ood_score == pytest.approx(row["unfamiliarity"], abs=1e-6)
            for probabilities in (event.probabilities, event.smoothed):
                assert [probabilities[label[2:]] for label in labels] == pytest.approx(list(row[labels]), abs=1e-6)


def test_everything_is_committed_in_order_before_it_is_given(run: Path, speech: Path) -> None:
    items, result = listened(speech, run)
    assert isinstance(items[0], Session)
    assert isinstance(items[-1], SessionEnd)
    assert items[-1].reason == "end of file"
    events = events_of(items)
    assert [event.number for event in events] == list(range(len(events)))
    assert result.events == len(events)
    with ser_monitor.Database("m.db") as database:
        table = database.segments()
        assert table["number"].tolist() == list(range(len(events)))
        assert table["label"].tolist() == [event.label for event in events]
        sessions = database.sessions()
        assert sessions["end_reason"].tolist() == ["end of file"]
        assert sessions["facts"].iloc[0]["events"] == len(events)


def test_adaptation_and_smoothing_change_what_is_shown_but_not_what_was_scored(run: Path, speech: Path) -> None:
    plain = events_of(listened(speech, run)[0])
    adapted = events_of(listened(speech, run, adapt="on", smoothing=1.0)[0])
    assert [event.probabilities for event in adapted] == [
        pytest.approx(event.probabilities, abs=1e-6) for event in plain
    ]
    assert max(event.enrolled for event in adapted) > 2
    assert any(event.smoothed != pytest.approx(event.probabilities, abs=1e-3) for event in adapted)


def test_the_answers_of_one_source_do_not_depend_on_another(run: Path, speech: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "other.wav", tone(90_000, 7), RATE_HZ)
    alone = [event.smoothed for event in events_of(listened(speech, run, adapt="on", smoothing=1.0)[0])]
    items, _ = listened([f"a={speech}", f"b={tmp_path / 'other.wav'}"], run, adapt="on", smoothing=1.0)
    names = {item.id: item.source for item in items if isinstance(item, Session)}
    together = [event.smoothed for event in events_of(items) if names[event.session_id] == "a"]
    assert together == [pytest.approx(values, abs=1e-6) for values in alone]


def test_rules_raise_alerts_that_are_committed_and_sent(
    run: Path, speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "rules.toml").write_text('[[rule]]\nname = "pause"\nwhen = "silence for 1 s"\n')
    windows = ["--window", "1", "--hop", "0.5", "--vad", "off", "--speed", "max"]
    assert main([str(speech), "--run", str(run), "--rules", "rules.toml", *windows]) == 0
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    (alert,) = [line for line in lines if line["type"] == "alert"]
    assert (alert["rule"], alert["source"]) == ("pause", "speech")
    assert lines[0]["type"] == "session.start"
    assert lines[-1]["type"] == "session.end"
    assert "alert: pause: silence for 1 s" in err
    assert "1 alerts in monitor.db" in err
    with ser_monitor.Database("monitor.db") as database:
        assert database.alerts()["id"].tolist() == [alert["id"]]
        assert database.next_delivery_at() is None


def test_files_of_a_folder_are_listened_to_once(run: Path, tmp_path: Path) -> None:
    (tmp_path / "calls").mkdir()
    for number in (1, 2):
        soundfile.write(tmp_path / "calls" / f"{number}.wav", tone(40_000, number), RATE_HZ)
    (tmp_path / "calls" / "broken.wav").write_bytes(b"RIFF and nothing else")

    def listen(expected: int) -> list[str]:
        arguments = ["calls", "--run", str(run), "--vad", "off"]
        command = [sys.executable, "-c", f"{INTERRUPTIBLE}; raise SystemExit(watch.main({arguments!r}))"]
        heard = []
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL, env=ENVIRONMENT
        ) as process:
            assert process.stdout is not None
            while len(heard) < expected:
                line = json.loads(process.stdout.readline())
                if line["type"] == "session.end":
                    heard.append(line["reason"])
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        assert process.returncode in (0, 3)
        return heard

    assert listen(2) == ["end of file", "end of file"]
    soundfile.write(tmp_path / "calls" / "3.wav", tone(40_000, 3), RATE_HZ)
    assert listen(1) == ["end of file"]
    with ser_monitor.Database("monitor.db") as database:
        names = [Path(recording).name for recording in database.sessions()["recording"]]
    assert sorted(names) == ["1.wav", "2.wav", "3.wav"]


def test_files_of_a_folder_that_cannot_be_read_are_named_after_ctrl_c(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(folder, "_GIVEN_UP_AFTER_S", 0.0)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background ignores
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    (tmp_path / "calls").mkdir()
    (tmp_path / "calls" / "broken.wav").write_bytes(b"RIFF and nothing else")
    os.utime(tmp_path / "calls" / "broken.wav", (1_000, 1_000))  # so that it comes first
    soundfile.write(tmp_path / "calls" / "good.wav", tone(40_000, 1), RATE_HZ)

    def interrupt_at_the_end(items: list[Item]) -> None:
        if any(isinstance(item, SessionEnd) for item in items):
            signal.raise_signal(signal.SIGINT)

    result = ser_monitor.watch("calls", interrupt_at_the_end, run=run, database="m.db", **PLAIN)
    assert result.events > 0
    assert [entry["path"] for entry in result.unreadable] == ["calls/broken.wav"]


def test_raw_audio_from_a_pipe_is_scored_to_its_last_sample(run: Path) -> None:
    samples = (tone(30_000, 4) * 20_000).astype("<i2")
    command = [sys.executable, "-m", "ser_monitor.watch", "-", "--run", str(run), "--window", "1", "--hop", "0.5"]
    process = subprocess.run(
        [*command, "--vad", "off"], input=samples.tobytes(), capture_output=True, timeout=120, env=ENVIRONMENT
    )
    assert process.returncode == 0, process.stderr
    events = [line for line in map(json.loads, process.stdout.splitlines()) if line["type"] == "measurement"]
    table = ser_head.predict(samples, run=run, rate=RATE_HZ, window=1, hop=0.5).table
    assert [event["end_s"] for event in events] == pytest.approx(table["end_s"].tolist(), abs=1e-3)
    for event, (_, row) in zip(events, table.iterrows(), strict=True):
        for label, value in event["probabilities"].items():
            assert value == pytest.approx(row[f"p_{label}"], abs=1e-5)


def test_a_file_that_breaks_off_keeps_what_was_heard(run: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "cut.flac", tone(200_000, 1), RATE_HZ)
    data = (tmp_path / "cut.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(data[: len(data) * 3 // 4])
    items, result = listened("cut.flac", run)
    assert len(events_of(items)) > 3
    end = items[-1]
    assert isinstance(end, SessionEnd)
    assert "truncated" in end.reason
    assert result.events == len(events_of(items))
    assert [entry["path"] for entry in result.unreadable] == ["cut.flac"]


@pytest.mark.parametrize("fault", ["NaN", "too short"])
def test_a_file_that_gives_nothing_is_named_with_its_reason(
    fault: str, run: Path, speech: Path, capsys: pytest.CaptureFixture
) -> None:
    samples = tone(20_000 if fault == "NaN" else 300, 1)
    samples[200] = np.nan if fault == "NaN" else 0
    Path("calls").mkdir()
    soundfile.write("calls/bad.wav", samples, RATE_HZ, subtype="FLOAT")
    assert main(["calls/bad.wav", "--run", str(run), "--speed", "max", "--window", "3"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: calls/bad.wav: {fault}")
    assert main(["calls/bad.wav", str(speech), "--run", str(run), "--speed", "max"]) == 3
    assert f"unreadable: calls/bad.wav: {fault}" in capsys.readouterr().err


def test_events_that_the_database_did_not_take_are_a_failure(
    run: Path, speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = EventWriter.close
    monkeypatch.setattr(EventWriter, "close", lambda writer: close(writer) + 3)
    assert listened(speech, run)[1].unwritten == 3
    assert main([str(speech), "--run", str(run), "--speed", "max", "--vad", "off"]) == 1


def test_sources_that_all_fail_are_all_named(run: Path, capsys: pytest.CaptureFixture) -> None:
    Path("empty.wav").touch()
    Path("text.wav").write_text("no audio")
    assert main(["empty.wav", "text.wav", "--run", str(run)]) == 2
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert error.count("empty.wav") == error.count("text.wav") == 1


def test_a_reader_that_goes_away_ends_the_listening(run: Path, speech: Path) -> None:
    command = f"{sys.executable} -m ser_monitor.watch {speech} --run {run} --speed max | head -n 1"
    process = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120, env=ENVIRONMENT)
    assert json.loads(process.stdout)["type"] == "session.start"
    assert "Traceback" not in process.stderr
    assert "BrokenPipe" not in process.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["none.wav"], "expected a source"),
        (["speech.wav", "--rules", "none.toml"], "cannot read the rules none.toml"),
        (["speech.wav", "--rules", "bad.toml"], "bad.toml, line 3: "),
        (["speech.wav", "--database", "mysql://somewhere/x"], "sqlite:///FILE or postgresql"),
        (["speech.wav", "--database", "postgresql://nobody@127.0.0.1:1/x"], "127.0.0.1"),
        (["speech.wav", "--speaker", "\udcff"], "--speaker has to be UTF-8, not "),
        (["speech.wav", "--unusual", "61"], "--unusual has to be from 0 to 60, not 61"),
        (["speech.wav", "--hop", "5"], "--hop has to be at most the window"),
        (["speech.wav", "--utterances", "--vad", "off"], "--utterances are cut at pauses"),
        (["speech.wav", "speech.wav"], "different names"),
        (["ftp://example.org/a"], "expected"),
        (["speech.wav", "--run", "nothing"], "expected a run folder"),
        (["speech.wav", "--model", "egemaps"], "the run needs vectors"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], expected: str, run: Path, speech: Path, capsys: pytest.CaptureFixture
) -> None:
    Path("speech.wav").write_bytes(speech.read_bytes())
    Path("bad.toml").write_text('[[rule]]\nname = "a"\nwhen = "angry above 1"\n')
    if "--run" not in arguments:
        arguments = [*arguments, "--run", str(run)]
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert expected in err


def test_a_microphone_that_is_not_there_is_one_line(run: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["--run", str(run)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_a_run_that_answers_with_a_number_is_refused(run: Path, speech: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = SimpleNamespace(labels=(), run=SimpleNamespace(folder=run))
    monkeypatch.setattr(ser_head, "Predictor", lambda *args, **options: predictor)
    with pytest.raises(ser_embed.errors.InputError, match="answers with a number"):
        listened(speech, run)


def test_tables_of_a_notebook_have_what_was_heard(run: Path, speech: Path) -> None:
    items, _ = listened(speech, run, utterances=False)
    with ser_monitor.Database("m.db") as database:
        table = database.segments(source="speech")
    assert isinstance(table, pd.DataFrame)
    assert len(table) == len(events_of(items))
    assert not [item for item in items if isinstance(item, Alert)]
