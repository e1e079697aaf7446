"""Microphones: samples, dropouts, and plugging in again."""

import threading
from typing import Any

import numpy as np
import pytest

from ser_monitor.sources.base import STOPPED, SourceError
from ser_monitor.sources.microphone import MicrophoneSource
from ser_monitor.sources.options import SourceOptions
from ser_monitor.sources.reopening import SourceStatus, reopened
from tests.ser_monitor.sources.fake_sounddevice import BLOCK, RATE_HZ, FakeSounddevice, FakeStream, channels, use
from tests.ser_monitor.sources.fakes import NOON, FakeClock, listen, listen_until_failure, tone


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
