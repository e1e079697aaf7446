"""How fast is extraction against the plain transformers loop, one clip at a time and in padded batches?

    python -m benchmarks.throughput [--clips 24] [--rounds 3] [--data DIR --corpus emodb]

A HuBERT-large of random weights; clips of noise with CREMA-D's lengths, or a corpus' own clips. All layers are pooled
on both sides. The padded batches stand for speed only: for base models they would also give wrong vectors. The last row
tells what bfloat16 can bring at most, which depends on the processor, and on a shared one on the hour.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

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
from ser_embed.encoders.base import Encoder, EncoderOptions
from ser_embed.encoders.batching import encode_all
from ser_embed.encoders.device import choose_dtype
from ser_embed.encoders.huggingface import quiet_transformers
from ser_embed.encoders.registry import load_encoder


def plain_loop(folder: Path, clips: list[np.ndarray], batch: int, dtype: torch.dtype) -> Callable[[], list[np.ndarray]]:
    """Return the usual loop: transformers as it comes, `batch` clips at a time, every layer averaged over time."""
    import transformers

    with quiet_transformers():
        model = transformers.AutoModel.from_pretrained(folder, dtype=dtype).eval()
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)

    @torch.inference_mode()
    def run() -> list[np.ndarray]:
        vectors = []
        for start in range(0, len(clips), batch):
            inputs = extractor(clips[start : start + batch], sampling_rate=16_000, padding=True, return_tensors="pt")
            mask = inputs.attention_mask if batch > 1 else None
            layers = model(inputs.input_values.to(dtype), attention_mask=mask, output_hidden_states=True).hidden_states
            vectors += [vector.float().numpy() for vector in torch.stack([layer.mean(1) for layer in layers], 1)]
        return vectors

    return run


@torch.inference_mode()
def block_outputs(folder: Path, clips: list[np.ndarray]) -> list[np.ndarray]:
    """Return for each clip the mean of what enters the first block, leaves each block, and leaves the model."""
    import transformers

    with quiet_transformers():
        model = transformers.AutoModel.from_pretrained(folder).eval()
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    seen: list[torch.Tensor] = []
    model.encoder.layers[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for block in model.encoder.layers:
        block.register_forward_hook(lambda _, __, out: seen.append(out))
    vectors = []
    for clip in clips:
        seen.clear()
        seen.append(model(extractor(clip, sampling_rate=16_000, return_tensors="pt").input_values).last_hidden_state)
        vectors.append(torch.stack([frames[0].mean(0) for frames in seen]).numpy())
    return vectors


def engine(encoder: Encoder, clips: list[np.ndarray], lanes: int | None = None) -> Callable[[], list[np.ndarray]]:
    """Return this library's loop over the same clips, in as many lanes as it would choose, or in so many."""
    return lambda: encode_all(encoder, clips, lanes)


def corpus_clips(data: Path, corpus: str, count: int) -> list[np.ndarray]:
    """Read clips of a corpus, spread evenly over it."""
    from ser_embed.audio.decode import AudioPreprocessing, load_clip
    from ser_embed.corpora.scan import scan_data

    paths = scan_data(data, [corpus]).manifest["path"]
    chosen = paths.iloc[np.linspace(0, len(paths) - 1, min(count, len(paths))).astype(int)]
    return [load_clip(data / path, AudioPreprocessing())[0] for path in chosen]


def run(num_clips: int = 24, rounds: int = 3, data: Path | None = None, corpus: str = "emodb") -> list[Row]:
    """Measure and return the rows."""
    clips = corpus_clips(data, corpus, num_clips) if data else noise(crema_d_lengths(num_clips))
    seconds = sum(len(clip) for clip in clips) / 16_000
    what = f"{len(clips)} clips of {corpus}" if data else f"{len(clips)} clips, CREMA-D's lengths"
    with tempfile.TemporaryDirectory() as folder:
        model = random_hubert(Path(folder))
        auto = str(choose_dtype("auto", "cpu")).removeprefix("torch.")
        dtypes = dict.fromkeys(["float32", auto, "bfloat16"])
        sides: dict[str, Callable[[], object]] = {
            "transformers, float32, one clip at a time": plain_loop(model, clips, 1, torch.float32),
            "transformers, float32, padded batches of 8": plain_loop(model, clips, 8, torch.float32),
            "transformers, bfloat16, padded batches of 8": plain_loop(model, clips, 8, torch.bfloat16),
        }
        encoders = {dtype: load_encoder(str(model), EncoderOptions(dtype=dtype)) for dtype in dtypes}
        for dtype, encoder in encoders.items():
            sides[f"this library, {dtype}, one batch at a time"] = engine(encoder, clips, lanes=1)
            sides[f"this library, {dtype}"] = engine(encoder, clips)
        products = {f"{PRODUCT}, {dtype}": matrix_product(dtype) for dtype in (torch.float32, torch.bfloat16)}
        taken = in_turn({**sides, **products}, rounds)
        exact, rough = (np.stack(engine(encoders[dtype], clips)()) for dtype in ("float32", "bfloat16"))
        reference = np.stack(block_outputs(model, clips))
    base = "transformers, float32, one clip at a time"
    rows = [
        Row(
            f"{name} ({what})",
            f"{seconds / np.median(taken[name]):.1f} audio-s/s",
            f"{base}: {seconds / np.median(taken[base]):.1f}",
            ratio(taken[base], taken[name]),
        )
        for name in sides
        if name != base
    ]
    for name, vectors in (("float32", exact), ("bfloat16", rough)):
        worst = cosine(vectors, reference).min()
        rows.append(Row(f"smallest cosine of a pooled layer, {name}", f"{worst:.7f}", "transformers, float32"))
    single, half = (taken[name] for name in products)
    speeds = [f"{PRODUCT_FLOPS / np.median(seconds) / 1e9:.0f} GFLOP/s" for seconds in (half, single)]
    rows.append(Row(f"{PRODUCT}, bfloat16", speeds[0], f"float32: {speeds[1]}", ratio(single, half)))
    return rows


def cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the cosine of vectors along the last axis."""
    product = (first * second).sum(-1, dtype=np.float64)
    return (
        product / np.linalg.norm(first.astype(np.float64), axis=-1) / np.linalg.norm(second.astype(np.float64), axis=-1)
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--corpus", default="emodb")
    args = parser.parse_args()
    print(table(run(args.clips, args.rounds, args.data, args.corpus)))
