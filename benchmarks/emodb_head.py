"""Tables of the model card of the head that ships: what it does on voices, languages and corpora it has never heard.

    python -m benchmarks.emodb_head [--data ../shared/data] [--out DIR]

The head scores every clip of RAVDESS (English) and of EMOVO (Italian). Emotions are those that both corpora have; an
answer that the other corpus does not know, such as bored, is wrong. Activation is high for angry, fear, happy and
surprise, low for bored, calm, neutral and sad, and called high from 0.5 on. `enrolled:N` are N other clips of the
speaker, without labels, drawn for each tenth of the clips; `transductive` all of them, those scored included. Intervals
are over speakers. The first table is of EmoDB itself, from the folds of the run. Nothing is chosen by these figures.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

import ser_embed
from benchmarks.score_tables import format_uar, read_metrics
from ser_embed.store.reader import Store
from ser_head.evaluation.recall import unweighted_average_recall
from ser_head.evaluation.significance import speaker_intervals
from ser_head.personalization.enrollment import ALL, Session, enrollment_sessions, transductive_sessions
from ser_head.runs.location import SHIPPED
from ser_head.runs.run import Run
from ser_head.scoring.activation import HIGH, LOW, activation

CORPORA = ("ravdess", "emovo")
SIZES = {"enrolled:5": 5, "enrolled:20": 20, "enrolled:all others": ALL}


def sessions(clips: pd.DataFrame) -> Iterator[tuple[str, list[Session]]]:
    """Yield each condition with its sessions; of `unknown` there is one, in which nobody is enrolled."""
    speakers, rows = clips["speaker"].to_numpy(object), np.arange(len(clips))
    yield "unknown", [Session("", rows[:0], rows)]
    for name, size in SIZES.items():
        yield name, enrollment_sessions(speakers, rows, size, np.random.default_rng(0))
    yield "transductive", transductive_sessions(speakers, rows)


def score(run: Run, vectors: np.ndarray, parts: list[Session]) -> np.ndarray:
    """Return the probabilities of all clips, float64 (clips, classes).

    Args:
        run: the run.
        vectors: of all clips, float32 (clips, layers, width).
        parts: sessions that score every clip once.
    """
    probabilities = np.zeros((len(vectors), len(run.labels)))
    for part in parts:
        names = ["new"] * len(part.scored)
        enrolled = {"new": vectors[part.enrolled]}
        probabilities[part.scored] = run.probabilities(vectors[part.scored], names, enrolled=enrolled)
    return probabilities


def figures(clips: pd.DataFrame, labels: tuple[str, ...], probabilities: np.ndarray) -> list[str]:
    """Return UAR of emotions, UAR of activation and its AUC.

    Args:
        clips: rows of the manifest.
        labels: the classes.
        probabilities: of the clips, (clips, classes).
    """
    table = clips.assign(prediction=np.array(labels, dtype=object)[probabilities.argmax(axis=1)])
    table = table.rename(columns={"emotion": "label"})
    table["activation"] = activation(probabilities, labels)
    emotions = table[table["label"].isin(labels)]
    sided = table[table["label"].isin([*HIGH, *LOW])]
    is_high = sided["label"].isin(HIGH)
    levels = sided.assign(
        label=np.where(is_high, "high", "low"), prediction=np.where(sided["activation"] >= 0.5, "high", "low")
    )
    return [uar(emotions), uar(levels), f"{roc_auc_score(is_high, sided['activation']):.3f}"]


def uar(table: pd.DataFrame) -> str:
    """Return the UAR of predictions, with its interval over speakers."""
    value = unweighted_average_recall(table["label"].to_numpy(object), table["prediction"].to_numpy(object))
    low, high = speaker_intervals(table, sorted(set(table["label"])))["uar"] or (np.nan, np.nan)
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def own_table(run: Run) -> str:
    """Return the figures of the folds of the run, per condition, and their calibration."""
    metrics = read_metrics(run.folder)
    lines = ["| EmoDB, `loso` | UAR | calibration error (ECE) |", "|---|---|---|"]
    for name, condition in metrics["conditions"].items():
        lines.append(f"| {name} | {format_uar(condition)} | {condition['ece']:.3f} |")
    return "\n".join(lines)


def other_table(run: Run, store: Store, corpus: str) -> str:
    """Return the figures on another corpus, per condition, and the share of clips that are unlike EmoDB."""
    rows = np.flatnonzero(store.column("corpus") == corpus)
    clips, vectors = store.utterances.iloc[rows].reset_index(drop=True), store.read(rows)
    shared = [label for label in run.labels if label in set(clips["emotion"])]
    unfamiliar = float((run.ood_score(vectors) > 1).mean())
    lines = [f"| {corpus}, {len(clips)} clips | emotions, UAR of {len(shared)} | activation, UAR of 2 | AUC |"]
    lines.append("|---|---|---|---|")
    for name, parts in sessions(clips):
        lines.append(f"| {name} | {' | '.join(figures(clips, run.labels, score(run, vectors, parts)))} |")
    return "\n".join([*lines, "", f"Unfamiliar, and so uncertain: {100 * unfamiliar:.1f} % of the clips."])


def main() -> None:
    """Extract the vectors, unless they are there, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="../shared/data", help="folder of corpora (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="folder that keeps the vectors (default: a temporary one)")
    args = parser.parse_args()
    run = Run.load(SHIPPED["emodb"].folder)
    with tempfile.TemporaryDirectory() as folder:
        path = (args.out or Path(folder)) / "other.h5"
        ser_embed.extract(run.spec.model, data=args.data, corpus=CORPORA, store=path, dtype=run.spec.arithmetic)
        with Store(path) as store:
            run.require_spec(store.spec)
            print(own_table(run), *(other_table(run, store, corpus) for corpus in CORPORA), sep="\n\n")


if __name__ == "__main__":
    main()
