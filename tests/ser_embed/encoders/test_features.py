"""Classical feature sets as encoders, alone and combined."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from ser_embed.encoders.base import EncoderOptions
from ser_embed.encoders.registry import load_encoder
from ser_embed.errors import InputError
from tests.ser_embed.conftest import tone

# Not pytest.importorskip: imported before the encoder loads its library, openSMILE would bind to TensorFlow's symbols.
needs_opensmile = pytest.mark.skipif(importlib.util.find_spec("opensmile") is None, reason="openSMILE is not installed")


@needs_opensmile
def test_mfcc_takes_the_shortest_clip_and_no_padding() -> None:
    encoder = load_encoder("mfcc", EncoderOptions(pooling="frames"))
    short, long = encoder.encode([tone(400), tone(400 + 160 * 12)])()
    assert short.shape == (1, 1, 124)
    assert long.shape == (13, 1, 124)
    np.testing.assert_allclose(long[0, 0, 60:], short[0, 0, 60:], rtol=1e-4)  # log-mel of the same 25 ms
    pooled = load_encoder("mfcc").encode([tone(5_000)])()[0]
    assert pooled.shape == (1, 248)


def test_feature_sets_use_one_thread() -> None:
    assert load_encoder("mfcc").threads == 1


def test_egemaps_gives_its_88_functionals() -> None:
    (vector,) = load_encoder("egemaps").encode([tone(16_000)])()
    assert vector.shape == (1, 88)
    assert np.isfinite(vector).all()


@needs_opensmile
def test_combined_feature_sets_are_their_vectors_side_by_side() -> None:
    clips = [tone(9_000), tone(16_000, 1)]
    encoder = load_encoder("mfcc+egemaps")
    vectors_by_set = [load_encoder(name).encode(clips)() for name in ("mfcc", "egemaps")]
    expected = [np.concatenate(clip_vectors, axis=1) for clip_vectors in zip(*vectors_by_set, strict=True)]
    np.testing.assert_array_equal(encoder.encode(clips)(), expected)
    spec = encoder.spec
    assert (spec.model, spec.layers, spec.width) == ("mfcc+egemaps", ("features",), 248 + 88)
    assert "digest" in spec.differences(load_encoder("egemaps+mfcc").spec)
    assert load_encoder("mfcc+egemaps", EncoderOptions.of(spec)).spec == spec  # as a run loads its encoder
    with pytest.raises(InputError, match="pooling 'mean' does not apply"):
        load_encoder("mfcc+egemaps", EncoderOptions(pooling="mean"))
    with pytest.raises(InputError, match="unknown model 'mfcc[+]mfcc'"):
        load_encoder("mfcc+mfcc")


@needs_opensmile
def test_egemaps_works_after_tensorflow_was_loaded() -> None:
    code = (
        "import tensorflow, numpy as np; from ser_embed.encoders.registry import load_encoder;"
        "wave = np.sin(np.arange(16_000) / 20).astype('f');"
        "print(load_encoder('egemaps').encode([wave])()[0].shape)"
    )
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert completed.stdout == "(1, 88)\n", completed.stderr[-500:]
