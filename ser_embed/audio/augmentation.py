"""Augmentation of waveforms: other pitches, tempos, rooms, noises, microphones and lines, with the clip's own labels.

`augment` makes a copy of one clip, for extraction and fine-tuning: float32 (samples,) at 16 kHz to the same, of another
length where its duration is stretched. Every augmentation draws from a generator of its own, seeded by seed, clip, copy
and name (`CopySeed`): what one draws depends neither on the others nor on the order or the threads in which copies are
made. The ranges are moderate, so that a listener would give the copy the label of its recording.

`augment_batch` disturbs the crops of pre-training, float32 (clips, samples). It never shifts samples in time, so that
labels stay aligned with them, and goes further: a network that has to predict the same labels under all of it cannot
rely on properties of the microphone. Both use the effects of `ser_embed.audio.effects`.

A new augmentation is one entry of `AUGMENTATIONS`.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ser_embed.audio import effects
from ser_embed.errors import InputError
from ser_embed.spec import MIN_SAMPLES, RATE_HZ

VERSION = 1  # of the arithmetic: a higher one makes every copy anew
PROBABILITY = 0.5  # of each augmentation asked for, in each copy
BABBLE = "babble"
_COLOURS = {"white": effects.WHITE, "pink": effects.PINK}
_RESAMPLING = ("pitch", "stretch")  # augmentations whose samples depend on what is installed


@dataclasses.dataclass(frozen=True)
class CopySeed:
    """Source of all random choices of one copy.

    Attributes:
        seed: of the run.
        utterance_id: of the recording.
        copy: number of the copy; the first is 1.
    """

    seed: int
    utterance_id: str
    copy: int

    def generator(self, name: str) -> np.random.Generator:
        """Return a new generator of the augmentation `name`."""
        key = json.dumps([self.seed, self.utterance_id, self.copy, name]).encode()
        return np.random.default_rng(int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), "little"))


@dataclasses.dataclass(frozen=True)
class Sound:
    """What an augmentation works on.

    Attributes:
        waveform: float32 (samples,) at 16 kHz.
        rng: draws what is not a parameter: echoes, noise.
        voices: for babble, float32 (samples,) each; see `augment`.
    """

    waveform: np.ndarray
    rng: np.random.Generator
    voices: Sequence[np.ndarray]


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """One way to alter a clip.

    Attributes:
        summary: what it does, with its range.
        draw: draws its physical parameters, by name.
        apply: alters a `Sound`, given these parameters as keywords.
        mixes_voices: returns whether, with some parameters, it needs the voices of the `Sound`.
    """

    summary: str
    draw: Callable[[np.random.Generator], dict[str, Any]]
    apply: Callable[..., np.ndarray]
    mixes_voices: Callable[[dict[str, Any]], bool] | None = None


def augment(
    waveform: np.ndarray, names: Iterable[str], copy_seed: CopySeed, voices: Sequence[np.ndarray] = ()
) -> np.ndarray:
    """Make a copy of a clip: each of some augmentations with probability 1/2, at least one.

    Args:
        waveform: float32 (samples,) at 16 kHz, not silent.
        names: keys of `AUGMENTATIONS`; they are applied in its order, that of a voice on its way to a file.
        copy_seed: the source of all random choices.
        voices: waveforms that babble is mixed of, where `needs_voices`. Copies are shared by all folds of an
            experiment, and any other speaker is a test speaker in one of them: only other clips of the clip's own
            speaker may be given. Without any, the clip itself, reversed, is what talks in the background.

    Returns:
        float32 (samples,), a new array.
    """
    augmented = waveform
    for name, parameters, rng in _choose(names, copy_seed):
        sound = Sound(augmented, rng, voices or [waveform[::-1]])
        augmented = np.ascontiguousarray(AUGMENTATIONS[name].apply(sound, **parameters), np.float32)
    return augmented


def needs_voices(names: Sequence[str], copy_seed: CopySeed) -> bool:
    """Return whether a copy is mixed with voices, as babble is."""
    if all(AUGMENTATIONS[name].mixes_voices is None for name in names):
        return False
    tests = ((AUGMENTATIONS[name].mixes_voices, parameters) for name, parameters, _ in _choose(names, copy_seed))
    return any(mixes(parameters) for mixes, parameters in tests if mixes is not None)


def parse_names(text: str | Iterable[str]) -> tuple[str, ...]:
    """Return the names of augmentations, separated by commas or one by one, each once, in the order of application.

    >>> parse_names("noise,pitch")
    ('pitch', 'noise')

    Raises:
        InputError: there is no augmentation of a name.
    """
    names = text.split(",") if isinstance(text, str) else list(text)
    for name in names:
        if name not in AUGMENTATIONS:
            raise InputError(f"expected augmentations ({', '.join(AUGMENTATIONS)}), separated by commas, not {name!r}")
    return tuple(name for name in AUGMENTATIONS if name in names)


def describe_arithmetic(names: Iterable[str]) -> str:
    """Return what, beside its seed, decides the samples of a copy: the augmentations and the version of this code."""
    from ser_embed.audio.stretching import stretch_method

    method = f" {stretch_method()}" if set(names) & set(_RESAMPLING) else ""
    return f"{','.join(names)} v{VERSION}{method}"


def _choose(names: Iterable[str], copy_seed: CopySeed) -> list[tuple[str, dict[str, Any], np.random.Generator]]:
    """Draw the augmentations of a copy, their parameters, and leave the generator of each to what else it draws."""
    generators = {name: copy_seed.generator(name) for name in parse_names(names)}
    chances = {name: rng.random() for name, rng in generators.items()}
    chosen = [name for name, chance in chances.items() if chance < PROBABILITY]
    chosen = chosen or sorted(chances, key=chances.__getitem__)[:1]
    return [(name, AUGMENTATIONS[name].draw(generators[name]), generators[name]) for name in chosen]


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _shift(sound: Sound, semitones: float) -> np.ndarray:
    from ser_embed.audio.stretching import shift_pitch

    return shift_pitch(sound.waveform, semitones)


def _stretch(sound: Sound, factor: float) -> np.ndarray:
    """Stretch, but leave as many samples as an encoder needs."""
    from ser_embed.audio.stretching import stretch

    return stretch(sound.waveform, max(factor, MIN_SAMPLES / len(sound.waveform)))


def _reverberate(sound: Sound, decay_s: float, echo_db: float) -> np.ndarray:
    response = effects.room_response(sound.rng, decay_s, echo_db, round(decay_s * RATE_HZ))
    return effects.convolve(sound.waveform, response)


def _add_noise(sound: Sound, colour: str, snr_db: float) -> np.ndarray:
    num_samples = len(sound.waveform)
    if colour == BABBLE:
        noise = effects.mix_babble(sound.rng, sound.voices, num_samples)
    else:
        white = sound.rng.standard_normal(num_samples, np.float32)
        noise = effects.colour_noise(white, _COLOURS[colour])
    return effects.add_noise(sound.waveform, noise, snr_db)


def _change_level(sound: Sound, gain_db: float) -> np.ndarray:
    """Change the level, but never to a peak above full scale that was not there."""
    headroom_db = max(0.0, -20 * float(np.log10(np.abs(sound.waveform).max())))
    return effects.change_level(sound.waveform, min(gain_db, headroom_db))


def _compress(sound: Sound, codec: str, compression: float) -> np.ndarray:
    from ser_embed.audio.codecs import CODECS, compress

    return compress(sound.waveform, codec, compression) if codec in CODECS else effects.pass_telephone(sound.waveform)


AUGMENTATIONS: dict[str, Augmentation] = {
    "pitch": Augmentation(
        "pitch and formants moved by up to 2 semitones", lambda rng: {"semitones": rng.uniform(-2, 2)}, _shift
    ),
    "stretch": Augmentation("duration times 0.85 to 1.15", lambda rng: {"factor": rng.uniform(0.85, 1.15)}, _stretch),
    "reverb": Augmentation(
        "a room whose echoes decay by 60 dB in 0.15 to 0.8 s, 0 to 15 dB below the direct sound",
        lambda rng: {"decay_s": rng.uniform(0.15, 0.8), "echo_db": rng.uniform(-15, 0)},
        _reverberate,
    ),
    "noise": Augmentation(
        "white or pink noise, or babble, 5 to 30 dB below the speech",
        lambda rng: {"colour": str(rng.choice([*_COLOURS, BABBLE])), "snr_db": rng.uniform(5, 30)},
        _add_noise,
        lambda parameters: parameters["colour"] == BABBLE,
    ),
    "band": Augmentation(
        "a microphone that passes 20-300 Hz to 2.5-8 kHz, with a tilt of up to 4 dB per octave",
        lambda rng: {
            "low_hz": _log_uniform(rng, 20, 300),
            "high_hz": _log_uniform(rng, 2_500, 8_000),
            "tilt_db": rng.uniform(-4, 4),
        },
        lambda sound, **band: effects.filter_band(sound.waveform, **band),
    ),
    "gain": Augmentation(
        "a level 12 dB lower to 6 dB higher", lambda rng: {"gain_db": rng.uniform(-12, 6)}, _change_level
    ),
    "clipping": Augmentation(
        "peaks clipped at 1.5 to 5 times the RMS",
        lambda rng: {"limit": rng.uniform(1.5, 5)},
        lambda sound, limit: effects.clip_peaks(sound.waveform, limit),
    ),
    "codec": Augmentation(
        "mp3, opus or a telephone line (G.711)",
        lambda rng: {"codec": str(rng.choice(["mp3", "opus", "g711"])), "compression": rng.uniform(0.3, 0.9)},
        _compress,
    ),
}


def augment_batch(rng: np.random.Generator, waveforms: np.ndarray, probability: float) -> np.ndarray:
    """Augment the crops of a batch of pre-training.

    Args:
        rng: the source of all random draws.
        waveforms: float32 (clips, samples).
        probability: of each augmentation, drawn independently for each clip and augmentation: the echoes of a room, a
            band-pass with a tilt, noise, clipping, a telephone line.

    Returns:
        float32 (clips, samples), a new array.
    """
    augmented = waveforms.copy()
    for augmentation in (_room, _band, _noise, _clipping, _telephone):
        selected = rng.random(len(augmented)) < probability
        if selected.any():
            augmented[selected] = augmentation(rng, augmented[selected])
    return augmented


def _room(rng: np.random.Generator, waveforms: np.ndarray) -> np.ndarray:
    """Add the echoes of a room, which decay by 60 dB in 0.1 to 0.7 s."""
    clips, samples = waveforms.shape
    decay_s, echo_db = rng.uniform(0.1, 0.7, clips), rng.uniform(-15, 3, clips)
    return effects.convolve(waveforms, effects.room_response(rng, decay_s, echo_db, min(samples, RATE_HZ // 2)))


def _band(rng: np.random.Generator, waveforms: np.ndarray) -> np.ndarray:
    """Filter with a band-pass of soft edges (20-300 Hz and 2.5-8 kHz) and a tilt of up to 4 dB per octave."""
    clips = len(waveforms)
    low_hz = np.exp(rng.uniform(np.log(20), np.log(300), clips))
    high_hz = np.exp(rng.uniform(np.log(2_500), np.log(8_000), clips))
    return effects.filter_band(waveforms, low_hz, high_hz, rng.uniform(-4, 4, clips))


def _noise(rng: np.random.Generator, waveforms: np.ndarray) -> np.ndarray:
    """Add noise, from white to brown, with an RMS level 3 to 30 dB below that of the clip."""
    white = rng.standard_normal(waveforms.shape, np.float32)
    noise = effects.colour_noise(white, rng.uniform(-1, 0, len(waveforms)))
    return effects.add_noise(waveforms, noise, -rng.uniform(-30, -3, len(waveforms)))


def _clipping(rng: np.random.Generator, waveforms: np.ndarray) -> np.ndarray:
    """Clip the peaks at 1 to 4 times the RMS of the clip."""
    return effects.clip_peaks(waveforms, rng.uniform(1, 4, len(waveforms)))


def _telephone(rng: np.random.Generator, waveforms: np.ndarray) -> np.ndarray:
    """Simulate a telephone line; nothing is drawn."""
    return effects.pass_telephone(waveforms)
