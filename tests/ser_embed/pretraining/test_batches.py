"""Crops, masks and disturbances: which samples and labels meet, and that chance follows from seed and step alone."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_embed.audio.augmentation import _band, _clipping, _noise, _room, _telephone, augment_batch
from ser_embed.errors import InputError
from ser_embed.pretraining.batches import Batches, CropConfig, normalized, span_mask
from ser_embed.pretraining.clips import split
from ser_embed.pretraining.features.frames import HOP, num_frames
from ser_embed.pretraining.features.functionals import WIDTH, functionals
from ser_embed.pretraining.pseudo_labels import LabelSets
from tests.ser_embed.conftest import tone
from tests.ser_embed.pretraining.conftest import tones, waveforms_of

LENGTHS = [7_000, 30_123, 16_000, 8_400, 9_111, 55_555, 2_000, 12_345]
CUT = CropConfig(
    batch=4, crop_s=0.5, mask_probability=0.8, mask_length=5, normalize=False, augment=0.0, heard=0.0, seed=3
)


def marked_batches(cut: CropConfig = CUT, contours: np.ndarray | None = None) -> Batches:
    """Batches in which every sample, and every label, tells which frame of which clip it begins."""
    frames = [num_frames(length) for length in LENGTHS]
    first = np.cumsum(frames) - frames
    # A sample's value is the number of its 20 ms among those of all clips, out of 32767.
    clips = [(first[row] + np.arange(length) // HOP) / 32_767 for row, length in enumerate(LENGTHS)]
    labels = np.arange(sum(frames), dtype=np.uint16)[np.newaxis]
    sets = LabelSets((), (), labels, contours)
    return Batches(waveforms_of(clips), sets, np.arange(len(LENGTHS)), np.arange(len(LENGTHS)), cut)


def test_labels_are_cut_like_the_crops() -> None:
    batches = marked_batches()
    for step in range(3 * batches.per_epoch):
        batch = batches[step]
        frames = batch.mask.shape[1]
        assert batch.waveforms.shape[1] == (frames - 1) * HOP + 400
        assert batch.labels.shape == (1, *batch.mask.shape)
        heard = np.rint(batch.waveforms[:, : frames * HOP : HOP] * 32_767).astype(int)
        np.testing.assert_array_equal(heard, batch.labels[0])


def test_an_epoch_gives_every_clip_as_many_crops_as_fit_into_it() -> None:
    batches = marked_batches()
    for epoch in range(2):
        steps = range(epoch * batches.per_epoch, (epoch + 1) * batches.per_epoch)
        rows = np.concatenate([batches[step].speakers for step in steps])  # the fake speaker is the clip's row
        counts = np.bincount(rows, minlength=len(LENGTHS))
        for row, length in enumerate(LENGTHS):
            fits = num_frames(length) / CUT.crop_frames
            assert counts[row] == (0 if num_frames(length) < 2 * CUT.mask_length else max(1, round(fits)))
    shapes = {batches[step].mask.shape[1] for step in range(batches.per_epoch)}
    assert max(shapes) == CUT.crop_frames == 24
    assert min(shapes) == num_frames(7_000)


def test_a_batch_follows_from_seed_and_step_alone() -> None:
    cut = dataclasses.replace(CUT, augment=0.5, normalize=True)
    one, other = marked_batches(cut), marked_batches(cut)
    ahead = list(one.ahead(2, 9, workers=3))
    for step in reversed(range(2, 9)):
        for name in ("waveforms", "mask", "labels", "speakers", "heard"):
            np.testing.assert_array_equal(getattr(ahead[step - 2], name), getattr(other[step], name))
    assert not np.array_equal(other[2].mask, other[2 + other.per_epoch].mask)
    first, second = (next(iter(batches.held_out())) for batches in (one, other))
    np.testing.assert_array_equal(first.waveforms, second.waveforms)


def test_parts_and_shares_make_up_the_batch() -> None:
    batch = marked_batches()[0]
    for pieces in (list(batch.parts(3)), [batch.share(rank, 3) for rank in range(3)]):
        for name in ("waveforms", "mask", "speakers", "heard", "functionals"):
            together = np.concatenate([getattr(piece, name) for piece in pieces])
            assert sorted(map(str, together)) == sorted(map(str, getattr(batch, name)))


def test_crops_heard_whole_come_with_their_own_functionals() -> None:
    frames = sum(num_frames(length) for length in LENGTHS)
    contours = np.random.default_rng(0).standard_normal((frames, WIDTH)).astype(np.float16)
    batches = marked_batches(dataclasses.replace(CUT, heard=0.5), contours)
    for step in range(batches.per_epoch):
        batch = batches[step]
        assert batch.heard.sum() == round(0.5 * len(batch.heard))
        assert not batch.mask[batch.heard].any()
        assert batch.mask[~batch.heard].any(axis=1).all()
        np.testing.assert_array_equal(batch.functionals, functionals(contours[batch.labels[0]]))
    chosen = np.stack([batch.heard for batch in map(batches.__getitem__, range(80)) if len(batch.heard) == 4])
    assert np.all(abs(chosen.mean(axis=0) - 0.5) < 0.25)  # whichever place a crop has


def test_clips_too_short_to_hide_anything_in_are_said_to_be() -> None:
    waveforms = tones([2_000, 3_000])
    labels = np.zeros((1, waveforms.frame_counts.sum()), np.uint16)
    with pytest.raises(InputError, match=r"clips of at least 0\.20 s to learn from, found none"):
        Batches(waveforms, LabelSets((), (), labels), np.zeros(2, int), np.arange(2), CUT)


def test_normalized_crops_have_zero_mean_and_unit_variance() -> None:
    crops = normalized(np.stack([0.2 * tone(9_000, 1) + 0.1, tone(9_000, 2)]))
    np.testing.assert_allclose(crops.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(crops.std(axis=1), 1, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(1, 120), st.floats(0.05, 1), st.integers(1, 15), st.integers(0, 99))
def test_masks_are_whole_spans(clips: int, frames: int, probability: float, length: int, seed: int) -> None:
    mask = span_mask(np.random.default_rng(seed), (clips, frames), probability, length)
    assert mask.shape == (clips, frames)
    assert mask.any(axis=1).all()
    assert frames == 1 or not mask.all(axis=1).any() or probability > 0.5
    span = max(1, min(length, frames // 2))
    for row in mask:
        edges = np.flatnonzero(np.diff(np.r_[False, row, False].astype(int)))
        runs = edges[1::2] - edges[::2]
        assert runs.min() >= span
        assert row.sum() <= span * max(1, np.ceil(probability * frames / span))


def test_masks_hide_about_half_at_the_usual_setting() -> None:
    mask = span_mask(np.random.default_rng(0), (400, 99), 0.8, 10)
    assert mask.mean() == pytest.approx(0.56, abs=0.02)
    assert mask.mean(axis=0)[10:-10].std() < 0.05  # anywhere alike


@pytest.mark.parametrize("kind", [_room, _band, _noise, _clipping, _telephone])
def test_disturbances_change_the_sound_but_not_the_time(kind) -> None:
    rng = np.random.default_rng(0)
    clean = (rng.standard_normal((4, 8_000)) * np.linspace(0.02, 0.2, 8_000)).astype(np.float32)
    changed = kind(rng, clean)
    assert changed.shape == clean.shape
    assert np.isfinite(changed).all()
    for before, after in zip(clean, changed, strict=True):
        lags = np.correlate(after[200:-200], before, "valid")  # shifts from -200 to 200 samples
        assert abs(int(lags.argmax()) - 200) <= 1
        assert np.abs(after - before).max() > 1e-3


def test_disturbing_is_up_to_chance_and_leaves_its_input_alone() -> None:
    clean = np.stack([tone(4_000, seed) for seed in range(40)])
    kept = clean.copy()
    np.testing.assert_array_equal(augment_batch(np.random.default_rng(0), clean, 0.0), clean)
    same = augment_batch(np.random.default_rng(5), clean, 0.1)
    np.testing.assert_array_equal(same, augment_batch(np.random.default_rng(5), clean, 0.1))
    np.testing.assert_array_equal(clean, kept)
    untouched = (same == clean).all(axis=1).mean()
    assert untouched == pytest.approx(0.9**5, abs=0.2)
    assert same.dtype == np.float32


def test_held_out_speakers_teach_nothing() -> None:
    speakers = np.array([f"s{row % 7}" for row in range(50)])
    training, held = split(speakers, "speakers", 0.3, seed=0)
    assert sorted([*training, *held]) == list(range(50))
    assert not set(speakers[training]) & set(speakers[held])
    assert len(set(speakers[held])) == 2
    training, held = split(speakers, "clips", 0.1, seed=0)
    assert len(held) == 5
    assert len(split(speakers, "clips", 0.0, seed=0)[1]) == 0
    with pytest.raises(InputError, match="needs two at least, found 1"):
        split(np.array(["one", "one", ""]), "speakers", 0.5, seed=0)
