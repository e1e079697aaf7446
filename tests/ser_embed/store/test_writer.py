"""Writing of a store: it can be read again, and a failed write leaves the old store unchanged."""

import multiprocessing
import os
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


def _write_on_disks_of_every_size(path: Path) -> None:
    """Write a store under limits from 1 kB to more than it takes; each is written whole, or raises an OSError."""
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    clips, vectors = make_manifest(300), list(np.ones((300, 1, 1_000), np.float32))
    written = []
    for limit in range(1_000, 1_400_000, 29_989):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            write_store(path, clips, vectors)
        except OSError:
            written.append(False)
        else:
            written.append(True)
        assert path.exists() == written[-1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    path.with_name("done").touch() if written == sorted(written) and True in written else None


@pytest.mark.skipif(os.name == "nt", reason="needs a limit on file sizes")
def test_a_full_disk_is_an_error_whenever_it_fills(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_write_on_disks_of_every_size, args=(tmp_path / "s",))
    process.start()
    process.join()
    assert process.exitcode == 0  # HDF5 once crashed on reading back what had not been written
    assert (tmp_path / "done").exists()
