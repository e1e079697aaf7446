"""Kills a real extraction at random moments, lets it resume, and compares the store with an unbroken one.

    python tests/ser_embed/kill_and_resume.py MODEL FOLDER KILLS

Everything is imported once; each attempt is a forked process, killed with SIGKILL after a random while. When an attempt
lives to the end, its store is compared bit for bit, removed, and the next one begins from nothing, until there have
been KILLS kills. Prints {"kills": ..., "completed": ..., "with_parts": ..., "damaged": [...]}.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import ser_embed
from ser_embed.encoders import huggingface as pretrained  # noqa: F401
from ser_embed.extraction import pipeline  # noqa: F401  (imported here so that no attempt spends its time on it)
from ser_embed.store.reader import Store
from ser_embed.store.verify import disagreements


def start(model: str, folder: Path, store: Path) -> int:
    """Fork a process that extracts into `store`; return its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        ser_embed.extract(model, data=folder / "data", store=store, chunk=6, batch_seconds=1)
        code = 0
    finally:
        os._exit(code)


def contents(path: Path) -> dict[str, bytes]:
    """Return each clip's vectors by utterance_id, as bytes."""
    with Store(path) as store:
        names = store.utterances["utterance_id"].tolist()
        if len(names) != len(set(names)):
            raise ValueError(f"{path} holds a clip twice")
        return {name: store.read_clip(row).tobytes() for row, name in enumerate(names)}


def problems_of(store: Path, folder: Path, expected: dict[str, bytes]) -> list[str]:
    """Return what is wrong with a finished store."""
    if contents(store) != expected:
        return ["its vectors differ from an unbroken run's"]
    with Store(store) as opened:
        return disagreements(opened, folder / "data")


def main(model: str, folder: Path, kills: int) -> dict:
    """Kill and resume until there have been `kills` kills."""
    began = time.monotonic()
    _, status = os.waitpid(start(model, folder, folder / "whole.h5"), 0)
    if status:
        raise RuntimeError("the unbroken run failed")
    whole_s = time.monotonic() - began
    expected = contents(folder / "whole.h5")
    chance = random.Random(0)
    store = folder / "broken.h5"
    parts = folder / "broken.h5.parts"
    counted: dict = {"kills": 0, "completed": 0, "with_parts": 0, "damaged": []}
    while counted["kills"] < kills:
        child = start(model, folder, store)
        time.sleep(chance.uniform(0, whole_s))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            counted["kills"] += 1
            counted["with_parts"] += any(parts.glob("part-*"))
        elif os.WEXITSTATUS(status):
            counted["damaged"].append(f"attempt ended with exit code {os.WEXITSTATUS(status)}")
        if store.exists():  # whether the attempt ended by itself or was killed after its rename
            counted["completed"] += 1
            counted["damaged"] += problems_of(store, folder, expected)
            store.unlink()
            shutil.rmtree(parts, ignore_errors=True)
    return counted


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))
