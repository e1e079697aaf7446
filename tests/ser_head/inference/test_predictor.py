"""Predictor: loaded once; equal results for arrays and files, batches and clips, streams and windows, in threads."""

import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

import ser_embed
import ser_head
from ser_embed.errors import ClipError, InputError
from ser_head.inference.audio import AudioArray
from tests.ser_embed.conftest import tone, write_corpus

CLIP = tone(20_000, 3)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    data = write_corpus(folder / "data" / "tones", 24)
    ser_embed.extract("mfcc", data=data, store=folder / "mfcc.h5")
    return ser_head.train(store=folder / "mfcc.h5", protocol="random", epochs=2, out=folder / "run").run


@pytest.fixture(scope="module")
def predictor(run: Path) -> ser_head.Predictor:
    return ser_head.Predictor(run)


def scores(answer: list[dict]) -> dict[str, float]:
    return {entry["label"]: entry["score"] for entry in answer}


def test_an_answer_has_the_form_of_a_hugging_face_pipeline(predictor: ser_head.Predictor) -> None:
    answer = predictor(CLIP, rate=16_000)
    assert [set(entry) for entry in answer] == [{"label", "score"}] * len(predictor.labels)
    assert set(scores(answer)) == set(predictor.labels)
    assert sum(scores(answer).values()) == pytest.approx(1, abs=1e-6)
    assert [entry["score"] for entry in answer] == sorted((entry["score"] for entry in answer), reverse=True)
    assert predictor(CLIP, rate=16_000, top_k=1) == answer[:1]
    assert predictor({"array": CLIP, "sampling_rate": 16_000}) == answer
    assert predictor({"raw": CLIP, "sampling_rate": 16_000}) == answer


def test_an_array_is_scored_as_its_file(predictor: ser_head.Predictor, tmp_path: Path) -> None:
    stereo = np.stack([tone(66_150, 1), tone(66_150, 2)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 44_100, subtype="FLOAT")
    assert scores(predictor(stereo, rate=44_100)) == pytest.approx(scores(predictor(tmp_path / "a.wav")))
    for window in (None, 0.5):
        from_file = predictor.predict(tmp_path / "a.wav", window=window).table
        from_array = predictor.predict(stereo, rate=44_100, window=window).table
        assert from_array.drop(columns="file").to_numpy(object).tolist() == (
            from_file.drop(columns="file").to_numpy(object).tolist()
        )


@pytest.mark.parametrize("dtype", ["int16", "int32", "uint8", "float64"])
def test_samples_of_any_kind_are_brought_to_full_scale(predictor: ser_head.Predictor, dtype: str) -> None:
    if dtype.startswith("float"):
        samples = CLIP.astype(dtype)
    else:
        info = np.iinfo(dtype)
        middle = 0 if info.min < 0 else 128
        samples = np.clip(np.round(CLIP * (info.max - middle)) + middle, info.min, info.max).astype(dtype)
    scaled = AudioArray.of(samples, 16_000).samples[:, 0]
    np.testing.assert_allclose(scaled, CLIP, atol=2 / 128 if dtype == "uint8" else 1e-4)


def test_a_batch_is_its_items_one_by_one(predictor: ser_head.Predictor, caplog: pytest.LogCaptureFixture) -> None:
    clips = [tone(8_000 + 999 * number, number) for number in range(40)]
    batch = predictor.predict_batch([*clips, np.zeros(16_000, np.float32)], rate=16_000)
    assert len(batch) == 41
    assert batch[-1] == []
    assert "array 41: silent" in caplog.text
    for clip, answer in zip(clips, batch[:40], strict=True):
        assert scores(answer) == pytest.approx(scores(predictor(clip, rate=16_000)), abs=1e-5)
    assert predictor(clips[:2], rate=16_000) == predictor.predict_batch(clips[:2], rate=16_000)


@pytest.mark.parametrize("block", [160, 4_001, 100_000])
def test_a_stream_gives_the_windows_of_the_whole(predictor: ser_head.Predictor, block: int) -> None:
    samples = np.concatenate([tone(32_000, 1), np.zeros(24_000, np.float32), tone(20_000, 2)])
    table = predictor.predict(samples, rate=16_000, window=1.0, hop=0.5).table
    stream = predictor.stream(rate=16_000, window=1.0, hop=0.5)
    results = [
        result for start in range(0, len(samples), block) for result in stream.push(samples[start : start + block])
    ]
    results += stream.finish()
    assert [(result["start_s"], result["end_s"]) for result in results] == list(
        zip(table["start_s"], table["end_s"], strict=True)
    )
    for result, (_, row) in zip(results, table.iterrows(), strict=True):
        if row["emotion"] == "silent":
            assert result["scores"] == []
            assert result["ood_score"] is None
        else:
            assert result["ood_score"] == pytest.approx(row["unfamiliarity"], abs=1e-4)
            for label, score in scores(result["scores"]).items():
                assert score == pytest.approx(row[f"p_{label}"], abs=1e-5)


def test_a_stream_answers_as_soon_as_a_window_is_whole(predictor: ser_head.Predictor) -> None:
    stream = predictor.stream(rate=16_000, window=1.0, hop=0.5)
    counts = [len(stream.push(tone(8_000, 1))) for _ in range(4)]
    assert counts == [0, 1, 1, 1]


def test_threads_get_the_answers_of_single_calls(predictor: ser_head.Predictor) -> None:
    clips = [tone(8_000 + 999 * number, number) for number in range(16)]
    alone = [predictor(clip, rate=16_000) for clip in clips]
    start = threading.Barrier(8)

    def score(clip: np.ndarray) -> list[dict]:
        start.wait(timeout=30)  # eight calls at once, twice
        return predictor(clip, rate=16_000)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(score, clips)) == alone


def test_nothing_is_read_from_disk_after_loading(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    predictor = ser_head.Predictor(folder)
    shutil.rmtree(folder)
    opened: list[str] = []
    watching = True
    sys.addaudithook(lambda event, args: opened.append(str(args[0])) if watching and event == "open" else None)
    answer = predictor(CLIP, rate=22_050)
    table = predictor.predict(CLIP, rate=16_000, window=0.5).table
    watching = False
    assert len(answer) == len(predictor.labels)
    assert len(table) > 1
    assert not opened


@pytest.mark.parametrize("head", ["svm", "mlp"])
def test_a_personalised_predictor_reads_the_profile_once(run: Path, tmp_path: Path, head: str) -> None:
    data = run.parent / "data"
    personal = ser_head.train(
        store=run.parent / "mfcc.h5", head=head, personalized=True, protocol="random", epochs=2, out=tmp_path / "run"
    ).run
    clips = sorted((data / "tones").glob("*.wav"))
    ser_head.enroll(clips[:4], "Ann", run=personal)
    predictor = ser_head.Predictor(personal, speaker="Ann")
    shutil.rmtree(personal / "profiles")
    adapted = predictor.predict(clips[5:8])
    assert adapted.enrolled == 4
    plain = ser_head.predict(clips[5:8], run=personal)
    assert np.abs(adapted.table.filter(like="p_") - plain.table.filter(like="p_")).to_numpy().max() > 1e-6


def test_audio_that_cannot_be_scored_raises_an_error_that_says_why(
    predictor: ser_head.Predictor, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="needs its sampling rate"):
        predictor(CLIP)
    with pytest.raises(InputError, match="the rate has to be a positive whole number of Hz, not -1"):
        predictor(CLIP, rate=-1)
    with pytest.raises(InputError, match=r"transpose it"):
        predictor(np.zeros((2, 16_000)), rate=16_000)
    with pytest.raises(InputError, match="expected samples of shape"):
        predictor(np.zeros((2, 2, 2)), rate=16_000)
    with pytest.raises(InputError, match='expected {"array"'):
        predictor({"samples": CLIP})
    with pytest.raises(ClipError, match="silent"):
        predictor(np.zeros(16_000, np.float32), rate=16_000)
    with pytest.raises(ClipError, match="too short"):
        predictor(CLIP[:100], rate=16_000)
    with pytest.raises(ClipError, match="there is no such file"):
        predictor(tmp_path / "nofile.wav")
    with pytest.raises(InputError, match="give either config or window"):
        ser_head.Predictor(predictor.run, ser_head.PredictConfig(), window=3)


def test_predictor_and_predictions_have_a_repr(predictor: ser_head.Predictor) -> None:
    assert "mlp on mfcc" in repr(predictor)
    predictions = predictor.predict(CLIP, rate=16_000)
    assert repr(predictions).startswith("Predictions(1 rows, 0 unreadable)\narray: ")
    assert "<table" in predictions._repr_html_()
