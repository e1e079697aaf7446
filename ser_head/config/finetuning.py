"""Configuration of a fine-tuning: the only home of its defaults and bounds, for the command line and notebooks."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

from ser_embed.errors import InputError
from ser_embed.options import option, require
from ser_head.config.experiment import ExperimentConfig
from ser_head.config.presets import FINETUNING_PRESETS, find_preset
from ser_head.heads.registry import HEADS

CACHE = Path("embeddings") / "frames"
DTYPES = ("auto", "float32", "bfloat16")
NONE = "none"  # of --cache and --baseline


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneConfig(ExperimentConfig):
    """Settings of a fine-tuning. The fields are the command's flags; see their help.

    Raises:
        InputError: a value is out of its bounds, or does not fit another.
    """

    command: ClassVar[str] = "finetune"

    preset: str | None = option(
        None,
        metavar="NAME",
        help="start from the settings an earlier system reported, instead of the defaults: "
        + ", ".join(FINETUNING_PRESETS),
    )
    model: str = option(
        help="encoder: hubert-mini, hubert-base, hubert-large, wav2vec2-base, wavlm-base-plus, ..., a Hub id, or the "
        "folder of a saved model",
        metavar="NAME",
    )
    data: Path = option(Path("data"), help="folder that holds the corpora", parse=Path, metavar="DIR")
    unfreeze: str = option(
        "last:2",
        metavar="WHAT",
        help="what is trained: head (projector and classifier), last:N (also the last N blocks), lora:R (adapters of "
        "rank R in all blocks), all (everything but the convolutions)",
    )
    cache: Path = option(
        CACHE,
        parse=Path,
        metavar="DIR",
        help="folder for the frames of the highest layer that is not trained, which are computed once and shared by "
        "folds, seeds and settings; none computes them whenever they are needed",
    )
    epochs: int = option(10, parse=int, ge=1, metavar="N", help="passes over the training clips at most")
    batch_size: int = option(16, parse=int, ge=1, metavar="N", help="clips that go through the network together")
    accumulation: int = option(1, parse=int, ge=1, metavar="N", help="batches whose gradients make one step")
    learning_rate: float | None = option(
        None,
        parse=float,
        gt=0,
        metavar="X",
        help="peak step size of AdamW for the encoder (default: 0.08 / width, 1e-4 for a base model)",
    )
    head_learning_rate: float = option(
        1e-3, parse=float, gt=0, metavar="X", help="peak step size for projector and classifier"
    )
    warmup: float = option(
        0.1, parse=float, ge=0, lt=1, metavar="P", help="share of the steps in which step sizes rise; then they fall"
    )
    dropout: float = option(
        0.1, parse=float, ge=0, lt=1, metavar="P", help="share of units left out per step, in blocks and classifier"
    )
    weight_decay: float = option(0.01, parse=float, ge=0, metavar="X", help="decoupled decay of the weights")
    gradient_norm: float = option(
        1.0, parse=float, ge=0, metavar="X", help="length to which longer gradients are cut; 0 cuts none"
    )
    label_smoothing: float = option(
        0.1, parse=float, ge=0, lt=1, metavar="X", help="share of each label that is spread evenly over all emotions"
    )
    averaging: float = option(
        0.5,
        parse=float,
        ge=0,
        lt=1,
        metavar="X",
        help="share of the moving average of the weights that remains after an epoch; the average is what is scored "
        "and kept; 0 takes the weights themselves",
    )
    crop: float = option(
        3.0, parse=float, ge=0, metavar="S", help="seconds of each clip that a step sees, cut at random; 0 for all"
    )
    time_mask: float = option(
        0.1, parse=float, ge=0, lt=1, metavar="P", help="longest share of a clip that is masked in training"
    )
    augment: tuple[str, ...] = option(
        (),
        parse=lambda text: tuple(text.split(",")),
        metavar="LIST",
        help="augmentations of the copies of training clips, comma-separated; see ser_embed.extract --augment",
    )
    augment_copies: int | None = option(
        None, parse=int, ge=1, metavar="K", help="copies of each training clip (default: 2 with --augment, else none)"
    )
    baseline: str = option(
        "mlp",
        metavar="HEAD",
        help="head that is trained beside it on the frozen encoder's vectors, in the same folds; none for no head",
    )
    device: str = option("auto", help="auto, cpu, cuda or cuda:N")
    dtype: str = option("auto", one_of=DTYPES, help="arithmetic of the forward pass")
    # Where the frames are: set by the command, not a flag.
    store: Path | None = None

    def __post_init__(self) -> None:
        for name in ("data", "cache"):
            object.__setattr__(self, name, Path(getattr(self, name)))
        object.__setattr__(self, "augment", self._parsed_augment())
        if self.preset is not None:
            find_preset(self.preset, FINETUNING_PRESETS)
        super().__post_init__()
        self._check_unfreeze()
        names = [name for name, spec in HEADS.items() if spec.takes_vectors]
        require(self.baseline in (*names, NONE), "baseline", f"one of {', '.join(names)}, {NONE}", self.baseline)
        if self.augment_copies is not None:
            require(bool(self.augment), "augment_copies", "given with --augment", self.augment_copies)
        if str(self.cache) == NONE and self.jobs > 1:
            raise InputError(f"--jobs {self.jobs} needs frames that are cached; leave out --cache none")

    def _parsed_augment(self) -> tuple[str, ...]:
        from ser_embed.audio.augmentation import parse_names

        return parse_names(self.augment) if self.augment else ()

    def _check_unfreeze(self) -> None:
        from ser_embed.finetuning.unfreeze import Unfreeze

        Unfreeze.parse(self.unfreeze)

    @property
    def head(self) -> str:
        """Head that is trained."""
        return "finetuned"

    @property
    def source_name(self) -> str:
        """Encoder and what is trained of it, for the name of the run folder."""
        from ser_embed.encoders.registry import short_name

        return f"{short_name(self.model)}-{self.unfreeze}"

    @property
    def variant(self) -> str:
        """What tells fine-tunings apart in a table: what is trained."""
        return self.unfreeze

    @property
    def encoder_training_in_words(self) -> str:
        """What of the encoder is trained, in a sentence for people who do not program."""
        from ser_embed.finetuning.unfreeze import Unfreeze

        return Unfreeze.parse(self.unfreeze).in_words

    @property
    def num_copies(self) -> int:
        """Copies of each training clip."""
        return (self.augment_copies or 2) if self.augment else 0

    @property
    def patience_epochs(self) -> int:
        """Epochs to wait for a lower validation loss."""
        return max(1, round(self.patience * self.epochs))

    def epochs_for(self, num_clips: int) -> int:
        """Return the number of epochs, which does not depend on the number of clips."""
        return self.epochs

    def tuning(self, seed: int) -> Any:
        """Return the settings of the torch part, a `ser_embed.finetuning.config.TuningConfig`.

        Args:
            seed: of all random choices of one training.
        """
        from ser_embed.finetuning.config import TuningConfig
        from ser_embed.finetuning.unfreeze import Unfreeze

        shared = {field.name for field in dataclasses.fields(TuningConfig)} & {
            field.name for field in dataclasses.fields(self)
        }
        values = {name: getattr(self, name) for name in shared}
        values |= {"unfreeze": Unfreeze.parse(self.unfreeze), "crop_s": self.crop, "patience": self.patience_epochs}
        return TuningConfig(**{**values, "seed": seed})
