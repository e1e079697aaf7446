"""Download of large files: broken off and gone on with, damaged, slow, on a full disk; the bar."""

import errno
import io
import os
import re
import sys
import threading
import time
from pathlib import Path

import pytest

from ser_embed.encoders.hub import download
from ser_embed.encoders.hub.repository import NoAnswerError, Repository
from ser_embed.errors import InputError
from tests.ser_embed.hub_server import HubServer

REPO, NAME = "someone/model", "pytorch_model.bin"
CONTENT = bytes(range(256)) * 12_000  # 3 MB


@pytest.fixture
def commit(hub: HubServer) -> str:
    return hub.commit(REPO, {NAME: CONTENT})


def fetch(commit: str) -> bytes:
    return Repository(REPO).fetch(commit, NAME).read_bytes()


def only(paths: list[Path]) -> Path:
    (path,) = paths
    return path


def test_a_connection_that_breaks_off_again_and_again_is_gone_on_with(hub: HubServer, commit: str) -> None:
    hub.break_after = 1_000_000
    assert fetch(commit) == CONTENT
    sent = hub.sent(NAME)
    assert [request.sent for request in sent] == [1_000_000, 1_000_000, 1_000_000, 72_000]
    assert [request.range for request in sent] == [None, *(f"bytes={at}000000-" for at in (1, 2, 3))]


def test_a_download_that_stalls_is_given_up_soon_and_gone_on_with_by_the_next(
    hub: HubServer, commit: str, caches: Path
) -> None:
    hub.stall_after = 1_000_000
    start = time.monotonic()
    with pytest.raises(InputError, match=r"stopped at 1000000 of 3072000 bytes .*the same command goes on from there"):
        fetch(commit)
    assert time.monotonic() - start < 15
    partial = only(list(caches.rglob("*.incomplete")))
    hub.heal()
    hub.requests.clear()
    assert fetch(commit) == CONTENT
    (rest,) = hub.sent(NAME)
    assert (rest.range, rest.sent) == ("bytes=1000000-", len(CONTENT) - 1_000_000)
    assert not partial.exists()


def test_a_server_without_ranges_sends_the_whole_file_again(hub: HubServer, commit: str, caches: Path) -> None:
    hub.break_after = 1_000_000
    hub.ignore_range = True
    with pytest.raises(InputError, match="stopped at 1000000 of 3072000 bytes"):
        fetch(commit)
    hub.break_after = None
    assert fetch(commit) == CONTENT


@pytest.mark.parametrize(
    "present", [b"x" * 1_000_000, CONTENT[:1_000_000], CONTENT, CONTENT + b"x", b"x" * len(CONTENT)]
)
def test_whatever_is_here_already_the_file_is_right_in_the_end(
    present: bytes, hub: HubServer, commit: str, caches: Path
) -> None:
    hub.break_after = 0
    with pytest.raises(InputError):
        fetch(commit)
    only(list(caches.rglob("*.incomplete"))).write_bytes(present)
    hub.heal()
    hub.requests.clear()
    assert fetch(commit) == CONTENT
    if present == CONTENT:
        assert not hub.sent(NAME)


def test_a_file_that_arrives_damaged_is_not_kept(hub: HubServer, commit: str, caches: Path) -> None:
    hub.corrupt = True
    with pytest.raises(InputError, match=r"someone/model/pytorch_model\.bin arrived damaged: its SHA-256 is not "):
        fetch(commit)
    assert not [path for path in (caches / "hub").rglob("*") if path.is_file() and path.suffix != ".lock"]
    hub.heal()
    assert fetch(commit) == CONTENT


def test_a_file_that_is_shorter_than_promised_is_one_line(hub: HubServer, commit: str) -> None:
    hub.shorten_to = 2_000_000
    with pytest.raises(InputError, match=r"stopped at 2000000 of 3072000 bytes \(the server has no more of it\)"):
        fetch(commit)


def test_a_server_in_trouble_in_the_middle_is_one_line(hub: HubServer, commit: str) -> None:
    file = download.RemoteFile(f"{hub.url}/cdn/x", "x", "x", 10)
    hub.status = 502
    folder = Path(Repository(REPO).cache.snapshot(commit))
    folder.mkdir(parents=True)
    with pytest.raises(InputError, match=r"stopped at 0 of 10 bytes \(the server answers 502\)"):
        download.download(file, folder / "blob", folder / "partial")
    with pytest.raises(NoAnswerError, match="answers 502"):
        fetch(commit)


def test_a_full_disk_is_one_line(hub: HubServer, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 2_000_000})())
        with pytest.raises(InputError, match=r"pytorch_model\.bin needs 3 MB, and .* has 2 MB left"):
            fetch(commit)
        assert not hub.sent(NAME)

    for number, expected in [
        (errno.ENOSPC, "the disk of .* is full; the same command goes on from there"),
        (errno.EIO, "cannot write to the cache: "),
    ]:

        def fail(*_: object, number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(download, "flush_to_disk", fail)
        with pytest.raises(InputError, match=expected):
            fetch(commit)


def test_two_at_once_download_a_file_once(hub: HubServer, commit: str) -> None:
    contents: list[bytes] = []
    threads = [threading.Thread(target=lambda: contents.append(fetch(commit))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert contents == [CONTENT] * 4
    assert len(hub.sent(NAME)) == 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_shows_megabytes_a_second_on_a_terminal_only(
    hub: HubServer, commit: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "ser_embed")
    hub.break_after = 1_000_000
    monkeypatch.setattr(sys, "stderr", Terminal())
    fetch(commit)
    bar = sys.stderr.getvalue()
    assert re.search(r"someone/model/pytorch_model\.bin: .*/3\.07M \[.*MB/s\]", bar)
    assert not caplog.records
    other = hub.commit(REPO, {NAME: CONTENT + b"more"})
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    fetch(other)
    assert sys.stderr.getvalue() == ""
    assert caplog.messages == ["someone/model/pytorch_model.bin: downloading 3 MB"]


def test_no_token_is_sent_to_another_host(hub: HubServer, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch(commit)
    by_host = {"cdn" in request.path: request.headers.get("authorization") for request in hub.requests}
    assert by_host[False] == "Bearer hf_secret"
    assert by_host[True] is None


def test_a_cache_that_cannot_be_written_to_is_one_line(hub: HubServer, commit: str, caches: Path) -> None:
    caches.mkdir()
    (caches / "hub").write_text("")
    with pytest.raises(InputError, match="cannot write to .*blobs.*: Not a directory"):
        fetch(commit)


@pytest.mark.parametrize("etag", ["../../x", "", "a/b"])
def test_an_etag_cannot_lead_out_of_the_cache(etag: str, caches: Path) -> None:
    with pytest.raises(InputError, match="expected an ETag"), Repository(REPO).cache.new_blob(etag):
        pass
    assert not caches.exists()
