"""Enrolment: profiles written by the command and used by predictions, on `mfcc` vectors of tones."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import ser_embed
import ser_head
from ser_embed.errors import InputError
from ser_embed.reading import signed
from ser_embed.store.reader import Store
from ser_head.enroll import main
from ser_head.predict import main as predict_main
from ser_head.runs.run import Run
from tests.ser_embed.conftest import write_corpus


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a personalised run, a plain one, the store, and the clips in data/tones."""
    folder = tmp_path_factory.mktemp("trained")
    data = write_corpus(folder / "data" / "tones", 24)
    ser_embed.extract("mfcc", data=data, store=folder / "mfcc.h5")
    for name, methods in (("run", "normalize,calibrate"), ("plain", ())):
        settings = {"protocol": "random", "epochs": 2, "personalized": methods}
        ser_head.train(store=folder / "mfcc.h5", out=folder / name, **settings)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """Return a copy of the personalised run, without profiles."""
    return Path(shutil.copytree(trained / "run", tmp_path / "run"))


def clip(trained: Path, number: int) -> Path:
    return trained / "data" / "tones" / f"{number:03}.wav"


def stored(trained: Path, *numbers: int) -> np.ndarray:
    with Store(trained / "mfcc.h5") as store:
        ids = store.utterances["utterance_id"].tolist()
        return store.read([ids.index(f"tones/{number:03}") for number in numbers])


def probabilities(predictions) -> np.ndarray:
    return predictions.table.filter(regex="^p_").to_numpy()


def test_a_profile_adapts_as_its_stored_vectors_do(trained: Path, run: Path) -> None:
    enrollment = ser_head.enroll([clip(trained, number) for number in (1, 5, 9)], "Ann", run=run)
    assert (enrollment.clips, enrollment.added, enrollment.unreadable) == (3, 3, ())
    assert enrollment.profile == run / "profiles" / "Ann.json"
    predictions = ser_head.predict([clip(trained, 13), clip(trained, 17)], run=run, speaker="Ann")
    loaded, vectors = Run.load(run), stored(trained, 13, 17)
    expected = loaded.probabilities(vectors, ["x", "x"], enrolled={"x": stored(trained, 1, 5, 9)})
    np.testing.assert_allclose(probabilities(predictions), expected, atol=1e-5)
    assert np.abs(expected - loaded.probabilities(vectors)).max() > 1e-3
    assert predictions.enrolled == 3


def test_no_clip_is_scored_with_itself_enrolled(
    trained: Path, run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    ser_head.enroll([clip(trained, 1), clip(trained, 5)], "Ann", run=run)
    (tmp_path / "more").mkdir()
    shutil.copy(clip(trained, 9), tmp_path / "more" / "copy.wav")
    shutil.copy(clip(trained, 1), tmp_path / "more" / "known already.wav")
    predictions = ser_head.predict(
        [clip(trained, number) for number in (9, 13, 1)], run=run, speaker="Ann", enroll=tmp_path / "more"
    )
    loaded = Run.load(run)
    for row, scored, enrolled in zip(probabilities(predictions), (9, 13, 1), [(1, 5), (1, 5, 9), (5, 9)], strict=True):
        expected = loaded.probabilities(stored(trained, scored), ["x"], enrolled={"x": stored(trained, *enrolled)})
        np.testing.assert_allclose(row, expected[0], atol=1e-5)
    assert predictions.enrolled == 2
    assert "enrolled clips of Ann: 3" in caplog.messages
    assert "files that are enrolled themselves: 2, each scored with the others alone" in caplog.messages


def test_enrolling_for_one_call_equals_a_profile(trained: Path, run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    for number in (1, 5):
        shutil.copy(clip(trained, number), folder)
    once = ser_head.predict(clip(trained, 13), run=run, enroll=folder)
    assert not (run / "profiles").exists()
    ser_head.enroll(folder, "Ann", run=run, profiles=tmp_path / "elsewhere")
    from_profile = ser_head.predict(clip(trained, 13), run=run, speaker="Ann", profiles=tmp_path / "elsewhere")
    np.testing.assert_array_equal(probabilities(once), probabilities(from_profile))
    assert once.enrolled == from_profile.enrolled == 2


def test_a_speaker_has_a_profile_or_was_in_training_or_is_unknown(
    trained: Path, run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    training_speaker = Run.load(run).about["folds"][0]["known"][0]
    predictions = ser_head.predict(clip(trained, 13), run=run, speaker=training_speaker)
    expected = Run.load(run).probabilities(stored(trained, 13), [training_speaker])
    np.testing.assert_allclose(probabilities(predictions), expected, atol=1e-5)
    assert not caplog.messages
    stranger = ser_head.predict(clip(trained, 13), run=run, speaker="../nobody")
    np.testing.assert_allclose(probabilities(stranger), Run.load(run).probabilities(stored(trained, 13)), atol=1e-5)
    assert caplog.messages == ["../nobody has no profile and was not in training: scored as an unknown speaker"]
    plain = trained / "plain"
    for options in ({"speaker": "Ann"}, {"enroll": clip(trained, 1)}):
        assert ser_head.predict(clip(trained, 13), run=plain, **options).enrolled == 0
        assert caplog.messages[-1] == f"the run {plain} is not personalised: who speaks makes no difference"


def test_the_command_adds_lists_and_deletes(
    trained: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"words" * 50)
    first, second = str(clip(trained, 1)), str(clip(trained, 5))
    flags = ["--run", str(run), "--json"]
    assert main([first, first, str(broken), "--speaker", "Ann", *flags]) == 3
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert (document["clips"], document["added"]) == (1, 1)
    assert [entry["file"] for entry in document["unreadable"]] == [str(broken)]
    assert printed.err == f"unreadable: {broken}: not audio: neither wav, flac, ogg, opus nor mp3\n"
    assert predict_main([first, str(broken), "--enroll", str(tmp_path), *flags]) == 2  # nothing but the broken clip
    assert "none of 1 can be read" in capsys.readouterr().err
    shutil.copy(second, tmp_path)
    assert predict_main([first, str(broken), "--enroll", str(tmp_path), *flags]) == 3
    document = json.loads(capsys.readouterr().out)
    assert (len(document["files"]), len(document["unreadable"]), document["enrolled"]) == (1, 1, 1)
    before = (run / "profiles" / "Ann.json").read_bytes()
    assert main([first, "--speaker", "Ann", "--run", str(run)]) == 0
    assert capsys.readouterr().out == f"Ann: 0 added, 1 in all, in {run / 'profiles' / 'Ann.json'}\n"
    assert (run / "profiles" / "Ann.json").read_bytes() == before
    assert main([second, "--speaker", "Ann", *flags]) == 0
    assert json.loads(capsys.readouterr().out)["clips"] == 2
    assert main(["--list", *flags]) == 0
    assert [(row["name"], row["clips"]) for row in json.loads(capsys.readouterr().out)["profiles"]] == [("Ann", 2)]
    assert main(["--delete", "Ann", *flags]) == 0
    assert json.loads(capsys.readouterr().out) == {"deleted": "Ann"}
    assert not list((run / "profiles").iterdir())
    assert main(["--list", "--run", str(run)]) == 0
    assert capsys.readouterr().out == ""


def test_bad_input_is_one_line_and_changes_nothing(
    trained: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "empty").mkdir()
    good, flags = str(clip(trained, 1)), ["--run", str(run)]
    for arguments, expected in [
        ([good, "--speaker", "../x", *flags], "a profile's name has to be"),
        (["nofile.wav", "--speaker", "Ann", *flags], "none of 1 can be read; nofile.wav: missing"),
        ([str(tmp_path / "empty"), "--speaker", "Ann", *flags], "expected audio"),
        ([good, *flags], "expected --speaker NAME with clips"),
        (["--speaker", "Ann", *flags], "expected --speaker NAME with clips"),
        ([good, "--list", *flags], "--list and --delete take no clips"),
        (["--delete", "Ann", *flags], "expected a profile of 'Ann'"),
        (["--list", "--run", str(tmp_path)], "expected a run folder"),
    ]:
        assert main(arguments) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert len(printed.err.splitlines()) == 1
        assert expected in printed.err
    assert predict_main([good, *flags, "--enroll", "nofile.wav"]) == 2
    assert "none of 1 can be read; nofile.wav: missing" in capsys.readouterr().err
    assert not (run / "profiles").exists()


def test_profiles_that_cannot_be_written_or_deleted_are_one_line(
    trained: Path, run: Path, capsys: pytest.CaptureFixture
) -> None:
    profiles = run / "profiles"
    profiles.touch()
    assert main([str(clip(trained, 1)), "--speaker", "Ann", "--run", str(run), "--model", "none"]) == 2
    assert capsys.readouterr().err == f"error: cannot write to {profiles}: Not a directory\n"
    profiles.unlink()
    (profiles / "Ann.json").mkdir(parents=True)  # no file, so that not even root can unlink it
    assert main(["--delete", "Ann", "--run", str(run)]) == 2
    assert capsys.readouterr().err.startswith(f"error: cannot write to {profiles}: ")


def test_a_profile_of_another_encoder_is_refused(trained: Path, run: Path) -> None:
    profile = ser_head.enroll(clip(trained, 1), "Ann", run=run).profile
    about = json.loads(profile.read_text("utf-8"))
    about["spec"]["digest"] = "other"
    profile.write_text(json.dumps(signed(about)), "utf-8")
    for use in (ser_head.enroll, lambda clip, name, run: ser_head.predict(clip, speaker=name, run=run)):
        with pytest.raises(InputError, match=r"the profile .*Ann.json holds vectors with digest 'other', not '\w+'"):
            use(clip(trained, 5), "Ann", run=run)
