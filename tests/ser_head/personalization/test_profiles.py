"""Speaker profiles: complete or absent, of one encoder, and gone when deleted."""

import dataclasses
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ser_embed import files
from ser_embed.errors import InputError
from ser_embed.reading import signed
from ser_embed.spec import EmbeddingSpec
from ser_head.personalization.profiles import (
    Profile,
    delete_profile,
    empty_profile,
    extend_profile,
    list_profiles,
    load_profile,
    require_name,
    save_profile,
)

SPEC = EmbeddingSpec("tiny", "", "d1", ("0", "1"), "mean", 4, 16_000, "none", None, None, "float32")
VECTORS = np.random.default_rng(0).normal(size=(3, 2, 4)).astype(np.float32)


def ann(clips: int = 2) -> Profile:
    return empty_profile("Ann", SPEC).with_clips(VECTORS[:clips], ("a", "b", "c")[:clips])


def suffixes(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.iterdir())


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = save_profile(tmp_path / "new", ann())
    assert path == tmp_path / "new" / "Ann.json"
    loaded = load_profile(tmp_path / "new", "Ann", SPEC)
    assert loaded is not None
    assert (loaded.name, loaded.spec, loaded.digests) == ("Ann", SPEC, ("a", "b"))
    np.testing.assert_array_equal(loaded.vectors, VECTORS[:2])
    assert loaded.created == loaded.updated != ""


def test_more_clips_replace_the_files_and_keep_the_first_date(tmp_path: Path) -> None:
    save_profile(tmp_path, dataclasses.replace(ann(), created="2020-01-01T00:00:00+00:00"))
    loaded = load_profile(tmp_path, "Ann", SPEC)
    assert loaded is not None
    save_profile(tmp_path, loaded.with_clips(VECTORS[2:], ("c",)))
    assert suffixes(tmp_path) == [".json", ".npz"]
    again = load_profile(tmp_path, "Ann", SPEC)
    assert again is not None
    np.testing.assert_array_equal(again.vectors, VECTORS)
    assert again.created == "2020-01-01T00:00:00+00:00" < again.updated
    assert list_profiles(tmp_path) == [
        {"name": "Ann", "clips": 3, "created": again.created, "updated": again.updated},
    ]


def test_clips_added_at_the_same_time_are_all_kept_and_a_reader_never_finds_damage(tmp_path: Path) -> None:
    empty = empty_profile("Ann", SPEC)
    save_profile(tmp_path, empty)

    def add(number: int) -> None:
        extend_profile(tmp_path, empty.with_clips(VECTORS[:1] + number, (f"clip {number}",)))

    with ThreadPoolExecutor(4) as pool:
        additions = [pool.submit(add, number) for number in range(24)]
        while not all(addition.done() for addition in additions):
            loaded = load_profile(tmp_path, "Ann", SPEC)
            assert loaded is not None
            for digest, vector in zip(loaded.digests, loaded.vectors, strict=True):
                np.testing.assert_array_equal(vector, VECTORS[0] + int(digest.split()[1]))
    assert [addition.exception() for addition in additions] == [None] * 24
    loaded = load_profile(tmp_path, "Ann", SPEC)
    assert loaded is not None
    assert sorted(loaded.digests) == sorted(f"clip {number}" for number in range(24))
    assert suffixes(tmp_path) == [".json", ".npz"]


def test_a_clip_that_another_process_has_added_meanwhile_is_not_added_twice(tmp_path: Path) -> None:
    extend_profile(tmp_path, ann(2))
    assert extend_profile(tmp_path, ann(3)).digests == ("a", "b", "c")
    assert extend_profile(tmp_path, ann(1)).digests == ("a", "b", "c")


def test_profiles_are_readable_by_their_owner_only_and_leave_no_vectors_behind(tmp_path: Path) -> None:
    (tmp_path / "Ann.feed.npz").write_bytes(b"left over")
    save_profile(tmp_path, ann())
    save_profile(tmp_path, ann(3))
    assert suffixes(tmp_path) == [".json", ".npz"]
    if os.name == "posix":
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize("failing", [1, 2])
def test_a_crash_while_writing_leaves_the_old_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    save_profile(tmp_path, ann())
    calls = iter(range(1, 9))

    def replace(source: Path, target: Path) -> None:
        if next(calls) == failing:
            raise OSError("no space left")
        os.rename(source, target)

    monkeypatch.setattr(files.os, "replace", replace)
    with pytest.raises(OSError, match="no space left"):
        save_profile(tmp_path, ann(3))
    loaded = load_profile(tmp_path, "Ann", SPEC)
    assert loaded is not None
    np.testing.assert_array_equal(loaded.vectors, VECTORS[:2])
    assert not [path for path in tmp_path.iterdir() if ".tmp" in path.name]


def test_clips_can_be_left_out() -> None:
    rest = ann(3).without({"b", "z"})
    assert rest.digests == ("a", "c")
    np.testing.assert_array_equal(rest.vectors, VECTORS[[0, 2]])


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\\b", "C:", "a.b", " a", "a ", "-a", "x" * 51, "a\n"])
def test_a_name_cannot_lead_elsewhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "inner").mkdir()
    for folder in (tmp_path, tmp_path / "inner"):
        for stem in ("x", "", " a", "a "):
            (folder / f"{stem}.json").write_text("{}")
    for check in (require_name, lambda text: delete_profile(tmp_path / "inner", text)):
        with pytest.raises(InputError, match="a profile's name has to be"):
            check(name)
    assert load_profile(tmp_path / "inner", name, SPEC) is None  # a file that was read would be damaged
    assert len(list(tmp_path.rglob("*.json"))) == 8


@pytest.mark.parametrize("name", ["Ann", "speaker 7", "Zoë", "Zoe\u0308", "हिन्दी", "maria_b-2", "x" * 50])
def test_an_ordinary_name_is_accepted(tmp_path: Path, name: str) -> None:
    save_profile(tmp_path, dataclasses.replace(ann(), name=name))
    assert load_profile(tmp_path, name, SPEC) is not None


def test_another_encoder_is_refused_by_name(tmp_path: Path) -> None:
    save_profile(tmp_path, ann())
    for spec, message in [
        (dataclasses.replace(SPEC, model="big", digest="d2"), "with model 'tiny', not 'big'"),
        (dataclasses.replace(SPEC, pooling="mean+std"), "with pooling 'mean', not 'mean\\+std'"),
    ]:
        with pytest.raises(InputError, match=f"the profile .*Ann.json holds vectors {message}"):
            load_profile(tmp_path, "Ann", spec)


def test_a_damaged_profile_is_refused_and_nothing_is_unpickled(tmp_path: Path) -> None:
    path = save_profile(tmp_path, ann())
    vectors_path = next(tmp_path.glob("*.npz"))
    for array in (VECTORS, VECTORS[:2].astype(np.float64), np.full_like(VECTORS[:2], np.nan), np.array([{}, {}])):
        np.savez(vectors_path, vectors=array)
        with pytest.raises(InputError, match="is damaged"):
            load_profile(tmp_path, "Ann", SPEC)
    vectors_path.write_bytes(b"none")
    with pytest.raises(InputError, match="is damaged"):
        load_profile(tmp_path, "Ann", SPEC)
    vectors_path.unlink()
    with pytest.raises(InputError, match="is damaged"):
        load_profile(tmp_path, "Ann", SPEC)
    about = json.loads(path.read_text("utf-8"))
    for text, message in [
        ("{", "is damaged"),
        ("[]", "is damaged"),
        (json.dumps({**about, "version": 9}), "expected ser-profile 1"),
        (json.dumps({**about, "name": "Bob"}), "expected ser-profile 1 of 'Ann'"),
        (json.dumps(signed({**about, "spec": {}})), "expected an embedding spec"),
        (json.dumps({**about, "spec": {}}), "was changed since it was written: Ann.json"),
    ]:
        path.write_text(text, "utf-8")
        with pytest.raises(InputError, match=message):
            load_profile(tmp_path, "Ann", SPEC)


def test_deleting_removes_all_files_of_that_speaker_alone(tmp_path: Path) -> None:
    for name in ("Ann", "Ann B"):
        save_profile(tmp_path, dataclasses.replace(ann(), name=name))
    (tmp_path / "Ann.feed.npz").write_bytes(b"left over")
    (tmp_path / "Ann.feed.99.tmp").write_bytes(b"left over")
    (tmp_path / "Ann.json").write_text("damaged")
    delete_profile(tmp_path, "Ann")
    assert [profile["name"] for profile in list_profiles(tmp_path)] == ["Ann B"]
    assert suffixes(tmp_path) == [".json", ".npz"]
    with pytest.raises(InputError, match="expected a profile of 'Ann' in .*, found none"):
        delete_profile(tmp_path, "Ann")


def as_before_digests(path: Path) -> None:
    about = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({key: about[key] for key in about if key not in ("digest", "vectors_digest")}), "utf-8")


def test_a_profile_written_without_digests_is_read_and_gets_them_with_its_next_clip(tmp_path: Path) -> None:
    as_before_digests(save_profile(tmp_path, ann()))
    loaded = load_profile(tmp_path, "Ann", SPEC)
    assert loaded is not None
    np.testing.assert_array_equal(loaded.vectors, VECTORS[:2])
    extend_profile(tmp_path, ann(3))
    assert {"digest", "vectors_digest"} < set(json.loads((tmp_path / "Ann.json").read_text("utf-8")))


def test_vectors_that_were_edited_or_swapped_are_told(tmp_path: Path) -> None:
    save_profile(tmp_path, ann())
    vectors_path = next(tmp_path.glob("*.npz"))
    np.savez(vectors_path, vectors=VECTORS[[1, 0]])
    with pytest.raises(InputError, match=r"Ann\.json was changed since it was written: Ann\.\w+\.npz"):
        load_profile(tmp_path, "Ann", SPEC)


@pytest.mark.parametrize("key", ["created", "spec", "digest", "digests", "vectors_digest"])
def test_an_edit_of_the_document_is_told(tmp_path: Path, key: str) -> None:
    path = save_profile(tmp_path, ann())
    about = json.loads(path.read_text("utf-8"))
    for edited in ({name: about[name] for name in about if name != key}, {**about, key: about["updated"] + "!"}):
        path.write_text(json.dumps(edited), "utf-8")
        with pytest.raises(InputError, match=r"Ann\.json (is damaged|was changed)"):
            load_profile(tmp_path, "Ann", SPEC)


VALUES = [None, 7, "x", [], {}, [7], {"a": 1}, False, float("nan")]


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize("key", ["format", "version", "name", "created", "updated", "spec", "digests"])
def test_a_value_of_another_type_is_one_line(tmp_path: Path, key: str, value: object) -> None:
    path = save_profile(tmp_path, ann())
    as_before_digests(path)
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), key: value}), "utf-8")
    if key in ("created", "updated") and value == "x":
        assert load_profile(tmp_path, "Ann", SPEC) is not None
        return
    with pytest.raises(InputError, match=r"Ann\.json") as raised:
        load_profile(tmp_path, "Ann", SPEC)
    assert "\n" not in str(raised.value)
    if not isinstance(value, (list, dict)):  # a list of clips is not read any further, nor is a spec
        with pytest.raises(InputError, match=r"Ann\.json"):
            list_profiles(tmp_path)


@pytest.mark.parametrize(
    "data", [b"", b"[" * 100_000, b"\xff\xfe{\0}\0", b"null", b'{"name": "Ann", "name": "Ann"}', b"7"]
)
def test_a_document_that_is_none_is_one_line(tmp_path: Path, data: bytes) -> None:
    save_profile(tmp_path, ann()).write_bytes(data)
    for read in (lambda: load_profile(tmp_path, "Ann", SPEC), lambda: list_profiles(tmp_path)):
        with pytest.raises(InputError, match=r"Ann\.json is damaged") as raised:
            read()
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_a_folder_in_place_of_a_file_is_one_line(tmp_path: Path, suffix: str) -> None:
    save_profile(tmp_path, ann())
    path = next(path for path in tmp_path.iterdir() if path.suffix == suffix)
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=r"Ann\.json is damaged"):
        load_profile(tmp_path, "Ann", SPEC)
    with pytest.raises(InputError, match="cannot write to"):
        delete_profile(tmp_path, "Ann")
