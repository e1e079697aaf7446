"""The text of a source: what opens it, and what it is called."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from ser_embed.errors import InputError
from ser_monitor.sources.base import Source
from ser_monitor.sources.options import SourceOptions
from ser_monitor.sources.registry import SOURCES, SourceSpec, open_source, require_distinct_names
from tests.ser_monitor.sources.fakes import tone


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder, with a file, a folder and a pipe in it, and an ffmpeg that is only there."""
    monkeypatch.chdir(tmp_path)
    for name in ("call.wav", "a=b.wav", "mic=1.wav"):
        soundfile.write(tmp_path / name, tone(400), 16_000)
    (tmp_path / "calls").mkdir()
    os.mkfifo(tmp_path / "line.fifo")
    (tmp_path / "ffmpeg").touch(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "kind", "name", "description"),
    [
        ("mic", "microphone", "mic", "microphone"),
        ("mic:2", "microphone", "mic", "microphone 2"),
        ("desk=mic:USB Audio", "microphone", "desk", "microphone USB Audio"),
        ("call.wav", "file", "call", "call.wav"),
        ("a=b.wav", "file", "a=b", "a=b.wav"),
        ("mic=1.wav", "file", "mic=1", "mic=1.wav"),
        ("two=a=b.wav", "file", "two", "a=b.wav"),
        ("hotline 1=calls", "folder", "hotline 1", "calls"),
        ("calls/", "folder", "calls", "calls"),
        ("line.fifo", "pipe", "line", "line.fifo"),
        ("rtsp://u:secret@camera.local:554/hall?a=secret", "address", "camera.local", "rtsp://camera.local:554/hall"),
        ("hotline-1=https://radio.example/x?key=secret", "address", "hotline-1", "https://radio.example/x"),
        ("http://[::1]:80/x?a=b=c", "address", "::1", "http://[::1]:80/x"),
    ],
)
def test_each_form_opens_its_kind(folder: Path, text: str, kind: str, name: str, description: str) -> None:
    source = open_source(text)
    assert (source.kind, source.name, source.description) == (kind, name, description)
    assert isinstance(source, Source)
    assert source.kind in SOURCES


def test_a_name_that_no_database_holds_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="whose name is UTF-8"):
        open_source(os.fsdecode(b"calls\xff"))


def test_stdin_is_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from ser_monitor.sources.registry import open_source; s = open_source('line=-'); print(s.kind, s.name)"
    process = subprocess.run([sys.executable, "-c", code], input="", capture_output=True, text=True, check=True)
    assert process.stdout == "stdin line\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("missing.wav", "expected a source .*, but there is no 'missing.wav'"),
        ("", "but there is no ''"),
        ("x" * 5_000, "but there is no 'xxx"),
        ("a\0b", "but there is no"),
        ("ftp://u:secret@host/a.wav", "expected an address that begins with rtsp://"),
        ("a=ftp://u:secret@host/a.wav", "expected an address that begins with rtsp://"),
        ("/dev/null", "but there is no '/dev/null'"),
        ("name=missing", "but there is no 'missing'"),
    ],
)
def test_anything_else_is_one_line(folder: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        open_source(text)
    assert "secret" not in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_names_have_to_differ(folder: Path) -> None:
    require_distinct_names([open_source("call.wav"), open_source("two=call.wav")])
    with pytest.raises(InputError, match="but mic:1|microphone 1 and microphone 2 are all 'mic'; use NAME=SOURCE"):
        require_distinct_names([open_source("mic:1"), open_source("mic:2")])


def test_a_kind_is_added_by_one_entry(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = open_source("call.wav")
    spec = SourceSpec("tape:", lambda text: text.startswith("tape:"), lambda text: "tape", lambda *_: call)
    monkeypatch.setitem(SOURCES, "tape", spec)
    assert open_source("tape:1") is call


def test_options_have_bounds() -> None:
    for options in ({"speed": "2"}, {"rate": 0}, {"block_s": -1.0}, {"poll_s": float("nan")}):
        with pytest.raises(InputError, match="has to be"):
            SourceOptions(**options)  # type: ignore[arg-type]
