"""Configuration of an experiment: what trainings of heads and fine-tunings of encoders have in common.

Which clips, how they are split, what is done with validation clips, seeds, and where the run goes. A config that a
command takes is a subclass, with the fields that are its own.
"""

import abc
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from ser_embed.errors import InputError
from ser_embed.options import check_options, option, require
from ser_embed.tracking.registry import TRACK_HELP, parse_trackers
from ser_head.data.splits import Protocol
from ser_head.heads.registry import HEADS
from ser_head.scoring.calibrators import CALIBRATORS, DEFAULT_CALIBRATOR

REFITS = ("always", "never", "folds", "whole")


def parse_shares(text: str) -> tuple[float, ...]:
    """Read comma-separated numbers."""
    return tuple(float(share) for share in text.split(","))


def as_names(names: str | Sequence[str]) -> tuple[str, ...]:
    """Return names as a tuple; one name may be a text."""
    return (names,) if isinstance(names, str) else tuple(names)


@dataclasses.dataclass(frozen=True)
class ExperimentConfig(abc.ABC):
    """Settings that every experiment has. The properties that follow them are those that only some have.

    Paths and shares may come as text, and lists as any sequence.

    Raises:
        InputError: a value is out of its bounds, or does not fit another.
    """

    command: ClassVar[str]

    corpus: tuple[str, ...] = option((), nargs="+", metavar="NAME", help="corpora to use (default: all there are)")
    protocol: str = option(
        "speaker",
        metavar="P",
        help="how clips are split: speaker, random, kfold, kfold:N, loso or cross:TRAIN:TEST; "
        "all but random keep speakers apart",
    )
    split: tuple[float, ...] = option(
        (0.6, 0.2, 0.2), parse=parse_shares, metavar="A,B,C", help="shares of training, validation and test"
    )
    patience: float = option(
        0.3,
        parse=float,
        gt=0,
        le=1,
        metavar="P",
        help="share of the epochs to wait for a lower validation loss before stopping",
    )
    averaging: float = option(
        0.85,
        parse=float,
        ge=0,
        lt=1,
        metavar="X",
        help="decay of the moving average of the weights over epochs, which is what is scored and kept; 0 takes "
        "each epoch's own weights",
    )
    calibration: str = option(
        DEFAULT_CALIBRATOR,
        one_of=CALIBRATORS,
        metavar="HOW",
        help=f"how probabilities are calibrated on validation clips: {', '.join(CALIBRATORS)}",
    )
    balance: float = option(
        1.0,
        parse=float,
        ge=0,
        le=1,
        metavar="X",
        help="weight of rare emotions: 0 leaves classes as they are, 1 gives each the same total weight",
    )
    refit: str = option(
        "folds",
        one_of=REFITS,
        metavar="WHEN",
        help="train again on training and validation clips once the epoch is chosen: always, never, or "
        "folds (with kfold and loso); whole is folds, but in place of their heads the run keeps one that is trained "
        "on all clips and calibrated by the folds' test clips; the figures are the folds'",
    )
    by: tuple[str, ...] = option(
        (), nargs="+", metavar="COLUMN", help="also give figures by these columns of the manifest, such as gender"
    )
    seed: int = option(0, parse=int, ge=0, metavar="N", help="draws splits, initial weights, dropout and batches")
    seeds: int = option(
        1,
        parse=int,
        ge=1,
        metavar="N",
        help="train with this many seeds, counted up from --seed, and tell how figures spread",
    )
    jobs: int = option(1, parse=int, ge=1, metavar="N", help="folds trained at a time, each in its own process")
    out: Path | None = option(None, parse=Path, metavar="DIR", help="run folder (default: a new one in runs/)")
    track: tuple[str, ...] = option((), metavar="NAMES", help=TRACK_HELP)

    def __post_init__(self) -> None:
        for name in ("store", "out"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, Path(getattr(self, name)))
        for name in ("corpus", "by"):
            object.__setattr__(self, name, as_names(getattr(self, name)))
        object.__setattr__(self, "track", parse_trackers(self.track))
        self._set_split()
        check_options(self)
        Protocol.parse(self.protocol)
        self._check_refit()

    @property
    def store(self) -> Path | None:
        """Store of the vectors or frames; None for the only one in `embeddings/`."""
        return None

    @property
    @abc.abstractmethod
    def head(self) -> str:
        """Head that is trained, an entry of `ser_head.heads.registry.HEADS`."""

    @property
    def target(self) -> str:
        """What is learned."""
        return "emotion"

    @property
    def layer(self) -> str:
        """Layer of the store that is learned from; see `ser_head.data.dataset.layer_positions`."""
        return "last"

    @property
    def variant(self) -> str:
        """What tells heads of one kind apart in a table: the layer they learn from."""
        return self.layer

    @property
    def encoder_training_in_words(self) -> str:
        """What of the encoder is trained, in a sentence for people who do not program; "" if nothing is."""
        return ""

    @property
    def source_name(self) -> str:
        """Name of what is learned from, for the name of the run folder."""
        return self.store.stem if self.store else ""

    @property
    def frame_step(self) -> int:
        """Number of neighbouring frames that are averaged to one."""
        return 1

    @property
    def normalization(self) -> str:
        """What standardises a clip."""
        return "all"

    @property
    def personalized(self) -> tuple[str, ...]:
        """Names of the personalisation methods."""
        return ()

    @property
    def members(self) -> tuple[str, ...]:
        """Runs that an ensemble combines."""
        return ()

    @property
    def search(self) -> int:
        """Number of candidate settings that are compared; 0 compares none."""
        return 0

    @property
    def augments(self) -> bool:
        """Whether training clips are also shown normalised by samples of their speaker's clips."""
        return False

    @property
    def power_transformed(self) -> bool:
        """Whether vectors go through `ser_head.data.power_transform` in front of the head."""
        return False

    @abc.abstractmethod
    def epochs_for(self, num_clips: int) -> int:
        """Return the number of epochs for `num_clips` training clips."""

    @property
    def has_classes(self) -> bool:
        """Whether the head answers with classes, not with a number."""
        return self.target in ("emotion", "votes")

    @property
    def refits(self) -> bool:
        """Whether the head is trained again with the validation clips, once they have chosen the epoch.

        With one split, its shares say how much is trained on. With folds, every clip that is not tested may be learned
        from, and few corpora have speakers to spare: on RAVDESS (kfold:6, eGeMAPS) it raised UAR from 0.48 to 0.50.
        """
        return self.refit == "always" or (self.refit in ("folds", "whole") and self._has_folds)

    @property
    def refits_whole(self) -> bool:
        """Whether the run keeps one head, trained on the clips of all folds, in place of one per fold."""
        return self.refit == "whole"

    @property
    def all_seeds(self) -> range:
        """The seeds to train with; the run is judged by the first."""
        return range(self.seed, self.seed + self.seeds)

    def replaced(self, **changes: Any) -> Self:
        """Return the config with other values of some fields of its class."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the config as plain JSON values; the class of the config reads them back as keywords.

        Trackers are left out: they have no part in the run.
        """
        values = dataclasses.asdict(self)
        del values["track"]
        return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}

    @property
    def _has_folds(self) -> bool:
        return Protocol.parse(self.protocol).spec.has_folds

    def _set_split(self) -> None:
        try:
            shares = parse_shares(self.split) if isinstance(self.split, str) else tuple(map(float, self.split))
        except (TypeError, ValueError):
            shares = ()
        is_whole = len(shares) == 3 and min(shares) > 0 and abs(sum(shares) - 1) < 1e-6
        require(is_whole, "split", "three positive shares that add up to 1", self.split)
        object.__setattr__(self, "split", shares)

    def _check_refit(self) -> None:
        if not self.refits_whole:
            return
        if not self._has_folds:
            raise InputError(
                f"--refit whole needs folds that score every clip, as kfold and loso have, not {self.protocol}"
            )
        if self.search or HEADS[self.head].combines_runs:
            what = "--search chooses other settings in each fold" if self.search else f"--head {self.head} trains none"
            raise InputError(f"--refit whole trains one head as it is configured, but {what}")
