"""Table of hubert-mini's model card: UAR of encoders and of their layers, with the same head and folds.

    python -m benchmarks.encoders [--data ../shared/data] [--out DIR]

It compares random weights of the same shape, the feature sets, and hubert-mini, layer by layer and all layers mixed.
Frames are pooled to mean and standard deviation, the head is the default one, and the corpora are EmoDB (loso) and
RAVDESS (kfold:6). Stores and runs are kept in DIR and not made again. The scores of the feature sets are those of
`benchmarks.scores`, which may use the same folder.
"""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.score_tables import Job, format_uar, main, read_metrics, run_folder, train_command
from benchmarks.scores import CONDITIONS, PROTOCOLS

MINI, RANDOM = "hubert-mini", "random"
FEATURES = ("mfcc", "egemaps")
LAYERS = ("0", "1", "2", "3", "4", "5", "6", "final")


def save_random_mini(folder: Path) -> None:
    """Save a network of hubert-mini's shape with random weights."""
    import torch
    import transformers

    from ser_embed.pretraining.config import CONFIGS

    torch.manual_seed(0)
    transformers.HubertModel(transformers.HubertConfig(**CONFIGS["mini"])).save_pretrained(folder)


def jobs(data: str, out: Path) -> Iterator[Job]:
    """Yield the extractions and trainings; each comes after those that it needs."""
    if not (out / "random-mini").exists():
        save_random_mini(out / "random-mini")
    for corpus, protocol in PROTOCOLS.items():
        protocol_flag = ["--protocol", protocol]
        for name in (RANDOM, *FEATURES, MINI):
            store = out / f"{name}-{corpus}.h5"
            model = str(out / "random-mini") if name == RANDOM else name
            yield store, ["ser_embed.extract", "--model", model, "--pooling", "mean+std", "--data", data,
                          "--corpus", corpus]  # fmt: skip
            yield run_folder(out, name, corpus, "mlp"), train_command(store, *protocol_flag)
        for layer in LAYERS:
            yield run_folder(out, MINI, corpus, f"mlp-{layer}"), train_command(store, *protocol_flag, "--layer", layer)
        yield run_folder(out, MINI, corpus, "personalized"), train_command(store, *protocol_flag, "--personalized")


def make_table(out: Path) -> str:
    """Return the tables of all runs as Markdown."""
    lines = ["| vectors | EmoDB, `loso` | RAVDESS, `kfold:6` |", "|---|---|---|"]
    rows = [("random weights, all layers", RANDOM, "mlp"), *((f"`{name}`", name, "mlp") for name in FEATURES)]
    rows += [(f"`{MINI}`, layer {layer}", MINI, f"mlp-{layer}") for layer in LAYERS]
    for label, name, head in [*rows, (f"`{MINI}`, all layers", MINI, "mlp")]:
        cells = [format_uar(read_metrics(run_folder(out, name, corpus, head))["test"]) for corpus in PROTOCOLS]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    lines += ["", "| `hubert-mini`, personalised | EmoDB, `loso` | RAVDESS, `kfold:6` |", "|---|---|---|"]
    by_corpus = [read_metrics(run_folder(out, MINI, corpus, "personalized"))["conditions"] for corpus in PROTOCOLS]
    for condition in CONDITIONS:
        cells = [format_uar(conditions[condition]) for conditions in by_corpus]
        lines.append(f"| {condition} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(__doc__, "../shared/data", jobs, make_table)
