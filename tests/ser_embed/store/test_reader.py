import os
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_embed.errors import InputError
from ser_embed.manifest import build_manifest
from ser_embed.spec import EmbeddingSpec
from ser_embed.store.reader import Store
from ser_embed.store.writer import StoreWriter

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


def spec(layers: int = 2, width: int = 3, pooling: str = "mean") -> EmbeddingSpec:
    names = tuple(str(index) for index in range(layers))
    return EmbeddingSpec("m", "", "d", names, pooling, width, 16_000, "none", None, None, "float32")


def manifest(num_clips: int, **columns: list) -> pd.DataFrame:
    rows = [
        {"utterance_id": f"c/{i:04}", "path": f"c/{i}.wav", "corpus": "c", "speaker": f"c/{i % 3}", "emotion": "angry"}
        for i in range(num_clips)
    ]
    for name, values in columns.items():
        rows = [{**row, name: value} for row, value in zip(rows, values, strict=True)]
    return build_manifest(rows)


def write(path: Path, clips: pd.DataFrame, vectors: list[np.ndarray], pooling: str = "mean") -> None:
    with StoreWriter(path, spec(*vectors[0].shape[-2:], pooling), {"python": "3"}) as writer:
        writer.add(clips, vectors)
        writer.commit()


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
    clips = manifest(len(values), note=[note for note, _ in values], level=[level for _, level in values])
    vectors = np.random.default_rng(0).standard_normal((len(values), layers, width)).astype(np.float32)
    write(path, clips, list(vectors))
    with Store(path) as store:
        pd.testing.assert_frame_equal(store.utterances[clips.columns], clips)
        np.testing.assert_array_equal(store.vectors[:], vectors)
        assert store.spec == spec(layers, width)
        assert len(store.unreadable) == 0
    assert [entry.name for entry in path.parent.iterdir()] == ["s.h5"]


@given(rows=st.lists(st.integers(0, 249), max_size=40), layers=st.sampled_from([None, [1], [1, 0]]))
@settings(max_examples=40, deadline=None)
def test_rows_are_read_as_numpy_would(big: tuple[Path, np.ndarray], rows: list[int], layers: list[int] | None) -> None:
    path, vectors = big
    with Store(path) as store:
        expected = vectors[rows] if layers is None else vectors[rows][:, layers]
        np.testing.assert_array_equal(store.read(rows, layers), expected)


@pytest.mark.parametrize("scattered", [True, False])
def test_a_store_of_many_chunks_is_read_as_numpy_would(tmp_path: Path, scattered: bool) -> None:
    vectors = np.arange(2 * 4_550, dtype=np.float32).reshape(4_550, 1, 2)
    write(tmp_path / "s.h5", manifest(4_550), list(vectors))
    rows = np.random.default_rng(0).permutation(4_550) if scattered else np.arange(90, 310)
    with Store(tmp_path / "s.h5") as store:  # chunks are located all at once, or one by one
        np.testing.assert_array_equal(store.read(rows), vectors[rows])


@pytest.mark.parametrize(
    "layout", [{"chunks": (64, 2, 5), "compression": "gzip"}, {"chunks": (64, 1, 5)}, {}, {"dtype": ">f4"}]
)
def test_a_store_repacked_by_other_software_reads_the_same(
    big: tuple[Path, np.ndarray], tmp_path: Path, layout: dict
) -> None:
    path, vectors = big
    with h5py.File(path) as old, h5py.File(tmp_path / "s.h5", "w") as new:
        for name in old:
            if name != "vectors":
                old.copy(name, new)
        new.create_dataset("vectors", data=old["vectors"][:], **layout)
        new.attrs.update(old.attrs)
    with Store(tmp_path / "s.h5") as store:
        np.testing.assert_array_equal(store.read([200, 3, 64, 63]), vectors[[200, 3, 64, 63]])


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    path = tmp_path_factory.mktemp("store") / "big.h5"
    vectors = np.random.default_rng(1).standard_normal((250, 2, 5)).astype(np.float32)
    write(path, manifest(250), list(vectors))
    return path, vectors


def test_frames_of_clips_are_found_again(tmp_path: Path) -> None:
    clips = [np.full((count, 1, 2), index, np.float32) for index, count in enumerate([3, 1, 4])]
    write(tmp_path / "s.h5", manifest(3), clips, pooling="frames")
    with Store(tmp_path / "s.h5") as store:
        assert store.vectors.shape == (8, 1, 2)
        assert store.utterances["frame_count"].tolist() == [3, 1, 4]
        for row, clip in enumerate(clips):
            np.testing.assert_array_equal(store.read_clip(row), clip)


def test_a_writer_that_fails_leaves_the_old_store(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    write(path, manifest(2), [np.zeros((1, 2), np.float32)] * 2)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="shape"):
        write(path, manifest(2), [np.zeros((1, 2), np.float32), np.zeros((9, 9), np.float32)])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_store_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no store at"):
        Store(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(InputError, match="expected a store"):
        Store(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["format"] = "embeddings of someone else"
    with pytest.raises(InputError, match="expected a store .* is embeddings of someone else None"):
        Store(tmp_path / "other.h5")
    write(tmp_path / "s.h5", manifest(1), [np.zeros((1, 2), np.float32)])
    whole = (tmp_path / "s.h5").read_bytes()
    (tmp_path / "s.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read|damaged"):
        Store(tmp_path / "s.h5")


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^expected a store file, but {tmp_path} is a folder$"):
        Store(tmp_path)
    for name in ("mfcc.h5", "egemaps.h5", "a.h5.lock"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=f"expected a store file, such as {tmp_path}/egemaps.h5, but {tmp_path} is a"):
        Store(tmp_path)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs files that their owner may not read")
def test_a_store_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_specs_name_what_differs() -> None:
    one = spec()
    assert EmbeddingSpec.from_json(one.to_json()) == one
    with pytest.raises(InputError, match=r"s.h5 holds vectors with pooling 'mean', not 'mean\+std'"):
        one.require_same(spec(pooling="mean+std"), "s.h5")
    with pytest.raises(InputError, match="expected an embedding spec"):
        EmbeddingSpec.from_json("{}")


def test_a_manifest_names_each_clip_once() -> None:
    row = {"utterance_id": "c/a", "path": "a.wav", "corpus": "c", "speaker": "c/1", "emotion": "sad"}
    with pytest.raises(InputError, match=r"two clips have the utterance_id 'c/a': a.wav and a.flac"):
        build_manifest([row, {**row, "path": "a.flac"}])
