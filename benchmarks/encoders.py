"""Where does hubert-mini stand? The table of its model card: encoders and layers under the same head and folds.

    python -m benchmarks.encoders [--data ../shared/data] [--out DIR]

Random weights of the same shape, the feature sets, and hubert-mini layer by layer and all layers mixed; mean and
standard deviation of each, the default head, EmoDB (loso) and RAVDESS (kfold:6). Stores and runs are kept in DIR and
not made again. The scores of the feature sets are those of `benchmarks.scores`, which may share the folder.
"""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.kept import Made, read, run, tell, train, uar
from benchmarks.scores import CONDITIONS, PROTOCOLS

MINI, RANDOM = "hubert-mini", "random"
FEATURES = ("mfcc", "egemaps")
LAYERS = ("0", "1", "2", "3", "4", "5", "6", "final")


def random_mini(folder: Path) -> Path:
    """Save a network of hubert-mini's shape and random weights, and return its folder."""
    import torch
    import transformers

    from ser_embed.pretraining.config import CONFIGS

    torch.manual_seed(0)
    transformers.HubertModel(transformers.HubertConfig(**CONFIGS["mini"])).save_pretrained(folder)
    return folder


def commands(data: str, out: Path) -> Iterator[Made]:
    """Yield what each command makes, and its arguments; those that need others come after them."""
    if not (out / "random-mini").exists():
        random_mini(out / "random-mini")
    for corpus, protocol in PROTOCOLS.items():
        how = ["--protocol", protocol]
        for name in (RANDOM, *FEATURES, MINI):
            store = out / f"{name}-{corpus}.h5"
            model = str(out / "random-mini") if name == RANDOM else name
            yield store, ["ser_embed.extract", "--model", model, "--pooling", "mean+std", "--data", data,
                          "--corpus", corpus]  # fmt: skip
            yield run(out, name, corpus, "mlp"), train(store, *how)
        for layer in LAYERS:
            yield run(out, MINI, corpus, f"mlp-{layer}"), train(store, *how, "--layer", layer)
        yield run(out, MINI, corpus, "personalized"), train(store, *how, "--personalized")


def table(out: Path) -> str:
    """Return the tables of all runs as markdown."""
    lines = ["| vectors | EmoDB, `loso` | RAVDESS, `kfold:6` |", "|---|---|---|"]
    rows = [("random weights, all layers", RANDOM, "mlp"), *((f"`{name}`", name, "mlp") for name in FEATURES)]
    rows += [(f"`{MINI}`, layer {layer}", MINI, f"mlp-{layer}") for layer in LAYERS]
    for words, name, head in [*rows, (f"`{MINI}`, all layers", MINI, "mlp")]:
        cells = [uar(read(run(out, name, corpus, head))["test"]) for corpus in PROTOCOLS]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    lines += ["", "| `hubert-mini`, personalised | EmoDB, `loso` | RAVDESS, `kfold:6` |", "|---|---|---|"]
    found = [read(run(out, MINI, corpus, "personalized"))["conditions"] for corpus in PROTOCOLS]
    lines += [f"| {name} | {' | '.join(uar(each[name]) for each in found)} |" for name in CONDITIONS]
    return "\n".join(lines)


if __name__ == "__main__":
    tell(__doc__, "../shared/data", commands, table)
