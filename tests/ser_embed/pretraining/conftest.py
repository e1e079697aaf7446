"""Fixtures of pre-training: a tiny HuBERT, a folder of tones with speakers, and waveforms made in memory."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from ser_embed.pretraining.audio_cache import Waveforms
from tests.ser_embed.conftest import tone, write_corpus

TINY = {
    "conv_dim": [8] * 7,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
NO_DROPOUT = {"hidden_dropout": 0.0, "activation_dropout": 0.0, "attention_dropout": 0.0, "layerdrop": 0.0}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Compute with one thread, in fixtures of modules too: sums over several threads differ in their last bits."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 23 clips of tones by 4 speakers, and one file that is not audio."""
    folder = write_corpus(tmp_path_factory.mktemp("pretraining") / "tones", 23) / "tones"
    (folder / "broken.wav").write_bytes(b"RIFF")
    with (folder / "manifest.csv").open("a") as table:
        table.write("broken.wav,angry,s0,20\n")
    return folder


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    """The JSON file of a tiny configuration, with every kind of dropout."""
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps({**TINY, "attention_dropout": 0.1, "layerdrop": 0.3}))
    return str(path)


def waveforms_of(clips: list[np.ndarray]) -> Waveforms:
    """Waveforms of clips, float (samples,) each, by speakers s0, s1 and an unknown one in turn."""
    counts = np.array([len(clip) for clip in clips])
    samples = np.concatenate([(clip * 32_767).round().astype(np.int16) for clip in clips])
    speakers = np.array(["s0", "s1", ""])[np.arange(len(clips)) % 3]
    return Waveforms(samples, counts.cumsum() - counts, counts, speakers, (), "key")


def tones(lengths: list[int]) -> Waveforms:
    """Waveforms of tones of these lengths in samples."""
    return waveforms_of([tone(length, seed) for seed, length in enumerate(lengths)])
