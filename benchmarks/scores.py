"""How good are the heads on real speech? The README's tables of UAR, by features and head, and by condition.

    python -m benchmarks.scores [--data ../shared/data] [--out DIR]

Stores and runs are kept in DIR and not made again; each is what one command makes, which is printed before it runs.
"""

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PROTOCOLS = {"emodb": "loso", "ravdess": "kfold:6"}
FEATURES = ("egemaps", "mfcc", "mfcc+egemaps")
HEADS = ("svm", "mlp", "deep")
FRAME_HEADS = ("attention", "cnn")
MEMBERS = ("mlp", "svm")  # of the ensemble
CONDITIONS = ("plain", "unknown", "enrolled:1", "enrolled:5", "enrolled:20", "transductive")


def commands(data: str, out: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield what each command makes, and its arguments; those that need others come after them."""
    for corpus, protocol in PROTOCOLS.items():
        corpora = ["--data", data, "--corpus", corpus]
        for name in FEATURES:
            store = out / f"{name}-{corpus}.h5"
            yield store, ["ser_embed.extract", "--model", name, *corpora, "--store", str(store)]
            for head in HEADS:
                yield run(out, name, corpus, head), train(store, head, protocol)
            members = [str(run(out, name, corpus, head)) for head in MEMBERS]
            combined = ["ser_head.train", "--head", "ensemble", "--members", *members]
            yield run(out, name, corpus, "ensemble"), combined
            yield run(out, name, corpus, "personalized"), [*train(store, "mlp", protocol), "--personalized"]
        store = out / f"frames-{corpus}.h5"
        frames = ["--model", "mfcc", "--pooling", "frames"]
        yield store, ["ser_embed.extract", *frames, *corpora, "--store", str(store)]
        for head in FRAME_HEADS:
            yield run(out, "frames", corpus, head), train(store, head, protocol)


def train(store: Path, head: str, protocol: str) -> list[str]:
    """Return the arguments of one training."""
    return ["ser_head.train", "--store", str(store), "--head", head, "--protocol", protocol]


def run(out: Path, features: str, corpus: str, head: str) -> Path:
    """Return where a run lies."""
    return out / "runs" / f"{features}-{corpus}-{head}"


def uar(figures: dict) -> str:
    """Return UAR with its interval."""
    low, high = figures["ci95"]["uar"]
    return f"{figures['uar']:.3f} ({low:.3f} to {high:.3f})"


def make(made: Path, arguments: list[str]) -> None:
    """Run a command that makes a store or a run, unless it is there."""
    if not made.exists():
        where = [] if arguments[0] == "ser_embed.extract" else ["--out", str(made)]
        print("python -m", shlex.join([*arguments, *where]), file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", *arguments, *where], check=True, stdout=subprocess.DEVNULL)


def tables(out: Path) -> str:
    """Return the tables of all runs as markdown."""
    lines = ["| vectors | head | EmoDB, `loso` | RAVDESS, `kfold:6` |", "|---|---|---|---|"]
    rows = [(name, head) for name in FEATURES for head in (*HEADS, "ensemble")]
    for name, head in [*rows, *(("frames", head) for head in FRAME_HEADS)]:
        found = [read(run(out, name, corpus, head)) for corpus in PROTOCOLS]
        lines.append(f"| `{name}` | `{head}` | {' | '.join(uar(metrics['test']) for metrics in found)} |")
    lines += ["", "| vectors | corpus | " + " | ".join(CONDITIONS) + " |", "|---" * (2 + len(CONDITIONS)) + "|"]
    for name in FEATURES:
        for corpus in PROTOCOLS:
            conditions = read(run(out, name, corpus, "personalized"))["conditions"]
            cells = " | ".join(f"{conditions[condition]['uar']:.3f}" for condition in CONDITIONS)
            lines.append(f"| `{name}` | {corpus} | {cells} |")
    return "\n".join(lines)


def read(folder: Path) -> dict:
    """Return a run's metrics."""
    return json.loads((folder / "metrics.json").read_text("utf-8"))


def main() -> int:
    """Make what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="../shared/data", help="folder of corpora (default: ../shared/data)")
    parser.add_argument("--out", type=Path, default=Path("scores"), help="stores and runs (default: scores/)")
    args = parser.parse_args()
    for made, arguments in commands(args.data, args.out):
        make(made, arguments)
    print(tables(args.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
