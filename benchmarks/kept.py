"""What the tables of scores share: stores and runs made by the commands a user would type, once, and read again."""

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

Made = tuple[Path, list[str]]  # what a command makes, and its arguments


def train(store: Path, *arguments: str) -> list[str]:
    """Return the arguments of one training."""
    return ["ser_head.train", "--store", str(store), *arguments]


def run(out: Path, *names: str) -> Path:
    """Return where a run lies."""
    return out / "runs" / "-".join(names)


def make(made: Path, arguments: list[str]) -> None:
    """Run a command that makes a store or a run, unless it is there."""
    if not made.exists():
        extracts = arguments[0] == "ser_embed.extract"
        command = [*arguments, "--store" if extracts else "--out", str(made)]
        print("python -m", shlex.join(command), file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", *command], check=True, stdout=subprocess.DEVNULL)


def read(folder: Path) -> dict:
    """Return a run's metrics."""
    return json.loads((folder / "metrics.json").read_text("utf-8"))


def uar(figures: dict) -> str:
    """Return UAR with its interval."""
    low, high = figures["ci95"]["uar"]
    return f"{figures['uar']:.3f} ({low:.3f} to {high:.3f})"


def tell(
    about: str | None, data: str, commands: Callable[[str, Path], Iterable[Made]], table: Callable[[Path], str]
) -> None:
    """Be a benchmark's command: make what is missing, and print its table.

    Args:
        about: the module's docstring.
        data: where the corpora are unless --data says otherwise.
        commands: what is to be made, given the data and the output folder.
        table: what is printed, given the output folder.
    """
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("--data", default=data, help="folder of corpora (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("scores"), help="stores and runs (default: %(default)s)")
    args = parser.parse_args()
    for made, arguments in commands(args.data, args.out):
        make(made, arguments)
    print(table(args.out))
