"""Probe of a store without a seal: a process of its own reads all but the vectors first.

On a damaged file HDF5 may loop or crash. A seal tells that before HDF5 sees the file; stores of an earlier version and
those that other software has written have none.
"""

import os
import subprocess
import sys
from pathlib import Path

from ser_embed.store.seal import DamagedStore

# Time that reading may take: much more than it does on a slow disk.
_LONGEST_S = 8.0
_BYTES_PER_S = 2e7
# Datasets elsewhere, and those that claim more than is in the file, are refused later; reading them could take forever.
_READ_ALL = """
import sys, h5py

def read(name, node):
    is_own = isinstance(node, h5py.Dataset) and not (node.is_virtual or node.external)
    if is_own and name != "vectors" and node.nbytes <= 1100 * node.id.get_storage_size():
        node[()]

with h5py.File(sys.argv[1], "r") as file:
    dict(file.attrs)
    file.visititems(read)
"""
_sound: set[tuple[int, int, int, int]] = set()  # files that came through: device, inode, size, time of writing


def require_harmless(path: Path) -> None:
    """Check that HDF5 survives a file; whether it makes sense is not asked.

    Raises:
        DamagedStore: HDF5 loops or crashes on it.
        OSError: it cannot be read.
    """
    status = path.stat()
    key = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    if key in _sound:
        return
    command = [sys.executable, "-I", "-c", _READ_ALL, os.path.abspath(path)]
    try:
        process = subprocess.run(command, capture_output=True, timeout=_LONGEST_S + status.st_size / _BYTES_PER_S)
    except subprocess.TimeoutExpired as error:
        raise DamagedStore(path, "HDF5 does not come to an end with it") from error
    if process.returncode < 0:
        raise DamagedStore(path, "HDF5 crashes on it")
    _sound.add(key)
