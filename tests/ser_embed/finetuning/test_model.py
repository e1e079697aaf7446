"""Model of a fine-tuning: the same logits from cached frames, from the whole model, after saving, in any batch."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from ser_embed.encoders.base import EncoderOptions
from ser_embed.encoders.registry import load_encoder
from ser_embed.errors import InputError
from ser_embed.finetuning.model import TunedClassifier, build_classifier, load_classifier, save_classifier
from ser_embed.finetuning.unfreeze import Unfreeze
from tests.ser_embed.conftest import FAMILIES, SHAPES, tone

LABELS = ("angry", "happy", "sad")
# Every choice for one model of each norm, and two for those of the other families.
CHOICES = [
    *((family, shape, unfreeze) for family in FAMILIES for shape in SHAPES for unfreeze in ("last:2", "all")),
    *(("hubert", shape, unfreeze) for shape in SHAPES for unfreeze in ("head", "lora:2")),
]
NO_AUTOCAST = torch.autocast("cpu", enabled=False)


def frames_of(folder: Path, layer: str, clips: list[np.ndarray]) -> list[np.ndarray]:
    """Return the frames of a layer as a store in half precision holds them, float32 (frames, width) per clip."""
    encoder = load_encoder(str(folder), EncoderOptions(layers=layer, pooling="frames", dtype="float32"))
    return [frames[:, 0].astype(np.float16).astype(np.float32) for frames in encoder.encode(clips)()]


def padded(clips: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return frames padded with zeros, (clips, frames, width), and which of them are frames, bool (clips, frames)."""
    lengths = np.array([len(clip) for clip in clips])
    frames = np.zeros((len(clips), lengths.max(), clips[0].shape[1]), np.float32)
    for row, clip in zip(frames, clips, strict=True):
        row[: len(clip)] = clip
    return torch.from_numpy(frames), torch.from_numpy(np.arange(lengths.max()) < lengths[:, np.newaxis])


def disturbed(model: TunedClassifier) -> TunedClassifier:
    """Change every weight that would be trained, as a training does, adapters included."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for group in model.parameter_groups():
            for parameter in group.values():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def whole(network: torch.nn.Module, waveform: np.ndarray, normalize: bool) -> torch.Tensor:
    """Return the logits of a stock transformers model for one clip, (classes,)."""
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=normalize)
    values = extractor(waveform, sampling_rate=16_000, return_tensors="pt").input_values
    with torch.no_grad():
        return network.eval()(values).logits[0]


@pytest.mark.parametrize(("family", "shape", "unfreeze"), CHOICES)
def test_cached_frames_saved_folder_and_stock_transformers_agree(family, shape, unfreeze, models, tmp_path):
    source = models[f"{family}-{shape}"]
    model, normalize = build_classifier(str(source), LABELS, Unfreeze.parse(unfreeze), 0.1, seed=0)
    disturbed(model)
    clips = [tone(length, seed) for seed, length in enumerate((4_000, 9_000, 16_000, 23_456))]
    frames, valid = padded(frames_of(source, model.layer, clips))
    batched = model.logits_by_clip(frames, valid, NO_AUTOCAST)
    alone = torch.cat(
        [
            model.logits_by_clip(row[: int(mask.sum())][None], mask[: int(mask.sum())][None], NO_AUTOCAST)
            for row, mask in zip(frames, valid, strict=True)
        ]
    )
    assert float((batched - alone).abs().max()) < 1e-5

    save_classifier(model, normalize, tmp_path)
    stock, info = transformers.AutoModelForAudioClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert [stock.config.id2label[index] for index in range(3)] == list(LABELS)
    logits = torch.stack([whole(stock, clip, normalize) for clip in clips])
    assert float((batched - logits).abs().max()) < 1e-3
    assert float(logits.std(dim=0).min()) > 1e-3  # or else nothing would have been compared

    loaded = load_classifier(tmp_path, model.layer)
    assert loaded.labels == LABELS
    assert float((loaded.logits_by_clip(frames, valid, NO_AUTOCAST) - batched).abs().max()) < 1e-5


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("family", FAMILIES)
def test_frames_in_full_precision_give_the_logits_of_transformers_to_1e_4(family, shape, models):
    source = models[f"{family}-{shape}"]
    model, normalize = build_classifier(str(source), LABELS, Unfreeze.parse("last:2"), 0.0, seed=0)
    clip = tone(16_000)
    encoder = load_encoder(str(source), EncoderOptions(layers=model.layer, pooling="frames", dtype="float32"))
    frames = torch.from_numpy(encoder.encode([clip])()[0][:, 0])[None]
    logits = model.logits_by_clip(frames, torch.ones(frames.shape[:2], dtype=torch.bool), NO_AUTOCAST)[0]
    assert float((logits - whole(model.network, clip, normalize)).abs().max()) < 1e-4


@pytest.mark.parametrize(
    ("unfreeze", "trained"),
    [
        ("head", {"projector", "classifier"}),
        ("last:1", {"projector", "classifier", "encoder.layers.2"}),
        ("last:3", {"projector", "classifier", "encoder.layers.0", "encoder.layers.1", "encoder.layers.2"}),
    ],
)
def test_only_what_is_asked_for_is_trained(unfreeze, trained, models):
    model, _ = build_classifier(str(models["hubert-base"]), LABELS, Unfreeze.parse(unfreeze), 0.1, seed=0)
    names = [name.removeprefix("network.") for group in model.parameter_groups() for name in group]
    parts = {name.split(".")[0] if not name.startswith("hubert.") else ".".join(name.split(".")[1:4]) for name in names}
    assert parts == trained


def test_all_trains_everything_but_the_convolutions(models):
    model, _ = build_classifier(str(models["wavlm-large"]), LABELS, Unfreeze.parse("all"), 0.1, seed=0)
    frozen = {name for name, parameter in model.base.named_parameters() if not parameter.requires_grad}
    assert {name.split(".")[0] for name in frozen} <= {"feature_extractor", "masked_spec_embed"}


def test_long_clips_are_scored_few_at_a_time(models, monkeypatch):
    monkeypatch.setattr("ser_embed.finetuning.model._FRAMES_AT_ONCE", 60)
    model, _ = build_classifier(str(models["hubert-base"]), LABELS, Unfreeze.parse("last:1"), 0.0, 0)
    random, shapes = np.random.default_rng(0), []
    frames, valid = padded([random.normal(size=(count, 32)).astype(np.float32) for count in (5, 100, 20, 20, 7, 20)])
    alone = torch.cat(
        [model.logits_by_clip(*row, NO_AUTOCAST) for row in zip(frames[:, None], valid[:, None], strict=True)]
    )
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda *inputs: shapes.append(inputs[0].shape[:2]) or forward(*inputs))
    assert torch.allclose(model.logits_by_clip(frames, valid, NO_AUTOCAST), alone, atol=1e-5)
    assert [tuple(shape) for shape in shapes] == [(1, 100), (3, 20), (2, 7)]


def test_merged_adapters_leave_a_plain_model(models, tmp_path):
    model, normalize = build_classifier(str(models["hubert-base"]), LABELS, Unfreeze.parse("lora:2"), 0.1, seed=0)
    save_classifier(disturbed(model), normalize, tmp_path)
    plain = {f"hubert.{name}" for name in transformers.HubertModel.from_pretrained(models["hubert-base"]).state_dict()}
    saved = transformers.AutoModelForAudioClassification.from_pretrained(tmp_path).state_dict()
    assert set(saved) - {"projector.weight", "projector.bias", "classifier.weight", "classifier.bias"} == plain


def test_the_seed_decides_the_classifier(models):
    first, again, other = (
        build_classifier(str(models["hubert-base"]), LABELS, Unfreeze.parse("head"), 0.1, seed)[0].network.classifier
        for seed in (0, 0, 1)
    )
    assert torch.equal(first.weight, again.weight)
    assert not torch.equal(first.weight, other.weight)


@pytest.mark.parametrize("text", ["", "last", "last:0", "last:-1", "last:x", "lora:", "all:1", "head:2", "top"])
def test_a_choice_that_is_none_is_one_line(text):
    with pytest.raises(InputError, match="--unfreeze has to be head, last:N, lora:R or all, not"):
        Unfreeze.parse(text)


def test_more_blocks_than_there_are(models):
    with pytest.raises(InputError, match="last:4 needs 4 blocks, but the encoder has 3"):
        build_classifier(str(models["hubert-base"]), LABELS, Unfreeze.parse("last:4"), 0.1, seed=0)
