"""What a training can be asked for: the only home of its defaults, for the command line and for notebooks alike."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ser_embed.cli import check_numbers, option
from ser_embed.errors import InputError
from ser_head.data.splits import Protocol
from ser_head.heads.registry import HEADS
from ser_head.personalization.methods import BEST, METHODS, parse_methods
from ser_head.presets import PRESETS, find_preset

STORES = Path("embeddings")
RUNS = Path("runs")
# Brown's 20 epochs on CREMA-D are 600 steps: 4465 training clips in batches of 150. Smaller corpora get as many.
STEPS = 600
# A step on frames costs some thirty times one on vectors or more. On RAVDESS the validation loss of
# `attention` is lowest after 245 to 364 of them, depending on the fold: more may still gain a little.
FRAME_STEPS = 360
EPOCHS = 20
AUGMENTATIONS = ("speakers", "none")
TRANSFORMS = ("yeo-johnson", "none")
REFITS = ("always", "never", "folds")
NORMALIZATIONS = ("all", "corpus", "coral")


def shares(text: str) -> tuple[float, ...]:
    """Read comma-separated numbers."""
    return tuple(float(share) for share in text.split(","))


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Every choice behind a run, checked."""

    preset: str | None = option(
        None,
        metavar="NAME",
        help=f"start from the settings an earlier system reported, instead of the defaults: {', '.join(PRESETS)}",
    )
    store: Path | None = option(
        None, parse=Path, metavar="FILE", help="store of vectors (default: the only one in embeddings/)"
    )
    corpus: tuple[str, ...] = option((), nargs="+", metavar="NAME", help="corpora to use (default: all in the store)")
    head: str = option("mlp", help="network on the vectors: " + ", ".join(HEADS), metavar="NAME")
    target: str = option(
        "emotion",
        metavar="WHAT",
        help="what is learned: emotion, votes (shares of the columns votes_<emotion>), or a column of numbers",
    )
    layer: str = option("weighted", help="encoder layer: weighted (learned mix of all), last, or a name", metavar="K")
    frame_step: int = option(
        6,
        parse=int,
        metavar="N",
        help="neighbouring frames that heads on frames take as one, their mean: 6 frames of mfcc are 60 ms",
    )
    members: tuple[str, ...] = option(
        (), nargs="+", metavar="RUN", help="run folders whose log-probabilities --head ensemble averages"
    )
    personalized: tuple[str, ...] = option(
        (),
        nargs="?",
        const=BEST,
        metavar="METHODS",
        help=f"adapt to who speaks, by {', '.join(METHODS)}, or several of them, comma-separated "
        f"(without a name: {','.join(BEST)})",
    )
    protocol: str = option(
        "speaker",
        metavar="P",
        help="how clips are parted: speaker, random, kfold, kfold:N, loso or cross:TRAIN:TEST; "
        "all but random keep speakers apart",
    )
    split: tuple[float, ...] = option(
        (0.6, 0.2, 0.2), parse=shares, metavar="A,B,C", help="shares of training, validation and test"
    )
    normalization: str = option(
        "all",
        metavar="HOW",
        help="what standardises a clip: the mean and variance of all training clips (all), of its own corpus (corpus), "
        "or these and its corpus's correlations (coral); a corpus that is only tested on is measured on its test "
        "clips, without labels, and its figures are transductive",
    )
    epochs: int | None = option(
        None,
        parse=int,
        metavar="N",
        help=f"passes over the training clips at most (default: {EPOCHS}, or more where that is under {STEPS} steps, "
        f"on frames {FRAME_STEPS})",
    )
    patience: float = option(
        0.3, parse=float, metavar="P", help="share of the epochs to wait for a lower validation loss before stopping"
    )
    batch_size: int = option(150, parse=int, metavar="N", help="clips per step")
    learning_rate: float = option(1.1e-3, parse=float, metavar="X", help="step size of Adam")
    dropout: float = option(0.5, parse=float, metavar="P", help="share of each hidden layer's units left out per step")
    weight_decay: float = option(1.0, parse=float, metavar="X", help="decoupled decay of the kernels, per unit step")
    noise: float = option(
        0.3, parse=float, metavar="X", help="deviation of the noise added to standardised vectors in training"
    )
    label_smoothing: float = option(
        0.0, parse=float, metavar="X", help="share of each label that is spread evenly over all emotions in training"
    )
    averaging: float = option(
        0.85,
        parse=float,
        metavar="X",
        help="what is scored and kept is an average of the weights after each epoch, of which this share stays when "
        "the next is taken in; 0 takes each epoch's own",
    )
    augment: str = option(
        "speakers",
        metavar="HOW",
        help="show networks on vectors their training clips also as samples of each speaker's clips normalise them, so "
        "that they lean less on voices: speakers, or none",
    )
    transform: str = option(
        "yeo-johnson",
        metavar="HOW",
        help="bend each dimension of standardised vectors until its values are as normal as a power makes them, for "
        "networks on vectors and lda: yeo-johnson, or none",
    )
    balance: float = option(
        1.0, parse=float, metavar="X", help="how far rare emotions weigh more: 0 not at all, 1 as much as frequent ones"
    )
    refit: str = option(
        "folds",
        metavar="WHEN",
        help="train again on training and validation clips once the epoch is chosen: always, never, or "
        "folds (with kfold and loso)",
    )
    search: int = option(
        0,
        parse=int,
        metavar="N",
        help="in each fold, try these settings and N - 1 random others, and keep those of the lowest log-loss on "
        "validation clips",
    )
    by: tuple[str, ...] = option(
        (), nargs="+", metavar="COLUMN", help="also give the figures by these columns of the manifest, such as gender"
    )
    seed: int = option(0, parse=int, metavar="N", help="draws splits, first weights, dropout and batches")
    seeds: int = option(
        1,
        parse=int,
        metavar="N",
        help="train with this many seeds, counted up from --seed, and tell how figures spread",
    )
    jobs: int = option(1, parse=int, metavar="N", help="folds trained at a time, each by a process of its own")
    out: Path | None = option(None, parse=Path, metavar="DIR", help="run folder (default: a new one in runs/)")

    def __post_init__(self) -> None:
        """Check every value; paths and shares may come as text, a layer as a number, and lists as any sequence.

        Raises:
            InputError: a value that cannot be worked with.
        """
        for name in ("store", "out"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, Path(getattr(self, name)))
        object.__setattr__(self, "personalized", parse_methods(self.personalized))
        corpus = [self.corpus] if isinstance(self.corpus, str) else self.corpus
        object.__setattr__(self, "corpus", tuple(corpus))
        object.__setattr__(self, "members", tuple(str(member) for member in self.members))
        object.__setattr__(self, "by", (self.by,) if isinstance(self.by, str) else tuple(self.by))
        object.__setattr__(self, "layer", str(self.layer))
        self._set_split()
        check_numbers(self)
        if self.preset is not None:
            find_preset(self.preset)
        Protocol.parse(self.protocol)
        _require(self.head in HEADS, "head", f"one of {', '.join(HEADS)}", self.head)
        self._check_personalized()
        self._check_target()
        if self.members and self.head != "ensemble":
            raise InputError(f"--members belong to --head ensemble, not to {self.head}")
        if self.seeds > 1 and self.head == "ensemble":
            raise InputError("--seeds trains heads, but --head ensemble averages those of --members")
        self._check_normalization()
        _require(self.frame_step >= 1, "frame-step", "at least 1", self.frame_step)
        _require(self.epochs is None or self.epochs >= 1, "epochs", "at least 1", self.epochs)
        _require(0 < self.patience <= 1, "patience", "above 0 and at most 1", self.patience)
        _require(self.batch_size >= 2, "batch-size", "at least 2", self.batch_size)
        _require(self.learning_rate > 0, "learning-rate", "positive", self.learning_rate)
        _require(0 <= self.dropout < 1, "dropout", "at least 0 and below 1", self.dropout)
        _require(self.weight_decay >= 0, "weight-decay", "zero or positive", self.weight_decay)
        _require(0 <= self.noise <= 1, "noise", "from 0 to 1", self.noise)
        _require(0 <= self.label_smoothing < 1, "label-smoothing", "at least 0 and below 1", self.label_smoothing)
        _require(0 <= self.averaging < 1, "averaging", "at least 0 and below 1", self.averaging)
        _require(self.augment in AUGMENTATIONS, "augment", f"one of {', '.join(AUGMENTATIONS)}", self.augment)
        _require(self.transform in TRANSFORMS, "transform", f"one of {', '.join(TRANSFORMS)}", self.transform)
        _require(0 <= self.balance <= 1, "balance", "from 0 to 1", self.balance)
        _require(self.refit in REFITS, "refit", f"one of {', '.join(REFITS)}", self.refit)
        _require(self.seeds >= 1, "seeds", "at least 1", self.seeds)
        _require(self.jobs >= 1, "jobs", "at least 1", self.jobs)
        _require(self.search >= 0, "search", "zero or positive", self.search)
        if self.search and HEADS[self.head].kind in ("classic", "ensemble"):
            raise InputError(
                f"--search tries settings of networks, but --head {self.head} is none and has no such settings"
            )
        _require(self.seed >= 0, "seed", "zero or positive", self.seed)

    def _set_split(self) -> None:
        try:
            split = shares(self.split) if isinstance(self.split, str) else tuple(float(share) for share in self.split)
        except (TypeError, ValueError):
            split = ()
        _require(
            len(split) == 3 and min(split) > 0 and abs(sum(split) - 1) < 1e-6,
            "split",
            "three positive shares that add up to 1",
            self.split,
        )
        object.__setattr__(self, "split", split)

    def _check_target(self) -> None:
        kind = HEADS[self.head].kind
        if self.target != "emotion" and kind in ("classic", "ensemble"):
            raise InputError(f"--target {self.target} needs a network; --head {self.head} learns emotions alone")
        if self.target in ("emotion", "votes"):
            return
        if self.search:
            raise InputError(f"--search compares heads on classes, not on numbers such as {self.target}")
        if self.label_smoothing:
            raise InputError(f"--label-smoothing spreads labels over emotions, not numbers such as {self.target}")

    def _check_personalized(self) -> None:
        kind = HEADS[self.head].kind
        can = {"dense": METHODS, "classic": ("normalize", "papt", "calibrate")}.get(kind, ())
        for method in self.personalized:
            if method not in can:
                able = f"can be personalised by {', '.join(can)} alone" if can else "cannot be personalised"
                raise InputError(f"--head {self.head} {able}, but --personalized asks for {method}")

    def _check_normalization(self) -> None:
        _require(
            self.normalization in NORMALIZATIONS,
            "normalization",
            f"one of {', '.join(NORMALIZATIONS)}",
            self.normalization,
        )
        if self.normalization != "all" and "papt" in self.personalized:
            raise InputError(
                f"--personalized papt adds to vectors as the encoder gives them, which --normalization "
                f"{self.normalization} does not keep"
            )
        if self.normalization != "all" and HEADS[self.head].takes_frames:
            raise InputError(
                f"--normalization {self.normalization} needs one vector per clip, but --head {self.head} takes frames"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values; `TrainConfig(**values)` reads them back."""
        plain = dataclasses.asdict(self)
        return {name: str(value) if isinstance(value, Path) else value for name, value in plain.items()}

    @property
    def refits(self) -> bool:
        """Whether the head is trained again with the validation clips, once they have chosen the epoch.

        With one split, its shares say how much is trained on. With folds, every clip that is not tested may be learned
        from, and few corpora have speakers to spare: on RAVDESS (kfold:6, eGeMAPS) it raised UAR from 0.48 to 0.50.
        """
        folds = Protocol.parse(self.protocol).kind in ("kfold", "loso")
        return self.refit == "always" or (self.refit == "folds" and folds)

    @property
    def augments(self) -> bool:
        """Whether training clips are also seen as samples of their speaker's clips normalise them.

        On clips of speakers nothing is known of it raised UAR from 0.69 to 0.70 (EmoDB) and from 0.50 to 0.52 (RAVDESS,
        eGeMAPS, three seeds each); support vector machines gained nothing by it.
        """
        return self.augment == "speakers" and HEADS[self.head].kind == "dense"

    @property
    def power_transformed(self) -> bool:
        """Whether vectors go through `ser_head.data.power_transform` in front of the head."""
        return self.transform != "none" and HEADS[self.head].power_transformed

    @property
    def all_seeds(self) -> range:
        """The seeds to train with; the run is judged by the first."""
        return range(self.seed, self.seed + self.seeds)

    def epochs_for(self, num_clips: int) -> int:
        """Return how many epochs `num_clips` training clips get."""
        if self.epochs is not None:
            return self.epochs
        wanted = FRAME_STEPS if HEADS[self.head].takes_frames else STEPS
        return max(EPOCHS, -(-wanted // -(-num_clips // self.batch_size)))


def find_store(folder: Path = STORES) -> Path:
    """Return the only store in `folder`.

    Raises:
        InputError: there is none, or there are several.
    """
    stores: Sequence[Path] = sorted(folder.glob("*.h5"))
    if len(stores) == 1:
        return stores[0]
    if stores:
        names = ", ".join(path.name for path in stores)
        raise InputError(f"expected one store in {folder}/, found {names}; choose with --store")
    raise InputError(f"no store in {folder}/; make one with: python -m ser_embed.extract --model NAME")


def _require(held: bool, name: str, expected: str, found: Any) -> None:
    if not held:
        raise InputError(f"--{name} has to be {expected}, not {found!r}")
