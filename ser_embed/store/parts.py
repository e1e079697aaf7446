"""Part files: the finished chunks of an extraction that has not ended yet.

A part is a small store in `<store>.parts/`. Its name carries its number and a hash of its bytes, so that a part
damaged since it was written is noticed before it is used. Parts appear by renaming; whatever else lies in the folder
is an unfinished temporary file, and is swept out.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from ser_embed.errors import InputError
from ser_embed.files import digest_of, flush_to_disk
from ser_embed.spec import EmbeddingSpec
from ser_embed.store.reader import Store
from ser_embed.store.writer import StoreWriter


class PartFolder:
    """The part files of one store."""

    def __init__(self, store: Path) -> None:
        """Name the parts of the store at `store`; nothing is created yet."""
        self.folder = store.with_name(store.name + ".parts")

    def __iter__(self) -> Iterator[Path]:
        """Go through the parts in the order of their numbers."""
        return iter(sorted(self.folder.glob("part-*.h5")))

    def next_number(self) -> int:
        """Return a number above every part's."""
        return max((int(path.name.split("-")[1]) for path in self), default=-1) + 1

    def check(self, spec: EmbeddingSpec, drop: bool) -> None:
        """Check every part before any is used.

        Args:
            spec: what the vectors have to be.
            drop: delete a part that does not fit instead of raising.

        Raises:
            InputError: a part is damaged, or holds vectors of another spec.
        """
        for path in self:
            try:
                self._check_one(path, spec)
            except InputError:
                if not drop:
                    raise
                path.unlink()

    def _check_one(self, path: Path, spec: EmbeddingSpec) -> None:
        if digest_of(path.read_bytes()) != path.stem.rpartition("-")[2]:
            raise InputError(f"the part file {path} is damaged; delete it and run again: only its clips are redone")
        with Store(path) as part:
            part.spec.require_same(
                spec, f"an unfinished extraction in {self.folder} (finish it, delete it, or use --force)"
            )

    def write(
        self, number: int, spec: EmbeddingSpec, clips: pd.DataFrame, vectors: list, unreadable: pd.DataFrame
    ) -> None:
        """Write one part so that after a crash it is either whole or not there.

        Args:
            number: orders the part among the others.
            spec: what the vectors are.
            clips: manifest rows of the clips that were read.
            vectors: their vectors.
            unreadable: the clips that were not: utterance_id, path, reason.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / f"draft-{number:06}.h5"
        with StoreWriter(draft, spec, {}) as writer:
            writer.add(clips, vectors)
            writer.add_unreadable(unreadable)
            writer.commit()
        draft.rename(self.folder / f"part-{number:06}-{digest_of(draft.read_bytes())}.h5")
        flush_to_disk(self.folder)

    def sweep(self) -> None:
        """Remove temporary files that a killed run left behind."""
        for path in self.folder.glob("draft-*"):
            path.unlink()

    def remove(self) -> None:
        """Remove the folder and all parts."""
        if self.folder.exists():
            shutil.rmtree(self.folder)
