"""Embedding spec: JSON form and comparison."""

import dataclasses

import pytest

from ser_embed.errors import InputError
from ser_embed.spec import EmbeddingSpec

SPEC = EmbeddingSpec("m", "", "d", ("0", "1"), "mean", 3, 16_000, "none", None, None, "float32")


def test_a_spec_round_trips_through_json() -> None:
    assert EmbeddingSpec.from_json(SPEC.to_json()) == SPEC
    with pytest.raises(InputError, match="expected an embedding spec"):
        EmbeddingSpec.from_json("{}")


def test_the_error_about_another_spec_names_the_field_and_both_values() -> None:
    with pytest.raises(InputError, match=r"s.h5 holds vectors with pooling 'mean', not 'mean\+std'"):
        SPEC.require_same(dataclasses.replace(SPEC, pooling="mean+std"), "s.h5")


def test_commits_are_named_where_the_weights_differ_and_only_there() -> None:
    moved_on = dataclasses.replace(SPEC, revision="b")
    assert SPEC.differences(moved_on) == {}
    with pytest.raises(InputError, match="s.h5 holds vectors with revision '', not 'b'"):
        SPEC.require_same(dataclasses.replace(moved_on, digest="e"), "s.h5")
