"""Audio devices: the list of them, and everything that can be missing."""

import builtins
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from ser_embed.errors import InputError
from ser_monitor.sources.audio_devices import list_devices
from ser_monitor.sources.base import SourceError
from ser_monitor.sources.microphone import MicrophoneSource
from ser_monitor.sources.reopening import reopened
from tests.ser_monitor.sources.fake_sounddevice import BLOCK, FakeStream, PortAudioError, channels, use
from tests.ser_monitor.sources.fakes import tone


@pytest.mark.parametrize(
    ("device", "reason"),
    [
        ("9", "microphone 9: Error querying device 9"),
        ("webcam", "microphone webcam: No input device matching 'webcam'"),
    ],
)
def test_an_unknown_device_is_one_line(monkeypatch: pytest.MonkeyPatch, device: str, reason: str) -> None:
    use(monkeypatch)
    with pytest.raises(InputError, match=f"^{reason}$"):
        next(reopened(MicrophoneSource("desk", device), threading.Event()))


def test_a_machine_without_a_microphone_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    module = use(monkeypatch)
    module.default.device[0] = -1
    with pytest.raises(SourceError, match="^microphone: this machine has no microphone$"):
        next(MicrophoneSource("desk").recordings(threading.Event()))
    module.devices = module.devices[:1]
    assert list_devices() == "no microphone was found"


def test_missing_libraries_are_one_line_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    original = builtins.__import__

    def failing(error: Exception) -> Callable[..., Any]:
        def import_module(name: str, *args: Any) -> Any:
            if name == "sounddevice":
                raise error
            return original(name, *args)

        return import_module

    for error, expected in (
        (OSError("PortAudio library not found"), "apt install libportaudio2"),
        (ImportError("no module"), "pip install sounddevice"),
        (PortAudioError("Error initializing PortAudio"), "PortAudio does not work: Error initializing PortAudio"),
    ):
        monkeypatch.setattr(builtins, "__import__", failing(error))
        with pytest.raises(InputError, match=expected):
            next(MicrophoneSource("desk").recordings(threading.Event()))


def test_microphones_are_listed_one_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch)
    assert list_devices().splitlines() == [
        "*   1  Built-in  (1 channel, 8000 Hz)",
        "    2  USB Audio  (2 channels, 44100 Hz)",
    ]


def test_what_portaudio_writes_to_stderr_stays_off_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    module = use(monkeypatch, (channels(tone(BLOCK)), False, 0.0))
    original = module.InputStream

    def noisy(**settings: Any) -> FakeStream:
        os.write(2, b"ALSA lib pcm.c:2664:(snd_pcm_open_noupdate) Unknown PCM\n")
        return original(**settings)

    monkeypatch.setattr(module, "InputStream", noisy)
    next(MicrophoneSource("desk").recordings(threading.Event()))
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
