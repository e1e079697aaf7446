"""The report command: a folder and one line, one line and exit code 2 for what is wrong, a service that ends."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

import ser_monitor
from ser_embed.errors import InputError
from ser_monitor.database.database import Database
from ser_monitor.report import main
from ser_monitor.reporting.service import LAST


@pytest.fixture
def database(tmp_path):
    """Return the path of an empty database."""
    path = tmp_path / "monitor.db"
    Database(path).close()
    return path


def test_an_empty_period_is_a_report_too(tmp_path, database, capsys):
    code = main(["--database", str(database), "--output", str(tmp_path / "out"), "--json"])
    document = json.loads(capsys.readouterr().out)
    assert code == 0
    assert document["segments"] == document["alerts"] == 0
    with open(document["page"], encoding="utf-8") as page:
        assert "Nothing was heard" in page.read()


def test_it_says_in_one_line_what_it_wrote(tmp_path, database, capsys):
    arguments = ["--since", "yesterday", "--until", "today", "--timezone", "UTC", "--output", str(tmp_path / "out")]
    assert main(["--database", str(database), *arguments]) == 0
    day = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert out.startswith(f"{tmp_path / 'out' / day / 'report.html'}: ")


def test_it_is_a_function_too(tmp_path, database):
    written = ser_monitor.report(database=str(database), output=tmp_path / "out", since="24h")
    assert written.page.is_file()
    with pytest.raises(InputError, match="--every is for the command"):
        ser_monitor.report(database=str(database), output=tmp_path / "out", every="1d")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--database", "nowhere.db"],
        ["--database", "postgresql+psycopg://nobody@127.0.0.1:1/none"],
        ["--database", "oracle://x/y"],
        ["--since", "soon"],
        ["--timezone", "Berlin"],
        ["--every", "5h"],
        ["--every", "1d", "--until", "today"],
        ["--every", "1d", "--database", "nowhere.db"],
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert not list(tmp_path.rglob("*.html"))
    assert not (tmp_path / "nowhere.db").exists()


def test_a_second_service_is_refused(tmp_path, database):
    from ser_embed.files import exclusive_lock

    output = tmp_path / "out"
    with exclusive_lock(output / "service"):
        assert main(["--every", "1d", "--database", str(database), "--output", str(output)]) == 2
    assert not (output / LAST).exists()


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_service_catches_up_and_ends(tmp_path, database, sent, code):
    """Three days were missed: each is reported once, over two starts, and a signal ends the wait."""
    output = tmp_path / "out"
    command = [sys.executable, "-m", "ser_monitor.report", "--every", "1d", "--since", "3d", "--timezone", "UTC"]
    command += ["--database", str(database), "--output", str(output)]
    errors = []
    for _ in range(2):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONWARNINGS": ""})
        try:
            lines = []
            for line in process.stderr:  # ends where the service does
                lines.append(line)
                if line.startswith("next report"):
                    time.sleep(1)  # in the scheduler's wait
                    process.send_signal(sent)
            assert process.wait(60) == code
        finally:
            process.kill()
            process.stderr.close()
            process.wait()
        errors.append(lines)
    reports = [[line for line in lines if "report.html" in line] for lines in errors]
    assert len(reports[0]) in (2, 3)  # two whole days lie within three, or three at midnight
    assert reports[1] == []
    assert all(lines[-1].startswith("stopped") for lines in errors)
    assert len(list(output.glob("*/report.html"))) == len(reports[0])
    assert not (output / "service.lock").exists()
