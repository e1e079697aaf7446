"""Training configuration: errors for impossible values, a round trip through JSON, epochs by steps, default store."""

import json
from pathlib import Path

import numpy as np
import pytest

from ser_embed.errors import InputError
from ser_head.config.training import TrainConfig
from ser_head.training.plan import find_store


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preset": "brown"}, "--preset has to be one of brown-2023, .*, not 'brown'"),
        ({"head": "transformer"}, "--head has to be one of linear, mlp, .*ensemble, not 'transformer'"),
        ({"protocol": "kfold:two"}, "protocol has to be speaker"),
        ({"split": (0.8, 0.2)}, "--split has to be three positive shares"),
        ({"split": (0.8, 0.2, 0.2)}, "add up to 1"),
        ({"split": (1.2, -0.1, -0.1)}, "three positive shares"),
        ({"epochs": 0}, "--epochs has to be at least 1, not 0"),
        ({"patience": 0.0}, "--patience has to be above 0"),
        ({"batch_size": 1}, "--batch-size has to be at least 2"),
        ({"learning_rate": 0.0}, "--learning-rate has to be positive"),
        ({"learning_rate": float("nan")}, "--learning-rate has to be positive"),
        ({"dropout": 1.0}, "--dropout has to be at least 0 and below 1"),
        ({"weight_decay": -1.0}, "--weight-decay has to be zero or positive"),
        ({"noise": -1.0}, "--noise has to be from 0 to 1"),
        ({"noise": 1.5}, "--noise has to be from 0 to 1, not 1.5"),
        ({"label_smoothing": 1.0}, "--label-smoothing has to be at least 0 and below 1"),
        ({"transform": "log"}, "--transform has to be one of yeo-johnson, none, not 'log'"),
        ({"balance": 2.0}, "--balance has to be from 0 to 1"),
        ({"refit": "maybe"}, "--refit has to be one of always, never, folds, whole"),
        ({"refit": "whole"}, "--refit whole needs folds that score every clip, as kfold and loso have, not speaker"),
        ({"refit": "whole", "protocol": "loso", "search": 3}, "but --search chooses other settings in each fold"),
        ({"refit": "whole", "protocol": "loso", "head": "ensemble"}, "but --head ensemble trains none"),
        ({"search": -1}, "--search has to be zero or positive"),
        ({"search": 3, "head": "svm"}, "--search tries settings of networks, but --head svm is none"),
        ({"seeds": 2, "head": "ensemble"}, "--seeds trains heads, but --head ensemble averages"),
        ({"search": 3, "head": "ensemble"}, "--search tries settings of networks, but --head ensemble is none"),
        ({"target": "arousal", "search": 3}, "--search compares heads on classes, not on numbers such as arousal"),
        ({"target": "arousal", "label_smoothing": 0.1}, "--label-smoothing spreads labels over emotions, not numbers"),
        ({"personalized": "voice"}, "--personalized has to be made of normalize, .*, not 'voice'"),
        ({"personalized": "features", "head": "svm"}, "svm can be personalised by normalize, papt, calibrate alone"),
        ({"personalized": True, "head": "cnn"}, "--head cnn cannot be personalised"),
        ({"seed": -1}, "--seed has to be zero or positive"),
        ({"epochs": "2"}, "--epochs has to be a whole number, not '2'"),
        ({"batch_size": 1.5}, "--batch-size has to be a whole number, not 1.5"),
        ({"dropout": None}, "--dropout has to be a number, not None"),
        ({"split": "0.5;0.5"}, "--split has to be three positive shares that add up to 1, not '0.5;0.5'"),
        ({"split": 1}, "--split has to be three positive shares that add up to 1, not 1"),
    ],
)
def test_impossible_values_are_refused_in_one_line(changes, message):
    with pytest.raises(InputError, match=message) as caught:
        TrainConfig(**changes)
    assert "\n" not in str(caught.value)


def test_settings_survive_json():
    settings = TrainConfig(store="a/b.h5", corpus=["ravdess"], split=[0.8, 0.1, 0.1], epochs=3, out=Path("r"))
    assert TrainConfig(**json.loads(json.dumps(settings.to_dict()))) == settings


def test_values_may_have_the_types_of_a_notebook():
    settings = TrainConfig(layer=3, split="0.8,0.1,0.1", seed=np.int64(2), dropout=0)
    assert (settings.layer, settings.split, settings.dropout) == ("3", (0.8, 0.1, 0.1), 0)
    assert TrainConfig(**json.loads(json.dumps(settings.to_dict()))) == settings


def test_one_corpus_may_be_given_as_text():
    assert TrainConfig(corpus="emodb").corpus == ("emodb",)


@pytest.mark.parametrize(("num_clips", "epochs"), [(4465, 20), (100_000, 20), (960, 86), (430, 200), (10, 600)])
def test_small_corpora_get_as_many_steps_as_crema_d(num_clips, epochs):
    assert TrainConfig().epochs_for(num_clips) == epochs


def test_a_configured_number_of_epochs_is_used_as_it_is():
    assert TrainConfig(epochs=3).epochs_for(10) == 3


@pytest.mark.parametrize(
    ("refit", "protocol", "expected"),
    [
        ("folds", "speaker", False),
        ("folds", "loso", True),
        ("whole", "loso", True),
        ("never", "kfold:3", False),
        ("always", "random", True),
    ],
)
def test_only_folds_train_again_with_the_validation_clips_unless_asked(refit, protocol, expected):
    assert TrainConfig(refit=refit, protocol=protocol).refits is expected


def test_the_only_store_is_found(tmp_path):
    with pytest.raises(InputError, match="no store in .*; make one with: python -m ser_embed.extract"):
        find_store(tmp_path)
    (tmp_path / "a.h5").touch()
    assert find_store(tmp_path) == tmp_path / "a.h5"
    (tmp_path / "b.h5").touch()
    with pytest.raises(InputError, match="found a.h5, b.h5; choose with --store"):
        find_store(tmp_path)
