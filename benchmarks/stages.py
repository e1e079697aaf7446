"""Where does the time of an extraction go, and how near is it to what the processor can do?

    python -m benchmarks.stages [--clips 16] [--rounds 3]

Stages of a HuBERT-large of random weights in the arithmetic "auto" chooses, each on the same clips, one at a time; the
front end against transformers' own; an extraction, with batches and lanes, against large matrix products.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import torch
import transformers

from benchmarks.measure import (
    PRODUCT,
    PRODUCT_FLOPS,
    Row,
    crema_d_lengths,
    in_turn,
    matrix_product,
    noise,
    random_hubert,
    ratio,
    table,
)
from ser_embed.audio.decode import AudioPreprocessing, load_clip
from ser_embed.encoders.base import EncoderOptions
from ser_embed.encoders.batching import encode_all
from ser_embed.encoders.device import choose_dtype
from ser_embed.encoders.huggingface import quiet_transformers
from ser_embed.encoders.kernels.conv_frontend import ConvFrontend
from ser_embed.encoders.pooling import pool_batch
from ser_embed.encoders.registry import load_encoder
from ser_embed.manifest import build_manifest
from ser_embed.store.parts import PartFolder

LAYERS, WIDTH, INNER = 24, 1024, 4096
THEIRS = "transformers' front end"


def flops(num_samples: int) -> float:
    """Return the multiply-adds of a HuBERT-large on one clip, times two: convolutions, projections, attention."""
    total, frames, channels = 0.0, num_samples, 1
    for kernel, stride in zip((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), strict=True):
        frames = (frames - kernel) // stride + 1
        total += frames * kernel * channels * 512
        channels = 512
    block = 4 * WIDTH * WIDTH + 2 * WIDTH * INNER
    total += frames * (512 * WIDTH + WIDTH * (WIDTH // 16) * 128 + LAYERS * block) + LAYERS * 2 * frames**2 * WIDTH
    return 2 * total


def run(num_clips: int = 16, rounds: int = 3) -> list[Row]:
    """Measure and return the rows."""
    clips = noise(crema_d_lengths(num_clips))
    seconds = sum(len(clip) for clip in clips) / 16_000
    dtype = choose_dtype("auto", "cpu")
    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        folder = Path(name)
        model = random_hubert(folder)
        with quiet_transformers():
            network = transformers.AutoModel.from_pretrained(model).eval().to(dtype)
        front_end = ConvFrontend(network.feature_extractor)
        encoder = load_encoder(str(model), EncoderOptions())
        for index, clip in enumerate(clips):
            soundfile.write(folder / f"{index}.wav", clip, 16_000)
        waveforms = [torch.from_numpy(clip) for clip in clips]
        frames = [front_end(waveform) for waveform in waveforms]
        hidden = [network.feature_projection(clip)[None] for clip in frames]
        product = matrix_product(dtype)
        vectors = [encoder.encode([clip])()[0] for clip in clips]
        rows = [
            {"utterance_id": f"n/{i}", "path": f"{i}.wav", "corpus": "n", "speaker": "", "emotion": ""}
            for i in range(num_clips)
        ]
        manifest = build_manifest(rows)
        parts = PartFolder(folder / "s.h5")
        taken = in_turn(
            {
                "decode": lambda: [load_clip(folder / f"{i}.wav", AudioPreprocessing()) for i in range(num_clips)],
                "front end": lambda: [front_end(waveform) for waveform in waveforms],
                THEIRS: lambda: [network.feature_extractor(w[None].to(dtype)) for w in waveforms],
                "pooling": lambda: [pool_batch(clip, None, "mean") for clip in hidden for _ in range(LAYERS + 2)],
                "write": lambda: parts.write(0, encoder.spec, manifest, vectors, manifest.iloc[:0].assign(reason="")),
                "clip by clip": lambda: [encoder.encode([clip])() for clip in clips],
                "extraction": lambda: encode_all(encoder, clips),
                "product": product,
            },
            rounds,
        )
    median = {stage: float(np.median(values)) for stage, values in taken.items()}
    name = str(dtype).removeprefix("torch.")
    median["transformer with pooling"] = median["clip by clip"] - median["front end"]
    stages = ("decode", "front end", "transformer with pooling", "pooling", "write")
    reached = sum(flops(len(clip)) for clip in clips) / median["extraction"]
    peak = PRODUCT_FLOPS / min(taken["product"])
    return [
        *(
            Row(f"stage: {stage}, {name}", f"{1000 * median[stage] / seconds:.2f} ms per audio-second")
            for stage in stages
        ),
        Row(
            f"front end, {name}",
            f"{seconds / median['front end']:.0f} audio-s/s",
            f"transformers': {seconds / median[THEIRS]:.0f}",
            ratio(taken[THEIRS], taken["front end"]),
        ),
        Row(
            f"share of the matrix peak, {name}",
            f"{reached / 1e9:.0f} GFLOP/s",
            f"{PRODUCT}: {peak / 1e9:.0f} GFLOP/s",
            f"{reached / peak:.0%}",
        ),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print(table(run(args.clips, args.rounds)))
