"""Lossy codecs, in memory: a waveform as it comes out of an mp3 or opus file."""

import io

import numpy as np

from ser_embed.errors import InputError
from ser_embed.spec import RATE_HZ

CODECS = {"mp3": ("MP3", "MPEG_LAYER_III"), "opus": ("OGG", "OPUS")}  # libsndfile's format and subtype
_HIGHEST_PEAK = np.float32(0.95)  # a codec overshoots, and libsndfile clips at 1


def compress(waveform: np.ndarray, codec: str, compression: float) -> np.ndarray:
    """Encode and decode a waveform.

    Args:
        waveform: float32 (samples,) at 16 kHz.
        codec: a key of `CODECS`.
        compression: libsndfile's level, 0 to 0.9. Speech at 16 kHz: mp3 of some 19 to 13 kbit/s (variable rate), opus
            of 130 to 13.

    Returns:
        float32 (samples,), as many, not shifted in time.

    Raises:
        InputError: there is no such codec.
    """
    import soundfile

    if codec not in CODECS:
        raise InputError(f"expected a codec ({', '.join(CODECS)}), not {codec!r}")
    file_format, subtype = CODECS[codec]
    scale = np.float32(max(1.0, float(np.abs(waveform).max() / _HIGHEST_PEAK)))
    file = io.BytesIO()
    soundfile.write(file, waveform / scale, RATE_HZ, subtype, format=file_format, compression_level=compression)
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    padded = np.pad(decoded[: len(waveform)], (0, max(0, len(waveform) - len(decoded))))
    return padded * scale
