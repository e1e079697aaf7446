"""Configuration of a pre-training: every setting with its default and its range, and the sizes of the network.

The only home of the defaults, for the function `ser_embed.pretrain` and its command alike.
"""

import dataclasses
import os
from pathlib import Path
from typing import Any

from ser_embed.errors import InputError
from ser_embed.options import check_options, option
from ser_embed.tracking.registry import TRACK_HELP, parse_trackers

# At most 10 MB in half precision: 4.8 million weights. The first convolutions, which run thousands of times per second
# of audio, are narrow: this halves the time of a step, and what it saves is spent on the blocks. LayerNorm in front of
# every block learns without a long warm-up, and LayerNorm in the convolutions makes the vector of a clip independent of
# its batch. There is no dropout: so small a network sees too little of its audio twice to overfit to it.
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
CONFIGS = {"mini": _MINI}  # arguments of a transformers HubertConfig, by the name of the size

AUTO = "auto"  # label sets as the model continued from has them

_TWO_FRAMES_S = 0.045  # the shortest crop with a change from frame to frame

# Fields that may differ when a stopped run is resumed: none of them changes what is learnt. The folder of the data may
# have moved, but its audio may not have changed.
_FREE_ON_RESUME = (
    "data", "output", "cache", "device", "workers", "save_every", "part_seconds", "half", "force", "track",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Settings of a pre-training: its data, its model, its length. The fields are the command's flags; see their help.

    Raises:
        InputError: a value is out of its range, or does not fit another.
    """

    data: Path = option(Path("data"), help="folder of audio; speaker names from its tables", parse=Path, metavar="DIR")
    output: Path = option(
        help="folder to write the model to; a run that was stopped there is resumed", parse=Path, metavar="DIR"
    )
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
    speakers_only: bool = option(
        False, help="learn only the embeddings of new speakers of a PAPT model; all other weights are frozen"
    )
    epochs: int | None = option(
        None, help="passes over the audio (default: 20 from scratch, 10 continuing)", parse=int, gt=0, metavar="N"
    )
    batch: int = option(24, help="crops per step", parse=int, gt=0, metavar="N")
    crop_s: float = option(2.0, help="length of a crop in seconds", parse=float, gt=0, metavar="S")
    learning_rate: float | None = option(
        None,
        help="peak learning rate of the network (default: 5e-4 from scratch, 1e-5 continuing)",
        parse=float,
        gt=0,
        metavar="R",
    )
    head_learning_rate: float | None = option(
        None,
        help="peak learning rate of label vectors and speaker table, which are trained from scratch "
        "(default: 5e-4, speakers only 1e-2)",
        parse=float,
        gt=0,
        metavar="R",
    )
    warmup: float | None = option(
        None,
        help="share of the steps in which the learning rate rises (default: 0.08 from scratch, 0.05 continuing)",
        parse=float,
        ge=0,
        le=1,
    )
    mask_probability: float = option(
        0.8,
        help="number of masked spans times their length, divided by the number of frames",
        parse=float,
        gt=0,
        metavar="P",
    )
    mask_length: int = option(10, help="frames of 20 ms in a masked span", parse=int, gt=0, metavar="N")
    augment: float = option(
        0.0,
        help="probability of each kind of disturbance of a crop: room, band, noise, clipping, telephone",
        parse=float,
        ge=0,
        le=1,
    )
    functionals: float = option(
        0.0,
        help="share of the crops that are left unmasked; from mean and deviation over time of the input and output of "
        "every block the model predicts how pitch, level and spectrum behave in them",
        parse=float,
        ge=0,
        le=1,
        metavar="P",
    )
    hold_out: str = option(
        "auto",
        help="what is held out for validation: speakers, or clips of every speaker; auto holds out clips where "
        "speaker embeddings are learnt or fewer than two speakers are known",
        one_of=("auto", "speakers", "clips"),
    )
    validation: float = option(0.05, help="share held out", parse=float, ge=0, le=1, metavar="P")
    validate_every: int = option(500, help="steps from one validation to the next", parse=int, gt=0, metavar="N")
    save_every: int = option(200, help="steps from one checkpoint to the next", parse=int, gt=0, metavar="N")
    cache: Path | None = option(
        None, help="folder of decoded audio, which runs may share (default: OUTPUT/cache)", parse=Path, metavar="DIR"
    )
    device: str = option("auto", help="auto, cpu, cuda, cuda:N, or several separated by commas")
    dtype: str = option("auto", help="arithmetic", one_of=("auto", "float32", "bfloat16"))
    part_seconds: float | None = option(
        None,
        help="seconds of audio that go through the network at once (default: fits the device)",
        parse=float,
        gt=0,
        metavar="S",
    )
    workers: int = option(min(4, os.cpu_count() or 1), help="threads that decode and cut", parse=int, gt=0, metavar="N")
    half: bool = option(False, help="write the network's weights in half precision, half as large")
    seed: int = option(0, help="seed of clusters, crops, masks and weights", parse=int, ge=0, metavar="N")
    track: tuple[str, ...] = option((), metavar="NAMES", help=TRACK_HELP)
    force: bool = option(False, help="start again from the beginning, replacing what the output folder contains")

    def __post_init__(self) -> None:
        object.__setattr__(self, "track", parse_trackers(self.track))
        check_options(self)
        for name in ("data", "output", "cache"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, Path(getattr(self, name)))
        if self.speakers_only and not self.model:
            raise InputError("embeddings of new speakers are learnt in a PAPT model; name its folder with --model")
        self._check_functionals()

    def _check_functionals(self) -> None:
        if self.functionals and self.speakers_only:
            raise InputError("functionals train the network, but speakers only keeps the network frozen")
        if self.functionals and self.functionals * self.batch < 1:
            raise InputError(f"functionals {self.functionals} of {self.batch} crops are less than one crop per step")
        if self.functionals and self.crop_s < _TWO_FRAMES_S:
            raise InputError(f"functionals need crops of at least {_TWO_FRAMES_S} s, not {self.crop_s}")

    @property
    def num_epochs(self) -> int:
        """Passes over the audio."""
        return self.epochs or (10 if self.model else 20)

    @property
    def peak_rate(self) -> float:
        """Peak learning rate of the network."""
        return self.learning_rate or (1e-5 if self.model else 5e-4)

    @property
    def peak_head_rate(self) -> float:
        """Peak learning rate of heads and speaker table; higher for speakers only, whose few clips give few steps."""
        return self.head_learning_rate or (1e-2 if self.speakers_only else 5e-4)

    @property
    def warmup_share(self) -> float:
        """Share of the steps in which the learning rate rises."""
        if self.warmup is not None:
            return self.warmup
        return 0.05 if self.model else 0.08

    @property
    def cache_folder(self) -> Path:
        """Folder of the decoded audio."""
        return self.cache or self.output / "cache"

    @property
    def with_speakers(self) -> bool:
        """Whether the model has speaker embeddings."""
        return self.speaker_embeddings or self.speakers_only

    def to_dict(self) -> dict[str, Any]:
        """Return all settings but the trackers as plain JSON values."""
        values = dataclasses.asdict(self)
        del values["track"]
        return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}

    def fixed_fields(self) -> dict[str, Any]:
        """Return the fields that decide what is learnt, and must not differ on resuming, as plain JSON values."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in _FREE_ON_RESUME}
