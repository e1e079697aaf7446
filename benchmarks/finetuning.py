"""Speed of fine-tuning on cached frames, compared with a plain loop of transformers' Trainer over whole waveforms.

    python -m benchmarks.finetuning [--data ../shared/data] [--clips 200] [--epochs 5] [--unfreeze last:2]

The model is a HuBERT-base of true shape and random weights. The peer is what a tutorial does:
HubertForSequenceClassification with the same layers frozen, batches of 8 in random order, padded to the longest clip,
whole clips, in float32 and in bfloat16. Here clips are whole too, in batches of 8 of like length. Each side trains in a
process of its own, so that its memory is its own; the machine should do nothing else. An epoch of the peer is timed
after one that does not count.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import describe_machine, random_hubert

BATCH = 8
MODEL = "hubert-base"  # as `random_hubert` names it
LABELS = tuple("abcdefgh")


def main() -> None:
    """Run all sides, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--corpus", default="ravdess")
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--peer-epochs", type=int, default=1, help="epochs of the peer that are timed")
    parser.add_argument("--unfreeze", default="last:2")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        outcome = SIDES[arguments.side](arguments, Path(arguments.folder))
        outcome["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(outcome))
        return
    with tempfile.TemporaryDirectory() as folder:
        random_hubert(Path(folder), "base")
        outcomes = {side: run_side(side, folder) for side in SIDES}
    print(f"{describe_machine()}; {arguments.clips} clips of {arguments.corpus}, {arguments.unfreeze}\n")
    print(table(outcomes, arguments.epochs))


def run_side(side: str, folder: str) -> dict[str, Any]:
    """Run one side in a process of its own, and return what it printed."""
    command = [sys.executable, "-m", "benchmarks.finetuning", *sys.argv[1:], "--side", side, "--folder", folder]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        sys.exit(process.stderr)
    return json.loads(process.stdout.splitlines()[-1])


def table(outcomes: dict[str, dict[str, Any]], epochs: int) -> str:
    """Return the table as Markdown: seconds, memory, and how many times faster cached frames are."""
    own = outcomes["cached"]
    lines = [
        "| | first, once | an epoch | all epochs | peak memory | cached is faster, an epoch | and all |",
        "|---" * 7 + "|",
    ]
    for side, outcome in outcomes.items():
        total = outcome["once_s"] + epochs * outcome["epoch_s"]
        ratios = ""
        if side != "cached":
            own_total = own["once_s"] + epochs * own["epoch_s"]
            ratios = f"{outcome['epoch_s'] / own['epoch_s']:.2f}x | {total / own_total:.2f}x"
        lines.append(
            f"| {side} | {outcome['once_s']:.1f} s | {outcome['epoch_s']:.1f} s | {total:.1f} s | "
            f"{outcome['peak_mib']:.0f} MiB | {ratios or ' | '} |"
        )
    return "\n".join(lines)


def clips_of(arguments: argparse.Namespace) -> tuple[list[Path], np.ndarray]:
    """Return the files of the clips, spread evenly over the corpus, and a class for each."""
    from ser_embed.corpora.scan import scan_data

    manifest = scan_data(Path(arguments.data), (arguments.corpus,)).manifest
    rows = np.linspace(0, len(manifest) - 1, arguments.clips).astype(int)
    paths = [Path(arguments.data) / path for path in manifest["path"].iloc[rows]]
    return paths, np.arange(len(paths)) % len(LABELS)


def cached(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Extract frames, then train on them as `ser_head.finetune` does."""
    from ser_embed.audio.decode import AudioPreprocessing, load_clip
    from ser_embed.encoders.base import EncoderOptions
    from ser_embed.encoders.batching import encode_all
    from ser_embed.encoders.registry import load_encoder
    from ser_embed.finetuning.batches import TrainingClips
    from ser_embed.finetuning.model import build_classifier
    from ser_embed.finetuning.trainer import Tuner, TuningTask
    from ser_head.config.finetuning import FinetuneConfig

    paths, targets = clips_of(arguments)
    config = FinetuneConfig(
        model=str(folder / MODEL), unfreeze=arguments.unfreeze, epochs=arguments.epochs, batch_size=BATCH, crop=0.0
    )
    model, _ = build_classifier(config.model, LABELS, config.tuning(0).unfreeze, config.dropout, 0)
    start = time.perf_counter()
    options = EncoderOptions(layers=model.layer, pooling="frames", dtype="float32")
    encoder = load_encoder(config.model, options)
    frames = encode_all(encoder, [load_clip(path, AudioPreprocessing())[0] for path in paths])
    frames = [clip[:, 0].astype(np.float16) for clip in frames]
    once_s = time.perf_counter() - start
    del encoder

    def read(positions: np.ndarray) -> np.ndarray:
        longest = max(len(frames[position]) for position in positions)
        padded = np.full((len(positions), longest, frames[0].shape[1]), np.nan, np.float32)
        for row, position in zip(padded, positions, strict=True):
            row[: len(frames[position])] = frames[position]
        return padded

    counts = np.array([len(clip) for clip in frames])
    clips = TrainingClips(np.arange(len(frames)), counts, np.arange(len(frames)))
    task = TuningTask(clips, targets, np.ones(len(LABELS), np.float32), None, arguments.epochs, None, None)
    ends = [time.perf_counter()]
    Tuner(model, config.tuning(0), read).train(task, lambda row: ends.append(time.perf_counter()), lambda share: None)
    return {"once_s": once_s, "epoch_s": float(np.median(np.diff(ends)))}


def trainer(arguments: argparse.Namespace, folder: Path, bf16: bool) -> dict[str, Any]:
    """Train whole waveforms with transformers' Trainer."""
    import torch
    import transformers

    from ser_embed.audio.decode import AudioPreprocessing, load_clip
    from ser_embed.finetuning.unfreeze import Unfreeze

    paths, targets = clips_of(arguments)
    waveforms = [load_clip(path, AudioPreprocessing())[0] for path in paths]
    network = transformers.HubertForSequenceClassification.from_pretrained(
        folder / MODEL, num_labels=len(LABELS), mask_time_prob=0.0, layerdrop=0.0
    )
    freeze(network, Unfreeze.parse(arguments.unfreeze))
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False)

    def collate(items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = extractor([item["waveform"] for item in items], sampling_rate=16_000, padding=True, return_tensors="pt")
        return {**batch, "labels": torch.tensor([item["label"] for item in items])}

    ends: list[float] = []

    class Timer(transformers.TrainerCallback):
        """Notes when epochs begin and end."""

        def on_epoch_begin(self, *_: Any, **__: Any) -> None:
            """Note the time."""
            ends.append(time.perf_counter())

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            """Note the time."""
            ends.append(time.perf_counter())

    settings = transformers.TrainingArguments(
        output_dir=str(folder / "trainer"),
        per_device_train_batch_size=BATCH,
        num_train_epochs=1 + arguments.peer_epochs,
        learning_rate=1e-4,
        bf16=bf16,
        use_cpu=not torch.cuda.is_available(),
        remove_unused_columns=False,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        logging_strategy="no",
    )
    items = [{"waveform": waveform, "label": int(label)} for waveform, label in zip(waveforms, targets, strict=True)]
    transformers.Trainer(network, settings, data_collator=collate, train_dataset=items, callbacks=[Timer()]).train()
    durations = np.diff(ends)[::2]
    return {"once_s": 0.0, "epoch_s": float(np.median(durations[1:]))}


def freeze(network: Any, unfreeze: Any) -> None:
    """Freeze the same layers as `ser_embed.finetuning.model.build_classifier`."""
    blocks = network.hubert.encoder.layers
    network.hubert.requires_grad_(False)
    if unfreeze.kind == "all":
        network.hubert.feature_projection.requires_grad_(True)
        network.hubert.encoder.requires_grad_(True)
    else:
        blocks[unfreeze.first_block(len(blocks)) :].requires_grad_(True)


SIDES: dict[str, Callable[[argparse.Namespace, Path], dict[str, Any]]] = {
    "cached": cached,
    "Trainer, float32": lambda arguments, folder: trainer(arguments, folder, bf16=False),
    "Trainer, bfloat16": lambda arguments, folder: trainer(arguments, folder, bf16=True),
}


if __name__ == "__main__":
    main()
