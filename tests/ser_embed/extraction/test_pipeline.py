"""Extraction of a corpus of tones with a stub encoder: additions, changes, removals, conflicts and write errors."""

import multiprocessing
import os
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
import soundfile
from filelock import FileLock

import ser_embed
from ser_embed.errors import InputError
from ser_embed.extract import main
from ser_embed.extraction import pipeline
from ser_embed.store.reader import Store
from tests.ser_embed.conftest import tone, write_corpus
from tests.ser_embed.extraction.conftest import NUM_CLIPS, stub_encoder, vector_bytes


def test_only_new_and_changed_clips_are_extracted_again(data: Path, extract: Callable) -> None:
    assert extract(data).extracted == NUM_CLIPS
    before = (data.parent / "s.h5").stat()
    again = extract(data)
    assert (again.extracted, again.unchanged) == (0, NUM_CLIPS)
    assert (data.parent / "s.h5").stat().st_ino == before.st_ino  # the file was not replaced
    soundfile.write(data / "tones" / "004.wav", tone(9_999, 4), 16_000)
    soundfile.write(data / "tones" / "900.wav", tone(5_000, 9), 16_000)
    with (data / "tones" / "manifest.csv").open("a") as manifest:
        manifest.write("900.wav,sad,s1,30\n")
    changed = extract(data)
    assert (changed.extracted, changed.unchanged, changed.clips) == (2, NUM_CLIPS - 1, NUM_CLIPS + 1)
    with Store(data.parent / "s.h5") as store:
        row = store.utterances["utterance_id"].tolist().index("tones/004")
        assert store.read([row])[0, 0, 1] == 9_999


def test_a_corrected_label_needs_no_extraction(data: Path, extract: Callable) -> None:
    extract(data)
    manifest = data / "tones" / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("000.wav,angry", "000.wav,fear"))
    assert extract(data).extracted == 0
    with Store(data.parent / "s.h5") as store:
        assert store.utterances["emotion"].iloc[0] == "fear"


def test_another_corpus_is_added_to_the_store(data: Path, extract: Callable) -> None:
    write_corpus(data / "more", 4)
    extract(data, corpus=("tones",))
    report = extract(data, corpus=("more",))
    assert (report.extracted, report.clips) == (4, NUM_CLIPS + 4)
    with Store(data.parent / "s.h5") as store:
        names = store.utterances["utterance_id"].tolist()
    assert names == sorted(names)


def test_a_damaged_vector_is_not_merged_under_a_fresh_checksum(data: Path, extract: Callable) -> None:
    extract(data)
    with h5py.File(data.parent / "s.h5", "r+") as file:
        file["vectors"][4, 0, 1] += 1
    before = (data.parent / "s.h5").read_bytes()
    write_corpus(data / "more", 4)
    with pytest.raises(InputError, match=r"the vectors of tones/004 are not those that were written \(checksum\);"):
        extract(data)
    assert (data.parent / "s.h5").read_bytes() == before
    assert extract(data, force=True).extracted == NUM_CLIPS + 4


def test_a_damaged_store_stops_an_extraction_unless_it_is_to_be_replaced(data: Path, extract: Callable) -> None:
    extract(data)
    path = data.parent / "s.h5"
    before = vector_bytes(path)
    content = bytearray(path.read_bytes())
    content[-1_000] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"s\.h5 is damaged: .* extract --force replaces it"):
        extract(data)
    assert path.read_bytes() == content
    assert extract(data, force=True).extracted == NUM_CLIPS
    assert vector_bytes(path) == before
    (data.parent / "s.h5").write_text("a thesis")
    with pytest.raises(InputError, match="expected a store"):
        extract(data, force=True)
    assert path.read_text() == "a thesis"


def test_clips_removed_from_a_corpus_stay_in_the_store_and_are_reported(
    data: Path, extract: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    extract(data)
    manifest = data / "tones" / "manifest.csv"
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(line for line in lines if not line.startswith("003")))
    assert extract(data).clips == NUM_CLIPS
    assert caplog.messages == [
        f"1 stored clips are no longer in {data}, such as tones/003; they are kept in the store; --prune drops them"
    ]


@pytest.mark.parametrize("force", [False, True])
def test_prune_drops_only_clips_removed_from_the_corpora_of_this_run(
    data: Path, extract: Callable, capfd: pytest.CaptureFixture, force: bool
) -> None:
    write_corpus(data / "more", 4)
    path = extract(data).store
    before = vector_bytes(path)
    for corpus in ("tones", "more"):
        manifest = data / corpus / "manifest.csv"
        lines = manifest.read_text().splitlines(keepends=True)
        manifest.write_text("".join(line for line in lines if not line.startswith("003")))
    (data / "tones" / "004.wav").unlink()
    options = ["--model", "mfcc", "--data", str(data), "--store", str(path), *(["--force"] if force else [])]
    assert main([*options, "--prune", "--corpus", "tones", "--limit", "10"]) == 3
    out, err = capfd.readouterr()
    assert out.endswith(" unchanged, 1 unreadable, 1 dropped\n")
    assert "no longer" not in err
    assert vector_bytes(path) == {name: vector for name, vector in before.items() if name != "tones/003"}
    inode = path.stat().st_ino
    assert extract(data, corpus="tones", prune=True).dropped == 0
    assert path.stat().st_ino == inode


def test_a_corpus_may_have_columns_named_source_and_row(data: Path, extract: Callable) -> None:
    header, *lines = (data / "tones" / "manifest.csv").read_text().splitlines()
    text = [f"{header},source,row", *(f"{line},studio,{number}" for number, line in enumerate(lines))]
    (data / "tones" / "manifest.csv").write_text("\n".join(text))
    path = extract(data).store
    with Store(path) as store:
        assert store.utterances["source"].tolist() == ["studio"] * NUM_CLIPS
        assert store.utterances["row"].tolist() == list(range(NUM_CLIPS))
    before = path.stat().st_ino
    assert extract(data).unchanged == NUM_CLIPS
    assert path.stat().st_ino == before  # the two columns do not look like a change


def test_a_store_never_mixes_specs(data: Path, extract: Callable, tmp_path: Path) -> None:
    extract(data)
    before = (tmp_path / "s.h5").read_bytes()
    with pytest.raises(InputError, match=r"s.h5 holds vectors with pooling 'mean', not 'frames'"):
        extract(data, pooling="frames")
    assert (tmp_path / "s.h5").read_bytes() == before
    assert extract(data, pooling="frames", force=True).extracted == NUM_CLIPS


def test_the_second_of_two_extractions_into_a_store_stops_with_an_error(
    data: Path, extract: Callable, tmp_path: Path
) -> None:
    with FileLock(tmp_path / "s.h5.lock"), pytest.raises(InputError, match="another extraction is writing to"):
        extract(data)
    assert not (tmp_path / "s.h5").exists()


def _extract_with_file_size_limit(num_bytes: int, data: Path, store: Path) -> None:
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))
    pipeline.load_encoder = lambda model, options: stub_encoder(options)  # type: ignore[assignment]
    os.dup2(
        os.open(store.parent / "err", os.O_WRONLY | os.O_CREAT), 2
    )  # messages of HDF5 itself also go to stderr, and would be counted
    sys.exit(main(["--model", "mfcc", "--data", str(data), "--store", str(store)]))


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_a_full_disk_is_reported_in_one_line_and_the_old_store_kept(
    data: Path, extract: Callable, tmp_path: Path
) -> None:
    extract(data, limit=3)
    before = vector_bytes(tmp_path / "s.h5")
    process = multiprocessing.get_context("spawn").Process(
        target=_extract_with_file_size_limit, args=(12_000, data, tmp_path / "s.h5")
    )
    process.start()
    process.join()
    lines = (tmp_path / "err").read_text().splitlines()
    assert process.exitcode == 1
    assert len(lines) == 1
    assert "cannot write the store: File too large" in lines[0]
    assert vector_bytes(tmp_path / "s.h5") == before
    assert extract(data).clips == NUM_CLIPS


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_bad_input(data: Path, extract: Callable, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot write in"):
        extract(data)


def test_a_store_path_below_a_file_is_bad_input(data: Path, extract: Callable, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write in"):
        ser_embed.extract("mfcc", data=data, store=tmp_path / "file" / "s.h5")


def test_notes_are_printed_after_the_checks(
    data: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture,
    models: dict[str, Path],
) -> None:
    (data / "empty").mkdir()
    (data / "empty" / "manifest.csv").write_text("path,emotion,speaker\n")
    ser_embed.extract("mfcc", data=data, store=tmp_path / "mfcc.h5", limit=1)
    assert caplog.messages[0].startswith("empty left out: ")
    command = ["--model", str(models["hubert-base"]), "--data", str(data), "--layers", "1", "--limit", "1"]
    assert main([*command, "--store", str(tmp_path / "mfcc.h5")]) == 2
    (error,) = capfd.readouterr().err.splitlines()
    assert "mfcc.h5 holds vectors with model 'mfcc'" in error
    assert main([*command, "--store", str(tmp_path / "new.h5")]) == 0
    corpus, model = capfd.readouterr().err.splitlines()
    assert corpus.startswith("empty left out: ")
    assert model.endswith("has no preprocessor_config.json: waveforms are normalised")
