"""Configuration of a training: the only home of its defaults and bounds, for the command line and notebooks alike."""

import dataclasses
from pathlib import Path
from typing import ClassVar

from ser_embed.errors import InputError
from ser_embed.options import option, require
from ser_head.config.experiment import ExperimentConfig, as_names
from ser_head.config.presets import PRESETS, find_preset
from ser_head.heads.registry import HEADS, trainable_heads
from ser_head.personalization.methods import DEFAULT_METHODS, METHODS, parse_methods

# Brown's 20 epochs on CREMA-D are 600 steps: 4465 training clips in batches of 150. Smaller corpora get as many.
STEPS = 600
# A step on frames takes at least thirty times as long as one on vectors. On RAVDESS the validation loss of
# `attention` is lowest after 245 to 364 of them, depending on the fold: more may still gain a little.
FRAME_STEPS = 360
EPOCHS = 20
AUGMENTATIONS = ("speakers", "none")
TRANSFORMS = ("yeo-johnson", "none")
NORMALIZATIONS = ("all", "corpus", "coral")


@dataclasses.dataclass(frozen=True)
class TrainConfig(ExperimentConfig):
    """Settings of a training run.

    The fields are the command's flags; see their help. Paths and shares may come as text, a layer as a number, and
    lists as any sequence.

    Raises:
        InputError: a value is out of its bounds, or does not fit another.
    """

    command: ClassVar[str] = "train"

    preset: str | None = option(
        None,
        metavar="NAME",
        help=f"start from the settings an earlier system reported, instead of the defaults: {', '.join(PRESETS)}",
    )
    store: Path | None = option(
        None, parse=Path, metavar="FILE", help="store of vectors (default: the only one in embeddings/)"
    )
    head: str = option("mlp", help="network on the vectors: " + ", ".join(trainable_heads()), metavar="NAME")
    target: str = option(
        "emotion",
        metavar="WHAT",
        help="what is learned: emotion, votes (shares of the columns votes_<emotion>), or a column of numbers",
    )
    layer: str = option("weighted", help="encoder layer: weighted (learned mix of all), last, or a name", metavar="K")
    frame_step: int = option(
        6,
        parse=int,
        ge=1,
        metavar="N",
        help="neighbouring frames that heads on frames take as one, their mean: 6 frames of mfcc are 60 ms",
    )
    members: tuple[str, ...] = option(
        (), nargs="+", metavar="RUN", help="run folders whose log-probabilities --head ensemble averages"
    )
    personalized: tuple[str, ...] = option(
        (),
        nargs="?",
        const=DEFAULT_METHODS,
        metavar="METHODS",
        help=f"adapt to who speaks, by {', '.join(METHODS)}, or several of them, comma-separated "
        f"(without a name: {','.join(DEFAULT_METHODS)})",
    )
    normalization: str = option(
        "all",
        one_of=NORMALIZATIONS,
        metavar="HOW",
        help="what standardises a clip: the mean and variance of all training clips (all), of its own corpus (corpus), "
        "or these and its corpus's correlations (coral); a corpus that is only tested on is measured on its test "
        "clips, without labels, and its figures are transductive",
    )
    epochs: int | None = option(
        None,
        parse=int,
        ge=1,
        metavar="N",
        help=f"passes over the training clips at most (default: {EPOCHS}, or more where that is under {STEPS} steps, "
        f"on frames {FRAME_STEPS})",
    )
    batch_size: int = option(150, parse=int, ge=2, metavar="N", help="clips per step")
    learning_rate: float = option(1.1e-3, parse=float, gt=0, metavar="X", help="step size of Adam")
    dropout: float = option(
        0.5, parse=float, ge=0, lt=1, metavar="P", help="share of each hidden layer's units left out per step"
    )
    weight_decay: float = option(
        1.0, parse=float, ge=0, metavar="X", help="decoupled decay of the kernels, per unit step"
    )
    noise: float = option(
        0.3,
        parse=float,
        ge=0,
        le=1,
        metavar="X",
        help="deviation of the noise added to standardised vectors in training",
    )
    label_smoothing: float = option(
        0.0,
        parse=float,
        ge=0,
        lt=1,
        metavar="X",
        help="share of each label that is spread evenly over all emotions in training",
    )
    augment: str = option(
        "speakers",
        one_of=AUGMENTATIONS,
        metavar="HOW",
        help="also show networks on vectors their training clips normalised by samples of the speaker's clips, so "
        "that they depend less on voices: speakers, or none",
    )
    transform: str = option(
        "yeo-johnson",
        one_of=TRANSFORMS,
        metavar="HOW",
        help="power transform that makes each dimension of standardised vectors more normal, for networks on "
        "vectors and lda: yeo-johnson, or none",
    )
    search: int = option(
        0,
        parse=int,
        ge=0,
        metavar="N",
        help="in each fold, try these settings and N - 1 random others, and keep those of the lowest log-loss on "
        "validation clips",
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "personalized", parse_methods(self.personalized))
        object.__setattr__(self, "members", tuple(map(str, as_names(self.members))))
        object.__setattr__(self, "layer", str(self.layer))
        if self.preset is not None:
            find_preset(self.preset)
        names = trainable_heads()
        require(self.head in names, "head", f"one of {', '.join(names)}", self.head)
        super().__post_init__()
        self._check_head()
        self._check_methods()
        self._check_normalization()

    def _check_head(self) -> None:
        """Check what depends on the kind of head."""
        spec = HEADS[self.head]
        if self.target != "emotion" and spec.emotions_only:
            raise InputError(f"--target {self.target} needs a network; --head {self.head} learns emotions alone")
        if not self.has_classes:
            if self.search:
                raise InputError(f"--search compares heads on classes, not on numbers such as {self.target}")
            if self.label_smoothing:
                raise InputError(f"--label-smoothing spreads labels over emotions, not numbers such as {self.target}")
        if self.members and not spec.combines_runs:
            raise InputError(f"--members belong to --head ensemble, not to {self.head}")
        if self.seeds > 1 and spec.combines_runs:
            raise InputError("--seeds trains heads, but --head ensemble averages those of --members")
        if self.search and not spec.searchable:
            raise InputError(
                f"--search tries settings of networks, but --head {self.head} is none and has no such settings"
            )

    def _check_methods(self) -> None:
        methods = HEADS[self.head].methods
        for name in self.personalized:
            if name not in methods:
                limit = f"can be personalised by {', '.join(methods)} alone" if methods else "cannot be personalised"
                raise InputError(f"--head {self.head} {limit}, but --personalized asks for {name}")

    def _check_normalization(self) -> None:
        if self.normalization == "all":
            return
        for name in self.personalized:
            if METHODS[name].uses_pretraining:
                raise InputError(
                    f"--personalized {name} adds to vectors as the encoder gives them, which --normalization "
                    f"{self.normalization} does not keep"
                )
        if HEADS[self.head].takes_frames:
            raise InputError(
                f"--normalization {self.normalization} needs one vector per clip, but --head {self.head} takes frames"
            )

    @property
    def augments(self) -> bool:
        """Whether training clips are also shown normalised by samples of their speaker's clips.

        On clips of unknown speakers it raised UAR from 0.69 to 0.70 (EmoDB) and from 0.50 to 0.52 (RAVDESS, eGeMAPS,
        three seeds each); support vector machines gained nothing by it.
        """
        return self.augment == "speakers" and HEADS[self.head].augmented

    @property
    def power_transformed(self) -> bool:
        """Whether vectors go through `ser_head.data.power_transform` in front of the head."""
        return self.transform != "none" and HEADS[self.head].power_transformed

    def epochs_for(self, num_clips: int) -> int:
        """Return the number of epochs for `num_clips` training clips."""
        if self.epochs is not None:
            return self.epochs
        steps = FRAME_STEPS if HEADS[self.head].takes_frames else STEPS
        return max(EPOCHS, -(-steps // -(-num_clips // self.batch_size)))
