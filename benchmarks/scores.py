"""How good are the heads on real speech? The README's tables of UAR, by features and head, and by condition.

    python -m benchmarks.scores [--data ../shared/data] [--out DIR]

Stores and runs are kept in DIR and not made again; each is what one command makes, which is printed before it runs.
"""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.kept import Made, read, run, tell, train, uar

PROTOCOLS = {"emodb": "loso", "ravdess": "kfold:6"}
FEATURES = ("egemaps", "mfcc", "mfcc+egemaps")
HEADS = ("svm", "lda", "forest", "mlp", "deep")  # the ensemble is all of them
FRAME_HEADS = ("attention", "cnn")
CONDITIONS = ("plain", "unknown", "enrolled:1", "enrolled:5", "enrolled:20", "transductive")


def commands(data: str, out: Path) -> Iterator[Made]:
    """Yield what each command makes, and its arguments; those that need others come after them."""
    for corpus, protocol in PROTOCOLS.items():
        corpora = ["--data", data, "--corpus", corpus]
        how = ["--protocol", protocol]
        for name in FEATURES:
            store = out / f"{name}-{corpus}.h5"
            yield store, ["ser_embed.extract", "--model", name, *corpora]
            for head in HEADS:
                yield run(out, name, corpus, head), train(store, "--head", head, *how)
            members = [str(run(out, name, corpus, head)) for head in HEADS]
            combined = ["ser_head.train", "--head", "ensemble", "--members", *members]
            yield run(out, name, corpus, "ensemble"), combined
            yield run(out, name, corpus, "personalized"), train(store, *how, "--personalized")
        store = out / f"frames-{corpus}.h5"
        frames = ["--model", "mfcc", "--pooling", "frames"]
        yield store, ["ser_embed.extract", *frames, *corpora]
        for head in FRAME_HEADS:
            yield run(out, "frames", corpus, head), train(store, "--head", head, *how)


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


if __name__ == "__main__":
    tell(__doc__, "../shared/data", commands, tables)
