"""Speaker profiles: the vectors of a speaker's enrolled clips, kept for later predictions. No audio, no labels.

    NAME.json          format, version, name, created, updated, spec, digests of the clips
    NAME.<key>.npz     vectors, float32 (clips, layers, width); the key follows from the digests

The .json is the profile: it is replaced in one rename once the vectors it goes with lie beside it, so that at any
moment there is the old profile or the new one.
"""

import dataclasses
import hashlib
import io
import json
import unicodedata
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ser_embed.errors import InputError
from ser_embed.files import atomic_write, input_error_on_write
from ser_embed.spec import EmbeddingSpec

FORMAT = "ser-profile"
VERSION = 1
_LONGEST_NAME = 50


@dataclasses.dataclass(frozen=True)
class Profile:
    """What is kept of a speaker.

    Attributes:
        name: of the speaker.
        spec: what the vectors are.
        vectors: of the enrolled clips, float32 (clips, layers, width).
        digests: hash of each clip's file.
        created: when it was first written, ISO 8601 in UTC; "" for one not written yet.
        updated: when it was last written.
    """

    name: str
    spec: EmbeddingSpec
    vectors: np.ndarray
    digests: tuple[str, ...]
    created: str = ""
    updated: str = ""

    def with_clips(self, vectors: np.ndarray, digests: tuple[str, ...]) -> "Profile":
        """Return a profile of these clips too."""
        return dataclasses.replace(
            self, vectors=np.concatenate([self.vectors, vectors]), digests=(*self.digests, *digests)
        )

    def without(self, digests: Collection[str]) -> "Profile":
        """Return a profile of the clips but these."""
        kept = [place for place, digest in enumerate(self.digests) if digest not in digests]
        return dataclasses.replace(
            self, vectors=self.vectors[kept], digests=tuple(self.digests[place] for place in kept)
        )


def empty_profile(name: str, spec: EmbeddingSpec) -> Profile:
    """Return a profile without clips."""
    return Profile(name, spec, np.zeros((0, len(spec.layers), spec.width), np.float32), ())


def require_name(name: str) -> None:
    """Check a speaker's name.

    Raises:
        InputError: it is empty, too long, or holds what could lead to another folder.
    """
    if not _is_name(name):
        raise InputError(
            f"a profile's name has to be letters, digits, _, - and spaces, {_LONGEST_NAME} at most, not {name!r}"
        )


def _is_name(name: str) -> bool:
    """Tell whether a name can lead nowhere else, and `NAME.*` are the files of one speaker alone.

    Letters of any script, the marks that go with them, digits and _; within the name also spaces and hyphens.
    """
    known = [character == "_" or unicodedata.category(character)[0] in "LMN" for character in name]
    if not 0 < len(name) <= _LONGEST_NAME or not (known[0] and known[-1]):
        return False
    return all(letter or character in " -" for letter, character in zip(known, name, strict=True))


def load_profile(folder: Path, name: str, spec: EmbeddingSpec) -> Profile | None:
    """Read a speaker's profile.

    Args:
        folder: where the profiles are; it need not exist.
        name: whose; any text.
        spec: what the vectors have to be.

    Returns:
        None if there is none of that name.

    Raises:
        InputError: the profile is damaged, or of another encoder; the message says in what it differs.
    """
    path = folder / f"{name}.json"
    if not _is_name(name) or not path.is_file():
        return None
    about = _read(path)
    found, digests = EmbeddingSpec.from_json(json.dumps(about["spec"])), tuple(about["digests"])
    found.require_same(spec, f"the profile {path}")
    try:
        with np.load(_vectors_path(folder, name, digests), allow_pickle=False) as file:
            vectors = file["vectors"]
        expected = (len(digests), len(spec.layers), spec.width)
        if vectors.shape != expected or vectors.dtype != np.float32 or not np.isfinite(vectors).all():
            raise ValueError(
                f"expected finite float32 vectors of shape {expected}, not {vectors.dtype} {vectors.shape}"
            )
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"the profile {path} is damaged ({error})") from error
    return Profile(name, found, vectors, digests, about["created"], about["updated"])


def save_profile(folder: Path, profile: Profile) -> Path:
    """Write a profile, new or in place of the old one, and return the path of its .json."""
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    about = {
        "format": FORMAT,
        "version": VERSION,
        "name": profile.name,
        "created": profile.created or now,
        "updated": now,
        "spec": dataclasses.asdict(profile.spec),
        "digests": profile.digests,
    }
    held = io.BytesIO()
    np.savez(held, vectors=profile.vectors)
    path, vectors = folder / f"{profile.name}.json", _vectors_path(folder, profile.name, profile.digests)
    old = _vectors_path(folder, profile.name, _read(path)["digests"]) if path.is_file() else vectors
    with atomic_write(vectors) as draft:
        draft.write_bytes(held.getvalue())
    with atomic_write(path) as draft:
        draft.write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", "utf-8")
    if old != vectors:
        old.unlink(missing_ok=True)
    return path


def list_profiles(folder: Path) -> list[dict[str, Any]]:
    """Return name, clips, created and updated of each profile in `folder`, by name.

    Raises:
        InputError: a profile is damaged.
    """
    abouts = [_read(path) for path in sorted(folder.glob("*.json"))]
    return [
        {"name": about["name"], "clips": len(about["digests"]), **{key: about[key] for key in ("created", "updated")}}
        for about in abouts
    ]


def delete_profile(folder: Path, name: str) -> None:
    """Delete all that is kept of a speaker, damaged or whole.

    Raises:
        InputError: there is nothing of that name, or it cannot be deleted.
    """
    require_name(name)
    files = sorted(folder.glob(f"{name}.*"))  # the .json first: what is half deleted is no profile any more
    if not files:
        raise InputError(f"expected a profile of {name!r} in {folder}, found none; --list names those there are")
    with input_error_on_write(folder):
        for path in files:
            path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text("utf-8"))
        found = about["format"], about["version"]
        whole = about["name"] == path.stem and {"digests", "created", "updated", "spec"} <= set(about)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"the profile {path} is damaged ({error})") from error
    if found != (FORMAT, VERSION) or not whole:
        raise InputError(f"expected {FORMAT} {VERSION} of {path.stem!r}, but {path} is something else")
    return about


def _vectors_path(folder: Path, name: str, digests: Sequence[str]) -> Path:
    key = hashlib.blake2b("\n".join(digests).encode(), digest_size=8).hexdigest()
    return folder / f"{name}.{key}.npz"
