"""Encoder registry: the models that a user can name, and the family that loads each of them.

A family is one module with a loader, and one entry of `FAMILIES`. No framework is imported before a loader is called.
"""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ser_embed.errors import InputError

if TYPE_CHECKING:
    from ser_embed.encoders.base import Encoder, EncoderOptions

HUB_IDS = {
    "hubert-base": "facebook/hubert-base-ls960",
    "hubert-large": "facebook/hubert-large-ll60k",
    "hubert-xlarge": "facebook/hubert-xlarge-ll60k",
    "wav2vec2-base": "facebook/wav2vec2-base",
    "wav2vec2-large": "facebook/wav2vec2-large",
    "wav2vec2-xlsr": "facebook/wav2vec2-large-xlsr-53",
    "wavlm-base-plus": "microsoft/wavlm-base-plus",
    "wavlm-large": "microsoft/wavlm-large",
}
# Encoders that are part of the library, each in its own folder with a model card.
SHIPPED = {"hubert-mini": Path(__file__).parent / "hubert_mini"}
# The shipped encoders were trained for mean and standard deviation; in the literature, published ones use the mean.
SHIPPED_POOLING = "mean+std"
FEATURE_SETS = ("mfcc", "egemaps")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclasses.dataclass(frozen=True)
class EncoderFamily:
    """Family of encoders that are loaded in the same way.

    Attributes:
        names: names of its encoders; others of the family are loaded by folder or Hub id.
        accepts: returns whether a model, as the user names it, belongs to this family.
        load: loads such a model.
    """

    names: tuple[str, ...]
    accepts: Callable[[str], bool]
    load: Callable[[str, "EncoderOptions"], "Encoder"]


def load_encoder(model: str, options: "EncoderOptions | None" = None) -> "Encoder":
    """Load an encoder by name, Hub id or local folder.

    Args:
        model: a name such as "hubert-large", "mfcc" or "mfcc+egemaps", a Hub id, or the folder of a saved model.
        options: layers, pooling, preprocessing, device and dtype; None for the defaults.

    Raises:
        InputError: there is no such model, or an option does not fit it.
    """
    from ser_embed.encoders.base import EncoderOptions
    from ser_embed.encoders.rounding import with_storage

    options = options or EncoderOptions()
    return with_storage(find_family(model).load(model, options), options.storage)


def find_family(model: str) -> EncoderFamily:
    """Return the family that `model` belongs to, without loading anything.

    Raises:
        InputError: `model` is not a known name, a folder or something that looks like a Hub id.
    """
    for family in FAMILIES.values():
        if family.accepts(model):
            return family
    if Path(model).exists():
        raise InputError(f"expected a model's folder, but {model} is a file")
    raise InputError(
        f"unknown model {model!r}; expected one of {', '.join(known_names())}, "
        "feature sets joined by +, a local folder or a Hub id"
    )


def known_names() -> tuple[str, ...]:
    """Return the names of all encoders that have one."""
    return tuple(name for family in FAMILIES.values() for name in family.names)


def feature_sets(model: str) -> tuple[str, ...]:
    """Return the feature sets that a name such as "mfcc+egemaps" stands for; empty for any other kind of model.

    >>> feature_sets("mfcc+egemaps"), feature_sets("hubert-base")
    (('mfcc', 'egemaps'), ())
    """
    names = model.split("+")
    return tuple(names) if set(names) <= set(FEATURE_SETS) and len(set(names)) == len(names) else ()


def source_of(model: str) -> str:
    """Return the folder or the Hub id that holds the weights of a transformer.

    Raises:
        InputError: `model` is a feature set, or is not a known name, a folder or something that looks like a Hub id.
    """
    if not _is_transformer(model):
        find_family(model)  # raises if it is not a model at all
        raise InputError(f"expected a transformer, but {model!r} is a feature set")
    if model in SHIPPED:
        return str(SHIPPED[model])
    return source_name(model)


def source_name(model: str) -> str:
    """Return one name for a model that can be named in two ways: the Hub id of `hubert-large`."""
    return HUB_IDS.get(model, model)


def short_name(model: str) -> str:
    """Return the name of a model for the name of its store: `hubert-large`, or the last part of a folder or Hub id.

    A fine-tuned model is named after its run and fold.
    """
    from ser_embed.encoders.training_clips import TRAINING_CLIPS_FILE
    from ser_embed.spec import tuned_name

    if not Path(model).is_dir():
        return model.rsplit("/", 1)[-1]
    folder = Path(model).resolve()
    return tuned_name(folder.as_posix()) if (folder / TRAINING_CLIPS_FILE).is_file() else folder.name


def _is_transformer(model: str) -> bool:
    if feature_sets(model):
        return False
    if model in SHIPPED or model in HUB_IDS or Path(model).is_dir():
        return True
    return not Path(model).exists() and bool(_HUB_ID.fullmatch(model))


def _load_transformer(model: str, options: "EncoderOptions") -> "Encoder":
    from ser_embed.encoders.huggingface import load_transformer

    source = source_of(model)
    is_local = model not in SHIPPED and Path(source).is_dir()
    name = str(Path(model).resolve()) if is_local else model  # in the spec: valid in any working folder
    if model in SHIPPED:
        options = dataclasses.replace(options, pooling=options.pooling or SHIPPED_POOLING)
    return load_transformer(source, name, options)


def _load_features(model: str, options: "EncoderOptions") -> "Encoder":
    from ser_embed.encoders.features import load_features

    if options.revision:
        raise InputError(f"revision {options.revision!r} is for a model of the Hub, and {model} is a feature set")
    return load_features(feature_sets(model), options)


FAMILIES = {
    "transformer": EncoderFamily((*SHIPPED, *HUB_IDS), _is_transformer, _load_transformer),
    "features": EncoderFamily(FEATURE_SETS, lambda model: bool(feature_sets(model)), _load_features),
}
