"""Writing of a store: it can be read again, and a failed write leaves the old store unchanged."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_embed.store.reader import Store
from tests.ser_embed.store.conftest import make_manifest, make_spec, write_store

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@given(
    values=st.lists(st.tuples(text, st.floats(allow_infinity=False)), min_size=1, max_size=12),
    layers=st.integers(1, 3),
    width=st.integers(1, 4),
)
@settings(max_examples=30, deadline=None)
def test_a_store_round_trips(
    tmp_path_factory: pytest.TempPathFactory, values: list[tuple[str, float]], layers: int, width: int
) -> None:
    path = tmp_path_factory.mktemp("store") / "s.h5"
    clips = make_manifest(len(values), note=[note for note, _ in values], level=[level for _, level in values])
    vectors = np.random.default_rng(0).standard_normal((len(values), layers, width)).astype(np.float32)
    write_store(path, clips, list(vectors))
    with Store(path) as store:
        pd.testing.assert_frame_equal(store.utterances[clips.columns], clips)
        np.testing.assert_array_equal(store.vectors[:], vectors)
        assert store.spec == make_spec(layers, width)
        assert len(store.unreadable) == 0
    assert [entry.name for entry in path.parent.iterdir()] == ["s.h5"]


def test_a_failed_write_leaves_the_old_store_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    write_store(path, make_manifest(2), [np.zeros((1, 2), np.float32)] * 2)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="shape"):
        write_store(path, make_manifest(2), [np.zeros((1, 2), np.float32), np.zeros((9, 9), np.float32)])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
