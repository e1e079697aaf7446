"""The table of Brown (2023): base and personalised heads, speakers known, on the synthetic corpus of `make demo`.

    python -m benchmarks.brown [--data demo/data] [--out DIR]

Their protocol: a random 0.6/0.2/0.2 split, so that every speaker is in training. Their corpus, CREMA-D, gives the same
table: put its folder into DATA. The vectors are those of hubert-mini; theirs were a HuBERT-large's.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from benchmarks.kept import Made, read, run, tell, train

HEADS = {
    "base 256-64": ["--preset", "brown-2023"],
    "personalised": ["--preset", "brown-2023-personalized"],
    "base, deep": ["--preset", "brown-2023-deep"],
    "personalised, deep": ["--preset", "brown-2023-deep", "--personalized", "embedding"],
}
LAST = 10  # epochs that the mean validation accuracy is taken over


def commands(data: str, out: Path) -> Iterator[Made]:
    """Yield what each command makes, and its arguments."""
    store = out / "brown.h5"
    yield store, ["ser_embed.extract", "--model", "hubert-mini", "--pooling", "mean", "--data", data]
    for place, arguments in enumerate(HEADS.values()):
        yield run(out, "brown", str(place)), train(store, *arguments)


def table(out: Path) -> str:
    """Return the table as markdown."""
    lines = [
        f"| head | mean val. acc. (last {LAST} epochs) | max val. acc. | test acc. | test loss |",
        "|---" * 5 + "|",
    ]
    for place, name in enumerate(HEADS):
        folder = run(out, "brown", str(place))
        accuracy = pd.read_csv(folder / "history.csv")["val_accuracy"]
        test = read(folder)["test"]
        figures = accuracy.tail(LAST).mean(), accuracy.max(), test["accuracy"], test["log_loss"]
        lines.append(f"| {name} | {' | '.join(f'{figure:.3f}' for figure in figures)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    tell(__doc__, "demo/data", commands, table)
