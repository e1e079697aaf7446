"""Tables of UAR on real speech, for the README: by feature set and head, and by personalisation condition.

    python -m benchmarks.scores [--data ../shared/data] [--out DIR]

Stores and runs are kept in DIR and not made again. Each is made by one command, which is printed before it runs.
"""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.score_tables import Job, format_uar, main, read_metrics, run_folder, train_command

PROTOCOLS = {"emodb": "loso", "ravdess": "kfold:6"}
FEATURES = ("egemaps", "mfcc", "mfcc+egemaps")
HEADS = ("svm", "lda", "forest", "mlp", "deep")  # the ensemble combines all of them
FRAME_HEADS = ("attention", "cnn")
CONDITIONS = ("plain", "unknown", "enrolled:1", "enrolled:5", "enrolled:20", "transductive")


def jobs(data: str, out: Path) -> Iterator[Job]:
    """Yield the extractions and trainings; each comes after those that it needs."""
    for corpus, protocol in PROTOCOLS.items():
        corpus_flags = ["--data", data, "--corpus", corpus]
        protocol_flag = ["--protocol", protocol]
        for name in FEATURES:
            store = out / f"{name}-{corpus}.h5"
            yield store, ["ser_embed.extract", "--model", name, *corpus_flags]
            for head in HEADS:
                yield run_folder(out, name, corpus, head), train_command(store, "--head", head, *protocol_flag)
            members = [str(run_folder(out, name, corpus, head)) for head in HEADS]
            combine = ["ser_head.train", "--head", "ensemble", "--members", *members]
            yield run_folder(out, name, corpus, "ensemble"), combine
            yield run_folder(out, name, corpus, "personalized"), train_command(store, *protocol_flag, "--personalized")
        store = out / f"frames-{corpus}.h5"
        frame_flags = ["--model", "mfcc", "--pooling", "frames"]
        yield store, ["ser_embed.extract", *frame_flags, *corpus_flags]
        for head in FRAME_HEADS:
            yield run_folder(out, "frames", corpus, head), train_command(store, "--head", head, *protocol_flag)


def make_tables(out: Path) -> str:
    """Return the tables of all runs as Markdown."""
    lines = ["| vectors | head | EmoDB, `loso` | RAVDESS, `kfold:6` |", "|---|---|---|---|"]
    rows = [(name, head) for name in FEATURES for head in (*HEADS, "ensemble")]
    for name, head in [*rows, *(("frames", head) for head in FRAME_HEADS)]:
        cells = [format_uar(read_metrics(run_folder(out, name, corpus, head))["test"]) for corpus in PROTOCOLS]
        lines.append(f"| `{name}` | `{head}` | {' | '.join(cells)} |")
    lines += ["", "| vectors | corpus | " + " | ".join(CONDITIONS) + " |", "|---" * (2 + len(CONDITIONS)) + "|"]
    for name in FEATURES:
        for corpus in PROTOCOLS:
            conditions = read_metrics(run_folder(out, name, corpus, "personalized"))["conditions"]
            cells = [f"{conditions[condition]['uar']:.3f}" for condition in CONDITIONS]
            lines.append(f"| `{name}` | {corpus} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(__doc__, "../shared/data", jobs, make_tables)
