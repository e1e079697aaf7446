"""Kill test: real extractions, killed at random times and resumed, must give the store of an uninterrupted run.

    python tests/ser_embed/extraction/kill_and_resume.py MODEL FOLDER KILLS

FOLDER holds the corpora in `data`. All modules are imported once; each attempt is a forked process, which is killed
with SIGKILL after a random time. When an attempt completes, its store is compared with that of the uninterrupted run
bit for bit and deleted, and the next attempt starts from nothing, until there have been KILLS kills. Prints
{"kills": ..., "completed": ..., "with_parts": ..., "damaged": [...]}.
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
from ser_embed.encoders import huggingface  # noqa: F401  (imported here, so that no attempt spends its time on it)
from ser_embed.extraction import pipeline  # noqa: F401
from ser_embed.store.reader import Store
from ser_embed.store.verify import disagreements


def start_extraction(model: str, folder: Path, store: Path) -> int:
    """Fork a process that extracts into `store`; return its process id."""
    process_id = os.fork()
    if process_id:
        return process_id
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        ser_embed.extract(model, data=folder / "data", store=store, chunk=6, batch_seconds=1)
        code = 0
    finally:
        os._exit(code)


def vector_bytes(path: Path) -> dict[str, bytes]:
    """Return the vectors of each clip in a store as bytes, by utterance_id."""
    with Store(path) as store:
        names = store.utterances["utterance_id"].tolist()
        if len(names) != len(set(names)):
            raise ValueError(f"{path} holds a clip twice")
        return {name: store.read_clip(row).tobytes() for row, name in enumerate(names)}


def find_problems(path: Path, folder: Path, expected: dict[str, bytes]) -> list[str]:
    """Return what is wrong with a completed store."""
    if vector_bytes(path) != expected:
        return ["its vectors differ from those of the uninterrupted run"]
    with Store(path) as store:
        return disagreements(store, folder / "data")


def main(model: str, folder: Path, kills: int) -> dict:
    """Kill and resume extractions until there have been `kills` kills; return the counts."""
    start = time.monotonic()
    _, status = os.waitpid(start_extraction(model, folder, folder / "whole.h5"), 0)
    if status:
        raise RuntimeError("the uninterrupted run failed")
    whole_s = time.monotonic() - start
    expected = vector_bytes(folder / "whole.h5")
    rng = random.Random(0)
    store = folder / "resumed.h5"
    parts = folder / "resumed.h5.parts"
    counts: dict = {"kills": 0, "completed": 0, "with_parts": 0, "damaged": []}
    while counts["kills"] < kills:
        process_id = start_extraction(model, folder, store)
        time.sleep(rng.uniform(0, whole_s))
        os.kill(process_id, signal.SIGKILL)
        _, status = os.waitpid(process_id, 0)
        if os.WIFSIGNALED(status):
            counts["kills"] += 1
            counts["with_parts"] += any(parts.glob("part-*"))
        elif os.WEXITSTATUS(status):
            counts["damaged"].append(f"attempt ended with exit code {os.WEXITSTATUS(status)}")
        if store.exists():  # the attempt completed, or was killed after it had renamed the store
            counts["completed"] += 1
            counts["damaged"] += find_problems(store, folder, expected)
            store.unlink()
            shutil.rmtree(parts, ignore_errors=True)
    return counts


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))
