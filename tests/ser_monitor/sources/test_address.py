"""Addresses: credentials that show nowhere, and ffmpeg from its start to its end."""

import contextlib
import http.server
import logging
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_embed.errors import InputError
from ser_monitor.sources.address import AddressSource, require_address
from ser_monitor.sources.base import SourceError
from ser_monitor.sources.options import SourceOptions
from ser_monitor.sources.reopening import reopened
from tests.ser_monitor.sources.fakes import FakeClock, listen, listen_until_failure, pcm, tone

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc/passwd",
        "rtsp://",
        "http:///x",
        "ftp://user:secret@host/x",
        "http://user:secret@host:no/",
        "concat:a|b",
    ],
)
def test_other_addresses_are_refused_without_their_credentials(address: str) -> None:
    with pytest.raises(InputError, match="expected an address that begins with rtsp://") as raised:
        require_address(address)
    assert "secret" not in str(raised.value)


def test_without_ffmpeg_it_is_one_line_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match=r"expected ffmpeg, which reads http://host/x, but it is not installed"):
        AddressSource("radio", "http://user:secret@host/x?key=secret", SourceOptions())


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a program that is run in place of ffmpeg: a shell script, for a test to write."""
    path = tmp_path / "bin" / "ffmpeg"
    path.parent.mkdir()
    path.touch()
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
    return path


def write_script(program: Path, text: str) -> None:
    program.write_text(f"#!/bin/sh\necho $$ > {program.parent}/pid\n{text}\n")


def pid(program: Path) -> int:
    """Return the number of the last process of the program."""
    return int((program.parent / "pid").read_text())


def is_running(program: Path) -> bool:
    """Tell whether that process still exists, also as one that nobody has waited for."""
    return Path(f"/proc/{pid(program)}").exists()


def source_of(address: str = "rtsp://user:secret@camera/hall", **options: float) -> AddressSource:
    return AddressSource("camera", address, SourceOptions(**options))  # type: ignore[arg-type]


class TestProcess:
    def test_its_last_error_is_the_reason_without_credentials(self, program: Path) -> None:
        write_script(
            program,
            "echo '[tcp @ 0x55] [error] Connection to tcp://camera:554 failed' >&2\n"
            "echo '[error] rtsp://user:secret@camera/hall: Connection refused by user:secret' >&2\n"
            "echo '[info] not this' >&2\nexit 1",
        )
        with pytest.raises(SourceError, match=r"^rtsp://camera/hall: Connection refused by \*\*\*:\*\*\*$"):
            next(source_of().recordings(threading.Event()))
        assert not is_running(program)

    def test_an_end_without_an_error_has_its_exit_code(self, program: Path) -> None:
        write_script(program, "exit 7")
        with pytest.raises(SourceError, match="camera/hall: ffmpeg ended with exit code 7"):
            next(source_of().recordings(threading.Event()))

    def test_an_error_that_comes_after_the_last_sample_is_the_reason_too(self, program: Path) -> None:
        write_script(program, "exec 1>&-\nsleep 0.1\necho '[fatal] Conversion failed' >&2\nexit 1")
        with pytest.raises(SourceError, match="camera/hall: Conversion failed"):
            next(source_of().recordings(threading.Event()))

    def test_a_stream_that_stalls_has_failed_and_ffmpeg_is_gone(self, program: Path) -> None:
        (program.parent / "sound").write_bytes(pcm(tone(4_000)))
        write_script(program, f"cat {program.parent}/sound\nexec sleep 60")
        for recording in source_of(stall_s=0.3).recordings(threading.Event()):
            assert recording.is_live
            samples, reason = listen_until_failure(recording)
            assert reason == "rtsp://camera/hall: no audio for 0.3 s"
            np.testing.assert_array_equal(samples[:, 0], tone(4_000)[:3_200])  # in whole blocks
        assert not is_running(program)

    def test_a_stop_ends_ffmpeg_also_while_it_connects(self, program: Path) -> None:
        os.mkfifo(program.parent / "begun")
        write_script(program, f"echo > {program.parent}/begun\nexec sleep 60")
        stop = threading.Event()

        def stop_once_it_runs() -> None:
            (program.parent / "begun").read_bytes()  # waits for it
            stop.set()

        stopper = threading.Thread(target=stop_once_it_runs)
        stopper.start()
        assert list(source_of().recordings(stop)) == []
        stopper.join()
        assert not is_running(program)

    def test_a_listener_that_leaves_ends_ffmpeg(self, program: Path) -> None:
        write_script(program, "exec cat /dev/zero")
        recordings = source_of().recordings(threading.Event())
        recording = next(recordings)
        blocks = recording.blocks()
        next(blocks)
        assert is_running(program)
        assert os.getsid(pid(program)) != os.getsid(0)  # Ctrl-C at the terminal does not reach it
        recordings.close()  # type: ignore[attr-defined]
        assert not is_running(program)
        with pytest.raises(SourceError, match="closed by its reader"):  # and not of another file with its number
            list(blocks)

    def test_a_log_without_end_does_not_stop_it(self, program: Path) -> None:
        """A pipe holds 64 KiB: what is not read would make ffmpeg wait for ever."""
        (program.parent / "sound").write_bytes(pcm(tone(4_000)))
        (program.parent / "log").write_text("[hls @ 0x1] [info] Opening 'x' for reading\n" * 10_000)
        write_script(program, f"cat {program.parent}/log >&2\ncat {program.parent}/sound")
        (recording,) = source_of().recordings(threading.Event())
        assert recording.end_reason == ""

    def test_what_has_a_duration_is_a_file_and_has_to_be_whole(self, program: Path) -> None:
        (program.parent / "sound").write_bytes(pcm(tone(16_000)))
        duration = "echo '[info]   Duration: 00:00:0{}.00, bitrate: 256 kb/s' >&2\n"
        failure = "echo '[http @ 0x1] [error] Stream ends prematurely' >&2\n"
        for seconds, error, is_whole in ((1, "", True), (1, failure, True), (2, "", True), (2, failure, False)):
            write_script(program, f"{duration.format(seconds)}{error}sleep 0.1\ncat {program.parent}/sound")
            for recording in source_of().recordings(threading.Event()):
                assert recording.is_finite
                assert not recording.is_live
                with contextlib.nullcontext() if is_whole else pytest.raises(SourceError, match="ends prematurely"):
                    listen(recording)


class SilentHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Return a folder on a web server of this machine, and its address with credentials."""
    folder = tmp_path / "web"
    folder.mkdir()

    def handle(*args: object) -> SilentHandler:
        return SilentHandler(*args, directory=folder)  # type: ignore[arg-type]

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handle) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield folder, f"http://user:secret@127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@needs_ffmpeg
def test_a_file_on_a_web_server_is_heard_once(web: tuple[Path, str], caplog: pytest.LogCaptureFixture) -> None:
    folder, address = web
    sound = tone(24_000)
    soundfile.write(folder / "a.wav", np.stack([sound, sound], axis=1), 16_000)
    source = AddressSource("web", f"{address}/a.wav?key=secret", SourceOptions())
    with caplog.at_level(logging.DEBUG):
        recordings = [(recording, listen(recording)[0]) for recording in reopened(source, threading.Event())]
    ((recording, samples),) = recordings
    np.testing.assert_allclose(samples[:, 0], sound, atol=2**-15)
    assert recording.end_reason == "end of the stream"
    assert "secret" not in f"{caplog.text} {source.description} {recording.description}"
    for name, reason in (("missing.wav", "Server returned 404 Not Found"), ("text.wav", "Invalid data found")):
        (folder / "text.wav").write_text("no audio" * 100)
        with pytest.raises(InputError, match=f"/{name}: {reason}") as raised:
            next(
                reopened(
                    AddressSource("web", f"{address}/{name}", SourceOptions()), threading.Event(), clock=FakeClock()
                )
            )
        assert "secret" not in str(raised.value)


@needs_ffmpeg
def test_a_playlist_leads_to_no_file_of_this_machine(web: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = web
    soundfile.write(tmp_path / "private.mp3", tone(32_000), 16_000)
    shutil.copy(tmp_path / "private.mp3", folder / "public.mp3")
    for target, is_open in ((f"file://{tmp_path}/private.mp3", False), ("public.mp3", True)):
        (folder / "a.m3u8").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{target}\n#EXT-X-ENDLIST\n")
        source = AddressSource("web", f"{address}/a.m3u8", SourceOptions())
        with contextlib.nullcontext() if is_open else pytest.raises(SourceError):
            next(source.recordings(threading.Event()))
