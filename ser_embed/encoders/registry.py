"""The encoders known by name. No framework is loaded here."""

import re
from pathlib import Path

from ser_embed.errors import InputError

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
# Encoders that come with the library, each in a folder of its own with a model card.
SHIPPED = {"hubert-mini": Path(__file__).parent / "hubert_mini"}
# They were made for mean and deviation; of the published ones the mean is what the literature reports.
SHIPPED_POOLING = "mean+std"
FEATURE_SETS = ("mfcc", "egemaps")
NAMES = (*SHIPPED, *HUB_IDS, *FEATURE_SETS)
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def feature_sets(model: str) -> tuple[str, ...]:
    """Return the feature sets that a name such as "mfcc+egemaps" stands for; none if it is another kind of model.

    >>> feature_sets("mfcc+egemaps"), feature_sets("hubert-base")
    (('mfcc', 'egemaps'), ())
    """
    names = model.split("+")
    return tuple(names) if set(names) <= set(FEATURE_SETS) and len(set(names)) == len(names) else ()


def source_of(model: str) -> str:
    """Return where a transformer's weights are: a folder, or else a Hub id.

    Raises:
        InputError: `model` is no known name, no folder, and does not look like a Hub id.
    """
    if model in SHIPPED:
        return str(SHIPPED[model])
    if model in HUB_IDS:
        return HUB_IDS[model]
    if Path(model).is_dir():
        return model
    if Path(model).exists():
        raise InputError(f"expected a model's folder, but {model} is a file")
    if _HUB_ID.fullmatch(model):
        return model
    raise InputError(
        f"unknown model {model!r}; expected one of {', '.join(NAMES)}, "
        "feature sets joined by +, a local folder or a Hub id"
    )


def short_name(model: str) -> str:
    """Return the name a model's store goes by: `hubert-large`, or the last part of a folder or Hub id."""
    return Path(model).resolve().name if Path(model).is_dir() else model.rsplit("/", 1)[-1]
