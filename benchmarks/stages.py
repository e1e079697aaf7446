"""Stages of an extraction: the time of each, and the share of the processor's peak speed that the whole reaches.

    python -m benchmarks.stages [--clips 16] [--rounds 3]

The stages of a HuBERT-large of random weights, in the type that "auto" chooses, are timed one at a time on the same
clips. The front end is compared with transformers', and an extraction, with batches and lanes, with large matrix
products.
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
    markdown_table,
    matrix_product,
    noise,
    random_hubert,
    speedup,
    time_in_turn,
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

LAYERS, WIDTH, INNER_WIDTH = 24, 1024, 4096
PEER_FRONT_END = "transformers' front end"


def count_flops(num_samples: int) -> float:
    """Return the operations of a HuBERT-large on one clip: twice the multiply-adds of its matrix products.

    Counted are the convolutions, the projections and attention.
    """
    total, frames, channels = 0.0, num_samples, 1
    for kernel, stride in zip((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), strict=True):
        frames = (frames - kernel) // stride + 1
        total += frames * kernel * channels * 512
        channels = 512
    block = 4 * WIDTH * WIDTH + 2 * WIDTH * INNER_WIDTH
    total += frames * (512 * WIDTH + WIDTH * (WIDTH // 16) * 128 + LAYERS * block) + LAYERS * 2 * frames**2 * WIDTH
    return 2 * total


def run(num_clips: int = 16, rounds: int = 3) -> list[Row]:
    """Measure, and return the rows.

    Args:
        num_clips: clips of noise, with lengths of CREMA-D.
        rounds: how often each stage is timed.
    """
    clips = noise(crema_d_lengths(num_clips))
    dtype = choose_dtype("auto", "cpu")
    seconds = _time_stages(clips, dtype, rounds)
    median = {stage: float(np.median(stage_seconds)) for stage, stage_seconds in seconds.items()}
    median["transformer with pooling"] = median["clip by clip"] - median["front end"]
    audio_s = sum(len(clip) for clip in clips) / 16_000
    dtype_name = str(dtype).removeprefix("torch.")
    flops_per_s = sum(count_flops(len(clip)) for clip in clips) / median["extraction"]
    peak_flops_per_s = PRODUCT_FLOPS / min(seconds["product"])
    return [
        *(
            Row(f"stage: {stage}, {dtype_name}", f"{1000 * median[stage] / audio_s:.2f} ms per audio-second")
            for stage in ("decode", "front end", "transformer with pooling", "pooling", "write")
        ),
        Row(
            f"front end, {dtype_name}",
            f"{audio_s / median['front end']:.0f} audio-s/s",
            f"transformers': {audio_s / median[PEER_FRONT_END]:.0f}",
            speedup(seconds[PEER_FRONT_END], seconds["front end"]),
        ),
        Row(
            f"share of the matrix peak, {dtype_name}",
            f"{flops_per_s / 1e9:.0f} GFLOP/s",
            f"{PRODUCT}: {peak_flops_per_s / 1e9:.0f} GFLOP/s",
            f"{flops_per_s / peak_flops_per_s:.0%}",
        ),
    ]


def _time_stages(clips: list[np.ndarray], dtype: torch.dtype, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each stage over all clips, round by round."""
    num_clips = len(clips)
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
        hidden = [network.feature_projection(clip_frames)[None] for clip_frames in frames]
        vectors = [encoder.encode([clip])()[0] for clip in clips]
        rows = [
            {"utterance_id": f"n/{i}", "path": f"{i}.wav", "corpus": "n", "speaker": "", "emotion": ""}
            for i in range(num_clips)
        ]
        manifest = build_manifest(rows)
        parts = PartFolder(folder / "s.h5")
        return time_in_turn(
            {
                "decode": lambda: [load_clip(folder / f"{i}.wav", AudioPreprocessing()) for i in range(num_clips)],
                "front end": lambda: [front_end(waveform) for waveform in waveforms],
                PEER_FRONT_END: lambda: [network.feature_extractor(wave[None].to(dtype)) for wave in waveforms],
                "pooling": lambda: [pool_batch(clip, None, "mean") for clip in hidden for _ in range(LAYERS + 2)],
                "write": lambda: parts.write(0, encoder.spec, manifest, vectors, manifest.iloc[:0].assign(reason="")),
                "clip by clip": lambda: [encoder.encode([clip])() for clip in clips],
                "extraction": lambda: encode_all(encoder, clips),
                "product": matrix_product(dtype),
            },
            rounds,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=16, help="clips of noise (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each stage is timed (default: %(default)s)")
    args = parser.parse_args()
    print(markdown_table(run(args.clips, args.rounds)))
