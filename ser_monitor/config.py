"""Configuration of listening: the only home of its defaults and bounds, for the command line and notebooks alike."""

import dataclasses
from pathlib import Path

from ser_embed.errors import InputError
from ser_embed.options import check_options, option, require_utf8
from ser_embed.spec import RATE_HZ

SWITCH = ("on", "off")
REAL_TIME, FULL_SPEED = "1", "max"  # of files
MOST_FALSE_ALARMS_PER_HOUR = 60  # of a window each second; charts that alarm more often show nothing


@dataclasses.dataclass(frozen=True)
class WatchConfig:
    """How sources are listened to. The fields are the command's flags; see their help.

    Raises:
        InputError: a value is out of its bounds, or does not fit another.
    """

    run: Path | None = option(
        None,
        parse=Path,
        metavar="DIR",
        help="run folder (default: the newest in runs/; without any, the head that ships)",
    )
    window: float = option(3.0, parse=float, ge=0.1, metavar="S", help="seconds of a window")
    hop: float = option(1.0, parse=float, ge=0.1, metavar="S", help="seconds between windows")
    utterances: bool = option(False, help="score whole utterances too, from pause to pause; needs --vad on")
    vad: str = option(
        "on", one_of=SWITCH, help="voice activity: windows with less than a tenth of speech are answered 'no speech'"
    )
    smoothing: float = option(
        2.0,
        parse=float,
        ge=0,
        metavar="S",
        help="time constant in seconds of the smoothing of answers; 0 smooths nothing, and lets the label flicker",
    )
    adapt: str = option(
        "on",
        one_of=SWITCH,
        help="adapt to whoever speaks by what the session has heard, unlabelled, if the run is personalised and no "
        "--speaker is given",
    )
    speaker: str | None = option(
        None, metavar="NAME", help="who speaks in every source: a profile of ser_head.enroll, or a training speaker"
    )
    profiles: Path | None = option(
        None, parse=Path, metavar="DIR", help="folder of profiles (default: that of the run)"
    )
    min_confidence: float | None = option(
        None,
        parse=float,
        ge=0,
        le=1,
        metavar="X",
        help="answer 'uncertain' below this probability, 0 to 1; so is audio unlike anything in training answered, "
        "unless X is 0",
    )
    speed: str | None = option(
        None,
        one_of=(REAL_TIME, FULL_SPEED),
        help="pace of files: 1 is real time, max as fast as it goes (default: 1; folders: max)",
    )
    rate: int = option(
        RATE_HZ, parse=int, ge=1_000, le=768_000, metavar="HZ", help="sampling rate of raw audio from a pipe, in Hz"
    )
    rules: Path | None = option(
        None, parse=Path, metavar="FILE", help="rules of alerts, in TOML; see docs/monitoring.md"
    )
    unusual: float = option(
        0.5,
        parse=float,
        ge=0,
        le=MOST_FALSE_ALARMS_PER_HOUR,
        metavar="N",
        help="false alarms an hour to accept from the charts that look for unusual stretches of activation; 0 turns "
        "them off",
    )
    database: str | None = option(
        None, metavar="URL", help="a file of SQLite, or postgresql+psycopg://... (default: monitor.db)"
    )
    model: str | None = option(
        None, metavar="PATH", help="where the encoder is now (default: where it was in training)"
    )
    device: str = option("auto", help="where the encoder runs")

    def __post_init__(self) -> None:
        for name in ("run", "profiles", "rules"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, Path(getattr(self, name)))
        if self.speed is not None:
            object.__setattr__(self, "speed", str(self.speed))
        check_options(self)
        require_utf8(self, "speaker")
        if self.hop > self.window:
            raise InputError(f"--hop has to be at most the window ({self.window:g} s), not {self.hop:g}")
        if self.utterances and self.vad == "off":
            raise InputError("--utterances are cut at pauses, which --vad off does not look for")

    def to_dict(self) -> dict[str, object]:
        """Return what changes the answers, as JSON values."""
        names = ("window", "hop", "utterances", "vad", "smoothing", "adapt", "min_confidence")
        return {name: getattr(self, name) for name in names}
