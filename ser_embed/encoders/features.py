"""Classical feature sets as encoders: `mfcc` (librosa) and `egemaps` (openSMILE). No download, no framework.

Both have a single layer, named "features". `mfcc` gives frames of 25 ms every 10 ms, without padding at the ends, and
is pooled like any other encoder, by default to mean and standard deviation. `egemaps` gives one vector per clip.
Sets joined by "+", such as `mfcc+egemaps`, give their vectors side by side, each pooled its own way.
"""

import ctypes
import dataclasses
import importlib.metadata
import importlib.util
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ser_embed.encoders.base import EncoderOptions, choose_layers
from ser_embed.encoders.pooling import pool_clip, pooled_width
from ser_embed.errors import InputError
from ser_embed.files import digest_of
from ser_embed.spec import POOLINGS, RATE_HZ, EmbeddingSpec

LAYER = "features"
MFCC = {"num_mfcc": 20, "num_mels": 64, "window": 400, "hop": 160, "delta_width": 9}


class FeatureEncoder:
    """A function from one waveform to frames, dressed as an `ser_embed.encoders.base.Encoder`."""

    device = "cpu"
    batch_seconds = 60.0  # clips are worked on one by one; a batch is only what the bar advances by
    threads = 1
    max_clip_s = float("inf")
    notes: tuple[str, ...] = ()

    def __init__(self, spec: EmbeddingSpec, frames_of: Callable[[np.ndarray], np.ndarray]) -> None:
        """Wrap `frames_of`, which maps float32 (samples,) to (frames, width)."""
        self.spec = spec
        self._frames_of = frames_of

    def encode(self, waveforms: Sequence[np.ndarray]) -> Callable[[], list[np.ndarray]]:
        """Encode a batch; see `Encoder.encode`."""
        frames = [self._frames_of(waveform)[:, np.newaxis] for waveform in waveforms]  # (frames, 1 layer, width)
        vectors = [pool_clip(clip, self.spec.pooling) for clip in frames]
        return lambda: vectors


class CombinedEncoder(FeatureEncoder):
    """Feature sets as one encoder, whose vectors are theirs side by side."""

    def __init__(self, parts: Sequence[FeatureEncoder]) -> None:
        """Join `parts`, each of which gives one vector per clip."""
        specs = [part.spec for part in parts]
        self._parts = parts
        self.spec = dataclasses.replace(
            specs[0],
            model="+".join(spec.model for spec in specs),
            digest=digest_of(json.dumps([(spec.digest, spec.pooling) for spec in specs]).encode()),
            width=sum(spec.width for spec in specs),
            pooling=max((spec.pooling for spec in specs), key=POOLINGS.index),  # mean+std, if one has it
        )

    def encode(self, waveforms: Sequence[np.ndarray]) -> Callable[[], list[np.ndarray]]:
        """Encode a batch; see `Encoder.encode`."""
        columns = [part.encode(waveforms)() for part in self._parts]
        vectors = [np.concatenate(clip, axis=-1) for clip in zip(*columns, strict=True)]
        return lambda: vectors


def load_features(names: Sequence[str], options: EncoderOptions) -> FeatureEncoder:
    """Make the encoder of one feature set, or of several combined.

    Raises:
        InputError: an option does not apply.
    """
    if len(names) == 1:
        return _MAKERS[names[0]](options)
    own_poolings = dataclasses.replace(options, pooling=None)
    encoder = CombinedEncoder([_MAKERS[name](own_poolings) for name in names])
    if options.pooling not in (None, encoder.spec.pooling):
        raise InputError(
            f"{encoder.spec.model} pools each of its sets in the set's own way; "
            f"pooling {options.pooling!r} does not apply to it"
        )
    return encoder


def mfcc(options: EncoderOptions) -> FeatureEncoder:
    """Make the `mfcc` encoder: 20 MFCC, their first and second differences, 64 log-mel bands (124 numbers a frame)."""
    width = 3 * MFCC["num_mfcc"] + MFCC["num_mels"]
    digest = digest_of(json.dumps(MFCC).encode())
    return FeatureEncoder(_spec("mfcc", digest, width, options.pooling or "mean+std", options), mfcc_frames)


def mfcc_frames(waveform: np.ndarray) -> np.ndarray:
    """Compute the `mfcc` features of a waveform.

    Args:
        waveform: float32 (samples,) at 16 kHz, at least 400 samples.

    Returns:
        float32 (frames, 124): MFCC, deltas, double deltas, log-mel energies in dB.
    """
    import librosa

    power = librosa.feature.melspectrogram(
        y=waveform,
        sr=RATE_HZ,
        n_fft=MFCC["window"],
        hop_length=MFCC["hop"],
        n_mels=MFCC["num_mels"],
        center=False,
    )
    log_mel = librosa.power_to_db(power, top_db=None)  # (mels, frames)
    cepstra = librosa.feature.mfcc(S=log_mel, n_mfcc=MFCC["num_mfcc"])
    # "nearest" holds the first and last frame at the ends, so that clips shorter than the window have deltas too.
    deltas = [
        librosa.feature.delta(cepstra, width=MFCC["delta_width"], order=order, mode="nearest") for order in (1, 2)
    ]
    return np.concatenate([cepstra, *deltas, log_mel]).T.astype(np.float32)


def egemaps(options: EncoderOptions) -> FeatureEncoder:
    """Make the `egemaps` encoder: the 88 functionals of eGeMAPSv02 (Eyben et al. 2016) by openSMILE.

    Raises:
        InputError: opensmile is not installed, or a pooling was asked for.
    """
    _load_smile_library()
    import opensmile

    if options.pooling not in (None, "mean"):
        raise InputError(f"egemaps gives one vector per clip; pooling {options.pooling!r} does not apply to it")
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    digest = digest_of(f"eGeMAPSv02 functionals, opensmile {importlib.metadata.version('opensmile')}".encode())

    def functionals(waveform: np.ndarray) -> np.ndarray:
        return smile.process_signal(waveform, RATE_HZ).to_numpy(np.float32)  # (1, 88)

    return FeatureEncoder(_spec("egemaps", digest, smile.num_features, "mean", options), functionals)


_MAKERS = {"mfcc": mfcc, "egemaps": egemaps}


def _load_smile_library() -> None:
    """Load openSMILE's native library so that it uses its own C++ symbols.

    Loaded the usual way after TensorFlow, as in a notebook that trains first, it picks up TensorFlow's and aborts the
    process. A library stays as it was first loaded, so the package finds this one when it asks for it.
    """
    package = importlib.util.find_spec("opensmile")
    if package is None or package.origin is None:
        raise InputError("egemaps needs openSMILE; install it with: pip install 'twostage-ser[egemaps]'")
    if hasattr(os, "RTLD_DEEPBIND"):  # Linux
        for library in Path(package.origin).parent.rglob("libSMILEapi.so"):
            ctypes.CDLL(str(library), mode=os.RTLD_NOW | os.RTLD_LOCAL | os.RTLD_DEEPBIND)


def _spec(name: str, digest: str, width: int, pooling: str, options: EncoderOptions) -> EmbeddingSpec:
    if options.device not in ("auto", "cpu"):
        raise InputError(f"{name} runs on the cpu, not on {options.device!r}")
    if options.dtype not in ("auto", "float32"):
        raise InputError(f"{name} computes in float32, not in {options.dtype!r}")
    return EmbeddingSpec(
        model=name,
        revision="",
        digest=digest,
        layers=choose_layers(options.layers, [LAYER], LAYER),
        width=pooled_width(width, pooling),
        pooling=pooling,
        rate_hz=RATE_HZ,
        normalization="none",
        trim_db=options.preparation.trim_db,
        level_db=options.preparation.level_db,
        arithmetic="float32",
    )
