"""Configuration of an extraction: fields, defaults and checks, for both the function and the command."""

import dataclasses
import os
from pathlib import Path

from ser_embed.audio.augmentation import AUGMENTATIONS, parse_names
from ser_embed.encoders.registry import known_names, short_name
from ser_embed.options import check_options, option
from ser_embed.spec import FLOAT32, POOLINGS, STORAGES


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExtractConfig:
    """Corpora, encoder and store of an extraction. Each field is a flag of the command; its help text describes it."""

    model: str = option(
        help=(
            f"encoder: {', '.join(known_names())}, feature sets joined as in mfcc+egemaps, a Hub id, "
            "or the folder of a saved model"
        ),
        metavar="NAME",
    )
    revision: str | None = option(
        None,
        help=(
            "branch, tag or commit of a model on the Hub "
            "(default: the commit that an existing store was extracted with, or else main)"
        ),
        metavar="REV",
    )
    data: Path = option(Path("data"), help="folder that holds the corpora", parse=Path, metavar="DIR")
    corpus: tuple[str, ...] = option((), help="corpora to extract (default: all found)", nargs="+", metavar="NAME")
    store: Path | None = option(None, help="HDF5 file to write to (default: embeddings/<model>.h5)", parse=Path)
    layers: str = option("all", help="all, last, or names such as 0,6,12", metavar="LAYERS")
    pooling: str | None = option(
        None,
        help="how frames are pooled into one vector (default: mean; mean+std for hubert-mini and the feature sets)",
        one_of=POOLINGS,
    )
    trim_db: float | None = option(
        None, help="cut silence this many dB below the peak from both ends (default: off)", parse=float, metavar="DB"
    )
    level_db: float | None = option(
        None, help="bring every clip to this RMS level in dB of full scale (default: off)", parse=float, metavar="DB"
    )
    device: str = option("auto", help="auto, cpu, cuda, cuda:N, or several separated by commas")
    dtype: str = option("auto", help="arithmetic: auto, float32, bfloat16 or float16")
    batch_seconds: float | None = option(
        None,
        help="seconds of audio in one batch at most (default: fits the device)",
        parse=float,
        gt=0,
        metavar="S",
    )
    chunk: int = option(
        100, help="clips written together; a crash loses at most this many", parse=int, ge=1, metavar="N"
    )
    workers: int = option(min(4, os.cpu_count() or 1), help="threads that decode ahead", parse=int, ge=1, metavar="N")
    limit: int | None = option(None, help="extract only the first N clips (default: all)", parse=int, ge=1, metavar="N")
    force: bool = option(False, help="extract every clip again, replacing what the store holds")
    storage: str = option(
        FLOAT32, help="precision of the stored vectors; float16 takes half the space", one_of=STORAGES
    )
    prune: bool = option(False, help="drop stored clips that the corpora extracted from no longer have")
    augment: tuple[str, ...] = option(
        (),
        help=f"extract augmented copies of every clip too, by {','.join(AUGMENTATIONS)} or some of these; "
        "without it, stored copies of the clips of this run are dropped",
        metavar="LIST",
    )
    augment_copies: int = option(1, help="augmented copies of each clip", parse=int, ge=1, metavar="K")
    augment_seed: int = option(0, help="seed of the copies' random choices", parse=int, ge=0, metavar="N")

    def __post_init__(self) -> None:
        check_options(self)
        object.__setattr__(self, "augment", parse_names(self.augment) if self.augment else ())
        for name in ("data", "store"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, Path(getattr(self, name)))
        if isinstance(self.corpus, str):
            object.__setattr__(self, "corpus", (self.corpus,))

    @property
    def store_path(self) -> Path:
        """Path of the store, whether it exists or not."""
        return self.store or Path("embeddings") / f"{short_name(self.model)}.h5"
