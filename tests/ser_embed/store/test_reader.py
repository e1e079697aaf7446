"""Reading of a store: rows, clips and frames as NumPy would give them, and errors for files that are not a store."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_embed.errors import InputError
from ser_embed.store.reader import Store
from tests.ser_embed.store.conftest import make_manifest, write_store


@pytest.fixture(scope="module")
def large_store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    path = tmp_path_factory.mktemp("store") / "large.h5"
    vectors = np.random.default_rng(1).standard_normal((250, 2, 5)).astype(np.float32)
    write_store(path, make_manifest(250), list(vectors))
    return path, vectors


@given(rows=st.lists(st.integers(0, 249), max_size=40), layers=st.sampled_from([None, [1], [1, 0]]))
@settings(max_examples=40, deadline=None)
def test_rows_are_read_as_numpy_would(
    large_store: tuple[Path, np.ndarray], rows: list[int], layers: list[int] | None
) -> None:
    path, vectors = large_store
    with Store(path) as store:
        expected = vectors[rows] if layers is None else vectors[rows][:, layers]
        np.testing.assert_array_equal(store.read(rows, layers), expected)


@pytest.mark.parametrize("scattered", [True, False])
def test_a_store_of_many_chunks_is_read_as_numpy_would(tmp_path: Path, scattered: bool) -> None:
    vectors = np.arange(2 * 4_550, dtype=np.float32).reshape(4_550, 1, 2)
    write_store(tmp_path / "s.h5", make_manifest(4_550), list(vectors))
    rows = np.random.default_rng(0).permutation(4_550) if scattered else np.arange(90, 310)
    with Store(tmp_path / "s.h5") as store:  # the offsets of chunks are looked up all at once, or one by one
        np.testing.assert_array_equal(store.read(rows), vectors[rows])


@pytest.mark.parametrize(
    "layout", [{"chunks": (64, 2, 5), "compression": "gzip"}, {"chunks": (64, 1, 5)}, {}, {"dtype": ">f4"}]
)
def test_a_store_repacked_by_other_software_reads_the_same(
    large_store: tuple[Path, np.ndarray], tmp_path: Path, layout: dict
) -> None:
    path, vectors = large_store
    with h5py.File(path) as old, h5py.File(tmp_path / "s.h5", "w") as new:
        for name in old:
            if name != "vectors":
                old.copy(name, new)
        new.create_dataset("vectors", data=old["vectors"][:], **layout)
        new.attrs.update(old.attrs)
    with Store(tmp_path / "s.h5") as store:
        np.testing.assert_array_equal(store.read([200, 3, 64, 63]), vectors[[200, 3, 64, 63]])


def test_a_store_of_frames_gives_each_clip_its_own_frames(tmp_path: Path) -> None:
    frames = [np.full((count, 1, 2), index, np.float32) for index, count in enumerate([3, 1, 4])]
    write_store(tmp_path / "s.h5", make_manifest(3), frames, pooling="frames")
    with Store(tmp_path / "s.h5") as store:
        assert store.vectors.shape == (8, 1, 2)
        assert store.utterances["frame_count"].tolist() == [3, 1, 4]
        for row, clip_frames in enumerate(frames):
            np.testing.assert_array_equal(store.read_clip(row), clip_frames)


def test_a_store_replaced_while_it_is_open_still_gives_its_own_vectors(
    large_store: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    path, vectors = tmp_path / "s.h5", large_store[1]
    write_store(path, make_manifest(250), list(vectors))
    with Store(path) as store:
        write_store(tmp_path / "other.h5", make_manifest(3), list(np.zeros((3, 2, 5), np.float32)))
        os.replace(tmp_path / "other.h5", path)
        np.testing.assert_array_equal(store.read(range(0, 250, 2)), vectors[::2])
        with pytest.raises(InputError, match="was replaced by another"):
            Store(path, store.identity)


def test_a_file_that_is_not_a_store_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no store at"):
        Store(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(InputError, match="expected a store"):
        Store(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["format"] = "embeddings of someone else"
    with pytest.raises(InputError, match="expected a store .* is embeddings of someone else None"):
        Store(tmp_path / "other.h5")
    write_store(tmp_path / "s.h5", make_manifest(1), [np.zeros((1, 2), np.float32)])
    content = (tmp_path / "s.h5").read_bytes()
    (tmp_path / "s.h5").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="cannot be read|damaged"):
        Store(tmp_path / "s.h5")


def test_a_folder_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^expected a store file, but {tmp_path} is a folder$"):
        Store(tmp_path)
    for name in ("mfcc.h5", "egemaps.h5", "a.h5.lock"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=f"expected a store file, such as {tmp_path}/egemaps.h5, but {tmp_path} is a"):
        Store(tmp_path)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs files that their owner may not read")
def test_a_store_without_read_permission_is_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    Path("s.h5").touch(0o000)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may read anything
    try:
        with pytest.raises(InputError, match=r"^expected a store, but there is no permission to read s\.h5$"):
            Store("s.h5")
    finally:
        os.seteuid(user)
