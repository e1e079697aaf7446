"""Embedding specification: all properties that have to be equal for two vectors to be comparable.

A store has one `EmbeddingSpec`. Adding vectors with another spec to it, or scoring vectors with a head trained on
another spec, is an error that names the field and both values.
"""

import dataclasses
import json
from typing import Any

from ser_embed.errors import InputError
from ser_embed.reading import are_names, expect, is_count, is_number

POOLINGS = ("mean", "mean+std", "frames")
FLOAT32, FLOAT16 = "float32", "float16"
STORAGES = (FLOAT32, FLOAT16)
RATE_HZ = 16_000  # every supported encoder was trained on 16 kHz speech
MODEL_FOLDER = "model"  # of the fine-tuned model in the folder of a run, or of a fold of one
MIN_SAMPLES = 400  # the receptive field of one HuBERT / Wav2Vec2 frame: 25 ms


def tuned_name(folder: str) -> str:
    """Return a short name of a fine-tuned model: that of its run and fold, if its folder has just `MODEL_FOLDER`.

    >>> tuned_name("runs/emodb/fold_2/model"), tuned_name("runs/emodb/model"), tuned_name("models/mine")
    ('emodb-fold_2', 'emodb', 'mine')
    """
    *parents, name = folder.replace("\\", "/").rstrip("/").split("/")
    if name != MODEL_FOLDER or not parents or not parents[-1]:
        return name
    return "-".join(parents[-2:]) if parents[-1].startswith("fold_") else parents[-1]


class DifferentSpec(InputError):
    """Vectors are of another spec than those they should be comparable with."""


@dataclasses.dataclass(frozen=True)
class EmbeddingSpec:
    """Complete description of how vectors were computed.

    Attributes:
        model: identifies the encoder: a name of the registry, a Hub id, or the absolute path of a folder.
        revision: commit of a Hub model, or "" for a local folder or classical features.
        digest: hash of the encoder's weights and settings; equal for two folders with equal weights and settings.
        layers: names of the stored layers, in the order of the store's second axis.
        pooling: one of `POOLINGS`.
        width: numbers per layer and vector; for "mean+std" already doubled.
        rate_hz: sampling rate of the encoder's input, in Hz.
        normalization: "zero-mean-unit-variance" or "none", applied to each waveform by the encoder.
        trim_db: both ends of a clip are cut where the level is this many dB below the peak; None cuts nothing.
        level_db: RMS level of every clip after levelling, in dB of full scale; None leaves the level unchanged.
        arithmetic: floating-point type of the encoder's forward pass.
        storage: floating-point type to which vectors are rounded, one of `STORAGES`; not part of the JSON form if it is
            float32, as it was before there was another.
        tuned_on: which clips the encoder was fine-tuned on with their labels, in short, see
            `ser_embed.encoders.training_clips.describe`; None for an encoder that learned from no label, or does not
            say from which.
    """

    model: str
    revision: str
    digest: str
    layers: tuple[str, ...]
    pooling: str
    width: int
    rate_hz: int
    normalization: str
    trim_db: float | None
    level_db: float | None
    arithmetic: str
    storage: str = FLOAT32
    tuned_on: str | None = None

    @property
    def name(self) -> str:
        """Short name of the model: the last part of its Hub id or folder, or `tuned_name`."""
        if self.tuned_on is not None:
            return tuned_name(self.model)
        return self.model.replace("\\", "/").rstrip("/").rpartition("/")[2]

    def to_json(self) -> str:
        """Return the spec as one JSON object, with the keys in the order of the fields.

        Fields that have a default are left out where they have that value, as they are in specs of earlier versions.
        """
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        return json.dumps({name: value for name, value in vars(self).items() if value != defaults[name]})

    @classmethod
    def from_json(cls, text: str) -> "EmbeddingSpec":
        """Read a spec written by `to_json`.

        Raises:
            InputError: the text is not JSON, or its fields are not those of this version.
        """
        try:
            fields = json.loads(text)
            spec = cls(**{**fields, "layers": tuple(fields["layers"])})
            spec._check()
        except (TypeError, ValueError, KeyError) as error:
            raise InputError(f"expected an embedding spec, found {text[:60]!r} ({error})") from error
        return spec

    def _check(self) -> None:
        """Check values that were read.

        Raises:
            ValueError: naming the field and its value.
        """
        for name in ("model", "revision", "digest", "normalization", "arithmetic"):
            expect(isinstance(getattr(self, name), str), f"a text as {name}", getattr(self, name))
        expect(are_names(list(self.layers)) and len(self.layers) > 0, "different names as layers", self.layers)
        expect(self.pooling in POOLINGS, f"one of {', '.join(POOLINGS)} as pooling", self.pooling)
        expect(self.storage in STORAGES, f"one of {', '.join(STORAGES)} as storage", self.storage)
        for name in ("width", "rate_hz"):
            value = getattr(self, name)
            expect(is_count(value) and value > 0, f"a whole number above 0 as {name}", value)
        for name in ("trim_db", "level_db"):
            value = getattr(self, name)
            expect(value is None or is_number(value), f"a number or nothing as {name}", value)
        expect(self.tuned_on is None or isinstance(self.tuned_on, str), "a text or nothing as tuned_on", self.tuned_on)

    def differences(self, other: "EmbeddingSpec") -> dict[str, tuple[Any, Any]]:
        """Return the fields that differ, as {field: (value of this spec, value of `other`)}.

        Vectors with an empty result are comparable. `model` and `revision` are not compared, because the digest
        already identifies the weights and a folder may be moved; they are only reported if the digests differ.
        """
        pairs = {
            field.name: (getattr(self, field.name), getattr(other, field.name))
            for field in dataclasses.fields(self)
            if field.name not in ("model", "revision")
        }
        differing = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
        if "digest" in differing:
            named = {name: (getattr(self, name), getattr(other, name)) for name in ("model", "revision")}
            differing = {**{name: pair for name, pair in named.items() if pair[0] != pair[1]}, **differing}
        return differing

    def require_same(self, other: "EmbeddingSpec", where: str) -> None:
        """Check that vectors with the spec `other` are comparable with those of this spec.

        Args:
            other: the spec to compare.
            where: the file or run that has this spec, for the message.

        Raises:
            DifferentSpec: naming the first differing field and both values.
        """
        for name, (own_value, other_value) in self.differences(other).items():
            raise DifferentSpec(f"{where} holds vectors with {name} {own_value!r}, not {other_value!r}")
