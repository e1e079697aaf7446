"""Speaker profiles: the vectors of a speaker's enrolled clips, stored for later predictions, without audio or labels.

    NAME.json          format, version, name, created, updated, spec, digests of the clips, and digests of the .npz file
                       and of the rest of the .json file, which profiles of earlier versions do not have
    NAME.<key>.npz     vectors, float32 (clips, layers, width); the key is a hash of the digests

The .json file is the profile. It is replaced in one rename, after its vectors have been written beside it, so that at
any moment either the old profile or the new one can be read. Processes that add clips at the same time take turns. A
voice is private: the files can be read by their owner only.
"""

import contextlib
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
from ser_embed.files import atomic_write, digest_of, digest_of_file, exclusive_lock, input_error_on_write
from ser_embed.reading import (
    DIGEST,
    are_names,
    expect,
    input_error_on_read,
    is_as_signed,
    read_arrays,
    read_json,
    signed,
)
from ser_embed.spec import EmbeddingSpec

FORMAT = "ser-profile"
VERSION = 1
_VECTORS_DIGEST = "vectors_digest"
_LONGEST_NAME = 50
_LONGEST_WAIT_S = 60  # for other processes that add clips, which takes each of them milliseconds
_OWNER_ONLY = 0o600


@dataclasses.dataclass(frozen=True)
class Profile:
    """The profile of a speaker.

    Attributes:
        name: name of the speaker.
        spec: encoder and processing that the vectors come from.
        vectors: vectors of the enrolled clips, float32 (clips, layers, width).
        digests: hash of each clip's file.
        created: time of the first writing, ISO 8601 in UTC; "" for a profile not written yet.
        updated: time of the last writing, in the same form.
    """

    name: str
    spec: EmbeddingSpec
    vectors: np.ndarray
    digests: tuple[str, ...]
    created: str = ""
    updated: str = ""

    def with_clips(self, vectors: np.ndarray, digests: tuple[str, ...]) -> "Profile":
        """Return the profile with these clips added.

        Args:
            vectors: vectors of the added clips, float32 (clips, layers, width).
            digests: hash of each added clip's file.
        """
        return dataclasses.replace(
            self, vectors=np.concatenate([self.vectors, vectors]), digests=(*self.digests, *digests)
        )

    def without(self, digests: Collection[str]) -> "Profile":
        """Return the profile without the clips that have these digests."""
        remaining = [index for index, digest in enumerate(self.digests) if digest not in digests]
        return dataclasses.replace(
            self, vectors=self.vectors[remaining], digests=tuple(self.digests[index] for index in remaining)
        )


def empty_profile(name: str, spec: EmbeddingSpec) -> Profile:
    """Return a profile without clips."""
    return Profile(name, spec, np.zeros((0, len(spec.layers), spec.width), np.float32), ())


def require_name(name: str) -> None:
    """Check a speaker's name.

    Raises:
        InputError: it is empty or too long, or has a character that is not allowed, such as one that leads to another
            folder.
    """
    if not _is_name(name):
        raise InputError(
            f"a profile's name has to be letters, digits, _, - and spaces, {_LONGEST_NAME} at most, not {name!r}"
        )


def _is_name(name: str) -> bool:
    """Tell whether a name is safe: it cannot lead to another folder, and `NAME.*` are the files of one speaker alone.

    Allowed are letters of any script with their combining marks, digits and _; within the name also spaces and
    hyphens.
    """
    is_letter = [character == "_" or unicodedata.category(character)[0] in "LMN" for character in name]
    if not 0 < len(name) <= _LONGEST_NAME or not (is_letter[0] and is_letter[-1]):
        return False
    return all(letter or character in " -" for letter, character in zip(is_letter, name, strict=True))


def load_profile(folder: Path, name: str, spec: EmbeddingSpec) -> Profile | None:
    """Read a speaker's profile.

    Args:
        folder: folder of the profiles; it need not exist.
        name: name of the speaker; any text.
        spec: encoder and processing that the vectors have to come from.

    Returns:
        The profile; None if there is none of that name.

    Raises:
        InputError: the profile is damaged, or its vectors come from another encoder; the message says what differs.
    """
    path = folder / f"{name}.json"
    if not _is_name(name) or not (path.exists() or path.is_symlink()):
        return None
    about = _read(path)
    try:
        return _with_vectors(folder, about, spec)
    except InputError:
        if path.exists() and _read(path)["digests"] != about["digests"]:  # another process has added clips since
            return load_profile(folder, name, spec)
        raise


def _with_vectors(folder: Path, about: dict[str, Any], spec: EmbeddingSpec) -> Profile:
    """Read the vectors of the profile that `about` describes, and check them.

    Raises:
        InputError: they are missing, damaged, were changed, or come from another encoder.
    """
    path, digests = folder / f"{about['name']}.json", tuple(about["digests"])
    with input_error_on_read(f"the profile {path} is damaged", of_parts=True):
        stored_spec = EmbeddingSpec.from_json(json.dumps(about["spec"]))
    stored_spec.require_same(spec, f"the profile {path}")
    vectors_path, expected = _vectors_path(folder, about["name"], digests), (len(digests), len(spec.layers), spec.width)
    with input_error_on_read(f"the profile {path} is damaged: {vectors_path.name} cannot be used"):
        vectors = read_arrays(vectors_path)["vectors"]
        is_right = vectors.shape == expected and vectors.dtype == np.float32 and bool(np.isfinite(vectors).all())
        expect(is_right, f"finite float32 vectors of shape {expected}", f"{vectors.dtype} {vectors.shape}")
        if about.get(_VECTORS_DIGEST, digest_of_file(vectors_path)) != digest_of_file(vectors_path):
            raise _changed(path, vectors_path.name)
    return Profile(about["name"], stored_spec, vectors, digests, about["created"], about["updated"])


def extend_profile(folder: Path, added: Profile) -> Profile:
    """Add clips to the profile of the same name, or write its first ones; several processes may do so at a time.

    Args:
        folder: folder of the profiles.
        added: the clips to add; those that the profile has by now are left out.

    Returns:
        The profile as it is now.

    Raises:
        InputError: the profile is damaged, of another encoder, or cannot be written.
    """
    with _turn_of(folder, added.name):
        current = load_profile(folder, added.name, added.spec) or empty_profile(added.name, added.spec)
        new = added.without(current.digests)
        if not new.digests:
            return current
        extended = current.with_clips(new.vectors, new.digests)
        save_profile(folder, extended)
        return extended


def _turn_of(folder: Path, name: str) -> contextlib.AbstractContextManager[None]:
    """Return a block in which no other process changes the profile."""
    return exclusive_lock(folder / f".{name}", "enrolment", "--speaker", _LONGEST_WAIT_S)


def save_profile(folder: Path, profile: Profile) -> Path:
    """Write a profile, replacing an older one of the name, and return the path of its .json file."""
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    about = {
        "format": FORMAT,
        "version": VERSION,
        "name": profile.name,
        "created": profile.created or now,
        "updated": now,
        "spec": json.loads(profile.spec.to_json()),
        "digests": profile.digests,
    }
    buffer = io.BytesIO()
    np.savez(buffer, vectors=profile.vectors)
    about = signed({**about, _VECTORS_DIGEST: digest_of(buffer.getvalue())})
    path, vectors_path = folder / f"{profile.name}.json", _vectors_path(folder, profile.name, profile.digests)
    with atomic_write(vectors_path) as draft:
        draft.touch(_OWNER_ONLY)
        draft.write_bytes(buffer.getvalue())
    with atomic_write(path) as draft:
        draft.touch(_OWNER_ONLY)
        draft.write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", "utf-8")
    for replaced in folder.glob(f"{profile.name}.*.npz"):
        if replaced != vectors_path:
            replaced.unlink(missing_ok=True)
    return path


def list_profiles(folder: Path) -> list[dict[str, Any]]:
    """Return the keys name, clips (their number), created and updated of each profile in `folder`, sorted by name.

    Raises:
        InputError: a profile is damaged.
    """
    abouts = [_read(path) for path in sorted(folder.glob("*.json"))]
    return [
        {"name": about["name"], "clips": len(about["digests"]), **{key: about[key] for key in ("created", "updated")}}
        for about in abouts
    ]


def delete_profile(folder: Path, name: str) -> None:
    """Delete all files of a speaker's profile, which may be damaged.

    Raises:
        InputError: there is no file of that name, or it cannot be deleted.
    """
    require_name(name)
    files = sorted(folder.glob(f"{name}.*"))  # .json first: once it is gone, there is no profile
    if not files:
        raise InputError(f"expected a profile of {name!r} in {folder}, found none; --list names those there are")
    with _turn_of(folder, name), input_error_on_write(folder):
        for path in files:
            path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    """Read and check the .json file of a profile.

    Raises:
        InputError: it cannot be read, is damaged, was changed, or is something else.
    """
    with input_error_on_read(f"the profile {path} is damaged"):
        about = read_json(path)
        file_format = about["format"], about["version"]
        if file_format != (FORMAT, VERSION) or about["name"] != path.stem:
            raise InputError(f"expected {FORMAT} {VERSION} of {path.stem!r}, but {path} is something else")
        if (DIGEST in about or _VECTORS_DIGEST in about) and not is_as_signed(about):
            raise _changed(path, path.name)
        expect(are_names(about["digests"]), "different digests of clips", about["digests"])
        expect(isinstance(about["spec"], dict), "an object as spec", about["spec"])
        for key in ("created", "updated"):
            expect(isinstance(about[key], str) and about[key].isprintable(), f"a time as {key}", about[key])
    return about


def _changed(path: Path, name: str) -> InputError:
    return InputError(f"the profile {path} was changed since it was written: {name} is not what its digest says")


def _vectors_path(folder: Path, name: str, digests: Sequence[str]) -> Path:
    """Return the path of the .npz file that holds the vectors of the clips with these digests."""
    key = hashlib.blake2b("\n".join(digests).encode(), digest_size=8).hexdigest()
    return folder / f"{name}.{key}.npz"
