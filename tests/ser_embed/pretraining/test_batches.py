"""Tests of batches: crops and their labels, masks, augmentation, reproducibility from seed and step, held-out clips."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_embed.audio.augmentation import _band, _clipping, _noise, _room, _telephone, augment_batch
from ser_embed.errors import InputError
from ser_embed.pretraining.batches import Batches, CropConfig, span_mask
from ser_embed.pretraining.clips import split_clips
from ser_embed.pretraining.features.frames import HOP, normalized, num_frames
from ser_embed.pretraining.features.functionals import CONTOUR_WIDTH, compute_functionals
from ser_embed.pretraining.pseudo_labels import LabelSets
from tests.ser_embed.conftest import tone
from tests.ser_embed.pretraining.conftest import tones, waveforms_of

LENGTHS = [7_000, 30_123, 16_000, 8_400, 9_111, 55_555, 2_000, 12_345]
CROP_CONFIG = CropConfig(
    batch=4, crop_s=0.5, mask_probability=0.8, mask_length=5, normalize=False, augment=0.0, unmasked_share=0.0, seed=3
)


def numbered_batches(crop_config: CropConfig = CROP_CONFIG, contours: np.ndarray | None = None) -> Batches:
    """Make batches in which samples and labels are the number of their frame among those of all clips."""
    frame_counts = [num_frames(length) for length in LENGTHS]
    frame_starts = np.cumsum(frame_counts) - frame_counts
    # A sample's value is the number of its 20 ms among those of all clips, out of 32767.
    clips = [(frame_starts[row] + np.arange(length) // HOP) / 32_767 for row, length in enumerate(LENGTHS)]
    labels = np.arange(sum(frame_counts), dtype=np.uint16)[np.newaxis]
    sets = LabelSets((), (), labels, contours)
    speakers = np.arange(len(LENGTHS))  # the number of the clip
    return Batches(waveforms_of(clips), sets, speakers, np.arange(len(LENGTHS)), crop_config)


def test_labels_are_cut_like_the_crops() -> None:
    batches = numbered_batches()
    for step in range(3 * batches.per_epoch):
        batch = batches[step]
        frames = batch.mask.shape[1]
        assert batch.waveforms.shape[1] == (frames - 1) * HOP + 400
        assert batch.labels.shape == (1, *batch.mask.shape)
        frame_numbers = np.rint(batch.waveforms[:, : frames * HOP : HOP] * 32_767).astype(int)
        np.testing.assert_array_equal(frame_numbers, batch.labels[0])


def test_an_epoch_gives_every_clip_as_many_crops_as_fit_into_it() -> None:
    batches = numbered_batches()
    for epoch in range(2):
        steps = range(epoch * batches.per_epoch, (epoch + 1) * batches.per_epoch)
        rows = np.concatenate([batches[step].speakers for step in steps])  # the speaker is the number of the clip
        counts = np.bincount(rows, minlength=len(LENGTHS))
        for row, length in enumerate(LENGTHS):
            crops = num_frames(length) / CROP_CONFIG.crop_frames
            assert counts[row] == (0 if num_frames(length) < 2 * CROP_CONFIG.mask_length else max(1, round(crops)))
    frame_counts = {batches[step].mask.shape[1] for step in range(batches.per_epoch)}
    assert max(frame_counts) == CROP_CONFIG.crop_frames == 24
    assert min(frame_counts) == num_frames(7_000)


def test_a_batch_follows_from_seed_and_step_alone() -> None:
    crop_config = dataclasses.replace(CROP_CONFIG, augment=0.5, normalize=True)
    threaded, direct = numbered_batches(crop_config), numbered_batches(crop_config)
    prefetched = list(threaded.prefetch(2, 9, workers=3))
    for step in reversed(range(2, 9)):
        for name in ("waveforms", "mask", "labels", "speakers", "unmasked"):
            np.testing.assert_array_equal(getattr(prefetched[step - 2], name), getattr(direct[step], name))
    assert not np.array_equal(direct[2].mask, direct[2 + direct.per_epoch].mask)
    first, second = (next(iter(batches.validation_batches())) for batches in (threaded, direct))
    np.testing.assert_array_equal(first.waveforms, second.waveforms)


def test_parts_and_shares_make_up_the_batch() -> None:
    batch = numbered_batches()[0]
    for parts in (list(batch.parts(3)), [batch.share(rank, 3) for rank in range(3)]):
        for name in ("waveforms", "mask", "speakers", "unmasked", "functionals"):
            joined = np.concatenate([getattr(part, name) for part in parts])
            assert sorted(map(str, joined)) == sorted(map(str, getattr(batch, name)))


def test_unmasked_crops_come_with_their_functionals() -> None:
    frames = sum(num_frames(length) for length in LENGTHS)
    contours = np.random.default_rng(0).standard_normal((frames, CONTOUR_WIDTH)).astype(np.float16)
    batches = numbered_batches(dataclasses.replace(CROP_CONFIG, unmasked_share=0.5), contours)
    for step in range(batches.per_epoch):
        batch = batches[step]
        assert batch.unmasked.sum() == round(0.5 * len(batch.unmasked))
        assert not batch.mask[batch.unmasked].any()
        assert batch.mask[~batch.unmasked].any(axis=1).all()
        np.testing.assert_array_equal(batch.functionals, compute_functionals(contours[batch.labels[0]]))
    unmasked = np.stack([batch.unmasked for batch in map(batches.__getitem__, range(80)) if len(batch.unmasked) == 4])
    assert np.all(abs(unmasked.mean(axis=0) - 0.5) < 0.25)  # at every position in the batch


def test_clips_that_are_all_too_short_are_refused() -> None:
    waveforms = tones([2_000, 3_000])
    labels = np.zeros((1, waveforms.frame_counts.sum()), np.uint16)
    with pytest.raises(InputError, match=r"clips of at least 0\.20 s to learn from, found none"):
        Batches(waveforms, LabelSets((), (), labels), np.zeros(2, int), np.arange(2), CROP_CONFIG)


def test_normalized_crops_have_zero_mean_and_unit_variance() -> None:
    crops = normalized(np.stack([0.2 * tone(9_000, 1) + 0.1, tone(9_000, 2)]))
    np.testing.assert_allclose(crops.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(crops.std(axis=1), 1, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(1, 120), st.floats(0.05, 1), st.integers(1, 15), st.integers(0, 99))
def test_masks_are_whole_spans(crops: int, frames: int, probability: float, length: int, seed: int) -> None:
    mask = span_mask(np.random.default_rng(seed), (crops, frames), probability, length)
    assert mask.shape == (crops, frames)
    assert mask.any(axis=1).all()
    assert frames == 1 or not mask.all(axis=1).any() or probability > 0.5
    span = max(1, min(length, frames // 2))
    for crop_mask in mask:
        edges = np.flatnonzero(np.diff(np.r_[False, crop_mask, False].astype(int)))
        run_lengths = edges[1::2] - edges[::2]
        assert run_lengths.min() >= span
        assert crop_mask.sum() <= span * max(1, np.ceil(probability * frames / span))


def test_about_half_of_the_frames_are_masked_with_the_default_parameters() -> None:
    mask = span_mask(np.random.default_rng(0), (400, 99), 0.8, 10)
    assert mask.mean() == pytest.approx(0.56, abs=0.02)
    assert mask.mean(axis=0)[10:-10].std() < 0.05  # evenly over the crop


@pytest.mark.parametrize("disturb", [_room, _band, _noise, _clipping, _telephone])
def test_disturbances_change_the_sound_but_not_the_time(disturb) -> None:
    rng = np.random.default_rng(0)
    clean = (rng.standard_normal((4, 8_000)) * np.linspace(0.02, 0.2, 8_000)).astype(np.float32)
    disturbed = disturb(rng, clean)
    assert disturbed.shape == clean.shape
    assert np.isfinite(disturbed).all()
    for before, after in zip(clean, disturbed, strict=True):
        lags = np.correlate(after[200:-200], before, "valid")  # shifts from -200 to 200 samples
        assert abs(int(lags.argmax()) - 200) <= 1
        assert np.abs(after - before).max() > 1e-3


def test_augmentation_is_random_reproducible_and_leaves_its_input_unchanged() -> None:
    clean = np.stack([tone(4_000, seed) for seed in range(40)])
    copy = clean.copy()
    np.testing.assert_array_equal(augment_batch(np.random.default_rng(0), clean, 0.0), clean)
    augmented = augment_batch(np.random.default_rng(5), clean, 0.1)
    np.testing.assert_array_equal(augmented, augment_batch(np.random.default_rng(5), clean, 0.1))
    np.testing.assert_array_equal(clean, copy)
    unchanged_share = (augmented == clean).all(axis=1).mean()
    assert unchanged_share == pytest.approx(0.9**5, abs=0.2)
    assert augmented.dtype == np.float32


def test_held_out_speakers_are_not_trained_on() -> None:
    speakers = np.array([f"s{row % 7}" for row in range(50)])
    training, held_out = split_clips(speakers, "speakers", 0.3, seed=0)
    assert sorted([*training, *held_out]) == list(range(50))
    assert not set(speakers[training]) & set(speakers[held_out])
    assert len(set(speakers[held_out])) == 2
    training, held_out = split_clips(speakers, "clips", 0.1, seed=0)
    assert len(held_out) == 5
    assert len(split_clips(speakers, "clips", 0.0, seed=0)[1]) == 0
    with pytest.raises(InputError, match="needs at least two, found 1"):
        split_clips(np.array(["one", "one", ""]), "speakers", 0.5, seed=0)
