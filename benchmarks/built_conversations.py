"""Built conversations: an actor's calm clips with pauses, and stretches of angry ones at times that are remembered.

The unit is a second: clips begin on whole seconds, and each second of a conversation is the same audio, noise included,
wherever it occurs again. A window of 3 s is thus one of a few hundred, which are encoded once, so that conversations of
hours cost minutes. Everything random comes from one seed.
"""

import dataclasses
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

RATE_HZ = 16_000
WINDOW_S = 3
NOISES = {"none": None, "20 dB": 20.0, "10 dB": 10.0}  # pink noise below the level of the actor's calm speech
STRETCHES_S = (5, 10, 20)
QUIET_FIRST_S = 180  # without a stretch, for baselines that begin with the session
_MOST_CLIPS = 8  # of an actor and a manner
_PAUSES = 3  # different seconds of pause
_SHORTEST_PAUSE_S, _LONG_PAUSE_S, _LONG_PAUSE_AFTER = 0.3, 3, 8  # the last in clips, on average
_MANNERS = {"calm": ("calm", "neutral"), "angry": ("angry",)}

Second = tuple[str, int, int]
"""Manner or "pause", number of the clip, second of the clip."""


@dataclasses.dataclass(frozen=True)
class Actor:
    """An actor's clips, trimmed, float32 (samples,) at 16 kHz, by manner: "calm" and "angry"."""

    name: str
    clips: dict[str, list[np.ndarray]]

    @property
    def level(self) -> float:
        """Root mean square of the calm clips."""
        return float(np.sqrt(np.mean(np.square(np.concatenate(self.clips["calm"])))))

    def slot(self, manner: str, clip: int) -> list[Second]:
        """Return the seconds of a clip with the pause after it."""
        duration_s = len(self.clips[manner][clip]) / RATE_HZ + _SHORTEST_PAUSE_S
        return [(manner, clip, second) for second in range(max(2, int(np.ceil(duration_s))))]

    def audio(self, second: Second, snr_db: float | None) -> tuple[np.ndarray, float]:
        """Return the audio of a second, float32 (16000,), and the share of it that is speech."""
        manner, clip, number = second
        speech = np.zeros(0) if manner == "pause" else self.clips[manner][clip][number * RATE_HZ :][:RATE_HZ]
        samples = np.zeros(RATE_HZ, np.float32)
        samples[: len(speech)] = speech
        if snr_db is not None:
            seed = zlib.crc32(f"{self.name} {second}".encode())
            samples += (self.level * 10 ** (-snr_db / 20) * pink_noise(RATE_HZ, seed)).astype(np.float32)
        return samples, len(speech) / RATE_HZ


@dataclasses.dataclass(frozen=True)
class Conversation:
    """The seconds of a conversation, and the start and end of its angry stretches in seconds."""

    seconds: tuple[Second, ...]
    stretches: tuple[tuple[int, int], ...] = ()

    @property
    def windows(self) -> list[tuple[Second, ...]]:
        """The windows, one a second: the seconds that each is made of."""
        return list(zip(*(self.seconds[offset:] for offset in range(WINDOW_S)), strict=False))


def load_actor(data: Path, name: str) -> Actor:
    """Read the clips of an actor, named as in manifests: "ravdess/13"."""
    from ser_embed.audio.decode import AudioPreprocessing, load_clip
    from ser_embed.corpora.scan import scan_data

    manifest = scan_data(data, (name.partition("/")[0],)).manifest
    own = manifest[manifest["speaker"] == name]
    trimmed = AudioPreprocessing(trim_db=35.0)
    return Actor(
        name,
        {
            manner: [
                load_clip(data / path, trimmed)[0]
                for path in own.loc[own["emotion"].isin(emotions), "path"].iloc[:_MOST_CLIPS]
            ]
            for manner, emotions in _MANNERS.items()
        },
    )


def pink_noise(num_samples: int, seed: int) -> np.ndarray:
    """Return noise whose power falls with frequency, root mean square 1, float64 (samples,)."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=num_samples))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0
    noise = np.fft.irfft(spectrum, num_samples)
    return noise / np.sqrt(np.mean(noise**2))


def build(actor: Actor, duration_s: int, with_stretches: bool, rng: np.random.Generator) -> Conversation:
    """Build a conversation.

    Args:
        actor: who speaks.
        duration_s: its length at least.
        with_stretches: whether it has angry stretches, one after each minute to minute and a half, of each length in
            turn; the first three minutes have none.
        rng: draws the order of the clips, the pauses, and when stretches begin.
    """
    seconds: list[Second] = []
    stretches: list[tuple[int, int]] = []
    while len(seconds) < duration_s:
        calm_s = rng.integers(60, 91) if stretches or not with_stretches else QUIET_FIRST_S
        _add_calm(seconds, actor, len(seconds) + int(calm_s), rng)
        if with_stretches:
            length_s = STRETCHES_S[len(stretches) % len(STRETCHES_S)]
            stretches.append((len(seconds), len(seconds) + length_s))
            seconds += _clips(actor, "angry", length_s, rng)[:length_s]
    _add_calm(seconds, actor, len(seconds) + 30, rng)
    return Conversation(tuple(seconds), tuple(stretches))


def _add_calm(seconds: list[Second], actor: Actor, until_s: int, rng: np.random.Generator) -> None:
    while len(seconds) < until_s:
        seconds += _clips(actor, "calm", 1, rng)
        if rng.random() < 1 / _LONG_PAUSE_AFTER:
            seconds += [("pause", int(rng.integers(_PAUSES)), 0) for _ in range(_LONG_PAUSE_S)]


def _clips(actor: Actor, manner: str, least_s: int, rng: np.random.Generator) -> list[Second]:
    """Return whole clips in random order, with the pauses after them, until they are long enough."""
    seconds: list[Second] = []
    while len(seconds) < least_s:
        seconds += actor.slot(manner, int(rng.integers(len(actor.clips[manner]))))
    return seconds


def encode(
    actor: Actor, snr_db: float | None, conversations: Iterable[Conversation], model: str
) -> tuple[dict[tuple[Second, ...], int], np.ndarray, np.ndarray]:
    """Encode every different window of some conversations.

    Args:
        actor: who speaks in them.
        snr_db: level of the actor's calm speech over the noise; None for no noise.
        conversations: the conversations.
        model: the encoder.

    Returns:
        The row of each window, the vectors, float32 (windows, layers, width), and the share of speech, (windows,).
    """
    import ser_embed

    windows = sorted({window for conversation in conversations for window in conversation.windows})
    seconds = {second: actor.audio(second, snr_db) for second in {second for window in windows for second in window}}
    speech = np.array([np.mean([seconds[second][1] for second in window]) for window in windows])
    waveforms = [np.concatenate([seconds[second][0] for second in window]) for window in windows]
    voiced = [row for row, waveform in enumerate(waveforms) if np.abs(waveform).max() > 1e-3]
    vectors = ser_embed.embed([waveforms[row] for row in voiced], model=model)
    all_vectors = np.full((len(windows), *vectors.shape[1:]), np.nan, np.float32)
    all_vectors[voiced] = vectors
    speech[np.isnan(all_vectors[:, 0, 0])] = 0
    return {window: row for row, window in enumerate(windows)}, all_vectors, speech
