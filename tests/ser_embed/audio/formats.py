"""Audio formats that the library reads, and their encoding in memory."""

import io

import numpy as np
import soundfile

FORMATS: dict[str, dict[str, str]] = {
    "wav": {},
    "flac": {},
    "mp3": {},
    "ogg": {},
    "opus": {"format": "OGG", "subtype": "OPUS"},
}


def encode(samples: np.ndarray, rate_hz: int, name: str) -> bytes:
    """Return the bytes of an audio file of the named format."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, **{"format": name.upper(), **FORMATS[name]})
    return buffer.getvalue()
