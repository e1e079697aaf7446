"""Throughput of extraction, compared with a plain loop over transformers: one clip at a time, and in padded batches.

    python -m benchmarks.throughput [--clips 24] [--rounds 3] [--data DIR --corpus emodb]

The model is a HuBERT-large of random weights; the clips are noise with the lengths of CREMA-D, or clips of a corpus.
Both sides pool all layers. The padded batches are compared by speed only: for base models they would also give wrong
vectors. The last row is the largest gain that bfloat16 can bring; it depends on the processor and, on a shared machine,
on its load.
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
    markdown_table,
    matrix_product,
    noise,
    random_hubert,
    speedup,
    time_in_turn,
)
from ser_embed.encoders.base import Encoder, EncoderOptions
from ser_embed.encoders.batching import encode_all
from ser_embed.encoders.device import choose_dtype
from ser_embed.encoders.huggingface import quiet_transformers
from ser_embed.encoders.registry import load_encoder

BASELINE = "transformers, float32, one clip at a time"


def plain_loop(folder: Path, clips: list[np.ndarray], batch: int, dtype: torch.dtype) -> Callable[[], list[np.ndarray]]:
    """Return the usual loop over transformers, which averages every layer over time.

    Args:
        folder: the saved model.
        clips: float32 (samples,) each.
        batch: clips in a batch.
        dtype: floating-point type of the model.
    """
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
    """Return the mean over time of the first block's input, of every block's output, and of the model's output.

    There is one float32 (layers, width) per clip.
    """
    import transformers

    with quiet_transformers():
        model = transformers.AutoModel.from_pretrained(folder).eval()
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    states: list[torch.Tensor] = []
    model.encoder.layers[0].register_forward_pre_hook(lambda _, inputs: states.append(inputs[0]))
    for block in model.encoder.layers:
        block.register_forward_hook(lambda _, __, out: states.append(out))
    vectors = []
    for clip in clips:
        states.clear()
        states.append(model(extractor(clip, sampling_rate=16_000, return_tensors="pt").input_values).last_hidden_state)
        vectors.append(torch.stack([frames[0].mean(0) for frames in states]).numpy())
    return vectors


def library_loop(encoder: Encoder, clips: list[np.ndarray], lanes: int | None = None) -> Callable[[], list[np.ndarray]]:
    """Return the loop of this library over the clips.

    Args:
        encoder: computes the vectors.
        clips: float32 (samples,) each.
        lanes: batches encoded at once; None for the number that the library chooses.
    """
    return lambda: encode_all(encoder, clips, lanes)


def corpus_clips(data: Path, corpus: str, count: int) -> list[np.ndarray]:
    """Read `count` clips of a corpus, at even intervals over its manifest."""
    from ser_embed.audio.decode import AudioPreprocessing, load_clip
    from ser_embed.corpora.scan import scan_data

    paths = scan_data(data, [corpus]).manifest["path"]
    selected = paths.iloc[np.linspace(0, len(paths) - 1, min(count, len(paths))).astype(int)]
    return [load_clip(data / path, AudioPreprocessing())[0] for path in selected]


def run(num_clips: int = 24, rounds: int = 3, data: Path | None = None, corpus: str = "emodb") -> list[Row]:
    """Measure, and return the rows.

    Args:
        num_clips: the number of clips.
        rounds: how often each side is timed.
        data: folder of corpora; None for clips of noise.
        corpus: the corpus to read from `data`.
    """
    clips = corpus_clips(data, corpus, num_clips) if data else noise(crema_d_lengths(num_clips))
    description = f"{len(clips)} clips of {corpus}" if data else f"{len(clips)} clips, CREMA-D's lengths"
    with tempfile.TemporaryDirectory() as folder:
        model = random_hubert(Path(folder))
        auto = str(choose_dtype("auto", "cpu")).removeprefix("torch.")
        dtypes = dict.fromkeys(["float32", auto, "bfloat16"])
        sides: dict[str, Callable[[], object]] = {
            BASELINE: plain_loop(model, clips, 1, torch.float32),
            "transformers, float32, padded batches of 8": plain_loop(model, clips, 8, torch.float32),
            "transformers, bfloat16, padded batches of 8": plain_loop(model, clips, 8, torch.bfloat16),
        }
        encoders = {dtype: load_encoder(str(model), EncoderOptions(dtype=dtype)) for dtype in dtypes}
        for dtype, encoder in encoders.items():
            sides[f"this library, {dtype}, one batch at a time"] = library_loop(encoder, clips, lanes=1)
            sides[f"this library, {dtype}"] = library_loop(encoder, clips)
        products = {dtype: matrix_product(getattr(torch, dtype)) for dtype in ("float32", "bfloat16")}
        seconds = time_in_turn({**sides, **products}, rounds)
        vectors = {dtype: np.stack(library_loop(encoders[dtype], clips)()) for dtype in ("float32", "bfloat16")}
        reference = np.stack(block_outputs(model, clips))
    audio_s = sum(len(clip) for clip in clips) / 16_000
    return [
        *(_speed_row(side, description, audio_s, seconds) for side in sides if side != BASELINE),
        *(_exactness_row(dtype, vectors[dtype], reference) for dtype in vectors),
        _product_row(seconds),
    ]


def _speed_row(side: str, description: str, audio_s: float, seconds: dict[str, list[float]]) -> Row:
    """Compare the speed of one side with the baseline.

    Args:
        side: its name in `seconds`.
        description: what was encoded.
        audio_s: length of all clips.
        seconds: of every side, round by round.
    """
    return Row(
        f"{side} ({description})",
        f"{audio_s / np.median(seconds[side]):.1f} audio-s/s",
        f"{BASELINE}: {audio_s / np.median(seconds[BASELINE]):.1f}",
        speedup(seconds[BASELINE], seconds[side]),
    )


def _exactness_row(dtype: str, vectors: np.ndarray, reference: np.ndarray) -> Row:
    """Compare vectors, (clips, layers, width), with those of transformers in float32."""
    smallest = cosine(vectors, reference).min()
    return Row(f"smallest cosine of a pooled layer, {dtype}", f"{smallest:.7f}", "transformers, float32")


def _product_row(seconds: dict[str, list[float]]) -> Row:
    """Compare the speed of matrix products in bfloat16 with float32."""
    speeds = {dtype: PRODUCT_FLOPS / np.median(seconds[dtype]) / 1e9 for dtype in ("bfloat16", "float32")}
    return Row(
        f"{PRODUCT}, bfloat16",
        f"{speeds['bfloat16']:.0f} GFLOP/s",
        f"float32: {speeds['float32']:.0f} GFLOP/s",
        speedup(seconds["float32"], seconds["bfloat16"]),
    )


def cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the cosine similarity of vectors along the last axis."""
    product = (first * second).sum(-1, dtype=np.float64)
    return (
        product / np.linalg.norm(first.astype(np.float64), axis=-1) / np.linalg.norm(second.astype(np.float64), axis=-1)
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=24, help="clips (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is timed (default: %(default)s)")
    parser.add_argument("--data", type=Path, help="folder of corpora (default: noise in place of a corpus)")
    parser.add_argument("--corpus", default="emodb", help="corpus in --data (default: %(default)s)")
    args = parser.parse_args()
    print(markdown_table(run(args.clips, args.rounds, args.data, args.corpus)))
