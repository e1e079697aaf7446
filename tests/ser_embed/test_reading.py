"""Reading of damaged and hostile files: strict JSON, arrays no longer than their file, documents that tell an edit."""

import io
import json
import os
import struct
import zipfile

import numpy as np
import pytest

from ser_embed.errors import InputError
from ser_embed.reading import (
    expect,
    input_error_on_read,
    is_as_signed,
    is_count,
    is_number,
    path_inside,
    read_arrays,
    read_json,
    signed,
)


@pytest.mark.parametrize(
    "error", [KeyError("head"), zipfile.BadZipFile("no\nzip"), RecursionError(), MemoryError(), OSError(5, "I/O error")]
)
def test_whatever_a_reader_raises_becomes_one_line(error):
    with (
        pytest.raises(InputError, match="^the file x is damaged \\(") as raised,
        input_error_on_read("the file x is damaged"),
    ):
        raise error
    assert "\n" not in str(raised.value)
    assert raised.value.__cause__ is error


def test_an_error_that_names_its_file_passes_and_one_of_a_part_gets_the_file():
    with pytest.raises(InputError, match="^y is missing$"), input_error_on_read("x is damaged"):
        raise InputError("y is missing")
    with (
        pytest.raises(InputError, match=r"^x is damaged \(--head has"),
        input_error_on_read("x is damaged", of_parts=True),
    ):
        raise InputError("--head has to be one of them")


def test_a_long_value_is_shortened():
    with pytest.raises(ValueError, match="^expected a name, not 'aaa.* \\.\\.\\.$") as raised:
        expect(False, "a name", "a" * 10_000)
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": 1, "a": 2}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xff"}',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000 + b"]" * 100_000,
        b"9" * 10_000,
    ],
)
def test_json_is_strict(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(InputError), input_error_on_read("a.json is damaged"):
        read_json(tmp_path / "a.json")


def test_a_huge_document_and_a_folder_are_not_read(tmp_path):
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(ValueError, match="at most 268435456 bytes"):
        read_json(tmp_path / "a.json")
    with pytest.raises(ValueError, match="expected a file"):
        read_json(tmp_path)


def test_only_finite_numbers_and_no_truth_values_are_numbers():
    assert [is_number(value) for value in (1, -0.5, True, "1", None, float("nan"))] == [True, True, *[False] * 4]
    assert [is_count(value) for value in (0, 7, -1, 1.0, True)] == [True, True, False, False, False]


@pytest.mark.parametrize("change", [{"b": [2, 1]}, {"a": 1.0}, {"c": None}, {"digest": "0" * 32}])
def test_a_signed_document_tells_an_edit(change):
    document = signed({"a": 1, "b": [1, 2]})
    assert is_as_signed(json.loads(json.dumps(document, indent=3)))
    assert signed(document) == document
    assert not is_as_signed({**document, **change})


@pytest.mark.parametrize("name", ["../a", "/a", "b/../../a", "link", ".", "", 7, None, "a\0b"])
def test_a_path_that_leads_out_is_refused(tmp_path, name):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "a")
    with pytest.raises(ValueError, match=r"expected|null"):
        path_inside(folder, name)
    assert path_inside(folder, "b/c.npz") == folder / "b" / "c.npz"


def npy(header, data=b""):
    text = (str(header) if isinstance(header, dict) else header).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def npz(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)


HUGE = {"descr": "<f8", "fortran_order": False, "shape": (1 << 40,)}
SMALL = {"descr": "<f8", "fortran_order": False, "shape": (1,)}


@pytest.mark.parametrize(
    "members",
    [
        [("a.npy", npy(HUGE))],
        [("a.npy", npy({**HUGE, "shape": (-1, -(1 << 40))}))],
        [("a.npy", npy({**SMALL, "descr": "|O"}, b"\0" * 8))],
        [("a.npy", npy({**SMALL, "descr": "<U2"}, b"\0" * 8))],
        [("a.npy", npy("__import__('os').abort()", b"\0" * 8))],
        [("a.npy", npy(SMALL, b"\0" * 9))],
        [("a.npy", b"\x93NUMPY\x03\x00")],
        [("a.npy", b"")],
        [("a.txt", npy(SMALL, b"\0" * 8))],
    ],
)
def test_arrays_are_held_against_their_length(tmp_path, members):
    npz(tmp_path / "a.npz", members)
    with pytest.raises(InputError), input_error_on_read("a.npz is damaged"):
        read_arrays(tmp_path / "a.npz")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_is_not_longer_than_its_file(tmp_path):
    npz(tmp_path / "bomb.npz", [("a.npy", bytes(1 << 20))], zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="expected at most .* bytes in a file of"):
        read_arrays(tmp_path / "bomb.npz")
    npz(tmp_path / "twice.npz", [("a.npy", npy(SMALL, b"\0" * 8))] * 2)
    with pytest.raises(ValueError, match="arrays by their names"):
        read_arrays(tmp_path / "twice.npz")


def test_arrays_are_read_as_they_were_saved(tmp_path):
    random = np.random.default_rng(0)
    arrays = {"a": random.normal(size=(3, 2)).astype(np.float32), "b": np.array(7), "c": np.arange(6).reshape(2, 3).T}
    np.savez(tmp_path / "a.npz", **arrays, empty=np.zeros((0, 5)))
    loaded = read_arrays(tmp_path / "a.npz")
    assert loaded["empty"].shape == (0, 5)
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].dtype == array.dtype


def test_a_flipped_bit_in_an_array_is_told(tmp_path):
    buffer = io.BytesIO()
    np.savez(buffer, a=np.arange(100.0))
    data = bytearray(buffer.getvalue())
    data[400] ^= 1
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(zipfile.BadZipFile, match="CRC"):
        read_arrays(tmp_path / "a.npz")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.npz")
    for read in (read_arrays, read_json):
        with pytest.raises(ValueError, match="expected a file"):
            read(tmp_path / "a.npz")
