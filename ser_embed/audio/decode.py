"""From a file on disk to the waveform an encoder hears: float32, mono, 16 kHz, full scale at 1.

soundfile decodes (wav, flac, mp3, ogg, opus), channels are averaged, soxr resamples at its very-high quality. Nothing
is padded. Trimming and levelling are off unless asked for, and are then part of the store's spec.
"""

import dataclasses
import io
from pathlib import Path

import numpy as np
import soundfile
import soxr

from ser_embed.audio.integrity import shortfall
from ser_embed.errors import ClipError, InputError, SilentClipError
from ser_embed.files import digest_of
from ser_embed.spec import MIN_SAMPLES, RATE_HZ

SILENCE_PEAK = 1e-4  # -80 dB of full scale: three steps of a 16-bit file, quieter than any recording of a voice
MISSING_PREFIXES = (
    "missing: ",
    "cannot be opened: ",
)  # so begins the reason if a file is not at hand, but may come back
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


@dataclasses.dataclass(frozen=True)
class ClipFacts:
    """What reading a clip tells about it.

    Attributes:
        duration_s: length of the file as recorded, before trimming, in seconds.
        digest: hash of the file's bytes.
        audio_digest: hash of the decoded 16 kHz samples before trimming; equal for two files with the same audio.
    """

    duration_s: float
    digest: str
    audio_digest: str


FACTS = tuple(field.name for field in dataclasses.fields(ClipFacts))


@dataclasses.dataclass(frozen=True)
class AudioPreprocessing:
    """What is done to a waveform before the encoder, both off by default.

    Attributes:
        trim_db: cut from both ends what lies this many dB below the peak; None cuts nothing.
        level_db: bring the RMS level to this, in dB of full scale; None leaves it.
    """

    trim_db: float | None = None
    level_db: float | None = None

    def __post_init__(self) -> None:
        if self.trim_db is not None and not 0 < self.trim_db < np.inf:
            raise InputError(f"the trim threshold has to be positive dB below the peak, not {self.trim_db}")
        if self.level_db is not None and not -np.inf < self.level_db <= 0:
            raise InputError(f"the level has to be at most 0 dB of full scale, not {self.level_db}")

    def apply(self, waveform: np.ndarray) -> np.ndarray:
        """Return the prepared waveform, float32 (samples,)."""
        if self.trim_db is not None:
            from librosa.effects import trim

            waveform = trim(waveform, top_db=self.trim_db, frame_length=400, hop_length=160)[0]
        if self.level_db is not None:
            rms = np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))
            waveform = (waveform * (10 ** (self.level_db / 20) / rms)).astype(np.float32)
        return waveform


def load_clip(path: Path, preparation: AudioPreprocessing) -> tuple[np.ndarray, ClipFacts]:
    """Read one clip, its bytes once.

    Args:
        path: a wav, flac, mp3, ogg or opus file of any rate and number of channels.
        preparation: what to do to the waveform.

    Returns:
        The waveform, float32 (samples,) at 16 kHz, and the facts about the clip.

    Raises:
        ClipError: the clip is missing, empty, a git-lfs pointer, not audio, truncated, silent, NaN or too short.
    """
    data = read_bytes(path)
    samples, rate_hz = decode(data)
    waveform = to_16k_mono(samples, rate_hz)
    check_waveform(waveform)
    audio_digest = digest_of(waveform.tobytes())
    prepared = preparation.apply(waveform)
    if len(prepared) < MIN_SAMPLES:
        raise ClipError(
            f"too short after trimming: {len(prepared)} samples at 16 kHz, at least {MIN_SAMPLES} are needed"
        )
    return prepared, ClipFacts(len(samples) / rate_hz, digest_of(data), audio_digest)


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        ClipError: there is no such file, it cannot be opened, it is empty, or it is a git-lfs pointer.
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
        ClipError: it is not audio, it holds no samples, or it was cut short.
    """
    short = shortfall(data)
    if short:
        raise ClipError(f"truncated: {short}")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            promised, rate_hz = file.frames, file.samplerate
            samples = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        # A flac cut short is only found out while decoding it.
        if data[:4] == b"fLaC":
            raise ClipError(f"truncated or damaged flac: {error.error_string}") from error
        raise ClipError(f"not audio: {error.error_string}") from error
    if len(samples) < promised:
        raise ClipError(f"truncated: {promised} samples promised, {len(samples)} there")
    if not len(samples):
        raise ClipError("empty: an audio file without samples")
    return samples, rate_hz


def to_16k_mono(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """Average the channels and resample: float32 (samples, channels) at rate_hz to float32 (samples,) at 16 kHz."""
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    if rate_hz != RATE_HZ:
        mono = soxr.resample(mono, rate_hz, RATE_HZ, quality="VHQ")
    return np.ascontiguousarray(mono, dtype=np.float32)


def check_waveform(waveform: np.ndarray) -> None:
    """Check that a 16 kHz waveform can be encoded.

    Raises:
        ClipError: it holds NaN or infinity, is too short, or is silent.
    """
    if not np.isfinite(waveform).all():
        raise ClipError("NaN or infinite samples")
    if len(waveform) < MIN_SAMPLES:
        raise ClipError(f"too short: {len(waveform)} samples at 16 kHz, at least {MIN_SAMPLES} are needed")
    peak = float(np.abs(waveform).max())
    if peak < SILENCE_PEAK:
        raise SilentClipError(f"silent: its peak is {peak:.1g} of full scale, at least {SILENCE_PEAK:.0e} is expected")
