"""Out-of-domain detection: distances equal to scikit-learn's, few false warnings, noise and music told from speech."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

import ser_embed
from ser_head.data.scaling import fit_scaling
from ser_head.scoring.ood import KnnOodDetector, fit_ood_detector

RATE_HZ = 16_000


def vectors_of(count: int, seed: int, centre: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(centre, size=(count, 3, 20)).astype(np.float32)


@pytest.fixture(scope="module")
def ood_detector() -> KnnOodDetector:
    return fit_ood_detector(vectors_of(400, seed=0), vectors_of(200, seed=1))


def test_the_score_is_the_mean_distance_to_the_nearest_training_clips(ood_detector):
    new = vectors_of(30, seed=2)
    neighbours = NearestNeighbors(n_neighbors=5).fit(vectors_of(400, seed=0).mean(axis=1))
    expected = neighbours.kneighbors(new.mean(axis=1))[0].mean(axis=1) / np.sqrt(20)
    assert ood_detector.score(new) == pytest.approx(expected, rel=1e-4)
    assert ood_detector.score(new).dtype == np.float64


def test_a_clip_scores_alone_as_among_others(ood_detector):
    new = vectors_of(5, seed=3)
    assert [ood_detector.score(clip[None])[0] for clip in new] == pytest.approx(ood_detector.score(new))


def test_clips_like_the_training_clips_rarely_exceed_the_threshold(ood_detector):
    assert (ood_detector.score(vectors_of(2000, seed=4)) > ood_detector.threshold).mean() < 0.02


def test_clips_unlike_the_training_clips_exceed_the_threshold(ood_detector):
    assert (ood_detector.score(vectors_of(100, seed=5, centre=3.0)) > ood_detector.threshold).all()


def test_one_extreme_value_does_not_exceed_the_threshold(ood_detector):
    new = np.zeros((1, 3, 20), np.float32)
    new[:, 0, 0] = 1e6
    assert ood_detector.score(new)[0] < ood_detector.threshold


def test_few_training_clips_are_enough_to_score():
    few = fit_ood_detector(vectors_of(2, seed=0), vectors_of(1, seed=1))
    assert np.isfinite(few.score(vectors_of(3, seed=2))).all()
    assert few.threshold > 0


def test_of_many_training_clips_the_same_sample_is_kept_every_time():
    many = vectors_of(3000, seed=0)
    first, again = (fit_ood_detector(many, vectors_of(50, seed=1)) for _ in range(2))
    assert len(first.examples) == 500
    assert np.array_equal(first.examples, again.examples)
    assert first.threshold == again.threshold


def test_a_saved_detector_scores_alike(ood_detector, tmp_path):
    np.savez(tmp_path / "detector.npz", **ood_detector.to_arrays())
    with np.load(tmp_path / "detector.npz", allow_pickle=False) as arrays:
        loaded = KnnOodDetector.from_arrays(dict(arrays))
    assert loaded.threshold == ood_detector.threshold
    new = vectors_of(10, seed=6)
    assert np.array_equal(loaded.score(new), ood_detector.score(new))


def levelled(wave: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Scale a waveform to a random level that speech may have."""
    level = 10 ** (random.uniform(-35, -15) / 20)
    return (wave * level / np.sqrt(np.mean(wave**2))).clip(-1, 1).astype(np.float32)


def noise(random: np.random.Generator, slope: float) -> np.ndarray:
    """Return 1.5 to 5 s of noise, its amplitude frequency to the power of -`slope`: 0 white, 0.5 pink, 1 brown."""
    num_samples = int(random.uniform(1.5, 5) * RATE_HZ)
    spectrum = np.fft.rfft(random.normal(size=num_samples))
    return np.fft.irfft(spectrum / np.arange(1, len(spectrum) + 1) ** slope, num_samples)


def music(random: np.random.Generator) -> np.ndarray:
    """Return two to eight struck chords of up to four detuned notes with overtones."""
    chords = []
    for _ in range(random.integers(2, 9)):
        times = np.arange(int(random.uniform(0.2, 1.0) * RATE_HZ)) / RATE_HZ
        notes = 55 * 2 ** (
            (random.integers(12, 48) + random.choice([0, 3, 4, 7, 10, 12], size=random.integers(1, 5))) / 12
        )
        chord = sum(
            overtone ** -random.uniform(0.5, 2) * np.sin(2 * np.pi * overtone * note * times)
            for note in notes * 2 ** random.normal(0, 0.01, size=len(notes))
            for overtone in range(1, int(min(10, 7500 // note)) + 1)
        )
        chords.append(chord * np.minimum(1, times / 0.02) * np.exp(-times * random.uniform(0.3, 6)))
    return np.concatenate(chords)


@pytest.mark.corpus
@pytest.mark.timeout(600)
@pytest.mark.parametrize("model", ["egemaps", "mfcc"])
def test_noise_music_and_another_corpus_are_told_from_the_speech_of_new_speakers(data_dir: Path, model: str):
    if model == "egemaps" and importlib.util.find_spec("opensmile") is None:  # its import has to wait for the encoder
        pytest.skip("openSMILE is not installed")
    random = np.random.default_rng(0)
    emodb = sorted((data_dir / "emodb").glob("*.*"))[::2]
    speakers = np.array([path.name[:2] for path in emodb])
    clips = ser_embed.embed(emodb, model)
    is_validation, is_test = np.isin(speakers, ("03", "08")), np.isin(speakers, ("15", "16"))
    training = clips[~(is_validation | is_test)]
    scaling = fit_scaling([training])
    ood_detector = fit_ood_detector(scaling.apply(training), scaling.apply(clips[is_validation]))
    test_scores = ood_detector.score(scaling.apply(clips[is_test]))
    assert (test_scores > ood_detector.threshold).mean() < 0.1
    foreign_audio = {
        "noise": [levelled(noise(random, slope), random) for slope in np.repeat([0, 0.5, 1], 12)],
        "music": [levelled(music(random), random) for _ in range(36)],
        "ravdess": sorted((data_dir / "ravdess").glob("*/*.*"))[::30],
    }
    for name, audio in foreign_audio.items():
        scores = ood_detector.score(scaling.apply(ser_embed.embed(audio, model)))
        area = roc_auc_score(np.repeat([0, 1], [len(test_scores), len(scores)]), np.concatenate([test_scores, scores]))
        print(f"{model}: {name} AUC {area:.3f}, warned of {(scores > ood_detector.threshold).mean():.2f}")
        assert area >= 0.9
