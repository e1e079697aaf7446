"""Presets: settings that earlier systems reported, by name, for `--preset`. A flag given beside it wins.

A preset fixes every setting that affects the training, so it stays the same when the library's defaults change. What a
report does not state is set to a neutral value: no noise, no augmentation, no transform, no weight decay, no label
smoothing, no averaging of weights, no class weights, no second training with the validation clips, and no stopping
before the last epoch. Rates and sizes that are not reported are Keras' defaults (batches of 32, steps of 0.001) or
customary (dropout 0.5). Two things are this library's in every preset: vectors are standardised by the training clips,
and the epoch with the lowest validation loss is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ser_embed.errors import InputError

_SHARED = "a random split tests speakers it was trained on"


@dataclass(frozen=True)
class Preset:
    """The settings that one system reported.

    Attributes:
        source: author and year of the report.
        summary: the head and its input, in a few words.
        trap: limit of its figures, which a reader could overlook.
        settings: fields of the command's config, all that affect the training.
    """

    source: str
    summary: str
    trap: str
    settings: Mapping[str, Any]


def _settings(**reported: Any) -> Mapping[str, Any]:
    """Return the reported settings over neutral values, as a read-only mapping."""
    neutral = {
        "target": "emotion",
        "layer": "last",
        "personalized": (),
        "protocol": "random",
        "split": (0.6, 0.2, 0.2),
        "normalization": "all",
        "frame_step": 1,
        "patience": 1.0,
        "batch_size": 32,
        "learning_rate": 1e-3,
        "dropout": 0.5,
        "weight_decay": 0.0,
        "noise": 0.0,
        "label_smoothing": 0.0,
        "averaging": 0.0,
        "augment": "none",
        "transform": "none",
        "calibration": "temperature",
        "balance": 0.0,
        "refit": "never",
    }
    return MappingProxyType({**neutral, **reported})


_BROWN = {"head": "mlp", "epochs": 20, "batch_size": 150, "learning_rate": 1.1e-3}

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "brown-2023": Preset(
            "Brown, 2023",
            "dense 256-64 on the last layer's mean; their encoder is hubert-large",
            _SHARED,
            _settings(**_BROWN),
        ),
        "brown-2023-deep": Preset(
            "Brown, 2023",
            "the same, dense 1024-256-64-64",
            _SHARED,
            _settings(**{**_BROWN, "head": "deep"}),
        ),
        "brown-2023-personalized": Preset(
            "Brown, 2023",
            "the same, an embedding of the speaker added to the vector",
            f"{_SHARED}, and this head is told who speaks",
            _settings(**_BROWN, personalized=("embedding",)),
        ),
        # Their head projects each frame, takes the mean and adds a dense layer, without nonlinearity: one linear map of
        # the mean. The rate is the default of the Hugging Face Trainer; 4 accumulated batches of 8 clips are one of 32.
        "vit-2024": Preset(
            "VIT, 2024",
            "linear on the last layer's mean; their encoder is hubert-base",
            f"{_SHARED}; their tuning of two encoder layers, warm-up and augmentation are not a head's to repeat",
            _settings(
                head="linear",
                split=(0.9, 0.05, 0.05),
                epochs=20,
                learning_rate=5e-5,
                dropout=0.0,
                weight_decay=0.01,
            ),
        ),
        "ntu-2024-cnn": Preset(
            "NTU, 2024",
            "five convolutions over MFCC frames: extract with --model mfcc --pooling frames",
            f"{_SHARED}, and theirs reports the best validation accuracy; here training cuts clips at random",
            _settings(head="cnn", epochs=200),
        ),
        # The split is not reported, so speakers are kept apart. Training stops after 10 epochs without improvement.
        "alqahtani-2024": Preset(
            "Alqahtani, 2024",
            "dense 256-64 on the last layer's mean, stopped early; sizes, rates and split are not reported",
            "it names an emotion for any audio, however unlike its training",
            _settings(head="mlp", protocol="speaker", epochs=100, patience=0.1),
        ),
    }
)


# What a report of a fine-tuning does not state is neutral too, but for the arithmetic of a step, which is AdamW's with
# a linear schedule, as the Hugging Face Trainer has it.
_TUNED = {
    "protocol": "random",
    "patience": 1.0,
    "dropout": 0.1,
    "gradient_norm": 1.0,
    "label_smoothing": 0.0,
    "averaging": 0.0,
    "crop": 0.0,
    "time_mask": 0.0,
    "calibration": "temperature",
    "balance": 0.0,
    "refit": "never",
}

FINETUNING_PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        # Convolutions stay frozen here too; the split is not reported, so 80 % train. One rate for encoder and head.
        "ntu-2024": Preset(
            "NTU, 2024",
            "all but the convolutions, 20 epochs; their encoder is wav2vec2-xlsr",
            _SHARED,
            MappingProxyType(
                {
                    **_TUNED,
                    "unfreeze": "all",
                    "split": (0.8, 0.1, 0.1),
                    "epochs": 20,
                    "batch_size": 4,
                    "accumulation": 2,
                    "learning_rate": 1e-4,
                    "head_learning_rate": 1e-4,
                    "warmup": 0.1,
                    "weight_decay": 0.0,
                }
            ),
        ),
        # 500 warm-up steps are an eighth of the 4200 steps that 20 epochs of CREMA-D's 6698 training clips have; the
        # rate is the Trainer's default. Their augmentation has no reported strength: ranges are this library's.
        "vit-2024": Preset(
            "VIT, 2024",
            "the last two blocks, 20 epochs, pitch, stretch and noise; their encoder is hubert-base",
            _SHARED,
            MappingProxyType(
                {
                    **_TUNED,
                    "unfreeze": "last:2",
                    "split": (0.9, 0.05, 0.05),
                    "epochs": 20,
                    "batch_size": 8,
                    "accumulation": 4,
                    "learning_rate": 5e-5,
                    "head_learning_rate": 5e-5,
                    "warmup": 0.12,
                    "weight_decay": 0.01,
                    "augment": ("pitch", "stretch", "noise"),
                    "augment_copies": 1,
                }
            ),
        ),
    }
)


def with_preset(settings: Mapping[str, Any], presets: Mapping[str, Preset] = PRESETS) -> dict[str, Any]:
    """Return settings over those of the preset they name, if they name one.

    >>> with_preset({"preset": "brown-2023", "epochs": 5})["epochs"]
    5

    Args:
        settings: fields of the command's config, only those that the user gave.
        presets: those of the command.

    Raises:
        InputError: there is no such preset.
    """
    name = settings.get("preset")
    return {**(find_preset(name, presets).settings if name is not None else {}), **settings}


def find_preset(name: str, presets: Mapping[str, Preset] = PRESETS) -> Preset:
    """Return the preset of that name.

    Args:
        name: the name.
        presets: those of a command.

    Raises:
        InputError: there is none.
    """
    if name not in presets:
        raise InputError(f"--preset has to be one of {', '.join(presets)}, not {name!r}")
    return presets[name]


def list_presets(presets: Mapping[str, Preset] = PRESETS) -> str:
    """Return the presets of a command as text for the command line, two lines each."""
    lines = [
        f"  {name}: {preset.summary} ({preset.source})\n      mind: {preset.trap}" for name, preset in presets.items()
    ]
    return "\n".join(["presets; a flag given beside --preset wins:", *lines])
