"""Fuzz target of profiles: any change of a file leaves the profile exactly as it was, or is refused in one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ser_embed.errors import InputError
from ser_embed.spec import EmbeddingSpec
from ser_head.personalization.profiles import empty_profile, list_profiles, load_profile, save_profile
from tests.fuzz.mutations import changed_file

SPEC = EmbeddingSpec("tiny", "", "d1", ("0", "1"), "mean", 4, 16_000, "none", None, None, "float32")


def prepare(folder: Path) -> Callable[[int], str]:
    """Make profiles in an empty folder; return the function that tries, by a seed, one of them changed."""
    for number, (name, clips) in enumerate((("Ann", 3), ("Bob", 2))):
        vectors = np.random.default_rng(number).normal(size=(clips, 2, 4)).astype(np.float32)
        save_profile(folder, empty_profile(name, SPEC).with_clips(vectors, tuple(f"{name} {n}" for n in range(clips))))
    others = sorted(folder.iterdir())
    files = [path for path in others if path.name.startswith("Ann")]
    expected = _content(folder)

    def case(seed: int) -> str:
        draws = np.random.default_rng(seed)
        path = files[int(draws.integers(len(files)))]
        with changed_file(draws, path, others):
            is_missing = not path.exists() and path.suffix == ".json"
            try:
                content = _content(folder)
            except InputError as error:
                return "refused" if "\n" not in str(error) else f"wrong: {path.name}: lines {str(error)!r}"
        if is_missing and content is None:  # there is no such profile any more
            return "right"
        is_equal = content is not None and expected is not None and _are_equal(content, expected)
        return "right" if is_equal else f"wrong: {path.name} was changed, case {seed}"

    return case


def _content(folder: Path) -> list[Any] | None:
    profile, listed = load_profile(folder, "Ann", SPEC), list_profiles(folder)
    return None if profile is None else [profile.vectors, profile.spec, profile.digests, profile.created, listed]


def _are_equal(content: list[Any], expected: list[Any]) -> bool:
    return np.array_equal(content[0], expected[0]) and content[1:] == expected[1:]
