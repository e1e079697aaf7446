"""File of a head: what is checked of it before Keras or skops read it, so that it cannot ask for more than it holds.

Both are zip archives. A Keras head also has a description of its network, config.json, by which memory is allocated
before any weight is read; so the weights that it describes are held against the length of the file they have to be in.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ser_embed.reading import expect, input_error_on_read, is_count, open_archive, parse_json

MODEL = "model"  # the folder beside the file of a head that holds a fine-tuned encoder
_CONFIG = "config.json"
_SKOPS_EXPANSION = 100  # a forest's is 8; skops compresses its parts, and some of them are long lists
# Any number a network is described by, such as the units of a layer, has weights in the file, but for these.
_NOT_SIZES = {"seed", "shared_object_id"}
_BYTES_PER_WEIGHT = 4


def input_error_on_head(path: Path) -> Any:
    """Return a block in which an error in reading the head at `path` becomes an InputError that names it."""
    return input_error_on_read(f"expected a head saved by this library, but {path} cannot be read as one")


def require_modest_keras_file(path: Path) -> None:
    """Check that a Keras head is not longer, and its network not larger, than the file.

    Raises:
        ValueError: it is, or it is no such file.
        OSError: it cannot be read.
        zipfile.BadZipFile: it is no archive.
    """
    with open_archive(path) as archive:
        config, size = parse_json(archive.read(_CONFIG)), path.stat().st_size
    numbers, kernels = list(_numbers(config)), list(_kernels(config))
    expect(max(numbers, default=0) <= size, f"sizes up to {size} in {_CONFIG}", max(numbers, default=0))
    num_weights = sum(kernels)
    expect(num_weights * _BYTES_PER_WEIGHT <= size, f"weights for a file of {size} bytes in {_CONFIG}", num_weights)


def require_modest_skops_file(path: Path) -> None:
    """Check that a scikit-learn head is not much longer than the file; see `require_modest_keras_file`."""
    with open_archive(path, _SKOPS_EXPANSION):
        pass


def _numbers(config: Any, key: str = "") -> Iterator[int]:
    """Yield every number from 0 on of a network's description that may be a size."""
    if isinstance(config, dict):
        for name, value in config.items():
            yield from _numbers(value, name)
    elif isinstance(config, list):
        for value in config:
            yield from _numbers(value, key)
    elif is_count(config) and key not in _NOT_SIZES:
        yield config


def _kernels(config: Any) -> Iterator[int]:
    """Yield the number of weights of each dense layer and convolution, of which Keras needs to be told the input."""
    if isinstance(config, list):
        for value in config:
            yield from _kernels(value)
    if not isinstance(config, dict):
        return
    options = config["config"] if isinstance(config.get("config"), dict) else {}
    units = [options[key] for key in ("units", "filters") if key in options]
    if units:
        input_shape = config["build_config"]["input_shape"]
        yield math.prod([input_shape[-1], *units, *options.get("kernel_size", ())])
    for value in config.values():
        yield from _kernels(value)
