"""Options of sources: how audio is read."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from ser_embed.errors import InputError
from ser_embed.spec import RATE_HZ
from ser_monitor.config import FULL_SPEED, REAL_TIME

IsDone = Callable[[Path, int, float], bool]
"""Tells, of a file's path, size in bytes and time of modification in seconds, whether it was listened to before."""


@dataclasses.dataclass(frozen=True)
class SourceOptions:
    """How sources read audio.

    Attributes:
        rate: sampling rate of raw audio from stdin or a named pipe, in Hz.
        speed: `REAL_TIME` or `FULL_SPEED`; None is the first for a file and the second for a folder.
        block_s: length of a block in seconds.
        poll_s: how often folders are looked through, in seconds.
        stall_s: an address without audio for so many seconds has failed.
        silent_device_s: a microphone without samples for so many seconds has failed.
        is_done: tells which files of a folder were listened to before; they are passed over.

    Raises:
        InputError: a value is out of its bounds.
    """

    rate: int = RATE_HZ
    speed: str | None = None
    block_s: float = 0.1
    poll_s: float = 1.0
    stall_s: float = 10.0
    silent_device_s: float = 2.0
    is_done: IsDone | None = None

    def __post_init__(self) -> None:
        if self.speed not in (None, REAL_TIME, FULL_SPEED):
            raise InputError(f"the speed has to be {REAL_TIME!r} or {FULL_SPEED!r}, not {self.speed!r}")
        for name in ("rate", "block_s", "poll_s", "stall_s", "silent_device_s"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} of a source has to be positive, not {getattr(self, name)!r}")
