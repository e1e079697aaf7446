"""Options of sources: the flags that say how audio is read, and what a caller may set besides."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from ser_embed.options import check_options, option
from ser_embed.spec import RATE_HZ

REAL_TIME, FULL_SPEED = "1", "max"

IsDone = Callable[[Path, int, float], bool]
"""Tells, of a file's path, size in bytes and time of modification in seconds, whether it was listened to before."""


@dataclasses.dataclass(frozen=True)
class SourceOptions:
    """How sources read audio. The fields with help are flags.

    Attributes:
        rate: sampling rate of raw audio in Hz.
        speed: `REAL_TIME` or `FULL_SPEED`; None is the first for a file and the second for a folder.
        block_s: length of a block in seconds.
        poll_s: how often folders are looked through, in seconds.
        stall_s: an address without audio for so many seconds has failed.
        silent_device_s: a microphone without samples for so many seconds has failed.
        is_done: tells which files of a folder were listened to before; they are passed over.
    """

    rate: int = option(
        RATE_HZ, parse=int, ge=1_000, le=768_000, metavar="HZ", help="sampling rate of raw audio from stdin or a pipe"
    )
    speed: str | None = option(
        None,
        one_of=(REAL_TIME, FULL_SPEED),
        help="of files: 1 is real time, max as fast as they are scored (default: 1 for a file, max for a folder's)",
    )
    block_s: float = 0.1
    poll_s: float = 1.0
    stall_s: float = 10.0
    silent_device_s: float = 2.0
    is_done: IsDone | None = None

    def __post_init__(self) -> None:
        check_options(self)
