"""Audio devices of this machine, through PortAudio: which there are, and how they can be opened."""

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

from ser_embed.errors import InputError
from ser_embed.reading import reason_of

_CHANNELS = (1, 2)  # what devices are asked for: some have no mono
_STDERR = 2


def list_devices() -> str:
    """Return the microphones of this machine, one a line: number, name, channels, rate; the default has a star.

    Raises:
        InputError: PortAudio is not installed.
    """
    sounddevice = load_sounddevice()
    default = sounddevice.default.device[0]
    lines = []
    for number, device in enumerate(sounddevice.query_devices()):
        if channels := device["max_input_channels"]:
            about = f"{channels} channel{'s' * (channels > 1)}, {device['default_samplerate']:.0f} Hz"
            mark = "*" if number == default else " "
            lines.append(f"{mark} {number:>3}  {' '.join(device['name'].split())}  ({about})")
    return "\n".join(lines) or "no microphone was found"


def load_sounddevice() -> Any:
    """Import sounddevice, which loads PortAudio and looks for devices.

    Raises:
        InputError: one of the two is not installed, or does not work.
    """
    try:
        import sounddevice
    except ImportError as error:
        raise InputError("expected sounddevice, which reads microphones: pip install sounddevice") from error
    except OSError as error:
        raise InputError(
            "expected the PortAudio library, which reads microphones: apt install libportaudio2"
        ) from error
    except Exception as error:  # PortAudio's own class, which cannot be imported either
        raise InputError(f"PortAudio does not work: {reason_of(error)}") from error
    return sounddevice


def find_device(sounddevice: Any, device: int | str | None) -> tuple[int, int]:
    """Return the number of a microphone and its own rate in Hz.

    Raises:
        ValueError: there is none, or more than one is meant; PortAudio's own error says the same of numbers.
    """
    if device is None and sounddevice.default.device[0] < 0:
        raise ValueError("this machine has no microphone")
    description = sounddevice.query_devices(device, "input")
    return description["index"], round(description["default_samplerate"])


class DeviceList:
    """PortAudio's list of devices, which is made anew where that harms nobody.

    A device that has been plugged in is seen only after PortAudio has been ended and begun again, which would close all
    streams of the process. So it is done before a device is opened while no other is open.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._num_open = 0

    @contextlib.contextmanager
    def opening(self, sounddevice: Any) -> Iterator[None]:
        """Look for devices again, and keep the list as it is until the block ends."""
        with self._lock:
            if not self._num_open:
                with contextlib.suppress(sounddevice.PortAudioError):  # beginning had failed the last time
                    sounddevice._terminate()
                sounddevice._initialize()
            self._num_open += 1
        try:
            yield
        finally:
            with self._lock:
                self._num_open -= 1


DEVICES = DeviceList()


def fewest_channels(sounddevice: Any, index: int, rate_hz: int) -> int:
    """Return the least number of channels that a device can be opened with.

    Args:
        sounddevice: the module.
        index: number of the device.
        rate_hz: sampling rate in Hz.
    """
    for channels in _CHANNELS[:-1]:
        with contextlib.suppress(sounddevice.PortAudioError):
            sounddevice.check_input_settings(index, channels=channels, dtype="float32", samplerate=rate_hz)
            return channels
    return _CHANNELS[-1]


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Keep what C libraries write to stderr off the terminal: ALSA lists every device that it failed to open.

    Whatever else this process writes to stderr in the block is lost as well, so the block has to be short.
    """
    try:
        saved = os.dup(_STDERR)
    except OSError:  # it is closed
        yield
        return
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), _STDERR)
        yield
    finally:
        os.dup2(saved, _STDERR)
        os.close(saved)
