"""Flac: what its header promises, and the MD5 of the samples, which its encoder has written there.

libsndfile checks the CRC of each frame, but neither the number of samples nor the MD5: with a damaged header it gives
fewer samples, or gives them at another rate, without an error.
"""

import hashlib
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from ser_embed.errors import ClipError

_RATES_HZ = (0, 88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000)  # by code


@dataclass(frozen=True)
class FlacHeader:
    """The STREAMINFO block of a flac file, RFC 9639.

    Attributes:
        rate_hz: sampling rate.
        bits: of a sample.
        num_samples: per channel; 0 if its encoder did not know.
        md5: of all samples; zeros if its encoder did not know.
    """

    rate_hz: int
    bits: int
    num_samples: int
    md5: bytes

    @classmethod
    def read(cls, file: BinaryIO, start: int) -> "FlacHeader | None":
        """Read the header of a flac file, and compare it with that of the first frame.

        Args:
            file: the file.
            start: where its audio begins.

        Returns:
            The header; None for a file that is no flac.

        Raises:
            ClipError: the two do not agree.
        """
        file.seek(start)
        if file.read(4) != b"fLaC":
            return None
        kind, length = file.read(1), int.from_bytes(file.read(3), "big")
        fields = file.read(length)
        if not kind or kind[0] & 0x7F or len(fields) < 34:
            raise ClipError("truncated or damaged flac: it has no header")
        packed = int.from_bytes(fields[10:18], "big")  # 20 bits of rate, 3 of channels, 5 of bits, 36 of samples
        header = cls(packed >> 44, (packed >> 36 & 31) + 1, packed & (1 << 36) - 1, fields[18:34])
        while kind and not kind[0] & 0x80:  # the last block before the audio
            kind = file.read(1)
            file.seek(int.from_bytes(file.read(3), "big"), 1)
        code = file.read(3)[2:]
        if code and 0 < code[0] & 15 < len(_RATES_HZ) and _RATES_HZ[code[0] & 15] != header.rate_hz:
            raise ClipError(f"damaged flac: {header.rate_hz} Hz in its header, another rate in its frames")
        return header


class SampleHash:
    """The MD5 of the samples of a flac file, as its encoder takes it."""

    def __init__(self, header: FlacHeader) -> None:
        """Begin with no samples."""
        self._header = header
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._num_samples = 0

    def update(self, samples: np.ndarray) -> None:
        """Take in samples, int32 (samples, channels), their highest bit the sign."""
        width = -(-self._header.bits // 8)
        whole = (samples >> (32 - self._header.bits)).astype("<i4")
        self._md5.update(whole.view(np.uint8).reshape(-1, 4)[:, :width].tobytes())
        self._num_samples += len(samples)

    def check(self) -> None:
        """Compare what was taken in with the header.

        Raises:
            ClipError: samples are missing, or others than those that were encoded.
        """
        expected = self._header.num_samples
        if expected and self._num_samples != expected:
            raise ClipError(f"truncated: {expected} samples declared, {self._num_samples} present")
        if any(self._header.md5) and self._md5.digest() != self._header.md5:
            raise ClipError("damaged flac: its samples are not those that were encoded (MD5)")
