"""Configuration of prediction and enrolment: the only home of their defaults and bounds."""

import dataclasses
from pathlib import Path

from ser_embed.errors import InputError
from ser_embed.options import check_options, option

SHORTEST_WINDOW_S = 0.1


@dataclasses.dataclass(frozen=True)
class PredictConfig:
    """How new audio is scored. The fields are the command's flags; see their help.

    Raises:
        InputError: a value is out of its bounds, or does not fit another.
    """

    window: float | None = option(
        None,
        parse=float,
        ge=SHORTEST_WINDOW_S,
        metavar="S",
        help="seconds of a window, for a timeline; best as long as the training clips (default: whole files)",
    )
    hop: float | None = option(
        None, parse=float, ge=SHORTEST_WINDOW_S, metavar="S", help="seconds between windows (default: half a window)"
    )
    speaker: str | None = option(
        None, metavar="NAME", help="who speaks: a profile of ser_head.enroll, or a training speaker: crema-d/1001"
    )
    enroll: Path | None = option(
        None,
        parse=Path,
        metavar="FOLDER",
        help="unlabelled clips of who speaks, used this once; added to the profile's",
    )
    profiles: Path | None = option(
        None,
        parse=Path,
        metavar="DIR",
        help="folder of profiles (default: profiles/ in the run folder; for emodb profiles/ where one is)",
    )
    corpus: str | None = option(
        None,
        metavar="NAME",
        help="corpus of the audio, for a run trained with --normalization corpus or coral (default: none of its "
        "corpora, standardised by all training clips)",
    )
    min_confidence: float | None = option(
        None,
        parse=float,
        ge=0,
        le=1,
        metavar="X",
        help="answer 'uncertain' below this probability, 0 to 1; so is audio unlike anything in training answered, "
        "however probable an emotion seems, unless X is 0. Probabilities are given in any case (default: none asked "
        "for)",
    )
    model: str | None = option(
        None, metavar="PATH", help="where the encoder is now (default: where it was in training)"
    )
    device: str = option("auto", help="where the encoder runs")

    def __post_init__(self) -> None:
        for name in ("enroll", "profiles"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, Path(getattr(self, name)))
        check_options(self)
        if self.window is None and self.hop is not None:
            raise InputError("--hop needs a --window to step with")
        if self.window is not None and self.hop is not None and self.hop > self.window:
            raise InputError(f"--hop has to be at most the window ({self.window} s), not {self.hop}")

    @property
    def hop_s(self) -> float | None:
        """Seconds from one window to the next; None for whole files."""
        return self.hop if self.hop is not None or self.window is None else self.window / 2


@dataclasses.dataclass(frozen=True)
class EnrollConfig:
    """Whose run and profiles an enrolment is for. The fields are the command's flags; see their help."""

    run: Path | None = option(
        None,
        parse=Path,
        metavar="DIR",
        help="run folder, or emodb for the head that ships (default: the newest in runs/, or emodb)",
    )
    profiles: Path | None = option(
        None,
        parse=Path,
        metavar="DIR",
        help="folder of profiles (default: profiles/ in the run folder; for emodb profiles/ where one is)",
    )
    model: str | None = option(
        None, metavar="PATH", help="where the encoder is now (default: where it was in training)"
    )
    device: str = option("auto", help="where the encoder runs")

    def __post_init__(self) -> None:
        for name in ("run", "profiles"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, Path(getattr(self, name)))
