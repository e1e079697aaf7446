"""Decoding of audio files to the waveform that an encoder takes: float32, mono, 16 kHz, full scale at 1.

soundfile decodes (wav, flac, mp3, ogg, opus), channels are averaged, soxr resamples at its quality "VHQ" (very high).
Nothing is padded. Trimming and levelling are off by default; if switched on, they are part of the store's spec.
"""

import dataclasses
import io
from pathlib import Path

import numpy as np
import soundfile
import soxr

from ser_embed.audio.integrity import describe_truncation
from ser_embed.errors import ClipError, InputError, SilentClipError
from ser_embed.files import digest_of
from ser_embed.spec import MIN_SAMPLES, RATE_HZ

SILENCE_PEAK = 1e-4  # -80 dB of full scale: three steps of a 16-bit file, quieter than any recording of a voice
# Beginnings of the reason when a file cannot be reached now, but may be available in a later run.
MISSING_PREFIXES = ("missing: ", "cannot be opened: ")
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


@dataclasses.dataclass(frozen=True)
class ClipFacts:
    """Length and hashes of a clip, taken while it is read.

    Attributes:
        duration_s: length of the file before trimming, in seconds.
        digest: hash of the file's bytes.
        audio_digest: hash of the decoded 16 kHz samples before trimming; equal for two files with the same audio.
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


def load_clip(path: Path, preprocessing: AudioPreprocessing) -> tuple[np.ndarray, ClipFacts]:
    """Read, decode, check and preprocess one clip; its bytes are read only once.

    Args:
        path: a wav, flac, mp3, ogg or opus file of any rate and number of channels.
        preprocessing: trimming and levelling.

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
    audio_digest = digest_of(waveform.tobytes())
    preprocessed = preprocessing.apply(waveform)
    if len(preprocessed) < MIN_SAMPLES:
        raise ClipError(
            f"too short after trimming: {len(preprocessed)} samples at 16 kHz, at least {MIN_SAMPLES} are needed"
        )
    return preprocessed, ClipFacts(len(samples) / rate_hz, digest_of(data), audio_digest)


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        ClipError: the file is missing, cannot be opened, is empty, or is a git-lfs pointer.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ClipError(f"{MISSING_PREFIXES[0]}there is no such file") from error
    except OSError as error:
        raise ClipError(f"{MISSING_PREFIXES[1]}{error.strerror or error}") from error
    if not data:
        raise ClipError("empty: 0 bytes")
    if data.startswith(_LFS_POINTER):
        raise ClipError("a git-lfs pointer, not the audio itself; fetch it with: git lfs pull")
    return data


def decode(data: bytes) -> tuple[np.ndarray, int]:
    """Decode a whole audio file.

    Returns:
        float32 (samples, channels) and the sampling rate in Hz.

    Raises:
        ClipError: the file is not audio, holds no samples, or is truncated.
    """
    truncation = describe_truncation(data)
    if truncation:
        raise ClipError(f"truncated: {truncation}")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            declared, rate_hz = file.frames, file.samplerate
            samples = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        # Only decoding shows that a flac file is truncated.
        if data[:4] == b"fLaC":
            raise ClipError(f"truncated or damaged flac: {error.error_string}") from error
        raise ClipError(f"not audio: {error.error_string}") from error
    if len(samples) < declared:
        raise ClipError(f"truncated: {declared} samples declared, {len(samples)} present")
    if not len(samples):
        raise ClipError("empty: an audio file without samples")
    return samples, rate_hz


def to_16k_mono(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """Average the channels and resample to 16 kHz.

    Args:
        samples: float32 (samples, channels).
        rate_hz: their sampling rate in Hz.

    Returns:
        float32 (samples,) at 16 kHz.
    """
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
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
