"""Kill test of fine-tuning: killed at random times, again and again, it ends with the weights of an unbroken one.

    python -m tests.ser_head.finetuning_kills FOLDER KILLS

FOLDER is empty. All modules are imported once; each attempt is a forked process, which is killed with SIGKILL after a
random time. The next attempt is the same command. A fine-tuning that ends is compared with one that was never killed,
file by file, and begun anew until there were KILLS kills. Prints {"kills": ..., "completed": ..., "problems": [...]}.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
import transformers

import ser_head
from ser_head.inference import predictor  # noqa: F401  (imported here, so that no attempt spends its time on it)
from ser_head.training import finetuning  # noqa: F401
from tests.ser_embed.conftest import TINY, write_corpus
from tests.ser_head.kills import fork, leftovers

COMPARED = ("predictions.csv", "validation.csv", "history.csv", "metrics.json")


def main(folder: Path, kills: int) -> dict[str, Any]:
    """Do all of it; return what is printed."""
    torch.set_num_threads(1)
    data = write_corpus(folder / "data" / "tones", 24)
    torch.manual_seed(0)
    transformers.HubertModel(transformers.HubertConfig(**TINY)).save_pretrained(folder / "encoder")
    settings = {"data": data, "protocol": "kfold:4", "epochs": 6, "batch_size": 2, "baseline": "none", "device": "cpu"}

    def finetune(name: str) -> None:
        ser_head.finetune(str(folder / "encoder"), **settings, cache=folder / name, out=folder / f"run-{name}")

    started = time.monotonic()
    finetune("whole")
    whole_s = time.monotonic() - started
    rng, counts, problems = random.Random(0), {"kills": 0, "completed": 0}, []
    while counts["kills"] < kills and not problems:
        process_id = fork(lambda: finetune("killed"))
        time.sleep(rng.uniform(0.05, 1.2) * whole_s)
        os.kill(process_id, signal.SIGKILL)
        _, status = os.waitpid(process_id, 0)
        if os.WIFSIGNALED(status):
            counts["kills"] += 1
        elif status:
            problems.append(f"an attempt ended with exit code {os.WEXITSTATUS(status)}")
        if (folder / "run-killed").exists():
            counts["completed"] += 1
            problems += differences(folder / "run-whole", folder / "run-killed")
            shutil.rmtree(folder / "run-killed")
            shutil.rmtree(folder / "killed")
    finetune("killed")
    problems += differences(folder / "run-whole", folder / "run-killed")
    return {**counts, "problems": problems, "left": leftovers(folder)}


def differences(whole: Path, killed: Path) -> list[str]:
    """Return the files of two runs that differ: the weights of all folds, predictions and figures."""
    weights = [path.relative_to(whole).as_posix() for path in sorted(whole.rglob("model.safetensors"))]
    names = [*weights, *COMPARED]
    return [name for name in names if (whole / name).read_bytes() != (killed / name).read_bytes()]


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))
