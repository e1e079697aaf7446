"""Decoding of audio files to the waveform that an encoder takes: float32, mono, 16 kHz, full scale at 1.

Channels are averaged, and soxr resamples at its quality "VHQ" (very high). Nothing is padded. Trimming and levelling
are off by default; if switched on, they are part of the store's spec.
"""

import dataclasses
import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soxr

from ser_embed.audio.reader import MISSING_PREFIXES, AudioReader, open_audio
from ser_embed.errors import ClipError, InputError, SilentClipError
from ser_embed.files import digest_of
from ser_embed.spec import MIN_SAMPLES, RATE_HZ

SILENCE_PEAK = 1e-4  # -80 dB of full scale: three steps of a 16-bit file, quieter than any recording of a voice
# A clip is an utterance. More than this would only fill the memory before the encoder refuses it.
MAX_CLIP_BYTES = 1 << 28
MAX_CLIP_S = 1_800
MAX_CLIP_SAMPLES = 60_000_000  # of each channel: 20 minutes at 48 kHz


@dataclasses.dataclass(frozen=True)
class ClipFacts:
    """Length and hashes of a clip, taken while it is read.

    Attributes:
        duration_s: length of the file, or of its augmented copy, before trimming, in seconds.
        digest: hash of the file's bytes.
        audio_digest: hash of the decoded 16 kHz samples, augmented for a copy, before trimming; equal for two files
            with the same audio.
    """

    duration_s: float
    digest: str
    audio_digest: str


FACTS = tuple(field.name for field in dataclasses.fields(ClipFacts))


@dataclasses.dataclass(frozen=True)
class AudioPreprocessing:
    """Trimming and levelling of a waveform before the encoder, both off by default.

    Attributes:
        trim_db: both ends are cut where the level is this many dB below the peak; None cuts nothing.
        level_db: target of the RMS level, in dB of full scale; None leaves the level unchanged.
    """

    trim_db: float | None = None
    level_db: float | None = None

    def __post_init__(self) -> None:
        if self.trim_db is not None and not 0 < self.trim_db < np.inf:
            raise InputError(f"the trim threshold has to be positive dB below the peak, not {self.trim_db}")
        if self.level_db is not None and not -np.inf < self.level_db <= 0:
            raise InputError(f"the level has to be at most 0 dB of full scale, not {self.level_db}")

    def apply(self, waveform: np.ndarray) -> np.ndarray:
        """Trim and level a waveform.

        Returns:
            float32 (samples,), at the rate of the input. Without trimming and levelling, the input itself.
        """
        if self.trim_db is not None:
            from librosa.effects import trim

            waveform = trim(waveform, top_db=self.trim_db, frame_length=400, hop_length=160)[0]
        if self.level_db is not None:
            rms = np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))
            waveform = (waveform * (10 ** (self.level_db / 20) / rms)).astype(np.float32)
        return waveform


def load_clip(
    path: Path, preprocessing: AudioPreprocessing, augment: Callable[[np.ndarray], np.ndarray] | None = None
) -> tuple[np.ndarray, ClipFacts]:
    """Read, decode, check and preprocess one clip; its bytes are read only once.

    Args:
        path: a wav, flac, mp3, ogg or opus file of any rate and number of channels.
        preprocessing: trimming and levelling.
        augment: makes the copy of a recording, float32 (samples,) to the same; it is trimmed and levelled as a
            recording of that sound would be. None for the recording itself.

    Returns:
        The waveform, float32 (samples,) at 16 kHz, and the length and hashes of the clip.

    Raises:
        ClipError: the clip is missing, empty, a git-lfs pointer, not audio, truncated, silent or too short, or holds
            NaN or infinity.
    """
    data = read_bytes(path)
    samples, rate_hz = decode(data)
    waveform = to_16k_mono(samples, rate_hz)
    check_waveform(waveform)
    duration_s = len(samples) / rate_hz
    if augment is not None:
        waveform = augment(waveform)
        check_waveform(waveform)
        duration_s = len(waveform) / RATE_HZ
    audio_digest = digest_of(waveform.tobytes())
    preprocessed = preprocessing.apply(waveform)
    if len(preprocessed) < MIN_SAMPLES:
        raise ClipError(
            f"too short after trimming: {len(preprocessed)} samples at 16 kHz, at least {MIN_SAMPLES} are needed"
        )
    return preprocessed, ClipFacts(duration_s, digest_of(data), audio_digest)


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        ClipError: the file is missing, cannot be opened, is empty, is a git-lfs pointer, a pipe or a device, or is too
            large to be a clip.
    """
    with open_audio(path) as file:
        if os.fstat(file.fileno()).st_size > MAX_CLIP_BYTES:
            raise ClipError(f"too large to be one clip: more than {MAX_CLIP_BYTES >> 20} MiB; cut it")
        try:
            return file.read(MAX_CLIP_BYTES)
        except OSError as error:
            raise ClipError(f"{MISSING_PREFIXES[1]}{error.strerror or error}") from error


def decode(data: bytes) -> tuple[np.ndarray, int]:
    """Decode a whole audio file and average its channels.

    Returns:
        float32 (samples,) and the sampling rate in Hz.

    Raises:
        ClipError: the file is not audio, holds no samples, is truncated or damaged, or is too long to be one clip.
    """
    reader = AudioReader(io.BytesIO(data))
    longest = min(MAX_CLIP_SAMPLES, round(MAX_CLIP_S * reader.rate_hz))
    blocks, count = [], 0
    for block in reader.blocks():
        blocks.append(average_channels(block))
        count += len(block)
        if count > longest:
            raise ClipError(f"too long to be one clip: more than {longest / reader.rate_hz:.0f} s; cut it")
    if not blocks:
        raise ClipError("empty: an audio file without samples")
    return np.concatenate(blocks), reader.rate_hz


def average_channels(samples: np.ndarray) -> np.ndarray:
    """Return the mean over the channels of samples, float32 (samples, channels), as float32 (samples,)."""
    return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)


def to_16k_mono(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """Average the channels and resample to 16 kHz.

    Args:
        samples: float32 (samples,) or (samples, channels).
        rate_hz: their sampling rate in Hz.

    Returns:
        float32 (samples,) at 16 kHz.
    """
    mono = samples if samples.ndim == 1 else average_channels(samples)
    if rate_hz != RATE_HZ:
        mono = soxr.resample(mono, rate_hz, RATE_HZ, quality="VHQ")
    return np.ascontiguousarray(mono, dtype=np.float32)


def check_waveform(waveform: np.ndarray) -> None:
    """Check that a 16 kHz waveform can be encoded.

    Raises:
        ClipError: the waveform holds NaN or infinity, or is too short.
        SilentClipError: its peak is below `SILENCE_PEAK`.
    """
    if not np.isfinite(waveform).all():
        raise ClipError("NaN or infinite samples")
    if len(waveform) < MIN_SAMPLES:
        raise ClipError(f"too short: {len(waveform)} samples at 16 kHz, at least {MIN_SAMPLES} are needed")
    peak = float(np.abs(waveform).max())
    if peak < SILENCE_PEAK:
        raise SilentClipError(f"silent: its peak is {peak:.1g} of full scale, at least {SILENCE_PEAK:.0e} is expected")
