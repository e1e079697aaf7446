"""A PortAudio that a test plays, as the module `sounddevice`."""

import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

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
