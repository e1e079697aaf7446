"""Speaker rows: 0 for a stranger, and for a share of the clips of each batch."""

import numpy as np

from ser_head.speakers import drop_speakers, speaker_rows


def test_a_stranger_has_row_0():
    rows = speaker_rows(["b", "", "a", "c"], known=["a", "b"])
    assert rows.tolist() == [2, 0, 1, 0]
    assert rows.dtype == np.int32


def test_some_clips_lose_their_speaker_and_the_others_keep_theirs():
    rows = np.arange(1, 10_001, dtype=np.int32)
    dropped = drop_speakers(rows, np.random.default_rng(0), share=0.15)
    assert 0.13 < np.mean(dropped == 0) < 0.17
    assert np.array_equal(dropped[dropped > 0], rows[dropped > 0])
    assert dropped.dtype == np.int32
