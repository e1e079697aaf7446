"""Embedding spec: JSON form and comparison."""

import dataclasses
import json

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


def test_a_spec_that_says_nothing_of_tuning_is_written_as_it_always_was() -> None:
    keys = ["model", "revision", "digest", "layers", "pooling", "width", "rate_hz", "normalization"]
    keys += ["trim_db", "level_db", "arithmetic"]
    written = json.loads(SPEC.to_json())
    assert list(written) == keys
    assert SPEC.to_json() == json.dumps({name: getattr(SPEC, name) for name in keys})
    assert EmbeddingSpec.from_json(SPEC.to_json()).tuned_on is None


def test_a_spec_says_what_its_encoder_was_tuned_on() -> None:
    tuned = dataclasses.replace(SPEC, tuned_on="2 clips of 1 speakers")
    assert EmbeddingSpec.from_json(tuned.to_json()) == tuned
    assert SPEC.differences(tuned) == {"tuned_on": (None, "2 clips of 1 speakers")}
    with pytest.raises(InputError, match="a text or nothing as tuned_on"):
        EmbeddingSpec.from_json(json.dumps({**json.loads(SPEC.to_json()), "tuned_on": 2}))


def test_a_tuned_model_is_named_after_its_run_and_others_after_their_folder() -> None:
    for model, name in {
        "/r/emodb/fold_2/model": "emodb-fold_2",
        "C:\\r\\emodb\\model": "emodb",
        "/model": "model",
        "/r/mine": "mine",
    }.items():
        assert dataclasses.replace(SPEC, model=model, tuned_on="1 clips of 1 speakers").name == name
    assert dataclasses.replace(SPEC, model="/r/emodb/fold_2/model").name == "model"
