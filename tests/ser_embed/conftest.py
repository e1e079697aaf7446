"""Fakes that are real: tones as clips, tiny transformers saved as `save_pretrained` writes them, a Hub on loopback."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.ser_embed.hub_server import HubServer

FAMILIES = ("hubert", "wav2vec2", "wavlm")
SHAPES = ("base", "large")
TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}


def tone(num_samples: int, seed: int = 0) -> np.ndarray:
    """A gliding tone in noise: float32 (samples,)."""
    rng = np.random.default_rng(seed)
    time = np.arange(num_samples) / 16_000
    glide = np.sin(2 * np.pi * (150 + 10 * seed + 40 * time) * time)
    return (0.3 * glide + 0.02 * rng.standard_normal(num_samples)).astype(np.float32)


def write_corpus(folder: Path, num_clips: int, emotions: tuple[str, ...] = ("angry", "happy", "sad")) -> Path:
    """Write a folder of tones with a manifest.csv and return the data folder it is in."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["path,emotion,speaker,age"]
    for index in range(num_clips):
        soundfile.write(folder / f"{index:03}.wav", tone(4_000 + 257 * (index * 7 % 23), index), 16_000)
        lines.append(f"{index:03}.wav,{emotions[index % len(emotions)]},s{index % 4},{20 + index % 4}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder.parent


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with one corpus, `tones`, of 23 clips."""
    return write_corpus(tmp_path / "data" / "tones", 23)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of tiny models of random weights: {"hubert-base": ..., "hubert-large": ..., "wav2vec2-base": ...}."""
    import torch
    import transformers

    transformers.logging.disable_progress_bar()
    configs = {"hubert": "Hubert", "wav2vec2": "Wav2Vec2", "wavlm": "WavLM"}
    large = {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True}
    folders = {}
    for family, prefix in configs.items():
        for shape in SHAPES:
            torch.manual_seed(0)
            config = getattr(transformers, f"{prefix}Config")(**TINY, **(large if shape == "large" else {}))
            folder = tmp_path_factory.mktemp("models") / f"{family}-{shape}"
            getattr(transformers, f"{prefix}Model")(config).save_pretrained(folder)
            folders[f"{family}-{shape}"] = folder
    transformers.logging.enable_progress_bar()
    return folders


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Caches in a temporary folder: `hub` of huggingface_hub, `own` of the library."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "caches" / "hub"))
    monkeypatch.setenv("SER_CACHE", str(tmp_path / "caches" / "own"))
    return tmp_path / "caches"


@pytest.fixture
def hub(caches: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub without repositories, which the library uses; nobody waits for it long."""
    import huggingface_hub
    from huggingface_hub import constants

    from ser_embed.encoders.hub import download

    server = HubServer()
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{server.url}/{template.split('/', 3)[3]}")
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.5)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.5)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(download, "_PAUSE_S", 0.0)
    yield server
    server.stop()
    huggingface_hub.close_session()
