"""Augmented copies: rows of their own, made once, made again if asked for otherwise, the same after a kill."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

import ser_embed
from ser_embed.audio.augmentation import CopySeed, augment, needs_voices
from ser_embed.audio.decode import AudioPreprocessing, load_clip
from ser_embed.errors import InputError
from ser_embed.extract import main
from ser_embed.extraction.copies import plan_copies
from ser_embed.files import digest_of
from ser_embed.manifest import build_manifest
from ser_embed.store.reader import Store
from tests.ser_embed.conftest import tone, write_corpus
from tests.ser_embed.extraction.conftest import NUM_CLIPS, Killed, killed_after, vector_bytes

FAST = "noise,gain"  # augmentations that take no time


def copies_of(path: Path) -> dict[str, str]:
    """Return what each copy in a store was made by, by utterance_id."""
    with Store(path) as store:
        clips = store.utterances
    made = clips[clips["augmented_from"] != ""]
    return dict(zip(made["utterance_id"], made["augmentation"], strict=True))


def test_copies_are_rows_with_the_labels_of_their_recording(data: Path, extract: Callable) -> None:
    report = extract(data, augment="stretch,gain", augment_copies=2, limit=5)
    assert (report.clips, report.copies, report.extracted) == (15, 10, 15)
    with Store(data.parent / "s.h5") as store:
        clips, vectors = store.utterances.set_index("utterance_id"), store.read(range(15))
    assert clips.index.tolist() == sorted(clips.index)
    for row, (name, clip) in enumerate(clips.iterrows()):
        source = clip["augmented_from"]
        assert source == (str(name).partition("~")[0] if "~" in str(name) else "")
        if not source:
            assert clip["augmentation"] == ""
            continue
        recording = clips.loc[source]
        shared = ["path", "corpus", "speaker", "emotion", "digest", "age"]
        assert clip[shared].tolist() == recording[shared].tolist()
        copy_seed = CopySeed(0, source, int(str(name).partition("~")[2]))
        waveform = augment(load_clip(data / clip["path"], AudioPreprocessing())[0], ["stretch", "gain"], copy_seed)
        assert clip["duration_s"] == len(waveform) / 16_000
        assert clip["audio_digest"] == digest_of(waveform.tobytes())
        np.testing.assert_array_equal(vectors[row, 0], np.array([np.abs(waveform).mean(), len(waveform)], np.float32))
    assert clips["audio_digest"].is_unique  # no copy passes for a duplicate of its recording


def test_a_second_run_extracts_nothing_and_another_list_or_seed_only_copies(data: Path, extract: Callable) -> None:
    options = {"augment": FAST, "augment_copies": 2, "limit": 8}
    path = extract(data, **options).store
    before, inode = vector_bytes(path), path.stat().st_ino
    again = extract(data, **options | {"augment": "gain,noise"})
    assert (again.extracted, again.unchanged, again.dropped) == (0, 24, 0)
    assert path.stat().st_ino == inode
    for change in ({"augment": "noise"}, {"augment_seed": 1}):
        changed = extract(data, **options | change)
        assert (changed.extracted, changed.unchanged, changed.dropped) == (16, 8, 0)
    after = vector_bytes(path)
    assert all((before[name] == after[name]) == ("~" not in name) for name in before)
    assert extract(data, **options).extracted == 16
    assert vector_bytes(path) == before


def test_more_copies_add_and_fewer_drop(data: Path, extract: Callable) -> None:
    path = extract(data, augment=FAST, augment_copies=1).store
    more = extract(data, augment=FAST, augment_copies=3)
    assert (more.extracted, more.copies) == (2 * NUM_CLIPS, 3 * NUM_CLIPS)
    fewer = extract(data, augment=FAST, augment_copies=1)
    assert (fewer.extracted, fewer.dropped, fewer.copies) == (0, 2 * NUM_CLIPS, NUM_CLIPS)
    assert {name[-2:] for name in copies_of(path)} == {"~1"}


def test_without_augment_the_copies_of_this_run_are_dropped_and_the_store_is_as_if_there_had_been_none(
    data: Path, extract: Callable
) -> None:
    write_corpus(data / "more", 4)
    path = extract(data, augment=FAST, augment_copies=2).store
    report = extract(data, corpus=("more",))
    assert (report.dropped, report.copies, report.extracted) == (8, 2 * NUM_CLIPS, 0)
    assert {name.partition("/")[0] for name in copies_of(path)} == {"tones"}
    limited = extract(data, corpus=("tones",), limit=3)
    assert (limited.dropped, limited.copies) == (6, 2 * NUM_CLIPS - 6)  # those beyond the limit are not looked at
    assert extract(data).copies == 0
    content = path.read_bytes()
    path.unlink()
    extract(data)
    assert path.read_bytes() == content
    assert extract(data).dropped == 0


def test_a_changed_recording_is_extracted_again_with_its_copies(data: Path, extract: Callable) -> None:
    extract(data, augment="gain", augment_copies=2)
    soundfile.write(data / "tones" / "004.wav", tone(9_999, 4), 16_000)
    assert extract(data, augment="gain", augment_copies=2).extracted == 3


def test_copies_with_babble_are_made_again_if_a_voice_changes(data: Path, extract: Callable) -> None:
    extract(data, augment="noise", augment_copies=6)
    before = copies_of(data.parent / "s.h5")
    assert sum("voices" in made_by for made_by in before.values()) > NUM_CLIPS
    soundfile.write(data / "tones" / "004.wav", tone(9_999, 4), 16_000)
    report = extract(data, augment="noise", augment_copies=6)
    after = copies_of(data.parent / "s.h5")
    changed = {name for name in before if before[name] != after[name]}
    assert changed
    assert all("voices" in before[name] for name in changed)
    assert report.extracted == len(changed | {f"tones/004~{number}" for number in range(1, 7)}) + 1
    content = vector_bytes(data.parent / "s.h5")
    extract(data, augment="noise", augment_copies=6, force=True)
    assert vector_bytes(data.parent / "s.h5") == content


def test_voices_are_of_the_same_speaker_or_none(tmp_path: Path) -> None:
    rows = [
        {"utterance_id": f"c/{index}", "path": f"c/{index}.wav", "corpus": "c", "speaker": speaker, "emotion": "sad"}
        for index, speaker in enumerate(["c/a", "c/a", "c/a", "c/a", "c/a", "c/b", "c/b", "c/lonely", "", "", ""])
    ]
    manifest = build_manifest(rows)
    speakers = dict(zip(manifest["path"], manifest["speaker"], strict=True))
    _, recipes = plan_copies(manifest, tmp_path, ("noise",), 30, 0)
    counts = set()
    for recipe in recipes.values():
        own = f"{recipe.copy_seed.utterance_id}.wav"
        assert own not in recipe.voices
        assert {speakers[path] for path in recipe.voices} <= {speakers[own]} - {""}
        assert not recipe.voices or needs_voices(["noise"], recipe.copy_seed)
        counts.add((speakers[own], len(recipe.voices)))
    assert counts == {("c/a", 0), ("c/a", 3), ("c/b", 0), ("c/b", 1), ("c/lonely", 0), ("", 0)}


def test_a_killed_run_with_copies_gives_the_store_of_an_unbroken_one(
    data: Path, models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = str(models["hubert-large"])
    options = {"data": data, "chunk": 5, "limit": 9, "augment": FAST, "augment_copies": 2, "pooling": "frames"}
    ser_embed.extract(model, store=tmp_path / "whole.h5", **options)
    for num_parts in (1, 3):
        with killed_after(num_parts, monkeypatch), pytest.raises(Killed):
            ser_embed.extract(model, store=tmp_path / "resumed.h5", **options)
    report = ser_embed.extract(model, store=tmp_path / "resumed.h5", **options)
    assert (report.clips, report.copies) == (27, 18)
    assert (tmp_path / "resumed.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_part_files_of_another_list_are_not_taken(
    data: Path, extract: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = extract(data, augment="gain").store
    before = vector_bytes(path)
    path.unlink()
    with killed_after(8, monkeypatch), pytest.raises(Killed):
        extract(data, augment="noise", chunk=5)
    assert extract(data, augment="gain", chunk=5).clips == 2 * NUM_CLIPS
    assert vector_bytes(path) == before


def test_an_unreadable_recording_is_listed_once_and_its_old_copies_stay(data: Path, extract: Callable) -> None:
    (data / "tones" / "001.wav").write_bytes(b"")
    report = extract(data, augment=FAST, augment_copies=2)
    assert [clip["utterance_id"] for clip in report.unreadable] == ["tones/001"]
    assert report.clips == 3 * (NUM_CLIPS - 1)
    (data / "tones" / "002.wav").unlink()
    again = extract(data, augment=FAST, augment_copies=2)
    assert [clip["utterance_id"] for clip in again.unreadable] == ["tones/001", "tones/002"]
    assert (again.clips, again.unchanged, again.dropped) == (3 * (NUM_CLIPS - 1), 3 * (NUM_CLIPS - 2), 0)
    other = extract(data, augment="band", augment_copies=2)  # which cannot be made of a file that is gone
    assert (other.clips, other.dropped) == (3 * (NUM_CLIPS - 1) - 2, 2)
    with Store(data.parent / "s.h5") as store:
        assert store.unreadable["utterance_id"].tolist() == ["tones/001", "tones/002"]


def test_copies_of_a_removed_recording_stay_and_are_pruned_with_it(data: Path, extract: Callable) -> None:
    extract(data, augment=FAST)
    manifest = data / "tones" / "manifest.csv"
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(line for line in lines if not line.startswith("003")))
    kept = extract(data, augment=FAST)
    assert {"tones/003", "tones/003~1"} <= set(vector_bytes(data.parent / "s.h5"))
    pruned = extract(data, augment=FAST, prune=True)
    assert (pruned.dropped, kept.dropped) == (2 + kept.clips - 2 * NUM_CLIPS, 0)
    assert not {"tones/003", "tones/003~1"} & set(vector_bytes(data.parent / "s.h5"))


def test_copies_that_a_corpus_brings_along_get_no_copies_and_are_not_dropped(data: Path, extract: Callable) -> None:
    manifest = data / "tones" / "manifest.csv"
    header, *lines = manifest.read_text().splitlines()
    rows = [f"{line},{'tones/000' if number == 1 else ''}" for number, line in enumerate(lines)]
    manifest.write_text("\n".join([f"{header},augmented_from", *rows]))
    report = extract(data, augment=FAST)
    assert (report.clips, report.copies) == (2 * NUM_CLIPS - 1, NUM_CLIPS - 1)
    without = extract(data)
    assert (without.clips, without.copies) == (NUM_CLIPS, 0)


def test_levels_and_trimming_apply_to_the_augmented_sound(data: Path, tmp_path: Path) -> None:
    options = {"data": data, "limit": 2, "augment": "gain", "pooling": "mean"}
    ser_embed.extract("mfcc", store=tmp_path / "level.h5", level_db=-30, **options)
    vectors = vector_bytes(tmp_path / "level.h5")
    recording, copy = (np.frombuffer(vectors[name], np.float32) for name in ("tones/000", "tones/000~1"))
    np.testing.assert_allclose(recording, copy, atol=1e-2)  # a level does not survive levelling


def test_a_recording_may_not_have_the_name_of_a_copy(data: Path, extract: Callable) -> None:
    (data / "tones" / "000~1.wav").write_bytes((data / "tones" / "000.wav").read_bytes())
    with (data / "tones" / "manifest.csv").open("a") as manifest:
        manifest.write("000~1.wav,sad,s1,30\n")
    assert extract(data).clips == NUM_CLIPS + 1
    with pytest.raises(InputError, match="a recording has the name that a copy would have, 'tones/000~1'"):
        extract(data, augment=FAST)


def test_the_command_takes_a_list_and_inspect_counts_copies(data: Path, capfd: pytest.CaptureFixture) -> None:
    store = str(data.parent / "m.h5")
    command = ["--model", "mfcc", "--data", str(data), "--store", store, "--limit", "3"]
    assert main([*command, "--augment", "noise,gain", "--augment-copies", "2", "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert (report["clips"], report["copies"]) == (9, 6)
    assert main([*command, "--augment", "noise,gain", "--augment-copies", "2"]) == 0
    assert "9 clips (6 augmented copies)" in capfd.readouterr().out
    from ser_embed.inspect import main as inspect_main

    assert inspect_main([store, "--verify"]) == 0
    assert "9 clips (6 augmented copies)" in capfd.readouterr().out
    assert ser_embed.inspect(store)["copies"] == 6
    assert main([*command, "--augment", "noise,echo"]) == 2
    assert "expected augmentations (pitch, " in capfd.readouterr().err
