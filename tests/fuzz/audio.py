"""Fuzz target of audio files: a damaged one is decoded exactly, or refused in one line, whole and in windows.

Plain samples carry no redundancy: of wav files, and within the frames of an mp3, a changed sample cannot be told from
another recording, nor can the rate of ADPCM. There the number of samples has to be right; everywhere else, each sample.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ser_embed.audio.decode import decode
from ser_embed.audio.windows import windows
from ser_embed.errors import ClipError
from tests.fuzz.mutations import change_bytes
from tests.ser_embed.conftest import tone

FORMATS: dict[str, dict[str, Any]] = {
    "wav-u8": {"format": "WAV", "subtype": "PCM_U8"},
    "wav-16": {"format": "WAV", "subtype": "PCM_16"},
    "wav-24": {"format": "WAV", "subtype": "PCM_24"},
    "wav-32": {"format": "WAV", "subtype": "PCM_32"},
    "wav-float": {"format": "WAV", "subtype": "FLOAT"},
    "wav-double": {"format": "WAV", "subtype": "DOUBLE"},
    "wav-ulaw": {"format": "WAV", "subtype": "ULAW"},
    "wav-alaw": {"format": "WAV", "subtype": "ALAW"},
    "wav-ima": {"format": "WAV", "subtype": "IMA_ADPCM"},
    "wav-ms": {"format": "WAV", "subtype": "MS_ADPCM"},
    "wavex": {"format": "WAVEX", "subtype": "PCM_16"},
    "rf64": {"format": "RF64", "subtype": "PCM_16"},
    "wavex-float": {"format": "WAVEX", "subtype": "FLOAT"},
    "flac-8": {"format": "FLAC", "subtype": "PCM_S8"},
    "flac-16": {"format": "FLAC", "subtype": "PCM_16"},
    "flac-24": {"format": "FLAC", "subtype": "PCM_24"},
    "ogg": {"format": "OGG", "subtype": "VORBIS"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "mp3": {"format": "MP3"},
    "mp3-vbr": {"format": "MP3", "bitrate_mode": "VARIABLE", "compression_level": 0.5},
}
_UNPROTECTED = ("wav", "rf64", "mp3")
_UNPROTECTED_RATE = ("wav-ima", "wav-ms")
_SECONDS = 1.5


def prepare(folder: Path) -> Callable[[int], str]:
    """Make audio in all formats, in memory; return the function that tries, by a seed, one of them damaged."""
    whole = {
        name: _encode(name, 16_000 if number % 2 else 44_100, number % 3 == 0) for number, name in enumerate(FORMATS)
    }
    expected = {name: decode(data) for name, data in whole.items()}
    names, path = list(FORMATS), folder / "clip"

    def case(seed: int) -> str:
        draws = np.random.default_rng(seed)
        name = names[int(draws.integers(len(names)))]
        data = _damage(draws, whole[name], [whole[other] for other in names])
        try:
            samples, rate_hz = decode(data) if draws.random() < 0.7 else _in_windows(path, data)
        except ClipError as error:
            return "refused" if "\n" not in str(error) else f"wrong: lines {str(error)!r}"
        original, original_hz = expected[name]
        if any(_is_same(samples, rate_hz, *other) for other in expected.values()):
            return "right"
        if name.startswith(_UNPROTECTED) and len(samples) == len(original) and rate_hz == original_hz:
            return "right"
        if name in _UNPROTECTED_RATE and (not rate_hz or len(samples) == len(original)):
            return "right"
        return f"wrong: {name}, case {seed}: {len(samples)} samples at {rate_hz} Hz of {len(original)} at {original_hz}"

    return case


def _encode(name: str, rate_hz: int, is_stereo: bool) -> bytes:
    sound = tone(round(_SECONDS * rate_hz)) * 0.8 + 0.01 * np.random.default_rng(0).normal(
        size=round(_SECONDS * rate_hz)
    )
    samples = np.stack([sound, -0.5 * sound], axis=1) if is_stereo else sound
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 48_000 if name == "opus" else rate_hz, **FORMATS[name])
    return buffer.getvalue()


def _damage(random: np.random.Generator, data: bytes, others: list[bytes]) -> bytes:
    """Return the bytes of a file after an accident of storage or of the network, or after an attack on its header."""
    start, end = sorted(int(position) for position in random.integers(len(data) + 1, size=2))
    kind = random.integers(8)
    if kind == 0:
        return data[:start]  # a download broken off
    if kind == 1:
        return data[:start] + data[end:]  # a block lost
    if kind == 2:
        return data[:start] + bytes(end - start) + data[end:]  # a block never written
    if kind == 3:
        return data[:end] + data[start:]  # a block written twice
    if kind == 4:
        other = others[int(random.integers(len(others)))]
        return data[:start] + other[start:]  # a file overwritten by a shorter one
    if kind == 5:  # in the header, where numbers are
        changed = bytearray(data)
        for position in random.integers(min(100, len(data)), size=int(random.integers(1, 4))):
            changed[position] = int(random.choice([0, 1, 0x7F, 0x80, 0xFF, random.integers(256)]))
        return bytes(changed)
    return change_bytes(random, data)


def _in_windows(path: Path, data: bytes) -> tuple[np.ndarray, int]:
    """Return the samples at 16 kHz, as windows give them."""
    path.write_bytes(data)
    parts = [waveform for _, _, waveform in windows(path, 0.4, 0.4)]
    return np.concatenate(parts), 0


def _is_same(samples: np.ndarray, rate_hz: int, expected: np.ndarray, expected_hz: int) -> bool:
    if rate_hz:
        return rate_hz == expected_hz and np.array_equal(samples, expected, equal_nan=True)
    return abs(len(samples) - len(expected) * 16_000 / expected_hz) < 400  # windows end at 25 ms that nobody can encode
