"""Audio files: read once from start to end in blocks, and closed whatever happens."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

import ser_embed
from ser_embed.errors import ClipError
from tests.ser_embed.conftest import tone


def test_blocks_are_the_whole_file(tmp_path: Path) -> None:
    samples = np.stack([tone(200_000, 1), tone(200_000, 2)], axis=1)
    soundfile.write(tmp_path / "a.wav", samples, 44_100, subtype="FLOAT")
    with ser_embed.AudioFile(tmp_path / "a.wav") as audio:
        assert (audio.rate_hz, audio.channels) == (44_100, 2)
        blocks = list(audio.blocks())
    assert len(blocks) > 1
    assert np.array_equal(np.concatenate(blocks), samples.astype(np.float32))


def test_what_cannot_be_read_is_an_error_and_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no audio at all, but some text" * 10)
    for name, reason in [("none.wav", "no such file"), ("text.wav", "not audio|neither")]:
        with pytest.raises(ClipError, match=reason):
            ser_embed.AudioFile(tmp_path / name)
