"""The settings of a pre-training: the only home of their defaults, for the function and the command alike."""

import dataclasses
import math
import os
from pathlib import Path
from typing import Any

from ser_embed.cli import check_numbers, option
from ser_embed.errors import InputError

# At most 10 MB in half precision: 4.8 million weights. The first convolutions, which run thousands of times a second,
# are narrow, which halves the time of a step, and what they save is spent on the blocks. LayerNorm in front of every
# block learns without a long warm-up, and LayerNorm in the convolutions makes a clip's vector independent of its batch.
# Nothing is dropped out: so small a network sees too little of its audio twice to learn it by heart.
_MINI: dict[str, Any] = {
    "conv_dim": [64, 96, 128, 192, 256, 256, 256],
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "hidden_size": 256,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "intermediate_size": 768,
    "num_conv_pos_embeddings": 64,
    "num_conv_pos_embedding_groups": 16,
    "hidden_dropout": 0.0,
    "activation_dropout": 0.0,
    "attention_dropout": 0.0,
    "feat_proj_dropout": 0.0,
    "layerdrop": 0.0,
}

CONFIGS = {"mini": _MINI}


AUTO = "auto"  # label sets as the model continued from has them

_TWO_FRAMES_S = 0.045  # without which nothing can change

# What may be different when a run that was stopped goes on: none of it changes what is learnt. The data may have
# moved; what is in it may not have changed.
_FREE = ("data", "output", "cache", "device", "workers", "save_every", "part_seconds", "half", "force")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """What to learn from, how long, into which folder. The fields are the command's flags; see their help."""

    data: Path = option(Path("data"), help="folder of audio; speakers from its tables", parse=Path, metavar="DIR")
    output: Path = option(help="folder to write the model to, or to go on in", parse=Path, metavar="DIR")
    model: str | None = option(
        None, help="continue from this HuBERT: a name, Hub id or folder (default: from scratch)", metavar="NAME"
    )
    config: str = option(
        "mini", help=f"size when from scratch: {', '.join(CONFIGS)}, or a JSON file of a HubertConfig", metavar="NAME"
    )
    targets: str = option(
        AUTO,
        help="label sets, separated by commas: mfcc, prosody, manner, MODEL@LAYER, each with =K for K clusters; "
        "auto takes those saved with the model continued from, or else mfcc",
        metavar="LIST",
    )
    speaker_embeddings: bool = option(
        False, help="add an embedding of the speaker to the output before the prediction (PAPT)"
    )
    speakers_only: bool = option(False, help="learn rows for new speakers of a PAPT model, everything else frozen")
    epochs: int | None = option(
        None, help="passes over the audio (default: 20 from scratch, 10 continuing)", parse=int, metavar="N"
    )
    batch: int = option(24, help="crops per step", parse=int, metavar="N")
    crop_s: float = option(2.0, help="length of a crop in seconds", parse=float, metavar="S")
    learning_rate: float | None = option(
        None, help="peak for the network (default: 5e-4 from scratch, 1e-5 continuing)", parse=float, metavar="R"
    )
    head_learning_rate: float | None = option(
        None,
        help="peak for label vectors and speaker table, which begin from nothing (default: 5e-4, speakers only 1e-2)",
        parse=float,
        metavar="R",
    )
    warmup: float | None = option(
        None, help="share of the steps with a rising rate (default: 0.08 from scratch, 0.05 continuing)", parse=float
    )
    mask_probability: float = option(0.8, help="masked spans times their length, over frames", parse=float, metavar="P")
    mask_length: int = option(10, help="frames of 20 ms in a masked span", parse=int, metavar="N")
    augment: float = option(
        0.0, help="chance of each kind of disturbance of a crop: room, band, noise, clipping, telephone", parse=float
    )
    functionals: float = option(
        0.0,
        help="share of the crops that are heard whole; mean and deviation over time of what enters and leaves every "
        "block have to tell how pitch, level and spectrum behave in them",
        parse=float,
        metavar="P",
    )
    hold_out: str = option(
        "auto",
        help="what validates: speakers, or clips of every speaker; auto holds out clips where rows of speakers are "
        "learnt or none are known",
        choices=("auto", "speakers", "clips"),
    )
    validation: float = option(0.05, help="share held out", parse=float, metavar="P")
    validate_every: int = option(500, help="steps from one validation to the next", parse=int, metavar="N")
    save_every: int = option(200, help="steps from one checkpoint to the next", parse=int, metavar="N")
    cache: Path | None = option(
        None, help="folder of decoded audio, which runs may share (default: OUTPUT/cache)", parse=Path, metavar="DIR"
    )
    device: str = option("auto", help="auto, cpu, cuda, cuda:N, or several separated by commas")
    dtype: str = option("auto", help="arithmetic", choices=("auto", "float32", "bfloat16"))
    part_seconds: float | None = option(
        None, help="audio that goes through the network at once (default: fits the device)", parse=float, metavar="S"
    )
    workers: int = option(min(4, os.cpu_count() or 1), help="threads that decode and cut", parse=int, metavar="N")
    half: bool = option(False, help="write the network's weights in half precision, half as large")
    seed: int = option(0, help="of clusters, crops, masks and weights", parse=int, metavar="N")
    force: bool = option(False, help="begin anew, replacing what the output folder holds")

    def __post_init__(self) -> None:
        check_numbers(self)
        for name in ("data", "output", "cache"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, Path(getattr(self, name)))
        self._check_ranges()
        if self.speakers_only and not self.model:
            raise InputError("rows for new speakers are learnt in a PAPT model; name its folder with --model")
        self._check_functionals()

    def _check_ranges(self) -> None:
        for name in ("epochs", "batch", "crop_s", "learning_rate", "head_learning_rate", "mask_probability",
                     "mask_length", "validate_every", "save_every", "part_seconds", "workers"):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"{name.replace('_', ' ')} has to be positive, not {value}")
        for name in ("warmup", "augment", "functionals", "validation"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise InputError(f"{name} has to be a share from 0 to 1, not {value}")
        if self.seed < 0:
            raise InputError(f"seed has to be 0 or more, not {self.seed}")

    def _check_functionals(self) -> None:
        if self.functionals and self.speakers_only:
            raise InputError("functionals teach the network, which speakers only leaves as it is")
        if self.functionals and self.functionals * self.batch < 1:
            raise InputError(f"functionals {self.functionals} of {self.batch} crops is less than one crop per step")
        if self.functionals and self.crop_s < _TWO_FRAMES_S:
            raise InputError(f"functionals need crops of {_TWO_FRAMES_S} s at least, not {self.crop_s}")

    @property
    def num_epochs(self) -> int:
        """Passes over the audio."""
        return self.epochs or (10 if self.model else 20)

    @property
    def peak_rate(self) -> float:
        """The network's highest learning rate."""
        return self.learning_rate or (1e-5 if self.model else 5e-4)

    @property
    def peak_head_rate(self) -> float:
        """The highest learning rate of what stands on the network; a few clips of a speaker make few steps."""
        return self.head_learning_rate or (1e-2 if self.speakers_only else 5e-4)

    @property
    def warmup_share(self) -> float:
        """The share of the steps in which the learning rate rises."""
        if self.warmup is not None:
            return self.warmup
        return 0.05 if self.model else 0.08

    @property
    def cache_folder(self) -> Path:
        """Where the decoded audio is kept."""
        return self.cache or self.output / "cache"

    @property
    def with_speakers(self) -> bool:
        """Whether speakers have embeddings."""
        return self.speaker_embeddings or self.speakers_only

    def decisive(self) -> dict[str, Any]:
        """Return the settings that decide what is learnt, as plain JSON values."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in _FREE}
