"""Tests of the model and its training step: loss, masks, functionals, speakers, learning rates."""

import copy

import numpy as np
import pytest
import torch
import transformers

from ser_embed.encoders.kernels.positional_conv import keep_exact
from ser_embed.pretraining.batches import Batch
from ser_embed.pretraining.distributed import DeviceConfig
from ser_embed.pretraining.fast_conv import speed_up
from ser_embed.pretraining.features.frames import num_samples
from ser_embed.pretraining.model import FUNCTIONALS_WEIGHT, MaskedPrediction, StepOutput
from ser_embed.pretraining.targets import loss_weights, parse_targets
from ser_embed.pretraining.trainer import Schedule, _train_step, make_optimizer
from tests.ser_embed.pretraining.conftest import NO_DROPOUT, TINY

CLUSTERS = (7, 5)
FUNCTIONALS = 6
SCHEDULE = Schedule(10, 2, 1e-3, 1e-3, 5, 5)


def make_network() -> transformers.HubertModel:
    torch.manual_seed(0)
    return transformers.HubertModel(transformers.HubertConfig(**TINY, **NO_DROPOUT))


def make_model(speakers: int | None = None, functionals: int | None = None) -> MaskedPrediction:
    """Make a model; its functionals head, if it has one, has random weights instead of zeros."""
    torch.manual_seed(1)
    model = MaskedPrediction(make_network(), CLUSTERS, speakers, functionals=functionals)
    if model.readout is not None:
        for parameter in model.readout.maps.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def make_batch(crops: int = 5, frames: int = 20, seed: int = 0, num_unmasked: int = 0) -> Batch:
    """Make a random batch, whose first `num_unmasked` crops are unmasked."""
    rng = np.random.default_rng(seed)
    unmasked = np.arange(crops) < num_unmasked
    return Batch(
        rng.standard_normal((crops, num_samples(frames))).astype(np.float32),
        (rng.random((crops, frames)) < 0.5) & ~unmasked[:, np.newaxis],
        np.stack([rng.integers(0, count, (crops, frames)) for count in CLUSTERS]),
        rng.integers(0, 4, crops),
        unmasked,
        (5 + 3 * rng.standard_normal((crops, FUNCTIONALS))).astype(np.float32),
    )


def cpu(part_seconds: float = 100.0) -> DeviceConfig:
    return DeviceConfig("cpu", torch.float32, part_seconds, workers=1)


@pytest.mark.parametrize("speakers", [None, 3])
def test_the_loss_equals_numpy(speakers: int | None) -> None:
    model, batch = make_model(speakers), make_batch()
    if model.speakers is not None:
        torch.nn.init.normal_(model.speakers.table.weight)
    with torch.no_grad():
        output = model(batch)
        frames = model.network(
            torch.from_numpy(batch.waveforms), mask_time_indices=torch.from_numpy(batch.mask)
        ).last_hidden_state.numpy()
    weights = {name: tensor.numpy().astype(np.float64) for name, tensor in model.state_dict().items()}
    if speakers:
        vectors = weights["speakers.table.weight"] @ weights["speakers.linear.weight"].T
        frames = frames + vectors[batch.speakers][:, np.newaxis]
    for index in range(len(CLUSTERS)):
        loss, correct = 0.0, 0
        for crop, frame in zip(*np.nonzero(batch.mask), strict=True):
            head = f"heads.{index}"
            code = weights[f"{head}.projection.weight"] @ frames[crop, frame] + weights[f"{head}.projection.bias"]
            label_vectors = weights[f"{head}.vectors"]
            cosines = label_vectors @ code / np.linalg.norm(label_vectors, axis=1) / np.linalg.norm(code)
            logits, label = cosines / 0.1, batch.labels[index, crop, frame]
            loss -= logits[label] - np.log(np.exp(logits).sum())
            correct += logits.argmax() == label
        assert float(output.loss[index]) == pytest.approx(loss, rel=1e-4)
        assert int(output.correct[index]) == correct
    assert float(output.error) == 0.0


def test_only_masked_frames_count() -> None:
    model, batch = make_model(), make_batch()
    changed = copy.deepcopy(batch)
    changed.labels[:, ~batch.mask] = 0
    with torch.no_grad():
        assert torch.equal(model(batch).loss, model(changed).loss)
        changed.labels[:, batch.mask] = (batch.labels[:, batch.mask] + 1) % 5
        assert not torch.equal(model(batch).loss, model(changed).loss)


def test_masked_frames_do_not_reach_the_network() -> None:
    model = make_model()
    outputs = [
        model.network(torch.from_numpy(batch.waveforms), mask_time_indices=torch.ones(5, 20, dtype=torch.bool))
        for batch in (make_batch(seed=0), make_batch(seed=9))
    ]
    torch.testing.assert_close(outputs[0].last_hidden_state, outputs[1].last_hidden_state)


def test_gradients_of_parts_add_up_to_those_of_the_whole_batch() -> None:
    losses, gradients = [], []
    batch = make_batch(num_unmasked=2)
    for part_seconds in (100.0, 0.01):
        model = make_model(3, FUNCTIONALS)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        losses.append(_train_step(model, optimizer, batch, cpu(part_seconds)))
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)


def test_bfloat16_gives_nearly_the_gradients_of_float32() -> None:
    exact, rounded = make_model(3), make_model(3)
    for model in (exact, rounded):
        keep_exact(model.network.encoder.pos_conv_embed.conv)
    losses = [
        _train_step(
            model, torch.optim.SGD(model.parameters(), lr=0.0), make_batch(), DeviceConfig("cpu", dtype, 100.0, 1)
        )
        for model, dtype in ((exact, torch.float32), (rounded, torch.bfloat16))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    gradients = [
        torch.cat([parameter.grad.flatten() for parameter in model.parameters()]) for model in (exact, rounded)
    ]
    assert torch.cosine_similarity(*gradients, dim=0) > 0.98
    assert gradients[1].dtype == torch.float32


def test_zero_speaker_embeddings_change_nothing() -> None:
    plain, papt = make_model(), make_model(3)
    papt.speakers.table.requires_grad_(False)  # so that the embeddings stay zero
    for model in (plain, papt):
        optimizer = make_optimizer(model, SCHEDULE)
        for step in range(4):
            _train_step(model, optimizer, make_batch(seed=step), cpu())
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, papt.state_dict()[name]), name


def test_speaker_rows_are_learnt_and_the_unknown_speaker_stays_zero() -> None:
    model = make_model(3)
    optimizer = make_optimizer(model, SCHEDULE)
    for step in range(3):
        _train_step(model, optimizer, make_batch(seed=step), cpu())
    table = model.speakers.table.weight.detach()
    assert not table[0].any()
    assert table[1:].abs().sum(dim=1).min() > 0


def test_a_speaker_vector_shifts_the_mean_over_frames_by_itself() -> None:
    model = make_model(3)
    torch.nn.init.normal_(model.speakers.table.weight)
    with torch.no_grad():
        frames = model.network(torch.from_numpy(make_batch().waveforms)).last_hidden_state
        vector = model.speakers(torch.tensor([2]))
        torch.testing.assert_close((frames + vector).mean(dim=1), frames.mean(dim=1) + vector, rtol=0, atol=1e-6)


@pytest.mark.parametrize("bias", [False, True])
def test_fast_convolutions_equal_those_of_transformers(bias: bool) -> None:
    model_config = transformers.HubertConfig(**TINY, **NO_DROPOUT, conv_bias=bias)
    torch.manual_seed(0)
    slow = transformers.HubertModel(model_config).feature_extractor
    fast = copy.deepcopy(slow)
    speed_up(fast)
    for length in (400, 719, 720, 4_321):
        waveforms = torch.randn(2, length)
        actual, expected = fast(waveforms), slow(waveforms)
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)
        actual.square().sum().backward()
        expected.square().sum().backward()
    for fast_parameter, slow_parameter in zip(fast.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(fast_parameter.grad, slow_parameter.grad, rtol=1e-3, atol=1e-3)


def test_learning_rates_rise_and_fall_linearly() -> None:
    factors = [Schedule(10, 4, 1.0, 1.0, 1, 1).rate_factor(step) for step in range(10)]
    np.testing.assert_allclose(factors, [0.25, 0.5, 0.75, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])


def test_all_kinds_of_targets_have_the_same_weight() -> None:
    targets = parse_targets("mfcc=5,manner=3,prosody=4")
    assert [target.name for target in targets[:3]] == ["mfcc", "manner.pitch", "manner.voicing"]
    weights = loss_weights(targets)
    assert weights.sum() == pytest.approx(1)
    assert weights[0] == weights[-1] == pytest.approx(weights[1:-1].sum()) == pytest.approx(1 / 3)
    clusters = [target.clusters for target in targets]
    model = MaskedPrediction(make_network(), clusters, loss_weights=weights.tolist())
    losses = torch.arange(len(targets), dtype=torch.float32)
    output = StepOutput(losses, losses, torch.tensor(6.0))
    total = float(model.total_loss(output, masked_frames=10, unmasked_crops=3))
    assert total == pytest.approx(float(losses.numpy() @ weights) / 10 + FUNCTIONALS_WEIGHT * 2)


def test_the_error_of_functionals_equals_numpy() -> None:
    model, batch = make_model(functionals=FUNCTIONALS), make_batch(num_unmasked=3)
    scaling_batches = [make_batch(seed=seed, num_unmasked=seed % 3) for seed in range(4)]
    model.fit_functionals_scaling(scaling_batches)

    def layers_of(batch: Batch) -> list[np.ndarray]:
        no_mask = torch.zeros(batch.mask.shape, dtype=torch.bool)
        with torch.no_grad():
            output = model.network.eval()(
                torch.from_numpy(batch.waveforms), mask_time_indices=no_mask, output_hidden_states=True
            )
        return [layer.numpy().astype(np.float64) for layer in output.hidden_states]

    def pooled(frames: np.ndarray) -> np.ndarray:
        return np.concatenate([frames.mean(axis=1), frames.std(axis=1)], axis=1)

    functionals = np.concatenate([scaling_batch.functionals for scaling_batch in scaling_batches])
    target = np.clip((batch.functionals[:3] - functionals.mean(axis=0)) / functionals.std(axis=0), -4, 4)
    errors = []
    for index in range(TINY["num_hidden_layers"] + 1):
        vectors = np.concatenate([pooled(layers_of(scaling_batch)[index]) for scaling_batch in scaling_batches])
        standardized = (pooled(layers_of(batch)[index])[:3] - vectors.mean(axis=0)) / vectors.std(axis=0)
        weight, bias = (parameter.detach().numpy() for parameter in model.readout.maps[index].parameters())
        errors.append(np.square(standardized @ weight.T + bias - target).mean(axis=1).sum())
    with torch.no_grad():
        assert float(model(batch).error) == pytest.approx(np.mean(errors), rel=1e-4)
        assert float(model(make_batch(num_unmasked=0)).error) == 0.0


def test_functionals_are_learnt_from_unmasked_crops() -> None:
    model = make_model(functionals=FUNCTIONALS)
    batch = make_batch(crops=8, num_unmasked=8)
    model.fit_functionals_scaling([batch])
    optimizer = make_optimizer(model, Schedule(60, 1, 3e-3, 3e-3, 99, 99))
    losses = [_train_step(model, optimizer, batch, cpu()) for _ in range(60)]
    assert losses[-1] < 0.5 * min(losses[0], FUNCTIONALS_WEIGHT)  # half the loss of predicting the mean


def test_the_network_learns_from_functionals_not_the_head_alone() -> None:
    model = make_model(functionals=FUNCTIONALS)
    weights = [parameter for parameter in model.network.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(model(make_batch(num_unmasked=2)).error, weights, allow_unused=True)
    num_reached = sum(gradient is not None and bool(gradient.any()) for gradient in gradients)
    assert num_reached > 0.8 * len(weights)  # all but the vector of masked frames and the last norm
