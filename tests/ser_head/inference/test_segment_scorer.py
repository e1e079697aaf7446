"""Segment scorer: segments of several sources in one pass equal those alone, with what is known of their speakers."""

import numpy as np
import pytest

import ser_embed
import ser_head
from tests.ser_embed.conftest import tone, write_corpus

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> ser_head.Predictor:
    folder = tmp_path_factory.mktemp("trained")
    data = write_corpus(folder / "data" / "tones", 24)
    ser_embed.extract("mfcc", data=data, store=folder / "mfcc.h5")
    run = ser_head.train(
        store=folder / "mfcc.h5", protocol="random", epochs=2, personalized="normalize", out=folder / "run"
    ).run
    return ser_head.Predictor(run)


def test_windows_of_several_sources_are_scored_as_alone(predictor: ser_head.Predictor) -> None:
    sources = [tone(40_000, 1), tone(24_000, 2)]
    streams = [predictor.segments(RATE_HZ, 1, 0.5) for _ in sources]
    cut = [stream.push(samples) + stream.finish() for stream, samples in zip(streams, sources, strict=True)]
    segments = [segment for windows in cut for segment in windows]
    outputs, ood_scores = predictor.scorer.score(predictor.scorer.embed(segments), [None] * len(segments))
    tables = [predictor.predict(samples, RATE_HZ, window=1, hop=0.5).table for samples in sources]
    columns = [f"p_{label}" for label in predictor.labels]
    expected = np.concatenate([table[columns].to_numpy() for table in tables])
    assert len(segments) == len(expected)
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
    np.testing.assert_allclose(ood_scores, np.concatenate([table["unfamiliarity"] for table in tables]), atol=1e-6)


def test_vectors_of_a_speaker_adapt_that_speakers_segments_alone(predictor: ser_head.Predictor) -> None:
    segments = predictor.segments(RATE_HZ, 1, 0.5).push(tone(40_000, 3))
    vectors = predictor.scorer.embed(segments)
    own = vectors[0][:2]
    plain = predictor.scorer.score(vectors, [None] * len(segments))[0]
    mixed = predictor.scorer.score(vectors, [own, *[None] * (len(segments) - 1)])[0]
    np.testing.assert_allclose(mixed[1:], plain[1:], atol=1e-6)
    assert np.abs(mixed[0] - plain[0]).max() > 1e-4
    expected = predictor.run.probabilities(vectors[0][:1], ["somebody"], enrolled={"somebody": own})
    np.testing.assert_allclose(mixed[:1], expected, atol=1e-6)
