"""Training loop of a fine-tuning: it learns, stops early, and continues where it was stopped, to the same weights."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ser_embed.errors import InputError
from ser_embed.finetuning.batches import TrainingClips, TuningBatches
from ser_embed.finetuning.checkpoint import load_adam_state, load_state
from ser_embed.finetuning.config import TuningConfig
from ser_embed.finetuning.model import build_classifier
from ser_embed.finetuning.trainer import Tuner, TuningTask, rate_factor
from ser_embed.finetuning.unfreeze import Unfreeze

LABELS = ("angry", "happy", "sad")
WIDTH, CLIPS = 32, 30


class Stopped(Exception):
    """What a test raises to stop a training between two steps."""


def config(**changes: Any) -> TuningConfig:
    settings = TuningConfig(
        unfreeze=Unfreeze.parse("last:1"),
        learning_rate=1e-3,
        head_learning_rate=3e-3,
        warmup=0.1,
        weight_decay=0.01,
        gradient_norm=1.0,
        batch_size=4,
        accumulation=1,
        dropout=0.1,
        label_smoothing=0.1,
        averaging=0.5,
        crop_s=0.3,
        time_mask=0.2,
        patience=100,
        device="cpu",
        dtype="float32",
        seed=3,
    )
    return dataclasses.replace(settings, **changes)


def clips_of(targets: np.ndarray) -> list[np.ndarray]:
    """Return frames of clips of 5 to 25 frames whose mean tells their class, float32 (frames, width) each."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(len(LABELS), WIDTH))
    return [
        (centres[target] + random.normal(size=(random.integers(5, 26), WIDTH))).astype(np.float32) for target in targets
    ]


TARGETS = np.arange(CLIPS) % len(LABELS)
FRAMES = clips_of(TARGETS)


def read(positions: np.ndarray) -> np.ndarray:
    """Return padded frames of clips, as a dataset does."""
    padded = np.full((len(positions), 32, WIDTH), np.nan, np.float32)
    for row, position in zip(padded, positions, strict=True):
        row[: len(FRAMES[position])] = FRAMES[position]
    return padded


def training_clips(copies: int = 0) -> TrainingClips:
    """Return the first clips as recordings, or each few of them as a recording and its copies."""
    clips = np.arange(24)
    return TrainingClips(clips, np.array([len(FRAMES[clip]) for clip in clips]), clips // (1 + copies))


def task(epochs: int = 3, checkpoint: Path | None = None, validation: bool = True) -> TuningTask:
    held_out = np.arange(24, CLIPS) if validation else None
    return TuningTask(training_clips(), TARGETS, np.ones(3, np.float32), held_out, epochs, None, checkpoint)


def train(
    source: Path, settings: TuningConfig, work: TuningTask, on_step: Callable[[float], object] = lambda share: None
) -> tuple[Any, dict[str, torch.Tensor]]:
    """Train from the start or the checkpoint; return the state and the weights of the model."""
    model, _ = build_classifier(str(source), LABELS, settings.unfreeze, settings.dropout, settings.seed)
    state = Tuner(model, settings, read).train(work, lambda row: None, on_step)
    return state, model.trained_state()


def test_it_learns(models):
    state, _ = train(models["hubert-base"], config(), task(epochs=12))
    assert [row["epoch"] for row in state.history] == list(range(1, 13))
    assert state.history[-1]["loss"] < 0.7 * state.history[0]["loss"]
    assert max(row["val_uar"] for row in state.history) == 1.0
    assert state.history[state.best_epoch - 1]["val_loss"] == min(row["val_loss"] for row in state.history)


def test_stopped_anywhere_it_continues_to_the_same_weights(models, tmp_path, monkeypatch):
    monkeypatch.setattr("ser_embed.finetuning.trainer._SAVE_EVERY_S", -1.0)  # after every step
    source, settings = models["wavlm-large"], config(accumulation=2)
    whole_state, whole = train(source, settings, task(checkpoint=tmp_path / "whole.safetensors"))
    broken = task(checkpoint=tmp_path / "broken.safetensors")
    stops = iter((1, 2, 1, 3, 2))
    for _ in range(5):
        left = next(stops)

        def count_down(share: float) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Stopped

        with pytest.raises(Stopped):
            train(source, settings, broken, count_down)
    state, weights = train(source, settings, broken)
    assert state.history == whole_state.history
    assert weights.keys() == whole.keys()
    assert all(torch.equal(weights[name], whole[name]) for name in whole)


def test_a_finished_training_is_not_done_again(models, tmp_path):
    work = task(checkpoint=tmp_path / "state.safetensors")
    _, weights = train(models["hubert-base"], config(), work)
    steps: list[float] = []
    state, again = train(models["hubert-base"], config(), work, steps.append)
    assert not steps
    assert state.finished
    saved = load_state(work.checkpoint)
    assert saved.best.keys() == weights.keys()
    assert (saved.weights, saved.average, saved.adam) == ({}, {}, {})  # what is not needed takes no room
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_all_of_the_state_of_an_optimizer_is_on_the_device_of_its_parameter():
    parameter = torch.nn.Parameter(torch.ones(2, device="meta"))
    optimizer = torch.optim.AdamW([parameter])
    saved = {"step/w": torch.tensor(3.0), "exp_avg/w": torch.ones(2), "exp_avg_sq/w": torch.ones(2)}
    load_adam_state(optimizer, {"w": parameter}, saved)
    assert {value.device for value in optimizer.state[parameter].values()} == {parameter.device}


def test_the_seed_decides_all(models):
    (_, first), (_, again), (_, other) = (
        train(models["hubert-base"], config(seed=seed), task(epochs=1)) for seed in (3, 3, 4)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_no_global_generator_is_moved(models):
    before = torch.get_rng_state()
    train(models["hubert-base"], config(), task(epochs=1))
    assert torch.equal(before, torch.get_rng_state())


def test_without_validation_it_trains_to_the_end(models):
    state, weights = train(models["hubert-base"], config(averaging=0.0), task(epochs=2, validation=False))
    assert state.best_epoch == 2
    assert "val_loss" not in state.history[0]
    assert weights.keys() == state.best.keys()


def test_it_stops_when_validation_no_longer_improves(models):
    state, _ = train(models["hubert-base"], config(learning_rate=1e-12, head_learning_rate=1e-12, patience=1), task(9))
    assert len(state.history) < 9


def test_a_training_that_diverges_is_one_line(models):
    with pytest.raises(InputError, match="training diverged: the loss is nan; lower --learning-rate"):
        train(models["hubert-base"], config(learning_rate=1e30, head_learning_rate=1e30, gradient_norm=0.0), task())


@pytest.mark.parametrize("validation", [True, False])
def test_a_training_that_diverges_in_its_last_step_is_one_line(models, validation):
    settings = config(learning_rate=1e38, head_learning_rate=1e38, batch_size=100, gradient_norm=0.0, weight_decay=10.0)
    with pytest.raises(InputError, match="training diverged: .*; lower --learning-rate"):
        train(models["hubert-base"], settings, task(epochs=1, validation=validation))


def test_a_damaged_checkpoint_is_one_line(models, tmp_path):
    work = task(checkpoint=tmp_path / "state.safetensors")
    (tmp_path / "state.safetensors").write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match="the checkpoint .*state.safetensors is damaged .*; remove it"):
        train(models["hubert-base"], config(), work)


def test_accumulated_batches_are_one_step(models):
    steps: list[float] = []
    train(models["hubert-base"], config(accumulation=3), task(epochs=1), steps.append)
    assert len(steps) == 2  # 24 clips in batches of 4, three batches a step
    assert sum(steps) == pytest.approx(1.0)


@pytest.mark.parametrize("epoch", [0, 1, 7])
@pytest.mark.parametrize("batch_size", [1, 4, 5, 24, 100])
def test_an_epoch_has_every_clip_once_in_batches_of_like_length(batch_size, epoch):
    batches = TuningBatches(read, training_clips(), batch_size, seed=0)
    positions = batches.positions(epoch, 0)
    assert len(positions) == batches.per_epoch
    assert sorted(np.concatenate(positions)) == list(range(24))
    assert max(len(batch) for batch in positions) <= batch_size


@given(num_clips=st.integers(1, 300), batch_size=st.integers(1, 20))
def test_no_clip_is_left_out_and_no_batch_is_too_large(num_clips, batch_size):
    clips = np.arange(num_clips)
    batches = TuningBatches(read, TrainingClips(clips, clips + 1, clips), batch_size, seed=0)
    positions = batches.positions(0, 0)
    assert len(positions) == batches.per_epoch
    assert sorted(np.concatenate(positions)) == list(range(num_clips))
    assert max(len(batch) for batch in positions) <= batch_size


def test_an_epoch_has_every_recording_once_as_itself_or_as_a_copy():
    clips = training_clips(copies=2)
    batches = TuningBatches(read, clips, 4, seed=0)
    assert batches.per_epoch == 2
    epochs = [np.concatenate(batches.positions(epoch, 0)) for epoch in range(60)]
    assert all(sorted(clips.recordings[epoch]) == list(range(8)) for epoch in epochs)
    shares = np.bincount(np.concatenate(epochs), minlength=24) / len(epochs)
    assert 0.1 < shares.min() < shares.max() < 0.6  # a third each


def test_epochs_differ_and_lengths_within_a_batch_hardly(models):
    clips = training_clips()
    batches = TuningBatches(read, clips, 4, seed=0)
    first, second = batches.positions(0, 0), batches.positions(1, 0)
    assert any(not np.array_equal(*pair) for pair in zip(first, second, strict=True))
    spreads = [np.ptp(clips.num_frames[batch]) for batch in first]
    assert np.mean(spreads) < np.ptp(clips.num_frames) / 2


def test_a_batch_is_cut_and_masked(models):
    clips = training_clips()
    batches = TuningBatches(read, clips, 4, seed=0)
    plain = batches.read(clips.positions, np.random.default_rng(0), 0, 0.0)
    for row, valid, clip in zip(plain.frames, plain.valid, clips.positions, strict=True):
        assert np.array_equal(row[valid], FRAMES[clip])
        assert not row[~valid].any()
    cut = batches.read(clips.positions, np.random.default_rng(0), 10, 0.5)
    assert cut.frames.shape[1] == 10
    assert np.array_equal(cut.valid.sum(axis=1), np.minimum(clips.num_frames, 10))
    assert not np.array_equal(cut.frames[0][cut.valid[0]], FRAMES[0][: cut.valid[0].sum()])


def test_rates_rise_then_fall_to_zero():
    factors = [rate_factor(step, 100, 0.1) for step in range(100)]
    assert factors[9] == 1.0
    assert np.all(np.diff(factors[:10]) > 0)
    assert np.all(np.diff(factors[10:]) < 0)
    assert 0 < factors[-1] < 0.02
