"""Table of Brown (2023): base and personalised heads for known speakers, on the synthetic corpus of `make demo`.

    python -m benchmarks.brown [--data demo/data] [--out DIR]

The protocol is the paper's: a random 0.6/0.2/0.2 split, so that every speaker is in training. The paper's corpus,
CREMA-D, gives the same table if its folder is in the folder of corpora. The vectors are those of hubert-mini; the paper
used a HuBERT-large.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from benchmarks.score_tables import Job, main, read_metrics, run_folder, train_command

HEADS = {
    "base 256-64": ["--preset", "brown-2023"],
    "personalised": ["--preset", "brown-2023-personalized"],
    "base, deep": ["--preset", "brown-2023-deep"],
    "personalised, deep": ["--preset", "brown-2023-deep", "--personalized", "embedding"],
}
NUM_LAST_EPOCHS = 10  # the epochs over which the mean validation accuracy is taken


def jobs(data: str, out: Path) -> Iterator[Job]:
    """Yield the extraction, then one training per head."""
    store = out / "brown.h5"
    yield store, ["ser_embed.extract", "--model", "hubert-mini", "--pooling", "mean", "--data", data]
    for index, arguments in enumerate(HEADS.values()):
        yield run_folder(out, "brown", str(index)), train_command(store, *arguments)


def make_table(out: Path) -> str:
    """Return the table as Markdown."""
    lines = [
        f"| head | mean val. acc. (last {NUM_LAST_EPOCHS} epochs) | max val. acc. | test acc. | test loss |",
        "|---" * 5 + "|",
    ]
    for index, head in enumerate(HEADS):
        folder = run_folder(out, "brown", str(index))
        accuracy = pd.read_csv(folder / "history.csv")["val_accuracy"]
        test = read_metrics(folder)["test"]
        values = accuracy.tail(NUM_LAST_EPOCHS).mean(), accuracy.max(), test["accuracy"], test["log_loss"]
        lines.append(f"| {head} | {' | '.join(f'{value:.3f}' for value in values)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(__doc__, "demo/data", jobs, make_table)
