"""Part files: the finished chunks of an extraction that is not complete.

A part file is a small store in the folder `<store>.parts/`. Its name has its number and a hash of its bytes, so that
damage is detected before the file is used. A part file appears in a single rename; every other file in the folder is
an unfinished draft of a killed run, and is deleted, at the latest together with the folder.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from ser_embed.errors import InputError
from ser_embed.files import digest_of, flush_to_disk, sweep_drafts
from ser_embed.spec import EmbeddingSpec
from ser_embed.store.reader import Store
from ser_embed.store.writer import StoreWriter


class PartFolder:
    """The folder of a store's part files.

    Attributes:
        folder: path of the folder, which need not exist.
    """

    def __init__(self, store_path: Path) -> None:
        """Derive the folder's name from the path of the store; nothing is created yet."""
        self.folder = store_path.with_name(store_path.name + ".parts")

    def __iter__(self) -> Iterator[Path]:
        """Iterate over the paths of the part files in the order of their numbers."""
        return iter(sorted(self.folder.glob("part-*.h5")))

    def next_number(self) -> int:
        """Return a number greater than that of every part file."""
        return max((int(path.name.split("-")[1]) for path in self), default=-1) + 1

    def check(self, spec: EmbeddingSpec, drop: bool) -> None:
        """Check every part file before any of them is used.

        Args:
            spec: the spec that the vectors must have.
            drop: delete a part file that fails the check instead of raising.

        Raises:
            InputError: a part file is damaged, or holds vectors of another spec.
        """
        for path in self:
            try:
                self._check_one(path, spec)
            except InputError:
                if not drop:
                    raise
                path.unlink()

    def _check_one(self, path: Path, spec: EmbeddingSpec) -> None:
        """Check the hash and the spec of one part file.

        Raises:
            InputError: either does not match.
        """
        if digest_of(path.read_bytes()) != path.stem.rpartition("-")[2]:
            raise InputError(
                f"the part file {path} is damaged; delete it and run again: only its clips are extracted again"
            )
        with Store(path) as part:
            part.spec.require_same(
                spec, f"an unfinished extraction in {self.folder} (finish it, delete it, or use --force)"
            )

    def write(
        self, number: int, spec: EmbeddingSpec, clips: pd.DataFrame, vectors: list, unreadable: pd.DataFrame
    ) -> None:
        """Write one part file atomically: after a crash it is complete or absent.

        Args:
            number: position of the part file among the others.
            spec: what the vectors are.
            clips: manifest rows of the clips that could be read.
            vectors: one float32 array per such clip; see `StoreWriter.add`.
            unreadable: the clips that could not be read: utterance_id, path, reason.

        Raises:
            OSError: the part file cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / f"draft-{number:06}.h5"
        with StoreWriter(draft, spec, {}) as writer:
            writer.add(clips, vectors)
            writer.add_unreadable(unreadable)
            writer.commit()
        draft.rename(self.folder / f"part-{number:06}-{digest_of(draft.read_bytes())}.h5")
        flush_to_disk(self.folder)

    def remove_drafts(self) -> None:
        """Delete unfinished part files that a killed run left behind."""
        sweep_drafts(self.folder)
        for path in self.folder.glob("draft-*"):
            path.unlink()

    def remove(self) -> None:
        """Delete the folder with all part files."""
        if self.folder.exists():
            shutil.rmtree(self.folder)
