"""What a stored vector is: everything that must be equal for two vectors to be comparable.

A store holds one `EmbeddingSpec`; adding vectors of another spec to it, or scoring them with a head trained on
another, is an error that names the field and both values.
"""

import dataclasses
import json
from typing import Any

from ser_embed.errors import InputError

POOLINGS = ("mean", "mean+std", "frames")
RATE_HZ = 16_000  # every supported encoder was trained on 16 kHz speech
MIN_SAMPLES = 400  # the receptive field of one HuBERT / Wav2Vec2 frame: 25 ms


@dataclasses.dataclass(frozen=True)
class EmbeddingSpec:
    """The full description of how vectors were made.

    Attributes:
        model: what loads the encoder: a name of the catalogue, a Hub id, or a folder's absolute path.
        revision: commit of a Hub model, or "" for a local folder or classical features.
        digest: hash of the encoder's weights and settings; two folders with equal weights agree.
        layers: names of the stored layers, in the order of the store's second axis.
        pooling: one of `POOLINGS`.
        width: numbers per layer; already doubled for "mean+std".
        rate_hz: sampling rate the encoder hears, in Hz.
        normalization: "zero-mean-unit-variance" or "none", applied to each waveform by the encoder.
        trim_db: silence below this level relative to the peak is cut from both ends; None leaves it.
        level_db: RMS level every clip is brought to, in dB of full scale; None leaves it.
        arithmetic: floating-point type of the encoder's forward pass.
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

    @property
    def name(self) -> str:
        """The model's short name: the last part of its Hub id or folder."""
        return self.model.replace("\\", "/").rstrip("/").rpartition("/")[2]

    def to_json(self) -> str:
        """Return the spec as one JSON object, keys in the order of the fields."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "EmbeddingSpec":
        """Read what `to_json` wrote.

        Raises:
            InputError: the text is not a spec of this version.
        """
        try:
            fields = json.loads(text)
            return cls(**{**fields, "layers": tuple(fields["layers"])})
        except (TypeError, ValueError, KeyError) as error:
            raise InputError(f"expected an embedding spec, found {text[:60]!r} ({error})") from error

    def differences(self, other: "EmbeddingSpec") -> dict[str, tuple[Any, Any]]:
        """Return the fields in which `other` differs, as {field: (here, there)}; `{}` means the same vectors.

        The name a model was asked for by does not count, since its digest does: a folder may be moved.
        """
        pairs = {
            field.name: (getattr(self, field.name), getattr(other, field.name))
            for field in dataclasses.fields(self)
            if field.name not in ("model", "revision")
        }
        different = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
        if "digest" in different and self.model != other.model:
            different = {"model": (self.model, other.model), **different}
        return different

    def require_same(self, other: "EmbeddingSpec", where: str) -> None:
        """Check that `other` describes the same vectors.

        Args:
            other: the spec that came.
            where: the file or run that holds this spec, for the message.

        Raises:
            InputError: naming the first field that differs and both values.
        """
        for name, (here, there) in self.differences(other).items():
            raise InputError(f"{where} holds vectors with {name} {here!r}, not {there!r}")
