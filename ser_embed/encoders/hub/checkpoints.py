"""Pickled checkpoints: a `pytorch_model.bin`, whole or in shards, converted once to safetensors in the library's cache.

The conversion is in `<cache>/converted/<SHA-256 of the file>/`, where `<cache>` is `$SER_CACHE`, or else
`twostage-ser` in the user's folder for caches. The checkpoint itself is never written to. It is read by torch's
weights-only unpickler, which makes tensors and refuses every other object, so that no code in the file can run.
"""

import hashlib
import json
import logging
import os
import re
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from ser_embed.errors import InputError
from ser_embed.files import atomic_folder, digest_of_file, exclusive_lock, input_error_on_write

logger = logging.getLogger(__name__)

SAFETENSORS, SAFETENSORS_INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLED, PICKLED_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"

_DIGEST_FILE = "digest"  # the hash of the conversion, beside it: a damaged one is noticed and made again
_LOCK_WAIT_S = 3600.0  # for another process that converts the same checkpoint
_ZIP_MAGIC = b"PK\x03\x04"  # of checkpoints since torch 1.6; only they can be mapped into memory
_LFS_MAGIC = b"version https://git-lfs"
_PLAIN_NAME = re.compile(r"\w[\w.-]*")


def cache_folder() -> Path:
    """Return the folder of the library's cache, which need not exist."""
    if "SER_CACHE" in os.environ:
        return Path(os.environ["SER_CACHE"]).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "twostage-ser"


def shard_names(index: Path) -> list[str]:
    """Return the names of a model's shards from its index, in alphabetical order.

    Raises:
        InputError: the index cannot be read, or a shard is not in the index's own folder.
    """
    try:
        names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"expected a weight_map in {index}, which cannot be read ({error!r})") from error
    for name in names:
        if not (isinstance(name, str) and _PLAIN_NAME.fullmatch(name)):
            raise InputError(f"expected names of files in {index}, found {name!r}")
    return names


def as_safetensors(shards: Sequence[Path], digests: Sequence[str] | None = None) -> Path:
    """Return a folder that holds the tensors of a pickled checkpoint as safetensors, converted when first asked for.

    Args:
        shards: the checkpoint's file, or its several files.
        digests: the SHA-256 that each file is known to have, in hexadecimal; None to compute them.

    Raises:
        InputError: a file is damaged, is no checkpoint, or holds more than tensors; or the cache cannot be written to.
    """
    names = digests or [_sha256(shard) for shard in shards]
    key = names[0] if len(names) == 1 else hashlib.sha256("".join(names).encode()).hexdigest()
    folder = cache_folder() / "converted" / key
    if not _is_intact(folder):
        with exclusive_lock(folder, "conversion", "SER_CACHE", wait_s=_LOCK_WAIT_S):
            if not _is_intact(folder):  # another process may have made it meanwhile
                for shard, digest in zip(shards, digests or [], strict=digests is not None):
                    _require_digest(shard, digest)
                _convert(shards, folder)
    return folder


def _is_intact(folder: Path) -> bool:
    """Return whether a folder holds a conversion that is as it was written."""
    try:
        return digest_of_file(folder / SAFETENSORS) == (folder / _DIGEST_FILE).read_text()
    except OSError:
        return False


def _require_digest(shard: Path, digest: str) -> None:
    if _sha256(shard) != digest:
        raise InputError(f"{shard.resolve()} is damaged: its SHA-256 is not {digest}; delete it and run again")


def _convert(shards: Sequence[Path], folder: Path) -> None:
    """Write the tensors of all shards as one file of safetensors; the folder's lock is held."""
    size = sum(shard.stat().st_size for shard in shards)
    free = shutil.disk_usage(folder.parent).free
    if free < size:
        raise InputError(f"cannot write {size / 1e6:.0f} MB to {folder.parent}, which has {free / 1e6:.0f} MB left")
    tensors: dict[str, torch.Tensor] = {}
    for shard in shards:
        tensors.update(_read_tensors(shard))
    logger.info("%s: converting it to safetensors, once, in %s", shards[0], folder)
    with input_error_on_write(folder), atomic_folder(folder) as draft:
        try:
            save_file(_separate(tensors), draft / SAFETENSORS, metadata={"format": "pt"})
        except SafetensorError as error:
            raise InputError(f"cannot write to {folder}: {error}") from error
        (draft / _DIGEST_FILE).write_text(digest_of_file(draft / SAFETENSORS))


def _read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read one pickled file by the weights-only unpickler.

    Raises:
        InputError: it is damaged, is no checkpoint, or holds more than tensors by name.
    """
    with path.open("rb") as file:
        magic = file.read(len(_LFS_MAGIC))
    if magic == _LFS_MAGIC:
        raise InputError(f"{path} is a pointer of git-lfs, not the file itself: run `git lfs pull` in its folder")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old formats of checkpoints
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=magic.startswith(_ZIP_MAGIC))
    except MemoryError:
        raise
    except Exception as error:  # those of the unpickler and of the zip reader share no class
        forbidden = re.search(r"(?:GLOBAL|unrecognized function) ([\w.]+)", str(error))
        if forbidden:
            raise InputError(
                f"{path} holds more than tensors ({forbidden[1]}), so it was not loaded: its code could do harm"
            ) from error
        raise InputError(f"{path} is damaged or is no checkpoint of torch ({type(error).__name__})") from error
    if not (isinstance(content, dict) and content and all(map(_is_named_tensor, content.items()))):
        raise InputError(f"expected dense tensors by name in {path}, found something else")
    return content


def _is_named_tensor(item: tuple[object, object]) -> bool:
    name, value = item
    return isinstance(name, str) and isinstance(value, torch.Tensor) and value.layout is torch.strided


def _separate(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return contiguous tensors that share no memory, as safetensors needs them; tied weights are copied."""
    storages: set[int] = set()
    separate = {}
    for name, tensor in tensors.items():
        own = tensor.detach().contiguous()
        address = own.untyped_storage().data_ptr()
        separate[name] = own.clone() if address in storages else own
        storages.add(address)
    return separate


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
