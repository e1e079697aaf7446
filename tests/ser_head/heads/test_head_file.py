"""File of a head: no description asks for more memory than the file holds, and trees lead from root to leaves."""

import contextlib
import tracemalloc
import zipfile

import numpy as np
import pytest
import skops.io

from ser_embed.errors import InputError
from ser_head.data.scaling import Scaling
from ser_head.heads.networks import NetworkShape, Regularization, load_network, to_inference_model
from ser_head.heads.registry import HEADS, load_predict
from ser_head.heads.sklearn_heads import KINDS, SklearnHead

SIZE = (3, 6)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "head.keras"
    model = HEADS["mlp"].build(NetworkShape(*SIZE, 3), Regularization(0.1, 0.1), seed=0)
    to_inference_model(model, Scaling(np.zeros(SIZE), np.ones(SIZE))).save(path)
    return path


def with_config(source, target, change):
    """Copy a Keras head with another description of its network."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as changed:
        for name in archive.namelist():
            data = archive.read(name)
            changed.writestr(name, change(data) if name == "config.json" else data)
    return target


def edits(old, new):
    def change(data):
        assert old in data
        return data.replace(old, new)

    return change


@pytest.mark.parametrize(
    "change",
    [
        edits(b'"units": 256', b'"units": 2000000000'),
        edits(b'"units": 256', b'"units": 60000'),
        edits(b"[null, 3, 6]", b"[null, 3, 600000000]"),
        edits(b"[null, 3, 6]", b"[900000000, 3, 6]"),
        edits(b'"build_config"', b'"built_config"'),
        lambda _: b"[" * 100_000,
        lambda _: b"{}",
        lambda _: b"",
    ],
)
def test_a_network_larger_than_its_file_is_refused_before_it_is_made(network, tmp_path, change):
    path = with_config(network, tmp_path / "head.keras", change)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"expected a head saved by this library, but .*head\.keras") as raised:
        load_network(path)
    assert tracemalloc.get_traced_memory()[1] < 100 << 20
    tracemalloc.stop()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["head.keras", "head.skops"])
def test_a_zip_bomb_is_not_unpacked(tmp_path, name):
    with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in ("config.json", "schema.json", "model.weights.h5"):
            archive.writestr(member, bytes(50 << 20))
    tracemalloc.start()
    with pytest.raises(InputError, match="expected at most .* bytes in a file of"):
        load_predict(tmp_path / name)
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("seed", range(20))
def test_flipped_bits_of_a_network_are_refused_or_loaded(network, tmp_path, seed):
    random, data = np.random.default_rng(seed), bytearray(network.read_bytes())
    with zipfile.ZipFile(network) as archive:  # half of the bits where the archive or the description are
        weights = archive.getinfo("model.weights.h5")
    positions = [random.integers(len(data)), random.integers(weights.header_offset), random.integers(-500, 0)]
    data[positions[seed % 3]] ^= 1 << int(random.integers(8))
    (tmp_path / "head.keras").write_bytes(data)
    with contextlib.suppress(InputError):
        load_network(tmp_path / "head.keras")


def forest(path, change):
    random = np.random.default_rng(0)
    head = SklearnHead(KINDS["forest"], 0).fit(
        random.normal(size=(60, *SIZE)).astype(np.float32), random.integers(3, size=60), np.ones(3)
    )
    change(head._estimator)
    head.save(path)
    return path


def set_tree(**values):
    def change(estimator):
        tree = estimator.estimators_[0].tree_
        state = tree.__getstate__()
        for name, value in values.items():
            state["nodes"][name][0] = value
        tree.__setstate__(state)

    return change


@pytest.mark.parametrize(
    "change",
    [
        set_tree(left_child=0),
        set_tree(right_child=10_000),
        set_tree(left_child=-7),
        set_tree(feature=18),
        set_tree(feature=-3),
        lambda estimator: setattr(estimator, "classes_", np.array([2, 1, 0])),
        lambda estimator: delattr(estimator, "classes_"),
    ],
)
def test_trees_that_lead_nowhere_and_classes_out_of_order_are_refused(tmp_path, change):
    with pytest.raises(InputError, match=r"head\.skops cannot be read as one"):
        SklearnHead.load(forest(tmp_path / "head.skops", change))


def test_a_forest_as_it_was_trained_is_read(tmp_path):
    SklearnHead.load(forest(tmp_path / "head.skops", lambda _: None))


@pytest.mark.parametrize("content", [{}, {"estimator": None}, {"estimator": 1, "power": {"exponent": 1}}, [], "svm"])
def test_other_content_is_refused(tmp_path, content):
    skops.io.dump(content, tmp_path / "head.skops")
    with pytest.raises(InputError, match=r"head\.skops cannot be read as one"):
        SklearnHead.load(tmp_path / "head.skops")
