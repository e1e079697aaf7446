"""Classical feature sets as encoders: `mfcc` (librosa) and `egemaps` (openSMILE), without a download or a framework.

Both have a single layer, named "features". `mfcc` gives frames of 25 ms every 10 ms, without padding at the ends, and
is pooled like any other encoder, by default to mean and standard deviation. `egemaps` gives one vector per clip.
Feature sets joined by "+", such as `mfcc+egemaps`, give their vectors side by side, each with its default pooling.
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
    """Encoder made of a function from one waveform to frames; see `ser_embed.encoders.base.Encoder`."""

    device = "cpu"
    batch_seconds = 60.0  # clips are encoded one by one; a batch is only the step of the progress bar
    threads = 1
    max_clip_s = float("inf")
    notes: tuple[str, ...] = ()

    def __init__(self, spec: EmbeddingSpec, compute_frames: Callable[[np.ndarray], np.ndarray]) -> None:
        """Wrap `compute_frames`, which maps float32 (samples,) to (frames, width)."""
        self.spec = spec
        self._compute_frames = compute_frames

    def encode(self, waveforms: Sequence[np.ndarray]) -> Callable[[], list[np.ndarray]]:
        """Encode a batch; see `Encoder.encode`."""
        frames = [self._compute_frames(waveform)[:, np.newaxis] for waveform in waveforms]  # (frames, 1 layer, width)
        vectors = [pool_clip(clip, self.spec.pooling) for clip in frames]
        return lambda: vectors


class CombinedEncoder(FeatureEncoder):
    """Several feature sets as one encoder, which concatenates their vectors."""

    def __init__(self, parts: Sequence[FeatureEncoder]) -> None:
        """Combine `parts`, each of which gives one vector per clip."""
        specs = [part.spec for part in parts]
        self._parts = parts
        self.spec = dataclasses.replace(
            specs[0],
            model="+".join(spec.model for spec in specs),
            digest=digest_of(json.dumps([(spec.digest, spec.pooling) for spec in specs]).encode()),
            width=sum(spec.width for spec in specs),
            pooling=max((spec.pooling for spec in specs), key=POOLINGS.index),  # mean+std, if any part uses it
        )

    def encode(self, waveforms: Sequence[np.ndarray]) -> Callable[[], list[np.ndarray]]:
        """Encode a batch; see `Encoder.encode`."""
        vectors_by_part = [part.encode(waveforms)() for part in self._parts]
        vectors = [np.concatenate(clip_vectors, axis=-1) for clip_vectors in zip(*vectors_by_part, strict=True)]
        return lambda: vectors


def load_features(names: Sequence[str], options: EncoderOptions) -> FeatureEncoder:
    """Build the encoder of one feature set, or of several combined.

    Raises:
        InputError: an option does not apply to these feature sets.
    """
    if len(names) == 1:
        return _BUILDERS[names[0]](options)
    default_pooling = dataclasses.replace(options, pooling=None)
    encoder = CombinedEncoder([_BUILDERS[name](default_pooling) for name in names])
    if options.pooling not in (None, encoder.spec.pooling):
        raise InputError(
            f"{encoder.spec.model} pools each of its feature sets in its default way; "
            f"pooling {options.pooling!r} does not apply to it"
        )
    return encoder


def build_mfcc(options: EncoderOptions) -> FeatureEncoder:
    """Build the `mfcc` encoder: 20 MFCC, their first and second differences, 64 log-mel bands (124 numbers a frame).

    Raises:
        InputError: an option does not apply.
    """
    width = 3 * MFCC["num_mfcc"] + MFCC["num_mels"]
    digest = digest_of(json.dumps(MFCC).encode())
    return FeatureEncoder(_make_spec("mfcc", digest, width, options.pooling or "mean+std", options), compute_mfcc)


def compute_mfcc(waveform: np.ndarray) -> np.ndarray:
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
    # "nearest" repeats the first and the last frame, so that clips shorter than the delta window have deltas too.
    deltas = [
        librosa.feature.delta(cepstra, width=MFCC["delta_width"], order=order, mode="nearest") for order in (1, 2)
    ]
    return np.concatenate([cepstra, *deltas, log_mel]).T.astype(np.float32)


def build_egemaps(options: EncoderOptions) -> FeatureEncoder:
    """Build the `egemaps` encoder: the 88 functionals of eGeMAPSv02 (Eyben et al. 2016), computed by openSMILE.

    Raises:
        InputError: opensmile is not installed, or an option does not apply, such as a pooling other than "mean".
    """
    _load_smile_library()
    import opensmile

    if options.pooling not in (None, "mean"):
        raise InputError(f"egemaps gives one vector per clip; pooling {options.pooling!r} does not apply to it")
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    digest = digest_of(f"eGeMAPSv02 functionals, opensmile {importlib.metadata.version('opensmile')}".encode())

    def compute_functionals(waveform: np.ndarray) -> np.ndarray:
        return smile.process_signal(waveform, RATE_HZ).to_numpy(np.float32)  # (1, 88)

    return FeatureEncoder(_make_spec("egemaps", digest, smile.num_features, "mean", options), compute_functionals)


_BUILDERS = {"mfcc": build_mfcc, "egemaps": build_egemaps}


def _load_smile_library() -> None:
    """Load openSMILE's native library so that it uses its own C++ symbols.

    When TensorFlow is loaded first, as in a notebook that trains before it extracts, the library binds to TensorFlow's
    symbols and aborts the process. A library that is loaded already is not loaded again, so the opensmile package uses
    the one loaded here.

    Raises:
        InputError: opensmile is not installed.
    """
    package = importlib.util.find_spec("opensmile")
    if package is None or package.origin is None:
        raise InputError("egemaps needs openSMILE; install it with: pip install 'twostage-ser[egemaps]'")
    if hasattr(os, "RTLD_DEEPBIND"):  # Linux
        for library in Path(package.origin).parent.rglob("libSMILEapi.so"):
            ctypes.CDLL(str(library), mode=os.RTLD_NOW | os.RTLD_LOCAL | os.RTLD_DEEPBIND)


def _make_spec(name: str, digest: str, width: int, pooling: str, options: EncoderOptions) -> EmbeddingSpec:
    """Describe the vectors of a feature set of `width` numbers a frame; refuse options that do not apply to it."""
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
        trim_db=options.preprocessing.trim_db,
        level_db=options.preprocessing.level_db,
        arithmetic="float32",
    )
