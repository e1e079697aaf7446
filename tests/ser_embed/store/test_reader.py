"""Reading of a store: rows, clips and frames as NumPy would give them, and errors for files that are not a store."""

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_embed.errors import InputError
from ser_embed.store import probe
from ser_embed.store.reader import Store
from ser_embed.store.seal import SEAL_BYTES, check_seal, write_seal
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


def rewrite(path: Path, change: Callable[[h5py.File], object]) -> Path:
    with h5py.File(path, "r+") as file:
        change(file)
    return path


@pytest.fixture
def small_store(tmp_path: Path) -> Path:
    write_store(tmp_path / "s.h5", make_manifest(6), list(np.ones((6, 2, 3), np.float32)))
    return tmp_path / "s.h5"


def unseal(path: Path) -> None:
    """Make a store one without a seal, as of an earlier version."""
    path.write_bytes(path.read_bytes()[SEAL_BYTES:])


def read_everything(path: Path) -> None:
    with Store(path) as store:
        assert len(store.utterances) == len(store)
        assert len(store.unreadable) == 0
        store.read(range(len(store)))


@pytest.mark.parametrize("value", [1.5, np.nan, np.inf])
def test_vectors_other_than_those_written_are_not_read(small_store: Path, value: float) -> None:
    rewrite(small_store, lambda file: file["vectors"].__setitem__((3, 0, 1), value))
    with Store(small_store) as store:
        assert store.read([0, 1, 2, 5]).shape == (4, 2, 3)
        for read in (lambda: store.read([2, 3]), lambda: store.read([3], [1]), lambda: store.read_clip(3)):
            with pytest.raises(InputError, match=r"the vectors of c/0003 are not those that were written \(checksum\)"):
                read()


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_vectors_that_are_not_finite_are_not_read_even_if_they_were_written(tmp_path: Path, value: float) -> None:
    vectors = np.ones((6, 1, 3), np.float32)
    vectors[4, 0, 2] = value
    write_store(tmp_path / "s.h5", make_manifest(6), list(vectors))
    with Store(tmp_path / "s.h5") as store, pytest.raises(InputError, match=r"of c/0004 in .* hold NaN or infinity"):
        store.read(range(6))


def test_vectors_whose_sum_overflows_are_read(tmp_path: Path) -> None:
    vectors = np.full((4, 1, 3), 3e38, np.float32)
    write_store(tmp_path / "s.h5", make_manifest(4), list(vectors))
    with Store(tmp_path / "s.h5") as store:
        np.testing.assert_array_equal(store.read(range(4)), vectors)


@pytest.mark.parametrize("column", ["utterance_id", "speaker", "emotion", "path", "duration_s"])
def test_a_changed_label_or_id_is_not_read(small_store: Path, column: str) -> None:
    value = 7.0 if column == "duration_s" else b"c/0009"
    rewrite(small_store, lambda file: file[f"utterances/{column}"].__setitem__(2, value))
    with pytest.raises(InputError, match=r"not as it was written \(checksum\)"):
        read_everything(small_store)


def _shorten(file: h5py.File) -> None:
    speakers = file["utterances/speaker"][:4]
    del file["utterances/speaker"]
    file["utterances/speaker"] = speakers


def _rename(file: h5py.File) -> None:
    file["utterances"].move("emotion", "emotiom")


def _claim(file: h5py.File) -> None:
    del file["utterances/duration_s"]
    del file["checksums"]
    file.create_dataset("utterances/duration_s", (2**40,), "float64", chunks=(2**10,))
    file.create_dataset("checksums", (2**40,), "uint32", chunks=(2**10,))


@pytest.mark.parametrize("is_sealed", [True, False])
@pytest.mark.parametrize("change", [_shorten, _rename, _claim, lambda file: file.attrs.__setitem__("spec", "{}")])
def test_tables_that_do_not_fit_are_bad_input(
    small_store: Path, change: Callable[[h5py.File], object], is_sealed: bool
) -> None:
    if not is_sealed:
        unseal(small_store)
    rewrite(small_store, change)
    with pytest.raises(InputError, match=r"s\.h5|expected an embedding spec"):
        read_everything(small_store)


def _external_link(file: h5py.File, other: Path) -> None:
    del file["vectors"]
    file["vectors"] = h5py.ExternalLink(other, "vectors")


def _soft_link(file: h5py.File, _: Path) -> None:
    file["utterances/gender"] = h5py.SoftLink("/utterances/speaker")


def _external_data(file: h5py.File, other: Path) -> None:
    del file["utterances/path"]
    file.create_dataset("utterances/path", (6,), "S8", external=[(str(other), 0, 48)])


def _virtual(file: h5py.File, other: Path) -> None:
    del file["vectors"]
    layout = h5py.VirtualLayout((6, 2, 3), "float32")
    layout[:] = h5py.VirtualSource(other, "vectors", (6, 2, 3))
    file.create_virtual_dataset("vectors", layout)


@pytest.mark.parametrize("change", [_external_link, _soft_link, _external_data, _virtual])
def test_data_elsewhere_is_not_shown(small_store: Path, tmp_path: Path, change: Callable) -> None:
    write_store(tmp_path / "other.h5", make_manifest(6), list(np.zeros((6, 2, 3), np.float32)))
    unseal(small_store)
    rewrite(small_store, lambda file: change(file, tmp_path / "other.h5"))
    with pytest.raises(InputError, match="is a link to data elsewhere, which is not followed"):
        Store(small_store)


def test_a_store_of_an_earlier_version_is_read(small_store: Path) -> None:
    unseal(small_store)
    rewrite(small_store, lambda file: file.attrs.__setitem__("version", 1))
    read_everything(small_store)
    with Store(small_store) as store:
        assert not store.is_sealed


def test_every_byte_that_is_no_vector_is_sealed(small_store: Path) -> None:
    whole = small_store.read_bytes()
    with Store(small_store) as store:
        stretches: list[tuple[int, int]] = []
        store.vectors.id.chunk_iter(lambda chunk: stretches.append((chunk.byte_offset, chunk.size)))
    for position in [*range(64), *range(64, SEAL_BYTES, 997), *range(SEAL_BYTES, len(whole), 97)]:
        if any(start <= position < start + length for start, length in stretches):
            continue
        damaged = bytearray(whole)
        damaged[position] ^= 16
        small_store.write_bytes(damaged)
        with pytest.raises(InputError, match=r"not as it was written \(checksum\)"):
            Store(small_store)


def test_hdf5_is_not_let_near_a_store_without_a_seal_that_it_loops_or_crashes_on(
    small_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unseal(small_store)
    whole = small_store.read_bytes()
    heap = whole.index(b"GCOL")
    small_store.write_bytes(whole[: heap + 16] + bytes(2_000) + whole[heap + 2_016 :])
    with pytest.raises(InputError, match="HDF5 does not come to an end with it"):
        Store(small_store)
    monkeypatch.setattr(probe, "_READ_ALL", "import os; os.abort()")
    with pytest.raises(InputError, match="HDF5 crashes on it"):
        Store(small_store)


def test_a_store_of_more_stretches_than_a_seal_lists_is_sealed(tmp_path: Path) -> None:
    rows = [(SEAL_BYTES + 100 * number, 50) for number in range(5_000)]
    (tmp_path / "f").write_bytes(bytes(SEAL_BYTES + 600_000))
    with (tmp_path / "f").open("r+b") as file:
        write_seal(file, rows)
    check_seal(tmp_path / "f")
    data = bytearray((tmp_path / "f").read_bytes())
    data[-1] ^= 1
    (tmp_path / "f").write_bytes(data)
    with pytest.raises(InputError, match="not as it was written"):
        check_seal(tmp_path / "f")


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
