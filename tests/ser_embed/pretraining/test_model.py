"""The loss against NumPy, what is masked, and speakers that stand aside."""

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
from ser_embed.pretraining.targets import parse_targets, shares
from ser_embed.pretraining.trainer import Schedule, _step, make_optimizer
from tests.ser_embed.pretraining.conftest import STILL, TINY

CLUSTERS = (7, 5)
FUNCTIONALS = 6
SCHEDULE = Schedule(10, 2, 1e-3, 1e-3, 5, 5)


def network() -> transformers.HubertModel:
    torch.manual_seed(0)
    return transformers.HubertModel(transformers.HubertConfig(**TINY, **STILL))


def model(speakers: int | None = None, functionals: int | None = None) -> MaskedPrediction:
    """A learner whose readout, if it has one, tells something at random."""
    torch.manual_seed(1)
    learner = MaskedPrediction(network(), CLUSTERS, speakers, functionals=functionals)
    if learner.readout is not None:
        for parameter in learner.readout.maps.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return learner


def batch(crops: int = 5, frames: int = 20, seed: int = 0, heard: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    whole = np.arange(crops) < heard
    return Batch(
        rng.standard_normal((crops, num_samples(frames))).astype(np.float32),
        (rng.random((crops, frames)) < 0.5) & ~whole[:, np.newaxis],
        np.stack([rng.integers(0, count, (crops, frames)) for count in CLUSTERS]),
        rng.integers(0, 4, crops),
        whole,
        (5 + 3 * rng.standard_normal((crops, FUNCTIONALS))).astype(np.float32),
    )


def machine(part_seconds: float = 100.0) -> DeviceConfig:
    return DeviceConfig("cpu", torch.float32, part_seconds, workers=1)


@pytest.mark.parametrize("speakers", [None, 3])
def test_the_loss_equals_numpy(speakers: int | None) -> None:
    learner, given = model(speakers), batch()
    if learner.speakers is not None:
        torch.nn.init.normal_(learner.speakers.table.weight)
    with torch.no_grad():
        outcome = learner(given)
        hidden = learner.network(
            torch.from_numpy(given.waveforms), mask_time_indices=torch.from_numpy(given.mask)
        ).last_hidden_state.numpy()
    weights = {name: tensor.numpy().astype(np.float64) for name, tensor in learner.state_dict().items()}
    if speakers:
        vectors = weights["speakers.table.weight"] @ weights["speakers.linear.weight"].T
        hidden = hidden + vectors[given.speakers][:, np.newaxis]
    for index in range(len(CLUSTERS)):
        loss, correct = 0.0, 0
        for crop, frame in zip(*np.nonzero(given.mask), strict=True):
            head = f"heads.{index}"
            code = weights[f"{head}.projection.weight"] @ hidden[crop, frame] + weights[f"{head}.projection.bias"]
            labels = weights[f"{head}.vectors"]
            cosines = labels @ code / np.linalg.norm(labels, axis=1) / np.linalg.norm(code)
            logits, right = cosines / 0.1, given.labels[index, crop, frame]
            loss -= logits[right] - np.log(np.exp(logits).sum())
            correct += logits.argmax() == right
        assert float(outcome.loss[index]) == pytest.approx(loss, rel=1e-4)
        assert int(outcome.correct[index]) == correct
    assert float(outcome.error) == 0.0


def test_only_masked_frames_count() -> None:
    learner, given = model(), batch()
    other = copy.deepcopy(given)
    other.labels[:, ~given.mask] = 0
    with torch.no_grad():
        assert torch.equal(learner(given).loss, learner(other).loss)
        other.labels[:, given.mask] = (given.labels[:, given.mask] + 1) % 5
        assert not torch.equal(learner(given).loss, learner(other).loss)


def test_what_is_masked_is_not_heard() -> None:
    learner, given, other = model(), batch(seed=0), batch(seed=9)
    hidden = [
        learner.network(torch.from_numpy(each.waveforms), mask_time_indices=torch.ones(5, 20, dtype=torch.bool))
        for each in (given, other)
    ]
    torch.testing.assert_close(hidden[0].last_hidden_state, hidden[1].last_hidden_state)


def test_parts_of_a_batch_teach_what_the_whole_teaches() -> None:
    gradients = []
    given = batch(heard=2)
    for part_seconds in (100.0, 0.01):
        learner = model(3, FUNCTIONALS)
        optimizer = torch.optim.SGD(learner.parameters(), lr=0.0)
        loss = _step(learner, optimizer, given, machine(part_seconds))
        gradients.append((loss, [parameter.grad for parameter in learner.parameters()]))
    assert gradients[0][0] == pytest.approx(gradients[1][0], rel=1e-5)
    torch.testing.assert_close(gradients[0][1], gradients[1][1], rtol=1e-4, atol=1e-6)


def test_bfloat16_teaches_nearly_what_float32_teaches() -> None:
    exact, rough = model(3), model(3)
    for learner in (exact, rough):
        keep_exact(learner.network.encoder.pos_conv_embed.conv)
    losses = [
        _step(learner, torch.optim.SGD(learner.parameters(), lr=0.0), batch(), DeviceConfig("cpu", dtype, 100.0, 1))
        for learner, dtype in ((exact, torch.float32), (rough, torch.bfloat16))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    gradients = [torch.cat([each.grad.flatten() for each in learner.parameters()]) for learner in (exact, rough)]
    assert torch.cosine_similarity(*gradients, dim=0) > 0.98
    assert gradients[1].dtype == torch.float32


def test_zero_speaker_embeddings_are_plain_continuation() -> None:
    plain, papt = model(), model(3)
    papt.speakers.table.requires_grad_(False)  # zero, and kept so
    for learner in (plain, papt):
        optimizer = make_optimizer(learner, SCHEDULE)
        for step in range(4):
            _step(learner, optimizer, batch(seed=step), machine())
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, papt.state_dict()[name]), name


def test_speaker_rows_are_learnt_and_nobody_stays_zero() -> None:
    learner = model(3)
    optimizer = make_optimizer(learner, SCHEDULE)
    for step in range(3):
        _step(learner, optimizer, batch(seed=step), machine())
    table = learner.speakers.table.weight.detach()
    assert not table[0].any()
    assert table[1:].abs().sum(dim=1).min() > 0


def test_mean_of_output_plus_speaker_is_mean_of_output_plus_speaker() -> None:
    learner = model(3)
    torch.nn.init.normal_(learner.speakers.table.weight)
    with torch.no_grad():
        hidden = learner.network(torch.from_numpy(batch().waveforms)).last_hidden_state
        vector = learner.speakers(torch.tensor([2]))
        torch.testing.assert_close((hidden + vector).mean(dim=1), hidden.mean(dim=1) + vector, rtol=0, atol=1e-6)


@pytest.mark.parametrize("bias", [False, True])
def test_the_faster_convolutions_are_transformers_own(bias: bool) -> None:
    config = transformers.HubertConfig(**TINY, **STILL, conv_bias=bias)
    torch.manual_seed(0)
    slow = transformers.HubertModel(config).feature_extractor
    fast = copy.deepcopy(slow)
    speed_up(fast)
    for length in (400, 719, 720, 4_321):
        waveforms = torch.randn(2, length)
        found, expected = fast(waveforms), slow(waveforms)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        found.square().sum().backward()
        expected.square().sum().backward()
    for one, other in zip(fast.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-3)


def test_rates_rise_and_fall_in_straight_lines() -> None:
    shares = [Schedule(10, 4, 1.0, 1.0, 1, 1).share(step) for step in range(10)]
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.75, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])


def test_every_kind_of_target_counts_as_much() -> None:
    targets = parse_targets("mfcc=5,manner=3,prosody=4")
    assert [target.name for target in targets[:3]] == ["mfcc", "manner.pitch", "manner.voicing"]
    counts = shares(targets)
    assert counts.sum() == pytest.approx(1)
    assert counts[0] == counts[-1] == pytest.approx(counts[1:-1].sum()) == pytest.approx(1 / 3)
    learner = MaskedPrediction(network(), [target.clusters for target in targets], shares=counts.tolist())
    losses = torch.arange(len(targets), dtype=torch.float32)
    total = float(learner.total(StepOutput(losses, losses, torch.tensor(6.0)), hidden=10, heard=3))
    assert total == pytest.approx(float(losses.numpy() @ counts) / 10 + FUNCTIONALS_WEIGHT * 2)


def test_the_error_of_functionals_equals_numpy() -> None:
    learner, given = model(functionals=FUNCTIONALS), batch(heard=3)
    learner.measure([batch(seed=seed, heard=seed % 3) for seed in range(4)])

    def layers(of: Batch) -> list[np.ndarray]:
        nothing = torch.zeros(of.mask.shape, dtype=torch.bool)
        with torch.no_grad():
            output = learner.network.eval()(
                torch.from_numpy(of.waveforms), mask_time_indices=nothing, output_hidden_states=True
            )
        return [layer.numpy().astype(np.float64) for layer in output.hidden_states]

    def pooled(frames: np.ndarray) -> np.ndarray:
        return np.concatenate([frames.mean(axis=1), frames.std(axis=1)], axis=1)

    seen = [batch(seed=seed, heard=seed % 3) for seed in range(4)]
    wanted = np.concatenate([each.functionals for each in seen])
    right = np.clip((given.functionals[:3] - wanted.mean(axis=0)) / wanted.std(axis=0), -4, 4)
    errors = []
    for index in range(TINY["num_hidden_layers"] + 1):
        vectors = np.concatenate([pooled(layers(each)[index]) for each in seen])
        standard = (pooled(layers(given)[index])[:3] - vectors.mean(axis=0)) / vectors.std(axis=0)
        weight, bias = (each.detach().numpy() for each in learner.readout.maps[index].parameters())
        errors.append(np.square(standard @ weight.T + bias - right).mean(axis=1).sum())
    with torch.no_grad():
        assert float(learner(given).error) == pytest.approx(np.mean(errors), rel=1e-4)
        assert float(learner(batch(heard=0)).error) == 0.0


def test_functionals_are_learnt_from_crops_heard_whole() -> None:
    learner = model(functionals=FUNCTIONALS)
    given = batch(crops=8, heard=8)
    learner.measure([given])
    optimizer = make_optimizer(learner, Schedule(60, 1, 3e-3, 3e-3, 99, 99))
    losses = [_step(learner, optimizer, given, machine()) for _ in range(60)]
    assert losses[-1] < 0.5 * min(losses[0], FUNCTIONALS_WEIGHT)  # half of what telling nothing but means would cost


def test_the_network_learns_from_functionals_not_the_readout_alone() -> None:
    learner = model(functionals=FUNCTIONALS)
    weights = [parameter for parameter in learner.network.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(learner(batch(heard=2)).error, weights, allow_unused=True)
    reached = sum(gradient is not None and bool(gradient.any()) for gradient in gradients)
    assert reached > 0.8 * len(weights)  # all but the vector of hidden frames and the last norm
