"""Addresses of streams, such as rtsp:// cameras and http:// radio, decoded by ffmpeg in a process of its own.

What ffmpeg announces with a duration is a file, and heard once. Anything else is live: it is opened again after it has
ended. Addresses may hold credentials, which appear in no name, description or message; the list of processes of this
machine shows them while ffmpeg runs.
"""

import contextlib
import dataclasses
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

from ser_embed.errors import InputError
from ser_embed.reading import shortened
from ser_embed.spec import RATE_HZ
from ser_monitor.sources.base import Recording, Source, SourceError
from ser_monitor.sources.clock import SYSTEM_CLOCK, Clock
from ser_monitor.sources.credentials import redacted, without_credentials
from ser_monitor.sources.options import SourceOptions
from ser_monitor.sources.raw_pcm import SAMPLE_BYTES, PcmRecording, PipeReader

SCHEMES = ("rtsp", "rtsps", "http", "https")
# What a playlist may lead to: no files of this machine.
_PROTOCOLS = "http,https,httpproxy,tls,tcp,udp,rtp,rtsp,rtsps,crypto"
_PROGRAM = "ffmpeg"
# What is heard before the streams are clear comes late, in one go; ffmpeg's own limit is five seconds.
_ANALYSED_US = "1000000"
_LOG_LINE = re.compile(r"(?:\[[^\[\]]* @ [^\[\]]*\] )?\[(?P<level>\w+)\] ?(?P<text>.*)")
_FAILURES = ("error", "fatal", "panic")
_DURATION = re.compile(r"\s*Duration: (\d+):(\d\d):(\d\d\.\d+)")
_LOG_READ_AT_ONCE = 1 << 16  # bytes, all that a pipe holds
_LONGEST_LOG_LINE = 1 << 12
_LAST_SHARE_MISSING = 0.05  # of a file may be missing at its end: the duration of an mp3 is an estimate
_LONGEST_END_S = 5.0  # from the end of the samples to that of ffmpeg


def require_address(address: str) -> str:
    """Check an address and return its host.

    Raises:
        InputError: it has no host, or another scheme than those there are.
    """
    expected = f"expected an address that begins with {', '.join(f'{scheme}://' for scheme in SCHEMES)}"
    try:
        parts = urlsplit(address)
        host, scheme, _ = parts.hostname, parts.scheme, parts.port
    except ValueError:
        raise InputError(f"{expected}, not one that is malformed") from None
    if scheme not in SCHEMES or not host:
        raise InputError(f"{expected} and a host, not {without_credentials(address, address)!r}")
    return host


class _Ffmpeg:
    """A running ffmpeg that decodes an address to raw 16 kHz mono samples.

    Attributes:
        handle: file descriptor of the samples.
        duration_s: how long the audio is, in seconds; None if it has not said so, as of a live stream.
    """

    def __init__(self, program: str, address: str) -> None:
        self._process = subprocess.Popen(
            _command(program, address),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # Ctrl-C at the terminal is for this program alone
        )
        if self._process.stdout is None or self._process.stderr is None:
            raise SourceError("ffmpeg was started without pipes")
        self.handle, self._log = self._process.stdout.fileno(), self._process.stderr.fileno()
        os.set_blocking(self._log, False)
        self._rest, self._error = b"", ""
        self.duration_s: float | None = None

    def read_log(self) -> None:
        """Read what it has written to its log, which would stop it once the pipe is full."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._log, _LOG_READ_AT_ONCE):
                *lines, rest = (self._rest + data).split(b"\n")
                self._rest = rest[-_LONGEST_LOG_LINE:]
                for line in lines:
                    self._read_line(line.decode("utf-8", "replace"))

    def _read_line(self, line: str) -> None:
        match = _LOG_LINE.match(line)
        if match is None:
            return
        if match["level"] in _FAILURES:
            self._error = match["text"].strip() or self._error
        elif duration := _DURATION.match(match["text"]):
            hours, minutes, seconds = map(float, duration.groups())
            self.duration_s = 3600 * hours + 60 * minutes + seconds

    def failure(self, received_s: float) -> str:
        """Return what went wrong after the samples have ended, or "" if they are all there.

        Args:
            received_s: their duration in seconds. ffmpeg itself is content with less than it has announced.
        """
        try:
            code = self._process.wait(_LONGEST_END_S)
        except subprocess.TimeoutExpired:
            return "ffmpeg gave no more audio, but did not end"
        self.read_log()
        is_short = self.duration_s is not None and received_s < (1 - _LAST_SHARE_MISSING) * self.duration_s
        if code == 0 and not (is_short and self._error):
            return ""
        return self._error or f"ffmpeg ended with exit code {code}"

    def close(self) -> None:
        """Kill it, if it still runs, and wait for its end."""
        self._process.kill()
        with self._process:
            pass  # closes the pipes and waits


def _command(program: str, address: str) -> list[str]:
    # UDP would lose packets.
    transport = ["-rtsp_transport", "tcp"] if urlsplit(address).scheme.startswith("rtsp") else []
    return [
        *(program, "-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+info"),
        *("-protocol_whitelist", _PROTOCOLS, *transport, "-analyzeduration", _ANALYSED_US, "-i", address),
        *("-vn", "-ac", "1", "-ar", str(RATE_HZ), "-f", "s16le", "-flush_packets", "1", "-"),
    ]


class _AddressRecording(PcmRecording):
    """What ffmpeg decodes of an address."""

    _good_end = "end of the stream"

    def __init__(self, source: "AddressSource", ffmpeg: _Ffmpeg, reader: PipeReader, first: bytes) -> None:
        self._source, self._ffmpeg = source, ffmpeg
        super().__init__(source.description, reader, first, source.pcm_options, is_live=ffmpeg.duration_s is None)
        self.is_finite = not self.is_live

    def _check_end(self) -> None:
        if failure := self._ffmpeg.failure(self.facts.duration_s):
            raise self._source.error(failure)

    def close(self) -> None:
        self._reader.close()
        self._ffmpeg.close()


class AddressSource(Source):
    """A stream at an address.

    Attributes:
        pcm_options: how the samples are read that ffmpeg gives.
    """

    kind = "address"
    reopens = True

    def __init__(self, name: str, address: str, options: SourceOptions, clock: Clock = SYSTEM_CLOCK) -> None:
        """Name an address.

        Args:
            name: of the source.
            address: with credentials, if it needs them.
            options: how long it may be silent.
            clock: tells when samples are there.

        Raises:
            InputError: it is no such address, or ffmpeg is not installed.
        """
        require_address(address)
        program = shutil.which(_PROGRAM)
        if program is None:
            raise InputError(f"expected ffmpeg, which reads {redacted(address)}, but it is not installed")
        super().__init__(name, redacted(address))
        self._address, self._program, self._clock = address, program, clock
        self.pcm_options = dataclasses.replace(options, rate=RATE_HZ)

    def recordings(self, stop: threading.Event) -> Iterator[Recording]:
        """Connect and yield one recording, when its first samples are there; see `Source.recordings`."""
        ffmpeg = self._start()
        reader = PipeReader(ffmpeg.handle, stop, self._clock, self.pcm_options.stall_s, ffmpeg.read_log)
        try:
            first = self._first_bytes(ffmpeg, reader)
            if first is not None:
                yield _AddressRecording(self, ffmpeg, reader, first)
        finally:
            reader.close()
            ffmpeg.close()

    def _start(self) -> _Ffmpeg:
        try:
            return _Ffmpeg(self._program, self._address)
        except OSError as error:
            raise self.error(f"ffmpeg cannot be started: {error.strerror or error}") from error

    def _first_bytes(self, ffmpeg: _Ffmpeg, reader: PipeReader) -> bytes | None:
        """Wait for samples; return None when the source is stopped."""
        try:
            first = reader.read(SAMPLE_BYTES * RATE_HZ)
        except OSError as error:
            raise self.error(error.strerror or str(error)) from error
        if first is None or first:
            return first
        raise self.error(ffmpeg.failure(0.0) or "it has no audio")

    def error(self, reason: str) -> SourceError:
        """Return a failure of this address, without its credentials."""
        reason = without_credentials(reason.removeprefix(f"{self._address}: "), self._address)
        return SourceError(shortened(f"{self.description}: {reason}"))
