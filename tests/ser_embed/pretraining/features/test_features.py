"""Tests of acoustic features and their clusters: alignment with HuBERT's frames, formulas, labels, targets."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from sklearn.cluster import KMeans

from ser_embed.errors import InputError
from ser_embed.pretraining.features.contours import measure_contours
from ser_embed.pretraining.features.frames import HOP, WINDOW, check_frames, num_frames, num_samples
from ser_embed.pretraining.features.functionals import (
    CONTOUR_WIDTH,
    NUM_FUNCTIONALS,
    clip_contours,
    compute_functionals,
)
from ser_embed.pretraining.features.mfcc import NUM_MFCC, cepstra
from ser_embed.pretraining.features.prosody import MANNER_NAMES, PROSODY_NAMES, manner, prosody
from ser_embed.pretraining.pseudo_labels import load_labels, make_labels, save_labels
from ser_embed.pretraining.targets import (
    Clustering,
    all_clip_contours,
    features_of,
    fit_clusters,
    parse_targets,
)
from tests.ser_embed.conftest import tone
from tests.ser_embed.pretraining.conftest import TINY, tones, waveforms_of

ROUNDING = {"float32": {"atol": 1e-5}, "bfloat16": {"atol": 0.02, "rtol": 0.02}}  # "auto" depends on the processor
EVERY_LENGTH = range(WINDOW, WINDOW + 2 * HOP + 1)


def test_frames_are_those_of_the_network_for_every_length() -> None:
    model_config = transformers.HubertConfig(**TINY)
    check_frames(model_config)
    lengths = torch.arange(WINDOW, 20_000)
    expected = transformers.HubertModel(model_config)._get_feat_extract_output_lengths(lengths)
    np.testing.assert_array_equal(num_frames(lengths.numpy()), expected.numpy())
    assert all(num_frames(num_samples(frames)) == frames for frames in range(1, 100))
    assert num_frames(WINDOW - 1) == 0


def test_a_model_with_other_frames_is_refused() -> None:
    model_config = transformers.HubertConfig(**{**TINY, "conv_stride": [5, 2, 2, 2, 2, 2, 1]})
    with pytest.raises(InputError, match="400 samples every 320, not [0-9]+ every 160"):
        check_frames(model_config)


@pytest.mark.parametrize("compute", [cepstra, prosody, manner])
def test_features_align_with_frames_for_every_length(compute) -> None:
    noise = np.random.default_rng(0).standard_normal(EVERY_LENGTH.stop).astype(np.float32)
    for length in EVERY_LENGTH:
        features = compute(noise[:length])
        assert len(features) == num_frames(length)
        assert np.isfinite(features).all()


def test_cepstra_of_a_frame_depend_on_the_samples_of_the_frame() -> None:
    noise = np.random.default_rng(1).standard_normal(5_000).astype(np.float32)
    before = cepstra(noise)[:, :NUM_MFCC]
    for sample in (200, 321, 399, 1_000, 3_333):
        changed = noise.copy()
        changed[sample] += 1
        frames = [frame for frame in range(len(before)) if frame * HOP <= sample < frame * HOP + WINDOW]
        is_different = np.abs(cepstra(changed)[:, :NUM_MFCC] - before).max(axis=1) > 1e-6
        assert np.flatnonzero(is_different).tolist() == frames


def test_cepstra_equal_the_formulas_of_kaldi() -> None:
    frame = np.random.default_rng(2).standard_normal(WINDOW)
    centred = frame - frame.mean()
    emphasised = centred - 0.97 * np.r_[centred[0], centred[:-1]]
    windowed = emphasised * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / (WINDOW - 1))) ** 0.85
    fourier = np.exp(-2j * np.pi * np.outer(np.arange(257), np.arange(WINDOW)) / 512)
    power = np.abs(fourier @ windowed) ** 2
    mel = lambda hz: 1127 * np.log1p(hz / 700)  # noqa: E731
    edges = np.linspace(mel(20), mel(8_000), 25)
    hz = 700 * np.expm1(edges / 1127)
    bins = np.arange(257) * 16_000 / 512
    log_energies = []
    for low, middle, high in zip(hz, hz[1:], hz[2:], strict=False):
        triangle = np.clip(np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)), 0, None)
        log_energies.append(np.log(power @ triangle))
    order = np.arange(13)[:, np.newaxis]
    basis = np.cos(np.pi * order * (np.arange(23) + 0.5) / 23) * np.sqrt(2 / 23)
    basis[0] /= np.sqrt(2)
    expected = basis @ log_energies * (1 + 11 * np.sin(np.pi * np.arange(13) / 22))
    np.testing.assert_allclose(cepstra(frame.astype(np.float32))[0, :NUM_MFCC], expected, rtol=1e-3, atol=1e-3)


def test_pitch_follows_a_glide_and_noise_is_unvoiced() -> None:
    time = np.arange(16_000) / 16_000
    glide = np.sign(np.sin(2 * np.pi * (120 + 40 * time) * time)).astype(np.float32)  # 120 Hz rising by 80 per second
    contours = measure_contours(glide)
    pitch, voicing = contours.pitch, contours.voicing
    frame_centres = (np.arange(len(pitch)) * HOP + WINDOW / 2) / 16_000
    inner = slice(3, -3)
    np.testing.assert_allclose(2 ** pitch[inner], (120 + 80 * frame_centres)[inner], rtol=0.03)
    assert voicing[inner].min() > 0.8
    noise = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    assert measure_contours(noise).voicing.mean() < 0.4


def test_prosody_features_match_their_names() -> None:
    time = np.arange(32_000) / 16_000
    voice = np.sign(np.sin(2 * np.pi * 150 * time)) * np.where(time < 1, 0.05, 0.5)
    features = dict(zip(PROSODY_NAMES, prosody(voice.astype(np.float32)).T, strict=True))
    assert features["level"][75] - features["level"][25] == pytest.approx(20, abs=0.5)
    assert features["level slope"][49] > 10 * abs(features["level slope"][25])
    assert features["level spread"][49] > 5
    assert features["pitch"][25] == pytest.approx(np.log2(150), abs=0.02)
    np.testing.assert_allclose(prosody(0.1 * voice.astype(np.float32)), prosody(voice.astype(np.float32)), atol=1e-2)


def test_manner_features_match_their_names() -> None:
    time = np.arange(64_000) / 16_000
    pitch_hz = 150 * 2 ** (0.25 * np.sin(2 * np.pi * 2 * time))  # a quarter of an octave up and down
    lively = np.sign(np.sin(2 * np.pi * np.cumsum(pitch_hz) / 16_000)).astype(np.float32)
    flat = np.sign(np.sin(2 * np.pi * 150 * time)).astype(np.float32)
    dull = np.convolve(flat, np.hanning(33) / 16, "same").astype(np.float32)  # a low-pass: little above 1 kHz
    lively, flat, dull = (
        dict(zip(MANNER_NAMES, manner(waveform)[100].reshape(-1, 3), strict=True)) for waveform in (lively, flat, dull)
    )
    assert flat["pitch"][0] == pytest.approx(np.log2(150), abs=0.02)
    assert lively["pitch"][1] == pytest.approx(0.25 / np.sqrt(2), rel=0.1)
    assert lively["pitch"][2] > 10 * flat["pitch"][2]
    assert dull["tilt"][0] < flat["tilt"][0] - 20
    assert dull["hammarberg"][0] > flat["hammarberg"][0] + 20
    assert dull["slope"][0] < flat["slope"][0]
    assert lively["flux"][0] > flat["flux"][0]
    assert flat["voicing"][0] > 0.9


def test_labels_do_not_depend_on_the_level_of_a_clip() -> None:
    clips = [np.round(tone(9_000, seed) * 100) / 32_767 for seed in range(3)]  # multiples of 16-bit steps at any gain
    loud, soft = (waveforms_of([gain * clip for clip in clips]) for gain in (64, 1))
    targets = parse_targets("mfcc=6,prosody=4,manner=3")
    loud_labels, soft_labels = (
        make_labels(waveforms, [0, 1, 2], targets, (), "cpu", seed=0).labels for waveforms in (loud, soft)
    )
    np.testing.assert_array_equal(loud_labels, soft_labels)


def test_clusters_are_the_nearest_centroids() -> None:
    rng = np.random.default_rng(0)
    frames = (rng.integers(0, 5, (600, 1)) * 4 + rng.normal(0, 0.1, (600, 3))).astype(np.float32) * [1, 10, 100]
    for standardize in (False, True):
        clustering = fit_clusters(frames, 5, standardize, seed=0)
        scaled = (frames - clustering.mean) / clustering.scale
        distances = np.linalg.norm(scaled[:, np.newaxis] - clustering.centroids, axis=2)
        np.testing.assert_array_equal(clustering.assign(frames), distances.argmin(axis=1))
        inertia = np.square(distances.min(axis=1)).sum()
        assert inertia <= KMeans(5, n_init=3, random_state=0).fit(scaled).inertia_ * 1.01
    with pytest.raises(InputError, match="601 clusters need at least as many frames"):
        fit_clusters(frames, 601, False, seed=0)


def test_labels_are_those_of_each_clip_alone_and_round_trip(tmp_path: Path) -> None:
    waveforms = tones([4_000, 6_400, 720, 9_999])
    targets = parse_targets("mfcc=6,manner=4,prosody=4")
    sets = make_labels(waveforms, [0, 1, 3], targets, (), "cpu", seed=0)
    sets = dataclasses.replace(sets, contours=all_clip_contours(waveforms))
    assert sets.labels.shape == (2 + len(MANNER_NAMES), waveforms.frame_counts.sum())
    for target, clustering, labels in zip(sets.targets, sets.clusterings, sets.labels, strict=True):
        features = features_of(target.kind, "cpu")
        for row, (start, count) in enumerate(zip(waveforms.frame_starts, waveforms.frame_counts, strict=True)):
            (frames,) = features([waveforms.clip(row)])
            np.testing.assert_array_equal(labels[start : start + count], clustering.assign(frames[:, target.columns]))
    save_labels(sets, tmp_path / "labels")
    loaded = load_labels(tmp_path / "labels")
    assert loaded.targets == sets.targets
    np.testing.assert_array_equal(loaded.labels, sets.labels)
    np.testing.assert_array_equal(loaded.contours, sets.contours)
    assert sets.contours.shape == (sets.labels.shape[1], CONTOUR_WIDTH)
    for actual, expected in zip(loaded.clusterings, sets.clusterings, strict=True):
        assert all(
            np.array_equal(getattr(actual, name), getattr(expected, name)) for name in Clustering.__annotations__
        )


def test_a_layer_is_a_target(models: dict[str, Path]) -> None:
    from ser_embed.encoders.base import EncoderOptions
    from ser_embed.encoders.registry import load_encoder

    (target,) = parse_targets(f"{models['hubert-base']}@2=5")
    waveforms = tones([4_000, 8_123, 5_000])
    features = features_of(target.kind, "cpu")([waveforms.clip(row) for row in range(3)])
    encoder = load_encoder(str(models["hubert-base"]), EncoderOptions(layers="2", pooling="frames"))
    for row, frames in enumerate(features):
        assert len(frames) == waveforms.frame_counts[row]
        encoded_alone = encoder.encode([waveforms.clip(row)])()[0][:, 0]
        np.testing.assert_allclose(frames, encoded_alone, **ROUNDING[encoder.spec.arithmetic])


@pytest.mark.parametrize("text", ["mfc", "manner.words", "mfcc=1", "mfcc=70000", "mfcc,", "runs/one@last", "=5"])
def test_malformed_targets_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="targets have to be|number of clusters has to be"):
        parse_targets(text)


def test_functionals_follow_pitch_and_level() -> None:
    rng = np.random.default_rng(0)
    seconds = np.arange(48_000) / 16_000

    def voice(hz: float, swing: float, tremolo: float) -> np.ndarray:
        phase = 2 * np.pi * np.cumsum(hz * 2 ** (swing * np.sin(2 * np.pi * 2 * seconds))) / 16_000
        harmonics = sum(np.sin(k * phase) / k for k in range(1, 12))
        return (
            (1 + tremolo * np.sin(2 * np.pi * 3 * seconds)) * harmonics + 0.01 * rng.standard_normal(48_000)
        ).astype(np.float32)

    plain = voice(110, 0, 0)
    low, high, lively, loud = (
        compute_functionals(clip_contours(waveform)[np.newaxis])[0]
        for waveform in (plain, voice(220, 0, 0), voice(110, 0.2, 0.8), 20 * plain)
    )
    assert len(low) == NUM_FUNCTIONALS
    assert np.isfinite(low).all()
    assert high[0] - low[0] == pytest.approx(1, abs=0.05)  # an octave
    spread = CONTOUR_WIDTH - 26  # the column of the first spread, after the means
    assert lively[spread] - low[spread] > 1  # of pitch
    assert lively[spread + 2] - low[spread + 2] > 1  # of level
    np.testing.assert_allclose(loud, low, atol=0.05)  # independent of the recording level


def test_functionals_are_relative_to_the_level_of_the_crop() -> None:
    crops = np.random.default_rng(0).normal(0, 1, (2, 30, CONTOUR_WIDTH)).astype(np.float16)
    louder = crops.astype(np.float32)
    louder[..., 2] += 6  # dB
    louder[..., 7] += 6 * np.log(10) / 10 * np.sqrt(23)
    louder[..., -24:] += 6
    np.testing.assert_allclose(compute_functionals(louder), compute_functionals(crops), atol=0.02)
