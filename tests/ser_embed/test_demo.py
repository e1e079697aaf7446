"""Demo corpus: equal bytes for an equal seed, written completely or not at all, emotional but not trivially so."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import ser_embed
from ser_embed import files
from ser_embed.corpora.demo import MARKER
from ser_embed.corpora.registry import CORPORA
from ser_embed.corpora.scan import scan_data
from ser_embed.demo import main
from ser_embed.errors import InputError
from ser_embed.synthesis import corpus, espeak
from ser_embed.synthesis.config import DemoConfig
from ser_embed.synthesis.prosody import EFFECTS, VOICES, draw_speaker, draw_take
from ser_embed.synthesis.waveform import simulate_recording, tilt

SMALL = {"speakers": 2, "sentences": 2}


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "demo"
    ser_embed.demo(folder, **SMALL)
    return folder


class TestBytes:
    def test_two_processes_write_the_same(self, small, tmp_path):
        flags = [f"--{name}={value}" for name, value in SMALL.items()]
        subprocess.run([sys.executable, "-m", "ser_embed.demo", str(tmp_path / "d"), *flags], check=True, timeout=120)
        assert digests(tmp_path / "d") == digests(small)

    def test_a_smaller_corpus_is_part_of_a_larger_one(self, small, tmp_path):
        ser_embed.demo(tmp_path / "d", speakers=1, sentences=1)
        part, whole = digests(tmp_path / "d"), digests(small)
        clips = [name for name in part if name.endswith(".wav")]
        assert len(clips) == len(EFFECTS)
        assert all(part[name] == whole[name] for name in clips)

    def test_another_seed_gives_other_clips(self, small, tmp_path):
        ser_embed.demo(tmp_path / "d", speakers=1, sentences=1, seed=1)
        whole = digests(small)
        assert all(digest != whole[name] for name, digest in digests(tmp_path / "d").items() if name.endswith(".wav"))

    def test_every_voice_gives_equal_samples_whatever_was_synthesised_before(self):
        deliveries = [espeak.Delivery(f"en-us+{variant}", 180, 60, 60) for _, variant in VOICES]
        first = [espeak.speak("The surface is slick.", delivery, seed=5) for delivery in deliveries]
        again = [espeak.speak("The surface is slick.", delivery, seed=5) for delivery in reversed(deliveries)]
        for speech, repeated in zip(first, reversed(again), strict=True):
            np.testing.assert_array_equal(speech, repeated)
        assert len({speech.tobytes() for speech in first}) == len(VOICES)

    def test_the_seed_draws_the_noise_of_a_breathy_voice(self):
        breathy = espeak.Delivery("en-us+f5", 180, 60, 60)
        first, second = (espeak.speak("The surface is slick.", breathy, seed) for seed in (1, 2))
        assert len(first) == len(second)
        assert (first != second).any()

    def test_a_long_installation_path_changes_nothing(self, monkeypatch):
        delivery = espeak.Delivery("en-us+f2", 180, 60, 60)
        before = espeak.speak("The surface is slick.", delivery, seed=5)
        monkeypatch.setattr(espeak, "_MAX_PATH_BYTES", 1)
        np.testing.assert_array_equal(espeak.speak("The surface is slick.", delivery, seed=5), before)


class TestFolder:
    def test_it_is_a_corpus_of_synthetic_clips(self, small):
        scan = scan_data(small)
        manifest = scan.manifest
        assert len(manifest) == 2 * 6 * 2
        assert set(manifest["corpus"]) == {"demo"}
        assert set(manifest["speaker"]) == {"demo/1001", "demo/1002"}
        assert manifest.groupby("emotion").size().tolist() == [4] * 6
        assert set(manifest["synthetic"]) == {"yes"}
        assert manifest.groupby("speaker")["gender"].first().tolist() == ["female", "male"]
        assert scan.unreadable.empty
        assert "ynthetic" in (small / "README.md").read_text()
        assert json.loads((small / MARKER).read_text())["synthetic"] is True

    def test_clips_are_16_khz_mono_16_bit_and_not_clipped(self, small):
        for path in small.glob("*.wav"):
            info = soundfile.info(path)
            assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
            assert 0.8 < info.duration < 6
            peak = np.abs(soundfile.read(path)[0]).max()
            assert 0.01 < peak < 0.99

    def test_an_earlier_demo_corpus_is_replaced_completely(self, tmp_path):
        ser_embed.demo(tmp_path / "d", speakers=1, sentences=2)
        ser_embed.demo(tmp_path / "d", speakers=1, sentences=1)
        assert len(list((tmp_path / "d").glob("*.wav"))) == 6
        assert os.listdir(tmp_path) == ["d"]

    @pytest.mark.parametrize("name", ["notes.txt", "1001_DFA_ANG_XX.wav", "manifest.csv"])
    def test_a_folder_with_other_files_is_left_alone(self, tmp_path, name):
        (tmp_path / name).write_text("mine")
        with pytest.raises(InputError, match=f"to be empty or to hold an earlier demo corpus, found '{name}'"):
            ser_embed.demo(tmp_path, **SMALL)
        assert os.listdir(tmp_path) == [name]

    def test_an_earlier_corpus_with_a_foreign_file_is_left_alone(self, tmp_path):
        ser_embed.demo(tmp_path / "d", speakers=1, sentences=1)
        (tmp_path / "d" / "notes.txt").write_text("mine")
        with pytest.raises(InputError, match=r"found 'notes\.txt'"):
            ser_embed.demo(tmp_path / "d", speakers=1, sentences=1)

    def test_a_file_with_the_name_of_the_folder_is_an_error(self, tmp_path):
        (tmp_path / "d").write_text("mine")
        with pytest.raises(InputError, match="expected a folder"):
            ser_embed.demo(tmp_path / "d", **SMALL)

    def test_an_interrupted_run_leaves_nothing(self, tmp_path, monkeypatch):
        calls = []

        def interrupt(*args, **kwargs):
            calls.append(args)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return simulate_recording(*args, **kwargs)

        monkeypatch.setattr(corpus, "simulate_recording", interrupt)
        assert main([str(tmp_path / "d"), "--speakers=1", "--sentences=1"]) == 130
        assert os.listdir(tmp_path) == []

    def test_if_the_last_step_fails_the_earlier_corpus_is_restored(self, tmp_path, monkeypatch):
        ser_embed.demo(tmp_path / "d", speakers=1, sentences=1)
        before = digests(tmp_path / "d")
        rename = os.rename

        def fail(source, target):
            if ".tmp-" in Path(source).name and not str(source).endswith("-replaced"):
                raise OSError("no")
            rename(source, target)

        monkeypatch.setattr(files.os, "rename", fail)
        with pytest.raises(OSError, match="no"):
            ser_embed.demo(tmp_path / "d", speakers=1, sentences=1, seed=3)
        assert digests(tmp_path / "d") == before
        assert os.listdir(tmp_path) == ["d"]


class TestCommand:
    def test_one_summary_line_on_stdout_and_nothing_else(self, tmp_path, capsys):
        assert main([str(tmp_path / "d"), "--speakers", "1", "--sentences", "1"]) == 0
        output = capsys.readouterr()
        assert output.err == ""
        assert output.out.count("\n") == 1
        assert "6 synthetic clips" in output.out

    def test_json_is_one_object(self, tmp_path, capsys):
        assert main([str(tmp_path / "d"), "--speakers", "1", "--sentences", "1", "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        seconds = sum(soundfile.info(path).duration for path in (tmp_path / "d").glob("*.wav"))
        assert report.pop("duration_s") == pytest.approx(seconds, abs=1e-3)
        assert report == {
            "folder": str(tmp_path / "d"), "clips": 6, "speakers": 1, "emotions": 6, "sentences": 1, "synthetic": True,
        }  # fmt: skip

    @pytest.mark.parametrize("flag", ["--speakers=0", "--speakers=17", "--sentences=13", "--seed=-1"])
    def test_a_number_out_of_range_is_an_error(self, tmp_path, capsys, flag):
        assert main([str(tmp_path / "d"), flag]) == 2
        assert "has to be from" in capsys.readouterr().err
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize("package", ["espeakng_loader", "soxr", "soundfile"])
    def test_a_missing_package_is_one_line_that_names_the_extra(self, tmp_path, package):
        code = f"import sys; sys.modules[{package!r}] = None; import ser_embed; sys.exit(ser_embed.demo.main())"
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "new" / "d")], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "twostage-ser[demo]" in done.stderr
        assert package in done.stderr
        assert os.listdir(tmp_path) == []

    def test_the_defaults_give_the_size_in_the_registry(self):
        config = DemoConfig()
        registered = CORPORA["demo"]
        assert config.speakers == registered.num_speakers == len(VOICES)
        assert config.speakers * config.sentences * len(EFFECTS) == registered.num_clips
        assert EFFECTS.keys() == registered.labels.keys()


class TestProsody:
    def test_the_effects_of_emotions_have_the_directions_of_the_literature(self):
        """Averages over many takes, so that the variation between speakers does not hide the direction."""
        random = np.random.default_rng(0)
        takes = {
            emotion: [draw_take(draw_speaker(number, 0), emotion, random) for number in range(16) for _ in range(50)]
            for emotion in EFFECTS
        }

        def means(value):
            return {emotion: np.mean([value(take) for take in drawn]) for emotion, drawn in takes.items()}

        rate = means(lambda take: take.delivery.rate_wpm)
        pitch = means(lambda take: take.delivery.pitch)
        pitch_range = means(lambda take: take.delivery.pitch_range)
        level = means(lambda take: take.level_db)
        assert max(rate["SAD"], rate["DIS"]) < rate["NEU"] < min(rate["ANG"], rate["HAP"]) < rate["FEA"]
        assert max(pitch["SAD"], pitch["DIS"]) < pitch["NEU"] < min(pitch["ANG"], pitch["HAP"]) < pitch["FEA"]
        assert pitch_range["SAD"] < pitch_range["NEU"] < pitch_range["ANG"] < pitch_range["HAP"]
        assert level["SAD"] < level["DIS"] < level["NEU"] < level["HAP"] < level["ANG"]

    def test_the_requested_level_is_the_level_of_the_clip(self):
        speech = (8000 * np.sin(np.arange(22_050) * 0.05)).astype(np.int16)
        levels = []
        for level_db in (0.0, 6.0):
            clip = simulate_recording(speech, 22_050, level_db, 0.0, np.random.default_rng(0)).astype(float)
            levels.append(10 * np.log10(np.mean(clip**2)))
        assert levels[1] - levels[0] == pytest.approx(6, abs=0.05)

    @pytest.mark.parametrize(("hertz", "gain_db"), [(1000, 0.0), (4000, 6.0), (500, -3.0), (50, -9.97)])
    def test_tilting_by_3_db_per_octave(self, hertz, gain_db):
        wave = np.sin(2 * np.pi * hertz * np.arange(16_000) / 16_000)
        assert 20 * np.log10(np.std(tilt(wave, 3.0)) / np.std(wave)) == pytest.approx(gain_db, abs=0.01)

    def test_an_unknown_voice_is_an_error(self):
        with pytest.raises(InputError, match="no voice 'nobody'"):
            espeak.speak("Hello.", espeak.Delivery("nobody", 180, 50, 50), seed=1)


@pytest.mark.slow
def test_emotions_of_unseen_speakers_are_often_but_not_always_recognised(tmp_path):
    """A linear SVM on MFCC statistics: far above chance, far below perfect, and better if it knows the speaker."""
    import librosa
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from sklearn.svm import LinearSVC

    ser_embed.demo(tmp_path / "demo")
    clips = scan_data(tmp_path).manifest
    vectors = []
    for path in clips["path"]:
        waveform = soundfile.read(tmp_path / path, dtype="float32")[0]
        mfcc = librosa.feature.mfcc(y=waveform, sr=16_000, n_mfcc=20, n_fft=400, hop_length=160, n_mels=40)
        vectors.append([*mfcc.mean(axis=1), *mfcc.std(axis=1)])
    speakers = OneHotEncoder(sparse_output=False).fit_transform(clips[["speaker"]])

    def uar(features, groups, folds):
        model = make_pipeline(StandardScaler(), LinearSVC(C=0.01, class_weight="balanced"))
        predicted = cross_val_predict(model, features, clips["emotion"], groups=groups, cv=GroupKFold(folds))
        return balanced_accuracy_score(clips["emotion"], predicted)

    assert 0.5 < uar(vectors, clips["speaker"], 8) < 0.7
    without_speaker = uar(vectors, clips["sentence"], 4)
    with_speaker = uar(np.hstack([vectors, speakers]), clips["sentence"], 4)
    assert without_speaker + 0.02 < with_speaker < 0.9
