"""Microphones through PortAudio: samples at the device's own rate, mono, with dropouts counted.

PortAudio calls back from a thread of its own, which has to return at once: it puts samples into a queue of half a
minute. Whatever does not fit, because the listener is too slow, or was lost before, because the computer was, is a
dropout of the block that follows.
"""

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import Any

from ser_embed.reading import reason_of
from ser_monitor.sources.audio_devices import DEVICES, fewest_channels, find_device, load_sounddevice, silent_stderr
from ser_monitor.sources.base import Block, Recording, Source, SourceError
from ser_monitor.sources.clock import SYSTEM_CLOCK, Clock
from ser_monitor.sources.options import SourceOptions

_QUEUED_S = 30.0
_LONGEST_WAIT_S = 0.1  # until `stop` is seen


class MicrophoneSource(Source):
    """A microphone."""

    kind = "microphone"
    reopens = True

    def __init__(
        self, name: str, device: str = "", options: SourceOptions | None = None, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        """Name a microphone.

        Args:
            name: of the source.
            device: its number, or a part of its name; "" is the machine's default.
            options: length of blocks, and how long it may be silent.
            clock: tells when samples are there.
        """
        super().__init__(name, f"microphone {device}".strip())
        self._device: int | str | None = int(device) if device.isdecimal() else device or None
        self._options, self._clock = options or SourceOptions(), clock

    def recordings(self, stop: threading.Event) -> Iterator[Recording]:
        """Open the device and yield one recording, when its first samples are there; see `Source.recordings`."""
        sounddevice = load_sounddevice()
        with contextlib.ExitStack() as stack:
            with self._as_source_error(sounddevice):
                stack.enter_context(DEVICES.opening(sounddevice))
                index, rate_hz = find_device(sounddevice, self._device)
                capture = _Capture(self.description, rate_hz, self._options, self._clock)
                stack.enter_context(_opened(sounddevice, index, capture, self._options))
            first = capture.next_block(stop)
            if first is not None:
                yield _MicrophoneRecording(capture, first, stop)

    @contextlib.contextmanager
    def _as_source_error(self, sounddevice: Any) -> Iterator[None]:
        try:
            yield
        except (sounddevice.PortAudioError, ValueError) as error:
            reason = str(error.args[0]) if error.args else reason_of(error)
            raise SourceError(f"{self.description}: {'; '.join(reason.splitlines())}") from error


class _Capture:
    """The samples of an open device on their way from PortAudio's thread to the listener.

    Attributes:
        description: of the device.
        rate_hz: of the samples.
        clock: tells when they are there.
    """

    def __init__(self, description: str, rate_hz: int, options: SourceOptions, clock: Clock) -> None:
        self.description, self.rate_hz = description, rate_hz
        self.clock, self._silent_device_s = clock, options.silent_device_s
        self._queue: queue.Queue[Block] = queue.Queue(maxsize=max(1, round(_QUEUED_S / options.block_s)))
        self._lost_s = 0.0  # since the last block in the queue
        self._end_s: float | None = None  # of the last samples, by the device's clock

    def receive(self, samples: Any, num_samples: int, moments: Any, status: Any) -> None:
        """Take samples from PortAudio: its callback.

        Args:
            samples: float32 (samples, channels), in memory that PortAudio uses again.
            num_samples: their number, per channel.
            moments: holds the device's time of the first one.
            status: whether samples before them were lost.
        """
        begin_s = moments.inputBufferAdcTime
        if status.input_overflow:
            self._lost_s += self._gap_s(begin_s)
        self._end_s = begin_s + num_samples / self.rate_hz
        block = Block(samples[:, :1].copy(), self.clock.monotonic(), self._lost_s)
        try:
            self._queue.put_nowait(block)
            self._lost_s = 0.0
        except queue.Full:
            self._lost_s += num_samples / self.rate_hz

    def _gap_s(self, begin_s: float) -> float:
        """Return how much was lost before samples that begin now: by the device's clock, one sample at least."""
        gap_s = 0.0 if self._end_s is None else begin_s - self._end_s
        return max(gap_s, 1 / self.rate_hz)

    def next_block(self, stop: threading.Event) -> Block | None:
        """Wait for a block; return None when `stop` is set.

        Raises:
            SourceError: none came for too long, as the device has been unplugged.
        """
        since_s = self.clock.monotonic()
        while not stop.is_set():
            with contextlib.suppress(queue.Empty):
                return self._queue.get(timeout=min(_LONGEST_WAIT_S, self._silent_device_s))
            if self.clock.monotonic() - since_s >= self._silent_device_s:
                raise SourceError(f"{self.description}: no samples for {self._silent_device_s:g} s; is it plugged in?")
        return None


class _MicrophoneRecording(Recording):
    """What a microphone hears from its opening until it is unplugged or stopped."""

    _good_end = "the microphone was closed"

    def __init__(self, capture: _Capture, first: Block, stop: threading.Event) -> None:
        self._capture, self._first = capture, first
        started_at = capture.clock.utc_at(first.captured_s - len(first.samples) / capture.rate_hz)
        super().__init__(capture.description, capture.rate_hz, started_at, stop, is_live=True)

    def _blocks(self) -> Iterator[Block]:
        yield self._first
        while (block := self._capture.next_block(self._stop)) is not None:
            yield block


@contextlib.contextmanager
def _opened(sounddevice: Any, index: int, capture: _Capture, options: SourceOptions) -> Iterator[None]:
    """Record from a device within the block."""
    with silent_stderr():
        stream = sounddevice.InputStream(
            device=index,
            channels=fewest_channels(sounddevice, index, capture.rate_hz),
            samplerate=capture.rate_hz,
            blocksize=round(options.block_s * capture.rate_hz),
            dtype="float32",
            callback=capture.receive,
        )
    try:
        stream.start()
        yield
    finally:
        stream.close()  # passes over the errors of a device that is gone
