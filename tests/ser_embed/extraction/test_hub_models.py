"""Extraction with models of the Hub: the commit in the store, --revision, killed downloads, errors of one line."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants

import ser_embed
from ser_embed.encoders.registry import HUB_IDS
from ser_embed.errors import InputError
from ser_embed.extract import main
from ser_embed.extraction import pipeline
from ser_embed.extraction.config import ExtractConfig
from ser_embed.store.reader import Store
from tests.ser_embed.conftest import write_corpus
from tests.ser_embed.extraction.conftest import Killed, killed_after
from tests.ser_embed.hub_server import HubServer, wait_for
from tests.ser_embed.published import digest_of_published, pickled, published_files, published_tensors, write_files

NAME = "hubert-large"
HUBERT = HUB_IDS[NAME]


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """A data folder of 3 clips."""
    return write_corpus(tmp_path / "few" / "tones", 3)


def vectors(path: Path) -> np.ndarray:
    with Store(path) as store:
        return store.vectors[:]


def test_a_store_keeps_to_the_commit_it_was_begun_with(hub: HubServer, data: Path, few: Path, tmp_path: Path) -> None:
    store = tmp_path / "s.h5"
    first = hub.commit(HUBERT, published_files(NAME))
    assert ser_embed.extract(NAME, data=few, store=store).spec.revision == first
    second = hub.commit(HUBERT, published_files(NAME, seed=1))
    for model in (NAME, HUBERT):
        hub.requests.clear()
        report = ser_embed.extract(model, data=data, store=store, limit=5)
        assert (report.spec.revision, report.spec.digest) == (first, digest_of_published(NAME))
        assert not hub.requests
    with pytest.raises(InputError, match=f"s.h5 holds vectors with revision '{first}', not '{second}'"):
        ser_embed.extract(NAME, data=data, store=store, revision="main")
    assert ser_embed.extract(NAME, data=few, store=store, force=True).spec.revision == first
    report = ser_embed.extract(NAME, data=few, store=store, force=True, revision="main")
    assert (report.spec.revision, report.extracted) == (second, 3)
    assert ser_embed.extract(NAME, data=few, store=tmp_path / "new.h5").spec.revision == second
    assert ser_embed.extract(NAME, data=few, store=tmp_path / "old.h5", revision=first).spec.revision == first


def test_a_killed_extraction_goes_on_with_its_commit(
    hub: HubServer, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "s.h5"
    first = hub.commit(HUBERT, published_files(NAME))
    with killed_after(1, monkeypatch), pytest.raises(Killed):
        ser_embed.extract(NAME, data=data, store=store, chunk=5)
    assert not store.exists()
    hub.commit(HUBERT, published_files(NAME, seed=1))
    report = ser_embed.extract(NAME, data=data, store=store, chunk=5)
    assert (report.spec.revision, report.extracted) == (first, 23)


def test_all_devices_load_the_same_commit(hub: HubServer, few: Path, tmp_path: Path) -> None:
    commit = hub.commit(HUBERT, published_files(NAME))
    config = ExtractConfig(model=NAME, data=few, store=tmp_path / "s.h5", device="cpu,cpu,cpu", revision="main")
    encoder, further = pipeline._load_encoders(config)
    assert [encoder.spec.revision, *(options.revision for options in further.values())] == [commit] * 3


def test_a_store_of_a_checkpoint_and_one_of_safetensors_are_of_one_spec(
    hub: HubServer, few: Path, data: Path, tmp_path: Path
) -> None:
    store = tmp_path / "s.h5"
    hub.commit(HUBERT, published_files(NAME))
    ser_embed.extract(NAME, data=few, store=store)
    folder = write_files(tmp_path / "folder", published_files(NAME, "safetensors"))
    assert ser_embed.extract(str(folder), data=few, store=store).unchanged == 3
    ser_embed.extract(str(folder), data=few, store=tmp_path / "of_folder.h5")
    np.testing.assert_array_equal(vectors(store), vectors(tmp_path / "of_folder.h5"))


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "ser_embed.extract", *map(str, arguments)]


def environment(hub: HubServer, caches: Path, **changes: str) -> dict[str, str]:
    own = {"HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(caches / "hub"), "SER_CACHE": str(caches / "own")}
    return {**os.environ, **own, "HF_HUB_ETAG_TIMEOUT": "2", "HF_HUB_DOWNLOAD_TIMEOUT": "2", **changes}


def partial_bytes(caches: Path) -> int:
    """Return how many bytes of a file that is being downloaded are here."""
    sizes = [0]
    for path in caches.rglob("*.incomplete"):
        with contextlib.suppress(FileNotFoundError):  # complete by now
            sizes.append(path.stat().st_size)
    return max(sizes)


def kill_while_it_downloads(arguments: list[str], hub: HubServer, caches: Path) -> int:
    """Kill a command in the middle of its download, and return how many bytes of the file are here."""
    hub.stall_after = 50_000
    process = subprocess.Popen(arguments, env=environment(hub, caches), stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: partial_bytes(caches) > 10_000, 120)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    hub.heal()
    return partial_bytes(caches)


def test_a_killed_download_goes_on_where_it_was(hub: HubServer, caches: Path, few: Path, tmp_path: Path) -> None:
    files = published_files(NAME)
    hub.commit(HUBERT, files)
    arguments = ["--model", NAME, "--data", str(few), "--store", str(tmp_path / "s.h5")]
    present = kill_while_it_downloads(command(*arguments), hub, caches)
    assert not (tmp_path / "s.h5").exists()
    hub.requests.clear()
    assert main(arguments) == 0
    (rest,) = hub.sent("pytorch_model.bin")
    assert rest.range == f"bytes={present}-"
    assert rest.sent == len(files["pytorch_model.bin"]) - present


def gated(hub: HubServer) -> None:
    hub.commit(HUBERT, published_files(NAME))
    hub.gated.add(HUBERT)


def silent(hub: HubServer) -> None:
    hub.silent = True


def missing(hub: HubServer) -> None:
    hub.commit("someone/else", published_files(NAME))


def truncated(hub: HubServer) -> None:
    hub.commit(HUBERT, published_files(NAME))
    hub.shorten_to = 60_000


def damaged(hub: HubServer) -> None:
    hub.commit(HUBERT, published_files(NAME))
    hub.corrupt = True


def stalling(hub: HubServer) -> None:
    hub.commit(HUBERT, published_files(NAME))
    hub.stall_after = 0


def without_weights(hub: HubServer) -> None:
    hub.commit(HUBERT, published_tensors(NAME)[1])


def harmful(hub: HubServer) -> None:
    hub.commit(HUBERT, published_files(NAME) | {"pytorch_model.bin": pickled({"weight": os.getcwd})})


@pytest.mark.parametrize("fault", [gated, silent, missing, truncated, damaged, stalling, without_weights, harmful])
def test_a_model_that_cannot_be_had_is_one_line_and_exit_code_2(
    fault: Callable[[HubServer], None], hub: HubServer, few: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fault(hub)
    before = sorted(path.name for path in tmp_path.iterdir())
    code = main(["--model", NAME, "--data", str(few), "--store", str(tmp_path / "s.h5")])
    out, err = capfd.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith("error: ")
    assert HUBERT in err or "pytorch_model.bin" in err
    assert {path.name for path in tmp_path.iterdir()} <= {*before, "caches"}


def test_an_offline_machine_is_told_what_it_lacks(
    caches: Path, few: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert main(["--model", NAME, "--data", str(few)]) == 2
    assert capfd.readouterr().err == (
        f"error: {HUBERT} is not in the local cache and the Hub cannot be reached (HF_HUB_OFFLINE is set); "
        "without a network, give the folder of a saved model\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(HUB_IDS))
def test_every_name_of_the_catalogue_as_a_command(
    name: str, hub: HubServer, caches: Path, few: Path, tmp_path: Path
) -> None:
    """With a checkpoint alone: killed in its download, gone on, offline twice; vectors equal those of the folder."""
    files = published_files(name)
    hub.commit(HUB_IDS[name], files)
    folder = write_files(tmp_path / "folder", files)

    def extract(model: object, store: str, **changes: str) -> np.ndarray:
        arguments = command("--model", model, "--data", few, "--store", tmp_path / store)
        process = subprocess.run(arguments, env=environment(hub, caches, **changes), capture_output=True, text=True)
        assert process.returncode == 0, process.stderr
        return vectors(tmp_path / store)

    present = kill_while_it_downloads(
        command("--model", name, "--data", few, "--store", tmp_path / "online.h5"), hub, caches
    )
    hub.requests.clear()
    expected = extract(folder, "folder.h5", SER_CACHE=str(tmp_path / "another"))
    np.testing.assert_array_equal(extract(name, "online.h5"), expected)
    (rest,) = hub.sent("pytorch_model.bin")
    assert (rest.range, rest.sent) == (f"bytes={present}-", len(files["pytorch_model.bin"]) - present)
    hub.requests.clear()
    np.testing.assert_array_equal(extract(name, "offline.h5", HF_HUB_OFFLINE="1"), expected)
    assert not hub.requests
    with hub.stopped():
        np.testing.assert_array_equal(extract(name, "stopped.h5"), expected)
