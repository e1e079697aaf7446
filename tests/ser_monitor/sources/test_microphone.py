"""Microphones: samples, dropouts, and everything that can be missing, with a PortAudio that a test plays."""

import builtins
import os
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ser_embed.errors import InputError
from ser_monitor.sources.base import STOPPED, SourceError
from ser_monitor.sources.microphone import MicrophoneSource, list_devices
from ser_monitor.sources.options import SourceOptions
from ser_monitor.sources.reopening import SourceStatus, reopened
from tests.ser_monitor.sources.fakes import NOON, FakeClock, listen, listen_until_failure, tone

RATE_HZ = 8_000
BLOCK = 800


class PortAudioError(Exception):
    pass


class FakeSounddevice(types.ModuleType):
    """As much of the module `sounddevice` as is used, with three devices: a speaker, a mono and a stereo microphone.

    Attributes:
        script: samples for the callback, (samples, status overflow, device time), which come when a stream starts.
        calls: what was called, in order.
    """

    PortAudioError = PortAudioError

    def __init__(self, script: list[tuple[np.ndarray, bool, float]]) -> None:
        super().__init__("sounddevice")
        self.script, self.calls = script, list[str]()
        self.default = types.SimpleNamespace(device=[1, 0])
        self.devices = [
            {"name": "Loud\nspeaker", "index": 0, "max_input_channels": 0, "default_samplerate": 48_000.0},
            {"name": "Built-in", "index": 1, "max_input_channels": 1, "default_samplerate": float(RATE_HZ)},
            {"name": "USB  Audio", "index": 2, "max_input_channels": 2, "default_samplerate": 44_100.0},
        ]

    def query_devices(self, device: Any = None, kind: str | None = None) -> Any:
        if kind is None:
            return self.devices
        if isinstance(device, str):
            matches = [item for item in self.devices if device.lower() in str(item["name"]).lower()]
            if len(matches) != 1:
                raise ValueError(f"No input device matching {device!r}")
            return matches[0]
        number = self.default.device[0] if device is None else device
        if number >= len(self.devices):
            raise PortAudioError(f"Error querying device {number}")
        return self.devices[number]

    def check_input_settings(self, device: int, channels: int, **_: Any) -> None:
        if channels != self.devices[device]["max_input_channels"]:
            raise PortAudioError("Invalid number of channels", -9998)

    def InputStream(self, **settings: Any) -> "FakeStream":  # noqa: N802 - the module's name
        self.calls.append(f"open {settings['device']} {settings['channels']} {settings['samplerate']}")
        assert settings["blocksize"] == settings["samplerate"] / 10
        return FakeStream(self, settings["callback"])

    def _terminate(self) -> None:
        self.calls.append("terminate")

    def _initialize(self) -> None:
        self.calls.append("initialize")


class FakeStream:
    def __init__(self, module: FakeSounddevice, callback: Callable[..., None]) -> None:
        self._module, self._callback = module, callback

    def start(self) -> None:
        for samples, overflow, device_s in self._module.script:
            status = types.SimpleNamespace(input_overflow=overflow)
            memory = samples.copy()
            self._callback(memory, len(samples), types.SimpleNamespace(inputBufferAdcTime=device_s), status)
            memory[:] = np.nan  # PortAudio uses it again
        self._module.script = []

    def close(self) -> None:
        self._module.calls.append("close")


def use(monkeypatch: pytest.MonkeyPatch, *script: tuple[np.ndarray, bool, float]) -> FakeSounddevice:
    module = FakeSounddevice(list(script))
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return module


def channels(samples: np.ndarray) -> np.ndarray:
    return samples[:, np.newaxis]


def test_samples_come_through_until_the_device_is_unplugged(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = tone(3 * BLOCK, RATE_HZ)
    module = use(
        monkeypatch, *[(channels(part), False, number * 0.1) for number, part in enumerate(np.split(sound, 3))]
    )
    source = MicrophoneSource("desk", "", SourceOptions(silent_device_s=0.01))
    for recording in source.recordings(threading.Event()):
        assert recording.rate_hz == RATE_HZ
        assert recording.is_live
        samples, reason = listen_until_failure(recording)
        assert reason == "microphone: no samples for 0.01 s; is it plugged in?"
        assert samples.shape == (3 * BLOCK, 1)
        np.testing.assert_array_equal(samples[:, 0], sound)
        assert recording.facts.dropouts == 0
    assert module.calls == ["terminate", "initialize", f"open 1 1 {RATE_HZ}", "close"]


def test_a_recording_began_when_its_first_sample_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, (channels(tone(BLOCK)), False, 0.0))
    recording = next(MicrophoneSource("desk", clock=FakeClock()).recordings(threading.Event()))
    assert (NOON - recording.started_at).total_seconds() == pytest.approx(0.1)


def test_overflows_are_dropouts_as_long_as_the_clock_of_the_device_says(monkeypatch: pytest.MonkeyPatch) -> None:
    silence = np.zeros((BLOCK, 1), np.float32)
    use(monkeypatch, (silence, False, 7.0), (silence, True, 7.35), (silence, False, 7.45), (silence, True, 0.0))
    stop = threading.Event()
    recording = next(MicrophoneSource("desk").recordings(stop))
    lost_s = []
    for block in recording.blocks():
        lost_s.append(block.lost_s)
        if len(lost_s) == 4:
            stop.set()
    assert lost_s == pytest.approx([0, 0.25, 0, 1 / RATE_HZ])  # one sample at least where the device has no clock
    assert recording.facts.dropouts == 2
    assert recording.facts.lost_s == pytest.approx(0.25 + 1 / RATE_HZ)
    assert recording.end_reason == STOPPED


def test_a_listener_that_is_too_slow_loses_audio_and_is_told_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue takes half a minute: 300 blocks. 40 more are lost, before the one that comes after a block is taken."""
    part = np.zeros((BLOCK, 1), np.float32)
    module = use(monkeypatch, *[(part, False, number * 0.1) for number in range(340)])
    stop, taken = threading.Event(), []
    streams = opened_streams(monkeypatch, module)
    recording = next(MicrophoneSource("desk").recordings(stop))
    for block in recording.blocks():
        taken.append(block)
        if len(taken) == 2:
            module.script = [(part, False, 34.0)]
            streams[0].start()
        if len(taken) == 301:
            stop.set()
    assert [block.lost_s for block in taken[:300]] == [0] * 300
    assert taken[300].lost_s == pytest.approx(4.0)
    assert recording.facts.dropouts == 1


def opened_streams(monkeypatch: pytest.MonkeyPatch, module: FakeSounddevice) -> list[FakeStream]:
    """Return the list that streams are put into as they are opened."""
    streams: list[FakeStream] = []
    original = module.InputStream

    def open_stream(**settings: Any) -> FakeStream:
        streams.append(original(**settings))
        return streams[-1]

    monkeypatch.setattr(module, "InputStream", open_stream)
    return streams


def test_devices_by_number_and_by_name_and_those_without_mono(monkeypatch: pytest.MonkeyPatch) -> None:
    for device in ("2", "usb"):
        stereo = np.stack([tone(4_410), np.ones(4_410, np.float32)], axis=1)
        module = use(monkeypatch, (stereo, False, 0.0))
        recording = next(MicrophoneSource("desk", device).recordings(threading.Event()))
        assert "open 2 2 44100" in module.calls
        np.testing.assert_array_equal(next(recording.blocks()).samples, stereo[:, :1])


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


def test_a_microphone_that_is_plugged_in_again_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    part = channels(tone(BLOCK))
    module = use(monkeypatch, (part, False, 0.0))
    stop, statuses = threading.Event(), list[SourceStatus]()

    def plug_in(count: int) -> None:
        if count == 2:
            module.script = [(part, False, 0.0)]
        if count == 3:
            stop.set()

    source = MicrophoneSource("desk", "", SourceOptions(silent_device_s=0.001))
    recordings = 0
    for recording in reopened(source, stop, statuses.append, FakeClock(plug_in)):
        with pytest.raises(SourceError):
            listen(recording)
        recordings += 1
    assert recordings == 2
    assert [status.is_open for status in statuses] == [False, False, True, False]
    assert module.calls.count("initialize") == 3  # else it would not be seen


def test_a_second_microphone_does_not_make_the_list_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would close the stream of the first."""
    part = np.zeros((BLOCK, 1), np.float32)
    module = use(monkeypatch, (part, False, 0.0))
    first = MicrophoneSource("desk").recordings(threading.Event())
    next(first)
    module.script = [(np.zeros((4_410, 2), np.float32), False, 0.0)]
    next(MicrophoneSource("door", "usb").recordings(threading.Event()))
    assert module.calls.count("initialize") == 1
    first.close()  # type: ignore[attr-defined]


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
