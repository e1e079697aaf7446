"""Negative controls: planted leaks are detected, shuffled labels gain nothing, test clips have no influence."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

import ser_head
from ser_embed.errors import InputError
from ser_embed.store.reader import Store
from ser_embed.store.writer import StoreWriter
from ser_head.data.scaling import Alignment
from ser_head.data.splits import Protocol, make_splits
from ser_head.evaluation.calibration import calibration_error
from ser_head.evaluation.metrics import compute_metrics
from ser_head.evaluation.predictions import read_predictions
from ser_head.heads.networks import load_head
from ser_head.personalization.conditions import CLOSED, PLAIN, TRANSDUCTIVE
from ser_head.personalization.methods import METHODS
from ser_head.personalization.output_adaptation import OutputCalibration, ValidationSession, choose_prior_shift
from ser_head.personalization.personalizer import Personalizer
from ser_head.personalization.similarity import most_similar
from ser_head.personalization.speakers import TrainingSpeakers
from ser_head.reporting import run_report as report
from ser_head.runs.run import Run
from ser_head.scoring.scorer import Scorer, ScoringRequest
from ser_head.scoring.temperature import apply_temperature, fit_temperature, safe_log
from ser_head.training import plan
from ser_head.training.inputs import InputBuilder
from tests.ser_head.conftest import Recipe, rows_of

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def unreported(monkeypatch):
    """Skip the reports, which these tests do not read and which take longer than the training."""
    monkeypatch.setattr(report, "write_report", lambda *_: None)


def rewrite(source, path, change):
    """Write the store `source` again with clips and vectors changed by `change`, and return its path."""
    with Store(source) as opened:
        clips, vectors, spec = opened.utterances, opened.read(np.arange(len(opened))), opened.spec
    clips, vectors = change(clips, vectors)
    with StoreWriter(path, spec, {}) as writer:
        writer.add(clips, list(vectors))
        writer.commit()
    return path


class TestLeaks:
    def test_shared_speakers_are_counted_and_refused_where_a_protocol_keeps_them_apart(
        self, make_store, tmp_path, monkeypatch
    ):
        store = make_store()
        leaky = ser_head.train(store=store, protocol="random", epochs=1, out=tmp_path / "random")
        assert leaky.metrics["speaker_disjoint"] is False
        assert leaky.metrics["leakage"]["speaker"]["clips"] == leaky.metrics["n_test"]
        monkeypatch.setattr(plan, "make_splits", lambda _, *rest: make_splits(Protocol("random"), *rest))
        for protocol in ("speaker", "kfold:3", "loso"):
            with pytest.raises(InputError, match=f"{protocol} has to keep the speakers of training and test apart"):
                ser_head.train(store=store, protocol=protocol, epochs=1, out=tmp_path / "denied")
        assert not (tmp_path / "denied").exists()

    def test_a_file_on_both_sides_is_counted_and_shown(self, make_store, tmp_path):
        rows = [{**row, "digest": row["utterance_id"]} for row in rows_of(Recipe())]
        rows[0]["digest"] = rows[-1]["digest"] = "twice"
        trained = ser_head.train(store=make_store(rows=rows), protocol="kfold:3", epochs=1, out=tmp_path / "run")
        leakage = json.loads((trained.run / "metrics.json").read_text())["leakage"]
        pair = [rows[0]["utterance_id"], rows[-1]["utterance_id"]]
        assert (leakage["bytes"]["clips"], leakage["bytes"]["example"]) == (2, pair)  # each is tested once
        assert leakage["duplicates"] == {"clips": 2, "example": pair}
        page = (trained.run / "report.html").read_text()
        assert "2 of 72 test clips" in page
        assert " and ".join(pair) in page


@pytest.mark.usefixtures("unreported")
def test_shuffled_labels_are_learned_no_better_than_by_chance(make_store, tmp_path):
    recipe = {"takes": 10, "signal": 4.0}
    settings = {"protocol": "kfold:3", "epochs": 10}
    store = make_store(**recipe)
    assert ser_head.train(store=store, **settings, out=tmp_path / "true").metrics["test"]["uar"] > 0.9

    def shuffle(clips, vectors):
        return clips.assign(emotion=np.random.default_rng(1).permutation(clips["emotion"])), vectors

    shuffled_store = rewrite(store, tmp_path / "shuffled.h5", shuffle)
    low, high = ser_head.train(store=shuffled_store, **settings, out=tmp_path / "run").metrics["test"]["ci95"]["uar"]
    assert low < 1 / 3 < high


@pytest.mark.usefixtures("unreported")
@pytest.mark.parametrize("head", ["mlp", "svm"])
def test_test_clips_have_no_influence_on_the_trained_head(make_store, tmp_path, head):
    """Test clips with vectors a thousand times as large and other labels leave the head the same to the bit.

    A scaling, class weight, prior or choice of epoch that used test clips would change.
    """
    methods = ("normalize", "calibrate") if head == "svm" else [name for name in METHODS if name != "papt"]
    settings = {"head": head, "personalized": methods, "epochs": 3, "refit": "always"}
    first = ser_head.train(store=make_store(), **settings, out=tmp_path / "first")
    test_speakers = Run.load(first.run).about["folds"][0]["speakers"]["test"]

    def spoil(clips, vectors):
        is_test = clips["speaker"].isin(test_speakers).to_numpy()
        swapped = clips["emotion"].where(~is_test, clips["emotion"].map({"sad": "happy", "happy": "sad"}))
        return clips.assign(emotion=swapped.fillna("sad")), np.where(is_test[:, None, None], 1000 * vectors, vectors)

    spoilt_store = rewrite(tmp_path / "tiny.h5", tmp_path / "spoilt.h5", spoil)
    second = ser_head.train(store=spoilt_store, **settings, out=tmp_path / "second")
    first_folds, second_folds = (Run.load(trained.run).about["folds"] for trained in (first, second))
    assert first_folds == second_folds
    for file in ("history.csv", "validation.csv"):
        assert (first.run / file).read_bytes() == (second.run / file).read_bytes()
    for name, array in arrays_of(first.run).items():
        assert np.array_equal(array, arrays_of(second.run)[name]), name
    assert first.metrics["test"] != second.metrics["test"]


def arrays_of(run):
    """Return all numbers that a run of one fold has learned, by name."""
    with np.load(run / "fold.npz") as file:
        arrays = dict(file)
    if (run / "head.keras").exists():
        weights = load_head(run / "head.keras").get_weights()
        arrays |= {f"weights {index}": array for index, array in enumerate(weights)}
    return arrays


@pytest.mark.usefixtures("unreported")
def test_no_scored_clip_is_in_its_own_enrolment_in_a_whole_run(make_store, tmp_path, monkeypatch):
    """Check every call of a run's scorers and every session of its training; a clip is identified by its vectors."""
    score, init_builder = Scorer.score, InputBuilder.__init__
    scored_with_itself = []

    def checked_score(self, requests):
        for request in requests:
            no_clips = request.vectors[:0]
            scored = {clip.tobytes() for clip in request.vectors}
            enrolled = {clip.tobytes() for clip in (no_clips if request.enrolled is None else request.enrolled)}
            if request.vectors is request.enrolled:
                continue  # outputs of the enrolled clips, from which a speaker's bias is fitted; not evaluated
            if scored & enrolled:
                assert scored <= enrolled  # a session is either apart or transductive
                scored_with_itself.extend(scored)
        return score(self, requests)

    def checked_init(self, data, fold, sessions, *rest, **options):
        assert not any(np.isin(session.scored, session.enrolled).any() for session in sessions)
        init_builder(self, data, fold, sessions, *rest, **options)

    monkeypatch.setattr(Scorer, "score", checked_score)
    monkeypatch.setattr(InputBuilder, "__init__", checked_init)
    trained = ser_head.train(
        store=make_store(takes=8),
        personalized="normalize,calibrate",
        protocol="kfold:3",
        epochs=2,
        out=tmp_path / "run",
    )
    assert len(scored_with_itself) == len(set(scored_with_itself)) == trained.metrics["conditions"][TRANSDUCTIVE]["n"]


@pytest.mark.usefixtures("unreported")
def test_a_shuffled_speaker_table_gains_nothing_for_training_speakers(make_store, tmp_path):
    """Each speaker mostly says one emotion; its own row of the table tells the head which, another's row does not."""
    recipe = Recipe(speakers=9, takes=20)
    favourite = {f"demo/{number}": recipe.emotions[number % 3] for number in range(1, 10)}
    rows = [
        row
        for index, row in enumerate(rows_of(recipe))
        if row["emotion"] == favourite[row["speaker"]] or index % recipe.takes < 3
    ]
    store = make_store(rows=rows, signal=0.4)
    settings = {"personalized": "embedding", "protocol": "random", "batch_size": 16, "learning_rate": 5e-3}
    trained = ser_head.train(store=store, **settings, weight_decay=0.1, epochs=20, augment="none", out=tmp_path / "run")
    conditions = trained.metrics["conditions"]
    assert conditions[CLOSED]["uar"] > conditions[PLAIN]["uar"] + 0.1
    table = read_predictions(trained.run / "predictions.csv")
    rows = table[table["condition"] == CLOSED]
    run = Run.load(trained.run)
    (scorer,) = run.scorers
    training_speakers = scorer.personalizer.training_speakers
    shuffled = replace(training_speakers, names=(*training_speakers.names[1:], training_speakers.names[0]))
    uars = []
    for speakers in (training_speakers, shuffled):
        scorer.personalizer = Personalizer(scorer.personalizer.methods, speakers)
        with Store(store) as opened:
            ids = opened.utterances["utterance_id"].tolist()
            vectors = opened.read([ids.index(name) for name in rows["utterance_id"]])
        answers = np.array(run.labels)[run.probabilities(vectors, rows["speaker"].tolist()).argmax(axis=1)]
        uars.append(compute_metrics(rows.assign(prediction=answers), run.labels)["uar"])
    assert uars[0] == pytest.approx(conditions[CLOSED]["uar"])
    assert uars[1] < conditions[PLAIN]["uar"]


class TestBorrowing:
    """Speakers of four kinds, each with a most frequent emotion; the head sees the emotion, not the voice."""

    KINDS = 4
    NUM_TRAINING, NUM_VALIDATION, NUM_NEW = 32, 12, 40  # speakers
    CLIPS = 20  # of a speaker enrolled, and as many scored

    def test_borrowing_from_similar_speakers_helps_and_from_random_ones_does_not(self):
        num_known = self.NUM_TRAINING + self.NUM_VALIDATION
        speakers = [self.speaker(number) for number in range(num_known + self.NUM_NEW)]
        validation, new = speakers[self.NUM_TRAINING : num_known], speakers[num_known:]
        training_speakers = self.training_speakers(speakers[: self.NUM_TRAINING])
        order = np.random.default_rng(0).permutation(self.NUM_TRAINING)
        shuffled = replace(training_speakers, means=training_speakers.means[order])  # similarity is then chance
        plain = self.accuracy(OutputCalibration((1.0,), self.prior()), training_speakers, new)
        prior_shift = self.choose(training_speakers, validation)
        assert prior_shift is not None
        borrowing = OutputCalibration((1.0,), self.prior(), prior_shift)
        assert self.accuracy(borrowing, training_speakers, new) > plain + 0.05
        assert self.accuracy(borrowing, shuffled, new) < plain + 0.01
        refitted = OutputCalibration((1.0,), self.prior(), self.choose(shuffled, validation))
        assert self.accuracy(refitted, shuffled, new) < plain + 0.01

    def prior(self):
        return np.full(self.KINDS, 1 / self.KINDS)

    def speaker(self, number):
        """Return clips (2 x CLIPS, 1, emotions + voice) and their emotions; the kinds are equally frequent."""
        random = np.random.default_rng([5, number])
        emotions = random.choice(self.KINDS, 2 * self.CLIPS, p=np.where(np.arange(self.KINDS) == number % 4, 0.7, 0.1))
        content = random.normal(size=(len(emotions), self.KINDS)) + 1.5 * np.eye(self.KINDS)[emotions]
        voice = np.repeat(2 * np.eye(self.KINDS)[[number % self.KINDS]], len(emotions), axis=0)
        return np.hstack([content, voice + random.normal(size=voice.shape)])[:, None].astype(np.float32), emotions

    def training_speakers(self, speakers):
        means = np.stack([clips.mean(axis=0) for clips, _ in speakers])
        counts = np.stack([np.bincount(emotions, minlength=self.KINDS) for _, emotions in speakers])
        names = tuple(f"{number:02}" for number in range(len(speakers)))
        return TrainingSpeakers(names, means, np.ones_like(means), counts, np.zeros((len(names), 2)))

    def answers(self, inputs):
        """Return the exact posterior for equally frequent emotions, the best that a head without voices can do."""
        return softmax(1.5 * inputs[0][:, 0, : self.KINDS], axis=1).astype(np.float32)

    def choose(self, training_speakers, speakers):
        sessions = []
        for clips, emotions in speakers:
            enrolled, scored = (safe_log(self.answers([part])) for part in (clips[: self.CLIPS], clips[self.CLIPS :]))
            order = most_similar(clips[: self.CLIPS], training_speakers.means, len(training_speakers.names))
            sessions.append(ValidationSession(enrolled, order, scored, emotions[self.CLIPS :]))
        return choose_prior_shift(sessions, training_speakers.counts, self.prior())

    def accuracy(self, output_calibration, training_speakers, speakers):
        shape = training_speakers.means.shape[1:]
        scaling = Alignment(np.zeros(shape), np.ones(shape))
        scorer = Scorer(self.answers, scaling, Personalizer(("calibrate",), training_speakers), output_calibration)
        scored = scorer.score([ScoringRequest(clips[self.CLIPS :], clips[: self.CLIPS]) for clips, _ in speakers])
        truth = np.concatenate([emotions[self.CLIPS :] for _, emotions in speakers])
        return float(np.mean(scored.argmax(axis=1) == truth))


def test_a_temperature_halves_the_calibration_error_of_an_overconfident_head():
    random = np.random.default_rng(3)
    logits = random.normal(scale=2, size=(3000, 5))
    calibrated = softmax(logits, axis=1)
    targets = (random.random((3000, 1)) > calibrated.cumsum(axis=1)).sum(axis=1).clip(max=4)
    overconfident = apply_temperature(calibrated, 0.25)
    validation, test = slice(0, 1000), slice(1000, 3000)
    temperature = fit_temperature(overconfident[validation], targets[validation])
    before = calibration_error(overconfident[test], targets[test])
    assert before > 0.1
    assert calibration_error(apply_temperature(overconfident[test], temperature), targets[test]) <= before / 2
