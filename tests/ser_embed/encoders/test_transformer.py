"""Encoders against transformers itself, and against themselves in other batches."""

import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from ser_embed.encoders.base import EncoderOptions, choose_layers
from ser_embed.encoders.device import AMX_BATCH_S, CPU_BATCH_S
from ser_embed.encoders.kernels.conv_frontend import ConvFrontend
from ser_embed.encoders.kernels.positional_conv import FourierConv, PaddedConv, keep_exact
from ser_embed.encoders.kernels.ragged import EQUAL_LENGTH, SIMILAR_LENGTH, group_clips
from ser_embed.encoders.registry import load_encoder
from ser_embed.errors import InputError
from tests.ser_embed.conftest import FAMILIES, SHAPES, tone

EVERY = [f"{family}-{shape}" for family, shape in product(FAMILIES, SHAPES)]
FLOAT32 = EncoderOptions(dtype="float32")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # tiny tensors gain nothing from more
    yield
    torch.set_num_threads(before)


def alone(model: Path, waveform: np.ndarray, normalize: bool) -> list[np.ndarray]:
    """Every layer's mean as transformers computes it: blocks 0..L from hooks, then `last_hidden_state`."""
    network = transformers.AutoModel.from_pretrained(model).eval()
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=normalize)
    values = extractor(waveform, sampling_rate=16_000, return_tensors="pt").input_values
    seen = []
    network.encoder.layers[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for block in network.encoder.layers:
        block.register_forward_hook(lambda _, __, out: seen.append(out[0] if isinstance(out, tuple) else out))
    with torch.inference_mode():
        seen.append(network(values).last_hidden_state)
    return [frames[0].mean(dim=0).numpy() for frames in seen]


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("num_samples", [400, 719, 8_123, 40_000])
def test_layers_equal_transformers_own(models: dict[str, Path], name: str, num_samples: int) -> None:
    encoder = load_encoder(str(models[name]), EncoderOptions(layers="all", dtype="float32"))
    waveform = tone(num_samples)
    (vectors,) = encoder.encode([waveform])()
    expected = alone(models[name], waveform, encoder.spec.normalization != "none")
    stable = name.endswith("large")
    assert encoder.spec.layers == (("0", "1", "2", "3", "final") if stable else ("0", "1", "2", "3"))
    np.testing.assert_allclose(vectors, expected if stable else expected[:-1], atol=1e-5)
    np.testing.assert_allclose(vectors[-1], expected[-1], atol=1e-5)  # the model's last_hidden_state either way


@pytest.mark.parametrize("name", EVERY)
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


@pytest.mark.parametrize("name", ["hubert-base", "hubert-large"])
@pytest.mark.parametrize("tile_frames", [1, 7, 10_000])
def test_the_front_end_equals_transformers_whatever_its_tiles(
    models: dict[str, Path], name: str, tile_frames: int
) -> None:
    extractor = transformers.AutoModel.from_pretrained(models[name]).eval().feature_extractor
    waveform = torch.from_numpy(tone(12_345)) + 0.1  # an offset that group norm has to take out
    with torch.inference_mode():
        expected = extractor(waveform[None])[0].T
        frames = ConvFrontend(extractor, tile_frames)(waveform)
    torch.testing.assert_close(frames, expected, rtol=1e-5, atol=1e-5)


def test_bfloat16_stays_close_to_float32(models: dict[str, Path]) -> None:
    clips = [tone(20_000, seed) for seed in range(3)]
    exact, rough = (
        np.stack(load_encoder(str(models["hubert-large"]), EncoderOptions(dtype=dtype)).encode(clips)())
        for dtype in ("float32", "bfloat16")
    )
    cosine = (exact * rough).sum(-1) / np.linalg.norm(exact, axis=-1) / np.linalg.norm(rough, axis=-1)
    assert cosine.min() > 0.999


@pytest.mark.parametrize("channels", [1, 2, 8, 12, 16, 20, 64])
def test_positions_are_right_in_bfloat16_whatever_the_groups(channels: int) -> None:
    torch.manual_seed(0)
    conv = torch.nn.Conv1d(4 * channels, 4 * channels, 16, padding=8, groups=4)
    frames = torch.randn(2, 4 * channels, 99)
    with torch.inference_mode():
        exact = conv(frames)
        keep_exact(conv.bfloat16())
        rough = conv(frames.bfloat16())
    assert rough.dtype == torch.bfloat16
    assert torch.cosine_similarity(exact.flatten(), rough.float().flatten(), dim=0) > 0.9999


@pytest.mark.parametrize("frames", [1, 2, 16, 17, 31, 32, 33, 250])
@pytest.mark.parametrize(("kernel", "bias"), [(16, True), (15, False), (1, True)])
def test_the_fourier_convolution_is_the_convolution(frames: int, kernel: int, bias: bool) -> None:
    torch.manual_seed(0)
    conv = torch.nn.Conv1d(12, 12, kernel, padding=kernel // 2, groups=3, bias=bias).requires_grad_(False)
    clips = [torch.randn(frames, 12), torch.randn(9, 12)]
    given, counts = torch.cat(clips), [frames, 9]
    groups = group_clips(counts, EQUAL_LENGTH, "cpu")

    def plain(rows: torch.Tensor) -> torch.Tensor:
        return torch.cat([conv(clip.T[None])[0, :, : len(clip)].T for clip in rows.split(counts)])

    torch.testing.assert_close(FourierConv(conv)(given, groups), plain(given), rtol=0, atol=2e-6)
    rough = FourierConv(conv)(given.bfloat16(), groups)
    assert rough.dtype == torch.bfloat16
    torch.testing.assert_close(rough.float(), plain(given.bfloat16().float()), rtol=8e-3, atol=2e-6)
    padded = group_clips(counts, 0.0, "cpu")  # as an accelerator has them
    torch.testing.assert_close(PaddedConv(conv)(given, padded), plain(given), rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", EVERY)
def test_padded_groups_give_the_vectors_of_clips_alone(models: dict[str, Path], name: str) -> None:
    """What an accelerator runs, on the processor: clips of like length, padded and masked."""
    clips = [tone(length, length) for length in (30_000, 24_000, 30_000, 9_000, 400, 8_000)]
    encoder = load_encoder(str(models[name]), EncoderOptions(pooling="mean+std", dtype="float32"))
    wanted = [encoder.encode([clip])()[0] for clip in clips]
    encoder._min_length_ratio = SIMILAR_LENGTH
    encoder._positions._convolve = PaddedConv(
        transformers.AutoModel.from_pretrained(models[name]).encoder.pos_conv_embed.conv
    )
    counts = [encoder._front_end.num_frames(len(clip)) for clip in clips]
    assert any(group.valid is not None for group in group_clips(counts, SIMILAR_LENGTH, "cpu"))
    np.testing.assert_allclose(encoder.encode(clips)(), wanted, atol=1e-5)


def test_fewer_layers_are_the_same_layers(models: dict[str, Path]) -> None:
    clip = tone(9_000)
    (every,) = load_encoder(str(models["wavlm-large"]), FLOAT32).encode([clip])()
    some = load_encoder(str(models["wavlm-large"]), EncoderOptions(layers="2,0", dtype="float32"))
    assert some.spec.layers == ("0", "2")
    np.testing.assert_array_equal(some.encode([clip])()[0], every[[0, 2]])
    last = load_encoder(str(models["hubert-base"]), EncoderOptions(layers="last", dtype="float32"))
    assert last.spec.layers == ("3",)
    named = load_encoder(str(models["hubert-base"]), EncoderOptions(layers="final", dtype="float32"))
    np.testing.assert_array_equal(named.encode([clip])()[0], last.encode([clip])()[0])


def test_poolings_agree_with_the_frames(models: dict[str, Path]) -> None:
    clips = [tone(9_000), tone(5_000, 1)]
    model = str(models["hubert-base"])
    frames = load_encoder(model, EncoderOptions(pooling="frames", dtype="float32")).encode(clips)()
    both = load_encoder(model, EncoderOptions(pooling="mean+std", dtype="float32")).encode(clips)()
    for clip, pooled in zip(frames, both, strict=True):
        expected = np.concatenate([clip.mean(axis=0), clip.std(axis=0)], axis=-1)
        np.testing.assert_allclose(pooled, expected, atol=1e-5)


def test_the_digest_is_the_weights_not_the_folder(models: dict[str, Path], tmp_path: Path) -> None:
    first = load_encoder(str(models["hubert-base"]), FLOAT32).spec
    network = transformers.AutoModel.from_pretrained(models["hubert-base"])
    network.save_pretrained(tmp_path / "copy", max_shard_size="20KB")
    assert load_encoder(str(tmp_path / "copy"), FLOAT32).spec.differences(first) == {}
    with torch.no_grad():
        network.encoder.layers[0].layer_norm.bias[0] += 1e-3
    network.save_pretrained(tmp_path / "other")
    assert "digest" in load_encoder(str(tmp_path / "other"), FLOAT32).spec.differences(first)


def test_the_preprocessor_of_a_folder_is_obeyed(models: dict[str, Path], tmp_path: Path) -> None:
    network = transformers.AutoModel.from_pretrained(models["hubert-large"])
    network.save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(tmp_path)
    assert load_encoder(str(tmp_path), FLOAT32).spec.normalization == "none"
    (tmp_path / "preprocessor_config.json").write_text("{}")
    with pytest.raises(InputError, match="do_normalize"):
        load_encoder(str(tmp_path), FLOAT32)


def test_a_model_that_cannot_be_had_is_one_line(models: dict[str, Path], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("ser_embed.encoders.huggingface._hub_is_reachable", lambda source: False)
    with pytest.raises(InputError, match="unknown model 'hubert-huge'; expected one of hubert-mini, hubert-base"):
        load_encoder("hubert-huge")
    with pytest.raises(InputError, match="not in the local cache and the Hub cannot be reached"):
        load_encoder("nobody/nothing-of-this-name")
    with pytest.raises(InputError, match="no usable model in"):
        load_encoder(str(tmp_path))
    transformers.BertConfig().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="families hubert, wav2vec2, wavlm, but .* is bert"):
        load_encoder(str(tmp_path))
    transformers.AutoConfig.from_pretrained(models["hubert-base"]).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="no usable model in"):
        load_encoder(str(tmp_path))
    (tmp_path / "file.bin").write_bytes(b"")
    with pytest.raises(InputError, match="is a file"):
        load_encoder(str(tmp_path / "file.bin"))


def test_weights_that_are_incomplete_are_refused(models: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(models["hubert-base"] / "model.safetensors")
    weights.pop("encoder.layers.1.attention.k_proj.weight")
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_bytes((models["hubert-base"] / "config.json").read_bytes())
    with pytest.raises(InputError, match="incomplete: 1 missing, first encoder.layers.1.attention.k_proj.weight"):
        load_encoder(str(tmp_path))


def test_options_that_do_not_fit_are_refused(models: dict[str, Path]) -> None:
    model = str(models["hubert-base"])
    with pytest.raises(InputError, match="among 0, 1, 2, 3, not '9'"):
        load_encoder(model, EncoderOptions(layers="0,9"))
    with pytest.raises(InputError, match="pooling has to be one of"):
        EncoderOptions(pooling="max")
    with pytest.raises(InputError, match="dtype has to be one of"):
        EncoderOptions(dtype="int8")
    with pytest.raises(InputError, match="device has to be"):
        load_encoder(model, EncoderOptions(device="tpu"))
    with pytest.raises(InputError, match="not on this machine"):
        load_encoder(model, EncoderOptions(device="cuda:99"))
    with pytest.raises(InputError, match="mfcc runs on the cpu"):
        load_encoder("mfcc", EncoderOptions(device="cuda"))
    with pytest.raises(InputError, match="does not apply"):
        load_encoder("egemaps", EncoderOptions(pooling="frames"))


def test_layers_are_chosen_in_the_models_order() -> None:
    assert choose_layers("6, 0,6", ["0", "6", "final"], "final") == ("0", "6")
    assert choose_layers("last", ["0", "6", "final"], "final") == ("final",)


def test_mfcc_takes_the_shortest_clip_and_no_padding() -> None:
    encoder = load_encoder("mfcc", EncoderOptions(pooling="frames"))
    short, longer = encoder.encode([tone(400), tone(400 + 160 * 12)])()
    assert short.shape == (1, 1, 124)
    assert longer.shape == (13, 1, 124)
    np.testing.assert_allclose(longer[0, 0, 60:], short[0, 0, 60:], rtol=1e-4)  # log-mel of the same 25 ms
    pooled = load_encoder("mfcc").encode([tone(5_000)])()[0]
    assert pooled.shape == (1, 248)


def test_egemaps_gives_its_88_functionals() -> None:
    pytest.importorskip("opensmile")
    (vector,) = load_encoder("egemaps").encode([tone(16_000)])()
    assert vector.shape == (1, 88)
    assert np.isfinite(vector).all()


def test_combined_feature_sets_are_their_vectors_side_by_side() -> None:
    pytest.importorskip("opensmile")
    clips = [tone(9_000), tone(16_000, 1)]
    encoder = load_encoder("mfcc+egemaps")
    each = [load_encoder(name).encode(clips)() for name in ("mfcc", "egemaps")]
    expected = [np.concatenate(pair, axis=1) for pair in zip(*each, strict=True)]
    np.testing.assert_array_equal(encoder.encode(clips)(), expected)
    spec = encoder.spec
    assert (spec.model, spec.layers, spec.width) == ("mfcc+egemaps", ("features",), 248 + 88)
    assert "digest" in spec.differences(load_encoder("egemaps+mfcc").spec)
    assert load_encoder("mfcc+egemaps", EncoderOptions.of(spec)).spec == spec  # a run finds it again
    with pytest.raises(InputError, match="pooling 'mean' does not apply"):
        load_encoder("mfcc+egemaps", EncoderOptions(pooling="mean"))
    with pytest.raises(InputError, match="unknown model 'mfcc[+]mfcc'"):
        load_encoder("mfcc+mfcc")


def test_egemaps_works_where_tensorflow_was_loaded_before() -> None:
    pytest.importorskip("opensmile")
    code = (
        "import tensorflow, numpy as np; from ser_embed.encoders.registry import load_encoder;"
        "wave = np.sin(np.arange(16_000) / 20).astype('f');"
        "print(load_encoder('egemaps').encode([wave])()[0].shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "(1, 88)\n", done.stderr[-500:]


@pytest.mark.parametrize(
    ("amx", "dtype", "seconds"),
    [
        (True, "bfloat16", AMX_BATCH_S),
        (True, "float32", CPU_BATCH_S),
        (False, "bfloat16", CPU_BATCH_S),
        (True, "auto", AMX_BATCH_S),
        (False, "auto", CPU_BATCH_S),
    ],
)
def test_amx_is_given_larger_batches(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch, amx: bool, dtype: str, seconds: float
) -> None:
    monkeypatch.setattr("ser_embed.encoders.device.has_amx", lambda: amx)
    encoder = load_encoder(str(models["hubert-large"]), EncoderOptions(device="cpu", dtype=dtype))
    assert encoder.batch_seconds == seconds
