"""Tables of scores: stores and runs made by the commands that a user would type, made once and read again."""

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

Job = tuple[Path, list[str]]
"""The store or run that a command makes, and the command: its module and arguments, without the output."""


def train_command(store: Path, *arguments: str) -> list[str]:
    """Return the command that trains on a store."""
    return ["ser_head.train", "--store", str(store), *arguments]


def run_folder(out: Path, *names: str) -> Path:
    """Return the folder of a run."""
    return out / "runs" / "-".join(names)


def run_job(output: Path, command: list[str]) -> None:
    """Run a command that makes a store or a run, unless the output exists already."""
    if not output.exists():
        is_extraction = command[0] == "ser_embed.extract"
        arguments = [*command, "--store" if is_extraction else "--out", str(output)]
        print("python -m", shlex.join(arguments), file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", *arguments], check=True, stdout=subprocess.DEVNULL)


def read_metrics(folder: Path) -> dict:
    """Return the metrics of a run."""
    return json.loads((folder / "metrics.json").read_text("utf-8"))


def format_uar(metrics: dict) -> str:
    """Return the UAR with its 95 % interval."""
    low, high = metrics["ci95"]["uar"]
    return f"{metrics['uar']:.3f} ({low:.3f} to {high:.3f})"


def main(
    doc: str | None, data: str, jobs: Callable[[str, Path], Iterable[Job]], make_table: Callable[[Path], str]
) -> None:
    """Run the command of a table: make the missing stores and runs, then print the table.

    Args:
        doc: docstring of the benchmark's module.
        data: default folder of corpora.
        jobs: returns the jobs, given the folder of corpora and the output folder.
        make_table: returns the table as Markdown, given the output folder.
    """
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--data", default=data, help="folder of corpora (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("scores"), help="stores and runs (default: %(default)s)")
    args = parser.parse_args()
    for output, command in jobs(args.data, args.out):
        run_job(output, command)
    print(make_table(args.out))
