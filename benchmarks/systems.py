"""Table of the four systems: as reported, at their settings here, with speakers apart, and this library's defaults.

    python -m benchmarks.systems [--data ../shared/data] [--out systems] [--only PRESET ...]

One command a row: each preset on EmoDB and RAVDESS with the random split of its report, which tests speakers it was
trained on; the same with speakers apart; and the defaults with speakers apart. Where a report's encoder is a published
model, hubert-mini stands for it, since no other weights are part of the library; the figures of a report are for its
own encoder and corpus, and stand beside ours for orientation only. What is there already is not made again. Times are
those of the whole command, frames and vectors included, and depend on the machine.
"""

import argparse
import dataclasses
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import describe_machine
from benchmarks.score_tables import format_uar, read_metrics

CORPORA = {"emodb": "loso", "ravdess": "kfold:6"}  # and the protocol that keeps all speakers apart
TUNED_APART = "kfold:3"  # for fine-tunings, whose folds take minutes each


@dataclasses.dataclass(frozen=True)
class System:
    """One reported system.

    Attributes:
        preset: name of its settings.
        reported: its figure, and what it is of.
        reported_time: how long its training took, if that was told.
        model: encoder that stands for its own.
        pooling: of the vectors; "" for a fine-tuning, which reads audio.
    """

    preset: str
    reported: str
    reported_time: str = "not told"
    model: str = "hubert-mini"
    pooling: str = "mean"


SYSTEMS = (
    System("alqahtani-2024", "none in numbers (CREMA-D)"),
    System("ntu-2024-cnn", "61.1 %, best validation accuracy", model="mfcc", pooling="frames"),
    System("ntu-2024", "98.1 % EmoDB, 91.0 % RAVDESS (wav2vec2-xlsr)", pooling=""),
    System("vit-2024", "77.2 % CREMA-D (hubert-base)", "30 h", pooling=""),
    System("brown-2023", "58.0 % CREMA-D (hubert-large)"),
    System("brown-2023-deep", "61.8 % CREMA-D (hubert-large)"),
    System("brown-2023-personalized", "63.1 % CREMA-D (hubert-large)"),
)


@dataclasses.dataclass(frozen=True)
class Job:
    """One command, and the run it makes.

    Attributes:
        name: of the run.
        command: module and arguments, without the output.
    """

    name: str
    command: list[str]


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="../shared/data", help="folder of corpora (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("systems"), help="stores and runs (default: %(default)s)")
    parser.add_argument("--only", nargs="+", default=[], metavar="PRESET", help="presets to run (default: all)")
    arguments = parser.parse_args()
    systems = [system for system in SYSTEMS if not arguments.only or system.preset in arguments.only]
    for system in systems:
        for corpus in CORPORA:
            for job in jobs(system, corpus, arguments.data, arguments.out):
                run(job, arguments.out)
    for corpus in CORPORA:
        for job in default_jobs(corpus, arguments.data, arguments.out):
            run(job, arguments.out)
    print(f"{describe_machine()}\n\n{table(systems, arguments.out)}")


def jobs(system: System, corpus: str, data: str, out: Path) -> Iterator[Job]:
    """Yield the trainings of a system on a corpus: as reported, and with speakers apart."""
    preset = ["--preset", system.preset]
    random = ["--protocol", "random"]  # of all reports but one, which tells no split
    if system.pooling:
        store = extract(system, corpus, data, out)
        apart = [*preset, "--protocol", CORPORA[corpus]]
        command = ["ser_head.train", "--store", str(store)]
    else:
        apart = [*preset, "--protocol", TUNED_APART]
        command = ["ser_head.finetune", "--model", system.model, "--data", data, "--corpus", corpus]
        command += ["--baseline", "none", "--cache", str(out / "frames")]
    yield Job(f"{system.preset}-{corpus}-random", [*command, *preset, *random])
    yield Job(f"{system.preset}-{corpus}-apart", [*command, *apart])


def default_jobs(corpus: str, data: str, out: Path) -> Iterator[Job]:
    """Yield the trainings by this library's defaults with speakers apart: a frozen head, and a fine-tuned encoder."""
    store = extract(System("defaults", "", pooling="mean+std"), corpus, data, out)
    protocol = ["--protocol", CORPORA[corpus]]
    yield Job(f"train-{corpus}-apart", ["ser_head.train", "--store", str(store), *protocol])
    tuning = ["--model", "hubert-mini", "--data", data, "--corpus", corpus, "--protocol", TUNED_APART]
    yield Job(f"finetune-{corpus}-apart", ["ser_head.finetune", *tuning, "--cache", str(out / "frames")])


def extract(system: System, corpus: str, data: str, out: Path) -> Path:
    """Return the store of a system's vectors, made if it is missing."""
    store = out / f"{system.model}-{system.pooling}-{corpus}.h5"
    if not store.exists():
        command = ["ser_embed.extract", "--model", system.model, "--pooling", system.pooling, "--data", data]
        call([*command, "--corpus", corpus, "--store", str(store)])
    return store


def run(job: Job, out: Path) -> None:
    """Run a command unless its run is there, and note its time."""
    folder = out / job.name
    if not folder.exists():
        seconds = call([*job.command, "--out", str(folder)])
        (out / f"{job.name}.json").write_text(json.dumps({"seconds": seconds}), "utf-8")


def call(arguments: list[str]) -> float:
    """Run a module of the library; return the seconds it took."""
    print("python -m", shlex.join(arguments), file=sys.stderr, flush=True)
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def table(systems: list[System], out: Path) -> str:
    """Return the table as Markdown."""
    header = "| system | corpus | reported | here, speakers shared | here, speakers apart | theirs took | ours |"
    lines = [header, "|---" * 7 + "|"]
    for system in systems:
        for corpus in CORPORA:
            names = [f"{system.preset}-{corpus}-{split}" for split in ("random", "apart")]
            shared, apart = (read_metrics(out / name) for name in names)
            lines.append(
                f"| `{system.preset}` | {corpus} | {system.reported} | accuracy {shared['test']['accuracy']:.3f} "
                f"| {_apart(apart)} | {system.reported_time} | {_seconds(out, names[0])} |"
            )
    for command in ("train", "finetune"):
        for corpus in CORPORA:
            name = f"{command}-{corpus}-apart"
            apart = read_metrics(out / name)
            lines.append(
                f"| defaults of `{command}` | {corpus} | – | – | {_apart(apart)} | – | {_seconds(out, name)} |"
            )
    return "\n".join(lines)


def _apart(metrics: dict) -> str:
    test = metrics["test"]
    return f"accuracy {test['accuracy']:.3f}, UAR {format_uar(test)}, {metrics['protocol']}"


def _seconds(out: Path, name: str) -> str:
    seconds = json.loads((out / f"{name}.json").read_text("utf-8"))["seconds"]
    return f"{seconds / 60:.1f} min"


if __name__ == "__main__":
    main()
