"""Standardisation of several corpora: which clips are measured, what it does to vectors, and what it brings."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

import ser_head
from ser_embed.errors import InputError
from ser_embed.manifest import build_manifest
from ser_embed.store.reader import Store
from ser_embed.store.writer import StoreWriter
from ser_head.config.training import NORMALIZATIONS, TrainConfig
from ser_head.data.dataset import Dataset
from ser_head.data.scaling import RIDGE, Alignment, fit_alignment, measured_clips, recoloring
from ser_head.data.splits import ClipMetadata, Protocol, Split, make_splits
from ser_head.evaluation.predictions import probability_matrix, read_predictions
from ser_head.heads.sklearn_heads import KINDS, SklearnHead
from ser_head.runs.run import Run
from tests.ser_head.conftest import Recipe, rows_of, write_store

RECIPE = Recipe(corpora=("a", "b"), speakers=6, takes=6, width=8, signal=1.0)


def distorted_store(path, recipe=RECIPE, scramble_test=False):
    """Write a store in which corpus b was recorded by another microphone: shifted, stretched, and mixed.

    `scramble_test` changes the vectors of speaker a/1 and the labels of b, on which no statistics may depend.
    """
    rows = rows_of(recipe)
    write_store(path, recipe, rows)
    random = np.random.default_rng(7)
    along = random.normal(size=(recipe.width, 1))  # an oblique direction, which no stretch of single dimensions undoes
    stretch = np.eye(recipe.width) + 10 * along @ along.T / (along**2).sum()
    with Store(path) as store:
        vectors, clips, spec = store.read(range(len(store))), store.utterances, store.spec
    in_b = (clips["corpus"] == "b").to_numpy()
    vectors[in_b] = ((vectors[in_b] - 10) @ stretch + random.normal(0, 5, recipe.width)).astype(np.float32)
    if scramble_test:
        vectors[(clips["speaker"] == "a/1").to_numpy()] *= 5
        for row, (clip, emotion) in enumerate(zip(rows, random.permutation(clips["emotion"]), strict=True)):
            rows[row] = {**clip, "emotion": emotion if clip["corpus"] == "b" else clip["emotion"]}
    path.unlink()
    with StoreWriter(path, spec, {}) as writer:
        writer.add(build_manifest(rows), list(vectors))
        writer.commit()
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return distorted_store(tmp_path_factory.mktemp("store") / "two.h5")


def splits_of(data, protocol):
    return make_splits(
        Protocol.parse(protocol), ClipMetadata(data.speakers, data.corpora, data.targets), (0.6, 0.2, 0.2), 0
    )


def arrays_of(alignment):
    return {name: array.tolist() for name, array in alignment.to_arrays().items()}


def split_of(*parts):
    return Split(1, *(np.array(part, dtype=np.int64) for part in parts))


def test_a_corpus_is_measured_on_its_training_clips_or_else_on_its_test_clips():
    corpora = np.array(["a", "a", "a", "b", "b", "c", "c", "d"], dtype=object)
    clips_by_corpus = measured_clips(corpora, split_of([0, 3], [1, 7], [2, 4, 5, 6]))
    assert {name: clips.tolist() for name, clips in clips_by_corpus.items()} == {"a": [0], "b": [3], "c": [5, 6]}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), min_size=1, max_size=30))
def test_of_a_training_corpus_only_training_clips_are_measured(clips):
    corpora = np.array([corpus for corpus, _ in clips], dtype=object)
    split = split_of(*([index for index, (_, part) in enumerate(clips) if part == number] for number in range(3)))
    clips_by_corpus = measured_clips(corpora, split)
    assert set(clips_by_corpus) == {corpus for corpus, part in clips if part != 1}
    for name, measured in clips_by_corpus.items():
        training_clips = set(measured) & set(split.train)
        assert set(corpora[measured]) == {name}
        assert training_clips in (set(), set(measured))
        assert training_clips or name not in corpora[split.train]


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("protocol", ["kfold:3", "cross:a:b"])
def test_statistics_depend_neither_on_test_speakers_of_a_training_corpus_nor_on_labels(
    store, tmp_path, normalization, protocol
):
    """Speaker a/1 is tested in the first fold; in cross:a:b it could train, so there its clips are left out."""
    scrambled = distorted_store(tmp_path / "scrambled.h5", scramble_test=True)
    with Store(store) as first, Store(scrambled) as second:
        data, changed = Dataset(first), Dataset(second)
        (split, *_) = splits_of(data, protocol)
        if protocol == "kfold:3":
            assert "a/1" in data.speakers[split.test]
        else:
            split = replace(split, train=split.train[data.speakers[split.train] != "a/1"])
        assert (data.targets != changed.targets)[data.corpora == "b"].any()
        assert (data.read(np.arange(len(data))) != changed.read(np.arange(len(data)))).any()
        before, after = (fit_alignment(dataset, split, normalization) for dataset in (data, changed))
    assert arrays_of(before) == arrays_of(after)


def test_with_all_only_training_clips_are_measured(store):
    with Store(store) as opened:
        data = Dataset(opened)
        (split,) = splits_of(data, "cross:a:b")
        alignment = fit_alignment(data, split, "all")
        train = data.read(split.train).astype(np.float64)
    assert alignment.measured() == {}
    assert alignment.mean == pytest.approx(train.mean(axis=0), rel=1e-9)
    assert alignment.variance == pytest.approx(train.var(axis=0), rel=1e-5)


def test_each_corpus_has_mean_0_and_variance_1_and_unknown_corpora_are_scaled_as_all(store):
    with Store(store) as opened:
        data = Dataset(opened)
        (split,) = splits_of(data, "cross:a:b")
        alignment, pooled = (fit_alignment(data, split, how) for how in ("corpus", "all"))
        for clips in (split.train, split.test):
            scaled = alignment.read(data, clips)
            assert scaled.dtype == np.float32
            assert np.abs(scaled.mean(axis=0)).max() < 1e-4
            assert np.abs(scaled.std(axis=0) - 1).max() < 1e-4
        vectors = data.read(split.test)
    assert alignment.measured() == {
        "a": {"clips": len(split.train), "transductive": False},
        "b": {"clips": len(split.test), "transductive": True},
    }
    for corpus in ("", "c"):
        assert np.array_equal(alignment.apply(vectors, corpus), pooled.apply(vectors))
    mixed = np.array(["b", "c"] * (len(vectors) // 2), dtype=object)
    assert np.array_equal(alignment.apply(vectors, mixed)[::2], alignment.apply(vectors[::2], "b"))
    assert np.array_equal(alignment.apply(vectors, mixed)[1::2], pooled.apply(vectors[1::2]))


def test_coral_gives_the_test_corpus_the_correlations_of_the_training_clips(store):
    with Store(store) as opened:
        data = Dataset(opened)
        (split,) = splits_of(data, "cross:a:b")
        distances = {}
        for how in ("corpus", "coral"):
            alignment = fit_alignment(data, split, how)
            source, target = (
                np.cov(alignment.read(data, clips)[:, 0], rowvar=False) for clips in (split.train, split.test)
            )
            distances[how] = np.linalg.norm(source - target)
    assert distances["coral"] < 0.7 * distances["corpus"]


def test_recoloring_is_exact_up_to_the_ridge():
    random = np.random.default_rng(0)
    source, target = (roots @ roots.swapaxes(1, 2) for roots in random.normal(size=(2, 3, 5, 5)))  # 3 layers of width 5
    turn = recoloring(source, target).astype(np.float64)
    ridge = RIDGE * np.eye(5)
    assert turn.swapaxes(1, 2) @ (source + ridge) @ turn == pytest.approx(target + ridge, rel=1e-4, abs=1e-4)
    assert recoloring(source, source) == pytest.approx(np.stack([np.eye(5)] * 3), abs=1e-5)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_arrays_restore_the_same_alignment(store, tmp_path, normalization):
    with Store(store) as opened:
        data = Dataset(opened)
        alignment = fit_alignment(data, splits_of(data, "kfold:3")[0], normalization)
        vectors = data.read(np.arange(20))
    np.savez(tmp_path / "saved.npz", other=np.zeros(3), **alignment.to_arrays())
    with np.load(tmp_path / "saved.npz") as file:
        restored = Alignment.from_arrays(file)
    assert restored.measured() == alignment.measured()
    for corpus in ("a", "b", ""):
        assert np.array_equal(restored.apply(vectors, corpus), alignment.apply(vectors, corpus))


def test_corpus_beats_all_and_coral_beats_corpus_where_a_microphone_shifts_stretches_and_mixes(tmp_path):
    uar = {how: [] for how in NORMALIZATIONS}
    for seed in range(3):
        path = distorted_store(tmp_path / f"{seed}.h5", replace(RECIPE, takes=10, seed=seed))
        with Store(path) as opened:
            data = Dataset(opened)
            (split,) = splits_of(data, "cross:a:b")
            for how in NORMALIZATIONS:
                alignment = fit_alignment(data, split, how)
                head = SklearnHead(KINDS["svm"], 0).fit(
                    alignment.read(data, split.train), data.targets[split.train], np.ones(3)
                )
                predicted = head.probabilities(alignment.read(data, split.test)).argmax(axis=1)
                uar[how].append(balanced_accuracy_score(data.targets[split.test], predicted))
    assert np.mean(uar["corpus"]) > np.mean(uar["all"]) + 0.2
    assert np.mean(uar["coral"]) > np.mean(uar["corpus"]) + 0.05


@pytest.fixture(
    scope="module",
    params=[
        {"protocol": "cross:a:b", "normalization": "coral", "head": "svm"},
        {"protocol": "speaker", "normalization": "corpus", "personalized": ("normalize", "calibrate"), "epochs": 2},
    ],
    ids=["cross", "combined"],
)
def trained(request, store, tmp_path_factory):
    """A run, its predictions under the condition unknown, and the vectors of these clips."""
    folder = ser_head.train(store=store, out=tmp_path_factory.mktemp("runs") / "run", **request.param).run
    table = read_predictions(folder / "predictions.csv")
    rows = table[table["condition"] == "unknown"]
    with Store(store) as opened:
        ids = opened.utterances["utterance_id"].tolist()
        vectors = opened.read([ids.index(name) for name in rows["utterance_id"]])
    return Run.load(folder), rows, vectors


def test_a_run_scores_each_corpus_as_its_training_did(trained):
    run, rows, vectors = trained
    corpora = rows["utterance_id"].str.partition("/")[0].tolist()
    scored = run.probabilities(vectors, corpora=corpora)
    assert scored == pytest.approx(probability_matrix(rows, run.labels), abs=1e-5)
    assert np.abs(run.probabilities(vectors) - scored).max() > 0.01


def test_run_json_names_the_corpora_measured_on_test_clips(trained):
    run, rows, _ = trained
    (fold,) = run.about["folds"]
    assert run.config.normalization in ("corpus", "coral")
    assert {name for name, corpus in fold["corpora"].items() if corpus["transductive"]} == (
        {"b"} if run.config.protocol == "cross:a:b" else set()
    )
    if run.config.protocol == "cross:a:b":
        assert fold["corpora"]["b"]["clips"] == len(rows)


def test_clips_are_in_domain_when_scaled_as_their_own_corpus(trained):
    run, rows, vectors = trained
    in_b = (rows["utterance_id"].str.partition("/")[0] == "b").to_numpy()
    as_b, as_unknown = run.ood_score(vectors[in_b], "b"), run.ood_score(vectors[in_b])
    assert np.median(as_b) < 1
    assert np.median(as_unknown) > (1 if run.config.protocol == "cross:a:b" else np.median(as_b))


@pytest.mark.parametrize("normalization", ["corpus", "coral"])
def test_a_single_corpus_is_standardised_as_with_all(make_store, normalization):
    with Store(make_store()) as opened:
        data = Dataset(opened)
        (split,) = splits_of(data, "speaker")
        pooled, by_corpus = (fit_alignment(data, split, how).read(data, split.test) for how in ("all", normalization))
    assert np.array_equal(pooled, by_corpus)


def test_normalizations_that_do_not_exist_or_do_not_fit_the_head_are_refused():
    with pytest.raises(InputError, match="--normalization has to be one of all, corpus, coral, not 'speaker'"):
        TrainConfig(normalization="speaker")
    with pytest.raises(
        InputError, match="--normalization coral needs one vector per clip, but --head cnn takes frames"
    ):
        TrainConfig(normalization="coral", head="cnn")
    assert TrainConfig(head="cnn").normalization == "all"
