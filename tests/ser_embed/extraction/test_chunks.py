"""Chunks: batches, clips that cannot be encoded, and the number of clips in memory."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

import ser_embed
from ser_embed.encoders.features import FeatureEncoder
from ser_embed.extraction import chunks, pipeline
from ser_embed.store.reader import Store
from tests.ser_embed.extraction.conftest import NUM_CLIPS, stub_encoder


def test_batches_of_single_clips_and_clips_that_are_too_long(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = stub_encoder()
    encoder.max_clip_s = 0.5
    monkeypatch.setattr(pipeline, "load_encoder", lambda model, options: encoder)
    report = ser_embed.extract("mfcc", data=data, store=tmp_path / "s.h5", batch_seconds=0.001)  # shorter than any clip
    lengths = [4_000 + 257 * (index * 7 % 23) for index in range(NUM_CLIPS)]
    assert report.extracted == sum(length <= 8_000 for length in lengths)
    assert all("too long" in clip["reason"] for clip in report.unreadable)


def test_vectors_that_are_not_finite_are_never_stored(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    length = len(soundfile.read(data / "tones" / "004.wav")[0])  # no other clip has this length
    encoder = FeatureEncoder(
        stub_encoder().spec,
        lambda waveform: np.array([[0, np.nan if len(waveform) == length else 1]], np.float32),
    )
    monkeypatch.setattr(pipeline, "load_encoder", lambda model, options: encoder)
    report = ser_embed.extract("mfcc", data=data, store=tmp_path / "s.h5")
    reason = "the encoder gave numbers that are not finite"
    assert report.unreadable == ({"utterance_id": "tones/004", "path": "tones/004.wav", "reason": reason},)
    with Store(tmp_path / "s.h5") as store:
        assert len(store) == NUM_CLIPS - 1
        assert np.isfinite(store.vectors[:]).all()


def test_at_most_one_chunk_of_clips_is_in_memory(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_memory, max_in_memory, lock = set(), [0], threading.Lock()
    load = chunks.load_clip

    def load_and_count(path: Path, *options: object) -> object:
        with lock:
            in_memory.add(path.stem)
            max_in_memory[0] = max(max_in_memory[0], len(in_memory))
        return load(path, *options)  # type: ignore[arg-type]

    def encode(waveforms: Sequence[np.ndarray]) -> Callable[[], list[np.ndarray]]:
        fetch = stub_encoder().encode(waveforms)

        def fetch_and_count() -> list[np.ndarray]:
            with lock:
                for name in sorted(in_memory)[: len(waveforms)]:
                    in_memory.remove(name)
            return fetch()

        return fetch_and_count

    encoder = stub_encoder()
    monkeypatch.setattr(encoder, "encode", encode)
    monkeypatch.setattr(chunks, "load_clip", load_and_count)
    monkeypatch.setattr(pipeline, "load_encoder", lambda model, options: encoder)
    ser_embed.extract("mfcc", data=data, store=tmp_path / "s.h5", chunk=6, workers=4, batch_seconds=0.5)
    assert 0 < max_in_memory[0] <= 6
