"""Several accelerators: one process each, on its share of the chunks.

The calling process works on the first device and starts one more for every other. They meet only in the part folder:
each writes the parts of its own chunks, whose numbers and contents do not depend on who encodes them.
"""

import multiprocessing
import queue
import sys
from collections.abc import Callable, Sequence
from multiprocessing.queues import Queue

from ser_embed.encoders.base import Encoder, EncoderOptions
from ser_embed.encoders.registry import load_encoder
from ser_embed.errors import SerError
from ser_embed.extraction.chunks import Advance, Chunk, ReadOptions, encode_chunks
from ser_embed.store.parts import PartFolder

Work = tuple[Sequence[Chunk], ReadOptions, PartFolder]


def encode_on(encoder: Encoder, others: dict[str, EncoderOptions], model: str, work: Work, advance: Advance) -> None:
    """Encode chunks on one device or several.

    Args:
        encoder: the encoder of this process.
        others: for every further device the options its encoder is loaded with.
        model: what to load there.
        work: all chunks, how to read clips, and where parts go.
        advance: told after every batch, whichever device did it.

    Raises:
        SerError: the process of another device failed; finished parts are kept.
    """
    chunks, reading, parts = work
    if not others:
        encode_chunks(encoder, chunks, reading, parts, advance)
        return
    step = 1 + len(others)
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    progress = context.Queue()
    processes = {
        device: context.Process(
            target=_work, args=(model, options, (chunks[share::step], reading, parts), progress), daemon=True
        )
        for share, (device, options) in enumerate(others.items(), start=1)
    }
    for process in processes.values():
        process.start()

    def advance_all(clips: int, seconds: float) -> None:
        advance(clips, seconds)
        _drain(progress, advance)

    encode_chunks(encoder, chunks[::step], reading, parts, advance_all)
    for device, process in processes.items():
        while process.is_alive():
            process.join(timeout=0.2)
            _drain(progress, advance)
        if process.exitcode:
            raise SerError(
                f"the process on {device} failed with exit code {process.exitcode}; run the same command again"
            )
    _drain(progress, advance)


def _work(model: str, options: EncoderOptions, work: Work, progress: "Queue[tuple[int, float]]") -> None:
    parent = multiprocessing.parent_process()

    def advance(clips: int, seconds: float) -> None:
        if parent is not None and not parent.is_alive():
            sys.exit("the process that started this one is gone")
        progress.put((clips, seconds))

    encode_chunks(load_encoder(model, options), *work, advance)


def _drain(progress: "Queue[tuple[int, float]]", advance: Callable[[int, float], None]) -> None:
    while True:
        try:
            advance(*progress.get_nowait())
        except queue.Empty:
            return
