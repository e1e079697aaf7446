"""Download of one file by HTTP: goes on where an earlier one was broken off, checks what arrived, shows MB/s.

`huggingface_hub` 2 deletes what it has of a file when its download is broken off, so this does the transfer itself.
"""

import dataclasses
import errno
import hashlib
import logging
import re
import shutil
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ser_embed.cli import quiet
from ser_embed.errors import InputError
from ser_embed.files import flush_to_disk

logger = logging.getLogger(__name__)

_FRUITLESS_ATTEMPTS = 3  # in a row without a new byte; each waits for HF_HUB_DOWNLOAD_TIMEOUT seconds, 10 by default
_PAUSE_S = 1.0
_WORTH_A_LINE = 1 << 20  # bytes; smaller files are there at once
_DISK_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}  # Windows has no quotas of this kind
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """A file on the Hub.

    Attributes:
        url: where it is.
        label: what to call it in messages.
        etag: identifies its content; the SHA-256 of large files.
        size: in bytes; None if the server does not say.
    """

    url: str
    label: str
    etag: str
    size: int | None


def download(file: RemoteFile, blob: Path, partial: Path) -> None:
    """Download a file, or what is missing of it.

    Args:
        file: what to download.
        blob: where it belongs; it appears there whole or not at all.
        partial: what an earlier download got of it, which need not exist; it is kept if this one is broken off, too.

    Raises:
        InputError: it does not arrive whole, is not what the Hub promised, or the disk is full.
        Exception: that of `huggingface_hub`, if the server refuses to give it.
    """
    try:
        was_resumed = _present(partial) > 0
        _transfer(file, partial)
        if not _is_as_promised(file, partial):
            partial.unlink()
            if was_resumed:  # the earlier part may have been damaged
                _transfer(file, partial)
            if not was_resumed or not _is_as_promised(file, partial):
                partial.unlink(missing_ok=True)
                raise InputError(f"{file.label} arrived damaged: its SHA-256 is not {file.etag}; run again")
        flush_to_disk(partial)
        partial.replace(blob)
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise InputError(f"the disk of {partial.parent} is full; the same command goes on from there") from error
        raise


def _present(partial: Path) -> int:
    """Return how many bytes of a file are here."""
    return partial.stat().st_size if partial.exists() else 0


def _is_as_promised(file: RemoteFile, partial: Path) -> bool:
    if not _SHA256.fullmatch(file.etag):
        return True
    with partial.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest() == file.etag


def _transfer(file: RemoteFile, partial: Path) -> None:
    """Fetch what is missing of a file in as many requests as it takes, as long as they bring something."""
    if file.size is not None and _present(partial) > file.size:
        partial.unlink()
    start = _present(partial)
    missing = max(0, (file.size or 0) - start)
    _require_space(file, missing, partial.parent)
    is_large = file.size is None or missing > _WORTH_A_LINE
    if is_large and quiet():  # otherwise the bar says so
        logger.info("%s: downloading %s", file.label, _describe(file.size, start))
    is_silent = quiet() or not is_large
    with tqdm(total=file.size, initial=start, desc=file.label, unit="B", unit_scale=True, disable=is_silent) as bar:
        fruitless, reason = 0, _request(file, partial, bar)
        while reason is not None or file.size not in (None, _present(partial)):
            fruitless = 0 if _present(partial) > start else fruitless + 1
            start = _present(partial)
            if fruitless == _FRUITLESS_ATTEMPTS:
                raise InputError(
                    f"the download of {file.label} stopped at {start} of {file.size or 'unknown'} bytes "
                    f"({reason or 'the server sends no more'}); the same command goes on from there"
                )
            time.sleep(_PAUSE_S if fruitless else 0)
            reason = _request(file, partial, bar)


def _require_space(file: RemoteFile, missing: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < missing:
        raise InputError(f"{file.label} needs {missing / 1e6:.0f} MB, and {folder} has {free / 1e6:.0f} MB left")


def _request(file: RemoteFile, partial: Path, bar: Any) -> str | None:
    """Ask for what is missing and append it.

    Returns:
        Why the response ended early, or None if it was complete.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    present = _present(partial)
    if file.size is not None and present == file.size:
        partial.touch()  # an empty file is a file
        return None
    headers = build_hf_headers(library_name="twostage-ser") | {"Accept-Encoding": "identity"}
    if present:
        headers["Range"] = f"bytes={present}-"
    try:
        with get_session().stream(
            "GET", file.url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT, follow_redirects=True
        ) as response:
            if response.status_code == 416:
                return "the server has no more of it"
            if response.status_code >= 500:
                return f"the server answers {response.status_code}"
            hf_raise_for_status(response)
            # A server may send the whole file all the same, or another range than the one asked for.
            is_rest = response.headers.get("Content-Range", "").startswith(f"bytes {present}-")
            if present and not is_rest:
                bar.reset(file.size)
            with partial.open("ab" if is_rest else "wb") as target:
                for block in response.iter_bytes():
                    target.write(block)
                    bar.update(len(block))
    except OSError:  # a full disk, or the server's answer that there is no such file
        raise
    except Exception as error:  # those of the HTTP library share no public base class; each of them means broken off
        return type(error).__name__
    return None


def _describe(size: int | None, start: int) -> str:
    if size is None:
        return "a file of unknown size"
    return f"{size / 1e6:.0f} MB" + (f", of which {start / 1e6:.0f} MB are here" if start else "")
