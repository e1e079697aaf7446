"""Models of the Hub: what is used of a repository, online and without a network, and what is refused in one line."""

import time
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import constants

from ser_embed.encoders.base import Encoder, EncoderOptions
from ser_embed.encoders.embedder import Embedder
from ser_embed.encoders.hub.repository import CONVERSION_BOT
from ser_embed.encoders.registry import HUB_IDS, load_encoder
from ser_embed.errors import InputError
from tests.ser_embed.conftest import tone
from tests.ser_embed.hub_server import HubServer
from tests.ser_embed.published import digest_of_published, pickled, published_files, published_tensors, write_files

NAME = "hubert-large"
HUBERT = HUB_IDS[NAME]
CLIP = tone(8_000)

pytestmark = pytest.mark.usefixtures("one_thread")


def load(model: str = NAME, revision: str | None = None) -> Encoder:
    return load_encoder(model, EncoderOptions(dtype="float32", revision=revision))


def vector(encoder: Encoder) -> np.ndarray:
    return encoder.encode([CLIP])()[0]


@pytest.fixture
def expected(tmp_path: Path) -> np.ndarray:
    """The vector of CLIP from a local folder of the model."""
    return vector(load(str(write_files(tmp_path / "folder", published_files(NAME, "safetensors")))))


@pytest.mark.parametrize("weights", ["safetensors", "bin", "legacy", "safetensors-shards", "bin-shards"])
def test_a_model_of_the_hub_gives_the_vectors_of_its_folder_online_and_offline(
    weights: str, hub: HubServer, expected: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.commit(HUBERT, published_files(NAME, weights))
    encoder = load()
    assert (encoder.spec.model, encoder.spec.revision) == (NAME, commit)
    assert encoder.spec.digest == digest_of_published(NAME)
    np.testing.assert_array_equal(vector(encoder), expected)
    with hub.stopped():
        offline = load()
        assert offline.spec == encoder.spec
        np.testing.assert_array_equal(vector(offline), expected)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.requests.clear()
    assert load().spec == encoder.spec
    assert not hub.requests


def test_nothing_is_downloaded_twice_and_a_commit_needs_no_request_at_all(hub: HubServer) -> None:
    commit = hub.commit(HUBERT, published_files(NAME))
    load()
    assert len(hub.sent("pytorch_model.bin")) == len(hub.sent("config.json")) == 1
    hub.requests.clear()
    load()
    assert [request.path for request in hub.requests] == [f"/api/models/{HUBERT}/revision/main"]
    load(revision=commit)
    load(HUBERT, revision=commit)
    assert len(hub.requests) == 1


def test_safetensors_of_the_revision_are_preferred(hub: HubServer) -> None:
    hub.commit(HUBERT, published_files(NAME, "safetensors") | published_files(NAME))
    load()
    assert hub.sent("model.safetensors")
    assert not hub.sent("pytorch_model.bin")
    assert not [request for request in hub.requests if "discussions" in request.path]


def test_the_copy_of_the_conversion_program_is_used_and_found_again_offline(
    hub: HubServer, expected: np.ndarray, caches: Path
) -> None:
    pickled_files = published_files(NAME)
    commit = hub.commit(HUBERT, pickled_files)
    hub.pull_request(HUBERT, pickled_files | published_files(NAME, "safetensors"), CONVERSION_BOT)
    encoder = load()
    assert encoder.spec.revision == commit
    np.testing.assert_array_equal(vector(encoder), expected)
    assert hub.sent("model.safetensors")
    assert not hub.sent("pytorch_model.bin")
    assert not (caches / "own" / "converted").exists()
    with hub.stopped():
        assert load().spec == encoder.spec
    # What was found at first is kept, whatever becomes of the pull request.
    hub.repos[HUBERT].pull_requests.clear()
    hub.requests.clear()
    assert load().spec == encoder.spec
    assert not hub.sent("pytorch_model.bin")


@pytest.mark.parametrize(
    "kind", ["stranger", "closed", "of another checkpoint", "without the checkpoint", "no weights"]
)
def test_other_pull_requests_are_not_taken(kind: str, hub: HubServer) -> None:
    files = published_files(NAME)
    forged = published_files(NAME, "safetensors", seed=1)
    hub.commit(HUBERT, files)
    content = {
        "of another checkpoint": published_files(NAME, seed=1) | forged,
        "without the checkpoint": forged,
        "no weights": files,
    }.get(kind, files | forged)
    author = "SFconvertbot2" if kind == "stranger" else CONVERSION_BOT
    hub.pull_request(HUBERT, content, author, "closed" if kind == "closed" else "open")
    assert load().spec.digest == digest_of_published(NAME)
    assert not hub.sent("model.safetensors")
    assert hub.sent("pytorch_model.bin")


def test_a_hub_that_lists_no_pull_requests_is_no_obstacle(hub: HubServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "ser_embed")
    hub.commit(HUBERT, published_files(NAME))
    hub.no_pull_requests = True
    assert load().spec.digest == digest_of_published(NAME)
    assert "pull requests were not looked through" in caplog.text


def test_files_are_shared_with_transformers_both_ways(hub: HubServer, caches: Path) -> None:
    commit = hub.commit(HUBERT, published_files(NAME))
    folder = huggingface_hub.snapshot_download(HUBERT, cache_dir=caches / "hub", endpoint=hub.url)
    assert load().spec.revision == commit
    assert len(hub.sent("pytorch_model.bin")) == 1
    other = HUB_IDS["wavlm-large"]
    hub.commit(other, published_files("wavlm-large"))
    load("wavlm-large")
    with hub.stopped():
        path = huggingface_hub.hf_hub_download(other, "pytorch_model.bin", cache_dir=caches / "hub", endpoint=hub.url)
    assert Path(path).read_bytes() == published_files("wavlm-large")["pytorch_model.bin"]
    assert huggingface_hub.scan_cache_dir(caches / "hub").warnings == []
    assert Path(folder).is_dir()


def test_what_transformers_left_in_the_cache_is_enough_without_a_network(hub: HubServer, caches: Path) -> None:
    commit = hub.commit(HUBERT, published_files(NAME))
    huggingface_hub.snapshot_download(HUBERT, cache_dir=caches / "hub", endpoint=hub.url)
    with hub.stopped():
        assert load().spec.revision == commit


def test_the_commit_of_a_spec_is_asked_for_when_main_has_moved_on(hub: HubServer, expected: np.ndarray) -> None:
    first = hub.commit(HUBERT, published_files(NAME))
    spec = load().spec
    second = hub.commit(HUBERT, published_files(NAME, seed=1))
    assert load().spec.revision == second
    embedder = Embedder.of(spec)
    assert embedder.spec == spec
    np.testing.assert_array_equal(embedder.embed_waveforms([CLIP])[0], expected)
    assert load(revision=first).spec == spec
    with pytest.raises(InputError, match="the run holds vectors with revision|the run holds vectors with model"):
        Embedder.of(spec, HUBERT)  # named otherwise, it is the newest


def test_the_commit_of_a_spec_is_downloaded_on_another_machine(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.commit(HUBERT, published_files(NAME))
    spec = load().spec
    hub.commit(HUBERT, published_files(NAME, seed=1))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "another" / "hub"))
    monkeypatch.setenv("SER_CACHE", str(tmp_path / "another" / "own"))
    assert Embedder.of(spec).spec == spec


def test_branches_tags_and_commits_can_be_asked_for(hub: HubServer) -> None:
    first = hub.commit(HUBERT, published_files(NAME))
    second = hub.commit(HUBERT, published_files(NAME, seed=1), "refs/pr/7")
    third = hub.commit(HUBERT, published_files(NAME, seed=2), "v1.0")
    for revision, commit, seed in [
        ("main", first, 0),
        ("refs/pr/7", second, 1),
        ("v1.0", third, 2),
        (second, second, 1),
    ]:
        spec = load(revision=revision).spec
        assert (spec.revision, spec.digest) == (commit, digest_of_published(NAME, seed))
    with hub.stopped():
        assert load(revision="v1.0").spec.revision == third
        assert load(revision="refs/pr/7").spec.revision == second
    with pytest.raises(InputError, match="there is no revision 'v2' of facebook/hubert-large-ll60k"):
        load(revision="v2")
    with pytest.raises(InputError, match=r"there is no revision '\.\./\.\./x'"):
        load(revision="../../x")


def test_only_models_of_the_hub_have_revisions(models: dict[str, Path]) -> None:
    for model, kind in [("mfcc", "a feature set"), (str(models["hubert-base"]), "a local folder")]:
        with pytest.raises(InputError, match=f"revision 'v1' is for a model of the Hub, and .* is {kind}"):
            load(model, revision="v1")


def test_a_renamed_repository_is_followed_and_found_again_offline(
    hub: HubServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "ser_embed")
    commit = hub.commit("meta/hubert-large", published_files(NAME))
    hub.renamed[HUBERT] = "meta/hubert-large"
    encoder = load()
    assert encoder.spec.revision == commit
    assert f"{HUBERT} is meta/hubert-large on the Hub now" in caplog.text
    with hub.stopped():
        assert load().spec == encoder.spec


def test_a_silent_hub_is_given_up_soon_for_what_is_in_the_cache(hub: HubServer) -> None:
    hub.commit(HUBERT, published_files(NAME))
    spec = load().spec
    for fault in ({"silent": True}, {"status": 503}, {"status": 429}):
        hub.heal()
        vars(hub).update(fault)
        start = time.monotonic()
        assert load().spec == spec
        assert time.monotonic() - start < 10


def test_the_newest_commit_is_used_offline_only_once_it_is_complete(hub: HubServer) -> None:
    hub.commit(HUBERT, published_files(NAME))
    spec = load().spec
    hub.commit(HUBERT, published_files(NAME, seed=1))
    hub.break_after = 0
    with pytest.raises(InputError, match="the same command goes on"):
        load()
    with hub.stopped():
        assert load().spec == spec


def gated(hub: HubServer) -> None:
    hub.commit(HUBERT, published_files(NAME))
    hub.gated.add(HUBERT)


def moved_away(hub: HubServer) -> None:
    hub.commit("someone/else", published_files(NAME))


def silent(hub: HubServer) -> None:
    hub.silent = True


def in_trouble(hub: HubServer) -> None:
    hub.status = 503


def refusing(hub: HubServer) -> None:
    hub.commit(HUBERT, published_files(NAME))
    hub.status = 418


def wrong_token(hub: HubServer) -> None:
    hub.commit(HUBERT, published_files(NAME))
    hub.status = 401


def without_weights(hub: HubServer) -> None:
    hub.commit(HUBERT, published_tensors(NAME)[1] | {"tf_model.h5": b"", "README.md": b""})


def without_config(hub: HubServer) -> None:
    hub.commit(HUBERT, {"pytorch_model.bin": published_files(NAME)["pytorch_model.bin"]})


def of_another_family(hub: HubServer) -> None:
    hub.commit(HUBERT, published_files(NAME) | {"config.json": b'{"model_type": "bert"}'})


def harmful(hub: HubServer) -> None:
    hub.commit(HUBERT, published_files(NAME) | {"pytorch_model.bin": pickled({"weight": time.sleep})})


def leading_out(hub: HubServer) -> None:
    index = b'{"weight_map": {"a": "../../../../x.bin"}}'
    hub.commit(HUBERT, published_tensors(NAME)[1] | {"pytorch_model.bin.index.json": index})


@pytest.mark.parametrize(
    ("fault", "expected_line"),
    [
        (gated, "is gated: accept its terms at .*/facebook/hubert-large-ll60k and log in by `hf auth login`"),
        (moved_away, "there is no facebook/hubert-large-ll60k on the Hub, or it is private"),
        (silent, r"is not in the local cache and the Hub cannot be reached \(.*Timeout\); .* give the folder"),
        (in_trouble, r"not in the local cache and the Hub cannot be reached \(.* answers 503\)"),
        (refusing, "the Hub refuses facebook/hubert-large-ll60k at 'main': 418"),
        (wrong_token, "the Hub refuses .* 401 Unauthorized; is the token valid"),
        (without_weights, "no usable model in .*: expected the weights in model.safetensors or pytorch_model.bin"),
        (without_config, "no usable model in .*: it has no config.json"),
        (of_another_family, "families hubert, wav2vec2, wavlm, but .* is bert"),
        (harmful, r"pytorch_model\.bin holds more than tensors \(time\.sleep\)"),
        (leading_out, r"expected names of files in .*, found '\.\./"),
    ],
)
def test_what_cannot_be_had_is_one_line(
    fault: Callable[[HubServer], None], expected_line: str, hub: HubServer, caches: Path
) -> None:
    fault(hub)
    start = time.monotonic()
    with pytest.raises(InputError, match=expected_line) as raised:
        load()
    assert time.monotonic() - start < 10
    assert "\n" not in str(raised.value)
    if fault is not harmful:  # the others are found out before the weights are asked for
        assert not hub.sent("pytorch_model.bin")
    assert not list(caches.rglob("refs"))
    assert not list((caches / "own").rglob("*.json")) if (caches / "own").exists() else True


def test_a_name_that_cannot_be_on_the_hub_is_one_line(hub: HubServer) -> None:
    with pytest.raises(InputError, match="a--b/c cannot be the name of a model on the Hub"):
        load("a--b/c")


def test_access_that_was_lost_does_not_stop_a_store_of_a_known_commit(hub: HubServer) -> None:
    hub.commit(HUBERT, published_files(NAME))
    spec = load().spec
    del hub.repos[HUBERT]
    assert Embedder.of(spec).spec == spec
