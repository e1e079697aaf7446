"""Kill test of stage 2: `train`, `enroll` and `predict --output`, killed at random times, lose and leave nothing.

    python -m tests.ser_head.kills FOLDER KILLS [TRIALS]

FOLDER is empty. All modules are imported once; each attempt is a forked process, which is killed with SIGKILL after a
random time up to a little more than an undisturbed one takes. Then TRIALS times, four processes enrol three clips each
of one speaker at the same time. Prints {"train": {"kills": ..., "problems": [...]}, ...}.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import soundfile

import ser_embed
import ser_head
from ser_head.inference import audio, predictor  # noqa: F401  (imported here, so that no attempt spends its time on it)
from ser_head.personalization.profiles import load_profile
from ser_head.runs.results import RunResults
from ser_head.runs.run import Run
from tests.ser_embed.conftest import tone, write_corpus

LEFT = (".tmp-", ".lock", "-replaced")  # of the names of what a killed process may leave, until the next one


def fork(work: Callable[[], Any]) -> int:
    """Run a function in a process of its own, silently; return its process id."""
    process_id = os.fork()
    if process_id:
        return process_id
    code = 1
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        work()
        code = 0
    finally:
        os._exit(code)


def kill_often(kills: int, work: Callable[[], Any], find_problems: Callable[[], list[str]]) -> dict[str, Any]:
    """Kill attempts until there have been `kills` kills; count them, and collect what was wrong after any of them.

    Args:
        kills: number of kills.
        work: one attempt.
        find_problems: called after each attempt; returns what is wrong, and makes the next one start anew.
    """
    started = time.monotonic()
    _, status = os.waitpid(fork(work), 0)
    whole_s = time.monotonic() - started
    problems = ["an undisturbed attempt failed"] if status else find_problems()
    rng, counts = random.Random(0), {"kills": 0, "completed": 0}
    while counts["kills"] < kills and not problems:
        process_id = fork(work)
        time.sleep(rng.uniform(0, 1.1 * whole_s))
        os.kill(process_id, signal.SIGKILL)
        _, status = os.waitpid(process_id, 0)
        counts["kills" if os.WIFSIGNALED(status) else "completed"] += 1
        if not os.WIFSIGNALED(status) and status:
            problems.append(f"an attempt ended with exit code {os.WEXITSTATUS(status)}")
        problems += find_problems()
    return {**counts, "problems": problems}


def leftovers(folder: Path) -> list[str]:
    """Return the names in a folder that a killed process has left."""
    return [path.name for path in folder.iterdir() if any(part in path.name for part in LEFT)]


def main(folder: Path, kills: int, trials: int) -> dict[str, Any]:
    """Do all of it; return what is printed."""
    data = write_corpus(folder / "data" / "tones", 24)
    store = ser_embed.extract("mfcc", data=data, store=folder / "mfcc.h5").store
    settings = {"store": store, "head": "lda", "personalized": "normalize", "protocol": "random", "seed": 0}
    run = ser_head.train(**settings, out=folder / "run").run
    clips = []
    for number in range(12):
        clips.append(folder / f"clip-{number}.wav")
        soundfile.write(clips[-1], tone(16_000, number), 16_000)
    return {
        "train": kill_train(kills, folder / "trained", settings, run),
        "enroll": kill_enroll(kills, folder / "profiles", run, clips),
        "predict": kill_predict(kills, folder / "answers", run, clips),
        "parallel": enroll_in_parallel(trials, folder / "parallel", run, clips),
    }


def kill_train(kills: int, folder: Path, settings: dict[str, Any], whole: Path) -> dict[str, Any]:
    """Kill trainings: a run is there whole, with the answers of an undisturbed one, or not at all."""
    folder.mkdir()
    out, expected = folder / "run", RunResults.load(whole).metrics["test"]

    def find_problems() -> list[str]:
        if not out.exists():
            return []
        same = RunResults.load(out).metrics["test"] == expected and len(Run.load(out).scorers) == 1
        shutil.rmtree(out)
        return [] if same else ["a run differs from that of an undisturbed training"]

    counts = kill_often(kills, lambda: ser_head.train(**settings, out=out), find_problems)
    ser_head.train(**settings, out=out)
    return {**counts, "left": leftovers(folder)}


def kill_enroll(kills: int, folder: Path, run: Path, clips: list[Path]) -> dict[str, Any]:
    """Kill enrolments into a profile of six clips: it has those, or all twelve."""
    folder.mkdir()
    spec = Run.load(run).spec
    ser_head.enroll(clips[:6], "Ann", run=run, profiles=folder / "first")

    def start_anew() -> None:
        for name in ("Ann.json", *(path.name for path in (folder / "first").glob("Ann.*.npz"))):
            shutil.copy(folder / "first" / name, folder / name)

    def find_problems() -> list[str]:
        profile = load_profile(folder, "Ann", spec)
        count = len(profile.digests) if profile else 0
        start_anew()
        return [] if count in (6, 12) else [f"a profile has {count} clips"]

    start_anew()
    counts = kill_often(kills, lambda: ser_head.enroll(clips, "Ann", run=run, profiles=folder), find_problems)
    ser_head.enroll(clips, "Ann", run=run, profiles=folder)
    voices = len(list(folder.glob("Ann.*.npz")))
    return {**counts, "left": [*leftovers(folder), *([f"{voices} files of voices"] if voices != 1 else [])]}


def kill_predict(kills: int, folder: Path, run: Path, clips: list[Path]) -> dict[str, Any]:
    """Kill predictions into a file of old answers: it has those, or the new ones, whole."""
    folder.mkdir()
    out = folder / "out.csv"
    ser_head.predict(clips, run=run, output=folder / "expected.csv")
    new = (folder / "expected.csv").read_bytes()

    def find_problems() -> list[str]:
        content = out.read_bytes()
        out.write_bytes(b"old answers")
        return [] if content in (b"old answers", new) else [f"the answers are {content[:60]!r}"]

    out.write_bytes(b"old answers")
    counts = kill_often(kills, lambda: ser_head.predict(clips, run=run, output=out), find_problems)
    ser_head.predict(clips, run=run, output=out)
    return {**counts, "left": leftovers(folder)}


def enroll_in_parallel(trials: int, folder: Path, run: Path, clips: list[Path]) -> dict[str, Any]:
    """Enrol three clips in each of four processes at the same time, again and again; a profile has all twelve."""
    spec, kept = Run.load(run).spec, []
    for trial in range(trials):
        profiles = folder / str(trial)

        def enroll(start: int, profiles: Path = profiles) -> None:
            for clip in clips[start : start + 3]:
                ser_head.enroll(clip, "Ann", run=run, profiles=profiles)

        processes = [fork(lambda start=start: enroll(start)) for start in range(0, 12, 3)]
        codes = [os.waitpid(process, 0)[1] for process in processes]
        profile = load_profile(profiles, "Ann", spec)
        is_private = all(path.stat().st_mode & 0o077 == 0 for path in profiles.glob("Ann*"))
        kept.append(len(profile.digests) if profile and not any(codes) and is_private else 0)
        shutil.rmtree(profiles)
    return {"trials": trials, "with_all_12_clips": kept.count(12), "kept": sorted(set(kept))}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 10)))
