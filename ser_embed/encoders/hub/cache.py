"""Cache of the Hub's files: the folder that transformers and `huggingface_hub` share, read and written in their layout.

A repository's folder has the content of files in `blobs/<ETag>`, links to it in `snapshots/<commit>/<file>`, and the
commit that a branch stood at in `refs/<branch>`. So a model that another program has downloaded is not downloaded
again, and the other way round. What that layout has no place for is in a record of the library's own cache, one for
each commit whose files are complete: their names, and the pull request that has the weights, if it is one.
"""

import contextlib
import dataclasses
import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ser_embed.encoders.hub.checkpoints import cache_folder
from ser_embed.errors import InputError
from ser_embed.files import atomic_write, input_error_on_write

logger = logging.getLogger(__name__)

COMMIT = re.compile(r"[0-9a-f]{40}")
_ETAG = re.compile(r"[\w.-]+")
_BRANCH = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*")  # no "..", which would lead out of the folder


@dataclasses.dataclass(frozen=True)
class Record:
    """What is needed of a commit, kept once all of it is in the cache.

    Attributes:
        files: names of the commit's files.
        weights_commit: the commit that has the weights: this one, or that of a pull request.
        weights: names of its files.
    """

    files: tuple[str, ...]
    weights_commit: str
    weights: tuple[str, ...]


class RepositoryCache:
    """The cached files of one repository."""

    def __init__(self, repo_id: str) -> None:
        """Derive the paths; nothing is created yet."""
        import huggingface_hub

        name = f"models--{repo_id.replace('/', '--')}"
        hub_cache = Path(huggingface_hub.constants.HF_HUB_CACHE)
        self._folder = hub_cache / name
        self._locks = hub_cache / ".locks" / name
        self._records = cache_folder() / "hub" / name

    def snapshot(self, commit: str) -> Path:
        """Return the folder with the files of a commit, which need not exist."""
        return self._folder / "snapshots" / commit

    def find(self, commit: str, name: str) -> Path | None:
        """Return the path of a file, or None if it is not here."""
        path = self.snapshot(commit) / name
        return path if path.is_file() else None

    def names(self, commit: str) -> frozenset[str]:
        """Return the names of the files that are here."""
        folder = self.snapshot(commit)
        return frozenset(path.name for path in folder.iterdir() if path.is_file()) if folder.is_dir() else frozenset()

    def sha256(self, commit: str, name: str) -> str | None:
        """Return the SHA-256 of a file that is here, if the layout tells it: the ETag of large files."""
        path = self.snapshot(commit) / name
        etag = Path(os.readlink(path)).name if path.is_symlink() else ""
        return etag if re.fullmatch("[0-9a-f]{64}", etag) else None

    def commit_of(self, revision: str) -> str | None:
        """Return the commit that a branch or tag stood at when it was last used, or None if it never was."""
        if not _BRANCH.fullmatch(revision):
            return None
        with contextlib.suppress(OSError):
            commit = (self._folder / "refs" / revision).read_text("utf-8").strip()
            return commit if COMMIT.fullmatch(commit) else None
        return None

    def remember_commit(self, revision: str, commit: str) -> None:
        """Keep the commit that a branch or tag stands at, for use without a network."""
        if not _BRANCH.fullmatch(revision) or self.commit_of(revision) == commit:
            return
        self._write(self._folder / "refs" / revision, commit)

    def record(self, commit: str) -> Record | None:
        """Return the record of a commit, or None if there is none or a file is missing by now."""
        try:
            fields = json.loads((self._records / f"{commit}.json").read_text("utf-8"))
            record = Record(tuple(fields["files"]), str(fields["weights_commit"]), tuple(fields["weights"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        needed = [*((commit, name) for name in record.files), *((record.weights_commit, n) for n in record.weights)]
        return record if all(self.find(*item) for item in needed) else None

    def remember(self, commit: str, record: Record) -> None:
        """Keep the record of a commit, all of whose files are here."""
        if self.record(commit) != record:
            self._write(self._records / f"{commit}.json", json.dumps(dataclasses.asdict(record)))

    def _write(self, path: Path, text: str) -> None:
        """Write a note that makes the next start faster; a cache that cannot be written to is no error."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as draft:
                draft.write_text(text, encoding="utf-8")
        except OSError as error:
            logger.warning("cannot write to %s: %s", path, error.strerror or error)

    @contextlib.contextmanager
    def new_blob(self, etag: str) -> Iterator[tuple[Path, Path]]:
        """Hold the lock of a blob while it is downloaded.

        Yields:
            Where the blob belongs, and where the part of it that has been downloaded is, in this run or one before.

        Raises:
            InputError: the cache cannot be written to, or the ETag could not be the name of a file.
        """
        if not _ETAG.fullmatch(etag):
            raise InputError(f"expected an ETag that can name a file, found {etag!r}")
        blob = self._folder / "blobs" / etag
        with input_error_on_write(blob):
            blob.parent.mkdir(parents=True, exist_ok=True)
            self._locks.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._locks / f"{etag}.lock")  # the one of `huggingface_hub`
            try:
                lock.acquire(timeout=1)
            except Timeout:
                logger.info("another process is downloading %s; waiting for it", blob)
                lock.acquire()
        try:
            yield blob, blob.with_name(f"{etag}.incomplete")
        finally:
            lock.release()

    def link(self, commit: str, name: str, blob: Path) -> Path:
        """Make a blob the content of a file of a commit, and return the file's path."""
        path = self.snapshot(commit) / name
        with input_error_on_write(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                try:
                    path.unlink(missing_ok=True)  # a link to a blob that was deleted
                    path.symlink_to(Path("..", "..", "blobs", blob.name))
                except OSError:  # Windows gives the right to make links to administrators only
                    blob.replace(path)
        return path
