"""Tests of augmentation: draws within their ranges, the same for the same seed, independent of each other."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_embed.audio import augmentation
from ser_embed.audio.augmentation import (
    AUGMENTATIONS,
    BABBLE,
    CopySeed,
    augment,
    describe_arithmetic,
    needs_voices,
    parse_names,
)
from ser_embed.errors import InputError
from ser_embed.spec import MIN_SAMPLES
from tests.ser_embed.conftest import tone

ALL = tuple(AUGMENTATIONS)
# The peaks of speech are some five times its RMS; those of a tone are not.
CLIP = (tone(8_000, 3) * np.exp(-np.arange(8_000) / 400)).astype(np.float32) + 0.1 * tone(8_000, 3)


def seeds(number: int, seed: int = 0) -> list[CopySeed]:
    return [CopySeed(seed, "tones/001", copy) for copy in range(1, number + 1)]


@pytest.mark.parametrize("name", ALL)
def test_every_augmentation_alters_a_clip_within_bounds(name: str) -> None:
    for copy_seed in seeds(4):
        altered = augment(CLIP, [name], copy_seed)
        assert altered.dtype == np.float32
        assert np.isfinite(altered).all()
        assert altered.ndim == 1
        assert 0.85 <= len(altered) / len(CLIP) <= 1.15 if name == "stretch" else len(altered) == len(CLIP)
        same_length = np.resize(altered, len(CLIP))
        assert np.abs(same_length - CLIP).max() > 1e-3


def test_draws_stay_in_the_ranges_that_labels_survive() -> None:
    ranges = {
        ("pitch", "semitones"): (-2, 2),
        ("stretch", "factor"): (0.85, 1.15),
        ("noise", "snr_db"): (5, 30),
        ("reverb", "decay_s"): (0.15, 0.8),
    }
    for (name, parameter), (low, high) in ranges.items():
        rng = np.random.default_rng(0)
        drawn = [AUGMENTATIONS[name].draw(rng)[parameter] for _ in range(200)]
        assert low <= min(drawn) < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < max(drawn) <= high


def test_the_same_seed_gives_the_same_bytes_alone_and_in_threads() -> None:
    copies = seeds(12)
    alone = [augment(CLIP, ALL, copy).tobytes() for copy in copies]
    with ThreadPoolExecutor(4) as threads:
        in_threads = list(threads.map(lambda copy: augment(CLIP, ALL, copy).tobytes(), reversed(copies)))
    assert in_threads[::-1] == alone
    assert len(set(alone)) == len(alone)
    others = [CopySeed(1, "tones/001", 1), CopySeed(0, "tones/002", 1)]
    assert not {augment(CLIP, ALL, other).tobytes() for other in others} & set(alone)


def test_the_input_is_unchanged_and_the_order_of_names_does_not_matter() -> None:
    before = CLIP.copy()
    for copy_seed in seeds(6):
        forward, backward = (augment(CLIP, names, copy_seed) for names in (ALL, ALL[::-1]))
        np.testing.assert_array_equal(forward, backward)
    np.testing.assert_array_equal(CLIP, before)


def test_another_augmentation_in_the_list_changes_nothing_that_the_others_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, list] = {}

    def recording(name: str) -> augmentation.Augmentation:
        def apply(sound: augmentation.Sound, **parameters: object) -> np.ndarray:
            drawn[name] = [parameters, sound.rng.random()]
            return sound.waveform

        return dataclasses.replace(AUGMENTATIONS[name], apply=apply)

    monkeypatch.setattr(augmentation, "AUGMENTATIONS", {name: recording(name) for name in ALL})
    for copy_seed in seeds(30):
        drawn.clear()
        augment(CLIP, ["noise", "gain", "band"], copy_seed)
        few = dict(drawn)
        drawn.clear()
        augment(CLIP, ALL, copy_seed)
        shared = few.keys() & drawn.keys()
        assert {name: few[name] for name in shared} == {name: drawn[name] for name in shared}
        assert few


def test_about_half_of_those_asked_for_are_in_a_copy_and_at_least_one() -> None:
    counts = [len(augmentation._choose(ALL, copy_seed)) for copy_seed in seeds(200)]
    assert np.mean(counts) == pytest.approx(len(ALL) / 2, abs=0.4)
    pairs = [len(augmentation._choose(["gain", "band"], copy_seed)) for copy_seed in seeds(300)]
    assert min(pairs) == 1
    assert np.mean(np.array(pairs) == 1) == pytest.approx(0.75, abs=0.1)


def test_babble_is_of_the_voices_given_or_else_of_the_clip_itself() -> None:
    babbling = [copy_seed for copy_seed in seeds(40) if needs_voices(["noise"], copy_seed)]
    quiet = next(copy_seed for copy_seed in seeds(40) if not needs_voices(["noise"], copy_seed))
    assert 5 < len(babbling) < 22  # a third
    voices = [tone(3_000, 8), tone(9_000, 9)]
    with_voices, alone = (augment(CLIP, ["noise"], babbling[0], given) for given in (voices, ()))
    assert not np.array_equal(with_voices, alone)
    np.testing.assert_array_equal(augment(CLIP, ["noise"], quiet, voices), augment(CLIP, ["noise"], quiet))
    rng = babbling[0].generator("noise")
    rng.random()
    assert AUGMENTATIONS["noise"].draw(rng)["colour"] == BABBLE
    noise = with_voices - CLIP
    basis = np.stack([np.resize(np.roll(voice, shift), len(CLIP)) for voice in voices for shift in [0]])
    assert np.linalg.matrix_rank(np.vstack([basis, noise])) == 3  # rolled, so no mere sum of the two
    spectrum = np.abs(np.fft.rfft(noise * np.hanning(len(noise))))
    peak_hz = spectrum.argmax() * 16_000 / len(noise)
    assert 210 < peak_hz < 300  # the voices glide from 230 and 240 Hz, the clip from 180


@settings(max_examples=40, deadline=None)
@given(st.integers(MIN_SAMPLES, 6_000), st.integers(0, 1_000), st.sampled_from([ALL, *((name,) for name in ALL)]))
def test_clips_of_any_length_stay_long_enough_to_encode(length: int, copy: int, names: tuple[str, ...]) -> None:
    altered = augment(tone(length, copy % 7), names, CopySeed(0, "a", copy))
    assert len(altered) >= MIN_SAMPLES
    assert np.isfinite(altered).all()
    assert np.abs(altered).max() > 1e-3


@pytest.mark.parametrize("length", [405, 729, 1_125, 3_125, 50_625])  # odd lengths that a transform is fast for
def test_noise_fits_clips_of_odd_lengths(length: int) -> None:
    clip = tone(length)
    for copy_seed in seeds(4):
        assert len(augment(clip, ["noise"], copy_seed)) == length


def test_gain_does_not_push_a_peak_above_full_scale() -> None:
    loud = (CLIP / np.abs(CLIP).max()).astype(np.float32)
    peaks = [np.abs(augment(loud, ["gain"], copy_seed)).max() for copy_seed in seeds(60)]
    assert max(peaks) == pytest.approx(1, abs=1e-6)
    assert min(peaks) == pytest.approx(10 ** (-12 / 20), rel=0.1)


def test_names_are_checked_and_put_in_order() -> None:
    assert (
        parse_names("codec,pitch,noise,pitch")
        == parse_names(["noise", "codec", "pitch"])
        == (
            "pitch",
            "noise",
            "codec",
        )
    )
    with pytest.raises(InputError, match=r"expected augmentations \(pitch, .*\), separated by commas, not 'echo'"):
        parse_names("pitch,echo")
    with pytest.raises(InputError, match="not ''"):
        parse_names("")


def test_what_decides_the_samples_is_described() -> None:
    assert describe_arithmetic(["noise", "gain"]) == f"noise,gain v{augmentation.VERSION}"
    assert describe_arithmetic(["pitch"]) in {
        f"pitch v{augmentation.VERSION} {name}" for name in ("signalsmith", "librosa")
    }
