"""Tests of codecs: samples that differ, but neither in number nor in time, and the same in every call."""

import numpy as np
import pytest

from ser_embed.audio.codecs import CODECS, compress
from ser_embed.errors import InputError
from tests.ser_embed.conftest import tone


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("length", [400, 1_001, 9_000])
def test_length_and_time_stay(codec: str, length: int) -> None:
    clip = tone(length, 2)
    for compression in (0.3, 0.9):
        decoded = compress(clip, codec, compression)
        assert decoded.shape == clip.shape
        assert decoded.dtype == np.float32
        np.testing.assert_array_equal(decoded, compress(clip, codec, compression))
    lags = np.correlate(compress(clip, codec, 0.3)[150:-150], clip, "valid")  # shifts from -150 to 150 samples
    assert abs(int(lags.argmax()) - 150) <= 1
    if length == 9_000:
        error = compress(clip, codec, 0.3) - clip
        assert 1e-4 < np.sqrt(np.mean(error**2)) < 0.3 * np.sqrt(np.mean(clip**2))


@pytest.mark.parametrize("codec", CODECS)
def test_a_stronger_compression_loses_more(codec: str) -> None:
    clip = tone(16_000, 2)
    errors = [np.mean(np.square(compress(clip, codec, compression) - clip)) for compression in (0.0, 0.9)]
    assert errors[1] > 1.5 * errors[0]


@pytest.mark.parametrize("codec", CODECS)
def test_peaks_above_full_scale_are_not_clipped(codec: str) -> None:
    clip = 3 * tone(9_000, 2)
    assert np.abs(compress(clip, codec, 0.3)).max() == pytest.approx(np.abs(clip).max(), rel=0.25)


def test_an_unknown_codec_is_refused() -> None:
    with pytest.raises(InputError, match=r"expected a codec \(mp3, opus\), not 'aac'"):
        compress(tone(800), "aac", 0.3)
