"""Transformer encoders, compared with transformers, and with themselves in other batches."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from ser_embed.encoders.base import EncoderOptions
from ser_embed.encoders.kernels.positional_conv import PaddedConv
from ser_embed.encoders.kernels.ragged import SIMILAR_LENGTH, group_clips
from ser_embed.encoders.registry import load_encoder
from tests.ser_embed.conftest import FAMILIES, SHAPES, tone

EVERY_MODEL = [f"{family}-{shape}" for family, shape in product(FAMILIES, SHAPES)]
FLOAT32 = EncoderOptions(dtype="float32")

pytestmark = pytest.mark.usefixtures("one_thread")


def transformers_layers(model: Path, waveform: np.ndarray, normalize: bool) -> list[np.ndarray]:
    """Return every layer's mean as transformers computes it: layers 0..L from hooks, then `last_hidden_state`."""
    network = transformers.AutoModel.from_pretrained(model).eval()
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=normalize)
    values = extractor(waveform, sampling_rate=16_000, return_tensors="pt").input_values
    states = []
    network.encoder.layers[0].register_forward_pre_hook(lambda _, inputs: states.append(inputs[0]))
    for block in network.encoder.layers:
        block.register_forward_hook(lambda _, __, out: states.append(out[0] if isinstance(out, tuple) else out))
    with torch.inference_mode():
        states.append(network(values).last_hidden_state)
    return [frames[0].mean(dim=0).numpy() for frames in states]


@pytest.mark.parametrize("name", EVERY_MODEL)
@pytest.mark.parametrize("num_samples", [400, 719, 8_123, 40_000])
def test_layers_equal_those_of_transformers(models: dict[str, Path], name: str, num_samples: int) -> None:
    encoder = load_encoder(str(models[name]), EncoderOptions(layers="all", dtype="float32"))
    waveform = tone(num_samples)
    (vectors,) = encoder.encode([waveform])()
    expected = transformers_layers(models[name], waveform, encoder.spec.normalization != "none")
    stable = name.endswith("large")
    assert encoder.spec.layers == (("0", "1", "2", "3", "final") if stable else ("0", "1", "2", "3"))
    np.testing.assert_allclose(vectors, expected if stable else expected[:-1], atol=1e-5)
    np.testing.assert_allclose(vectors[-1], expected[-1], atol=1e-5)  # the model's last_hidden_state either way


@pytest.mark.parametrize("name", EVERY_MODEL)
def test_a_vector_does_not_depend_on_its_batch(models: dict[str, Path], name: str) -> None:
    encoder = load_encoder(str(models[name]), FLOAT32)
    rng = np.random.default_rng(0)
    clips = [tone(int(length), seed) for seed, length in enumerate(rng.integers(8_000, 60_000, 12))]
    single = [encoder.encode([clip])()[0] for clip in clips]
    for order in (np.arange(12), rng.permutation(12)):
        for size in (5, 12):
            for start in range(0, 12, size):
                batch = order[start : start + size]
                for position, vector in zip(batch, encoder.encode([clips[i] for i in batch])(), strict=True):
                    difference = np.linalg.norm(vector - single[position], axis=-1)
                    assert (difference <= 1e-5 * np.linalg.norm(single[position], axis=-1)).all()


def test_bfloat16_stays_close_to_float32(models: dict[str, Path]) -> None:
    clips = [tone(20_000, seed) for seed in range(3)]
    float32, bfloat16 = (
        np.stack(load_encoder(str(models["hubert-large"]), EncoderOptions(dtype=dtype)).encode(clips)())
        for dtype in ("float32", "bfloat16")
    )
    cosine = (float32 * bfloat16).sum(-1) / np.linalg.norm(float32, axis=-1) / np.linalg.norm(bfloat16, axis=-1)
    assert cosine.min() > 0.999


@pytest.mark.parametrize("name", EVERY_MODEL)
def test_padded_groups_give_the_vectors_of_single_clips(models: dict[str, Path], name: str) -> None:
    """Run the path of an accelerator on the processor: clips of like length, padded and masked."""
    clips = [tone(length, length) for length in (30_000, 24_000, 30_000, 9_000, 400, 8_000)]
    encoder = load_encoder(str(models[name]), EncoderOptions(pooling="mean+std", dtype="float32"))
    expected = [encoder.encode([clip])()[0] for clip in clips]
    encoder._min_length_ratio = SIMILAR_LENGTH
    encoder._positions._convolve = PaddedConv(
        transformers.AutoModel.from_pretrained(models[name]).encoder.pos_conv_embed.conv
    )
    counts = [encoder._front_end.num_frames(len(clip)) for clip in clips]
    assert any(group.valid is not None for group in group_clips(counts, SIMILAR_LENGTH, "cpu"))
    np.testing.assert_allclose(encoder.encode(clips)(), expected, atol=1e-5)


def test_selected_layers_equal_those_of_all(models: dict[str, Path]) -> None:
    clip = tone(9_000)
    (all_layers,) = load_encoder(str(models["wavlm-large"]), FLOAT32).encode([clip])()
    two_layers = load_encoder(str(models["wavlm-large"]), EncoderOptions(layers="2,0", dtype="float32"))
    assert two_layers.spec.layers == ("0", "2")
    np.testing.assert_array_equal(two_layers.encode([clip])()[0], all_layers[[0, 2]])
    last = load_encoder(str(models["hubert-base"]), EncoderOptions(layers="last", dtype="float32"))
    assert last.spec.layers == ("3",)
    final = load_encoder(str(models["hubert-base"]), EncoderOptions(layers="final", dtype="float32"))
    np.testing.assert_array_equal(final.encode([clip])()[0], last.encode([clip])()[0])


def test_poolings_are_statistics_of_the_frames(models: dict[str, Path]) -> None:
    clips = [tone(9_000), tone(5_000, 1)]
    model = str(models["hubert-base"])
    frames = load_encoder(model, EncoderOptions(pooling="frames", dtype="float32")).encode(clips)()
    mean_std = load_encoder(model, EncoderOptions(pooling="mean+std", dtype="float32")).encode(clips)()
    for clip, pooled in zip(frames, mean_std, strict=True):
        expected = np.concatenate([clip.mean(axis=0), clip.std(axis=0)], axis=-1)
        np.testing.assert_allclose(pooled, expected, atol=1e-5)
