"""The extraction engine: from the clips of a manifest to part files, chunk by chunk.

Threads decode ahead while the encoder works. A chunk of 100 clips is sorted into batches of like length, encoded,
and written as one part file. At most one chunk's worth of clips is in memory: as a batch leaves, as many clips of the
next chunk are started on. What is in a chunk follows from the list of pending clips alone, so that a run that was
killed and started again encodes the same batches and writes the same numbers as one that was not.
"""

import dataclasses
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from ser_embed.audio.decode import FACTS, AudioPreprocessing, ClipFacts, load_clip
from ser_embed.encoders.base import Encoder
from ser_embed.encoders.batching import BatchPool
from ser_embed.errors import ClipError
from ser_embed.spec import RATE_HZ
from ser_embed.store.parts import PartFolder

Advance = Callable[[int, float], None]  # called with clips and audio-seconds newly done


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Clips that are encoded and written together.

    Attributes:
        number: of the part file.
        clips: their manifest rows.
    """

    number: int
    clips: pd.DataFrame


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """How clips are read and grouped.

    Attributes:
        data: the folder the manifest's paths start from.
        preparation: what is done to each waveform.
        workers: threads that decode.
        batch_seconds: audio in a batch; None lets the encoder choose.
    """

    data: Path
    preparation: AudioPreprocessing
    workers: int
    batch_seconds: float | None


def cut_chunks(pending: pd.DataFrame, size: int, first_number: int) -> list[Chunk]:
    """Cut the clips to be done into chunks, in order."""
    starts = range(0, len(pending), size)
    return [Chunk(first_number + start // size, pending.iloc[start : start + size]) for start in starts]


def encode_chunks(
    encoder: Encoder, chunks: Sequence[Chunk], reading: ReadOptions, parts: PartFolder, advance: Advance
) -> None:
    """Encode chunks and write each as a part file.

    Args:
        encoder: what makes the vectors.
        chunks: the clips, in the order they are to be done.
        reading: how they are read.
        parts: where the part files go.
        advance: told after every batch how far it has come.

    Raises:
        OSError: a part cannot be written; the ones before it are safe.
    """
    paths = (path for chunk in chunks for path in chunk.clips["path"])
    with (
        ThreadPoolExecutor(reading.workers, thread_name_prefix="decode") as pool,
        BatchPool(encoder, reading.batch_seconds) as lanes,
    ):
        ahead: deque[Future[tuple[np.ndarray, ClipFacts] | ClipError]] = deque()

        def read_ahead(count: int) -> None:
            ahead.extend(pool.submit(_read, reading, path, encoder.max_clip_s) for path in islice(paths, count))

        def done(clips: int, seconds: float) -> None:
            advance(clips, seconds)
            read_ahead(clips)  # there is room for as many

        for chunk in chunks:
            read_ahead(max(0, len(chunk.clips) - len(ahead)))
            outcomes = [ahead.popleft().result() for _ in range(len(chunk.clips))]
            waveforms = {row: outcome[0] for row, outcome in enumerate(outcomes) if not isinstance(outcome, ClipError)}
            facts = [outcome if isinstance(outcome, ClipError) else outcome[1] for outcome in outcomes]
            del outcomes  # the waveforms are held once, and let go of batch by batch
            done(len(facts) - len(waveforms), 0.0)
            vectors: dict[int, np.ndarray] = {}
            lengths = {row: len(waveform) for row, waveform in waveforms.items()}
            for batch in lanes.encode(waveforms):
                vectors.update(batch)
                done(len(batch), sum(lengths[row] for row in batch) / RATE_HZ)
            for row, vector in vectors.items():
                if not np.isfinite(vector).all():
                    facts[row] = ClipError("the encoder gave numbers that are not finite")
            parts.write(chunk.number, encoder.spec, *_sorted_out(chunk.clips, facts, vectors))


def _read(reading: ReadOptions, path: str, max_clip_s: float) -> tuple[np.ndarray, ClipFacts] | ClipError:
    try:
        waveform, facts = load_clip(reading.data / path, reading.preparation)
        if len(waveform) > max_clip_s * RATE_HZ:
            seconds = len(waveform) / RATE_HZ
            raise ClipError(f"too long: {seconds:.0f} s, at most {max_clip_s:.0f} s; cut it into utterances")
    except ClipError as error:
        return error
    return waveform, facts


def _sorted_out(
    clips: pd.DataFrame, facts: list[ClipFacts | ClipError], vectors: dict[int, np.ndarray]
) -> tuple[pd.DataFrame, list[np.ndarray], pd.DataFrame]:
    """Part a chunk into the rows that were read, completed by what reading told, and those that were not."""
    read = [(row, fact) for row, fact in enumerate(facts) if isinstance(fact, ClipFacts)]
    columns = pd.DataFrame([dataclasses.asdict(fact) for _, fact in read], columns=list(FACTS))
    readable = clips.iloc[[row for row, _ in read]].assign(**{name: columns[name].to_numpy() for name in FACTS})
    failed = [(row, str(fact)) for row, fact in enumerate(facts) if isinstance(fact, ClipError)]
    unreadable = clips.iloc[[row for row, _ in failed]].assign(reason=[reason for _, reason in failed])
    return readable, [vectors[row] for row, _ in read], unreadable
