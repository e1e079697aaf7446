"""Chunks of an extraction: clips of a manifest that are decoded, encoded and written to one part file together.

Threads decode ahead while the encoder works. A chunk of 100 clips is sorted into batches of similar length, encoded,
and written as one part file. At most one chunk's worth of clips is in memory: when a batch is done, as many clips of
the next chunk are submitted for decoding. The content of a chunk depends only on the list of pending clips, so that a
run that was killed and started again encodes the same batches and writes the same numbers as an uninterrupted one.
"""

import dataclasses
import functools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from ser_embed.audio.decode import FACTS, AudioPreprocessing, ClipFacts, load_clip
from ser_embed.encoders.base import Encoder
from ser_embed.encoders.batching import BatchPool
from ser_embed.errors import ClipError
from ser_embed.extraction.copies import CopyRecipe
from ser_embed.spec import RATE_HZ
from ser_embed.store.parts import PartFolder

# Called with the number of clips and the seconds of audio that were completed since the last call.
ProgressCallback = Callable[[int, float], None]
DecodedClip = tuple[np.ndarray, ClipFacts]  # float32 (samples,) at 16 kHz, and the facts about the file


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Clips that are encoded and written together.

    Attributes:
        number: number of the part file.
        clips: manifest rows.
    """

    number: int
    clips: pd.DataFrame


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """Options for reading and batching clips.

    Attributes:
        data: the folder that the manifest's paths are relative to.
        preprocessing: trimming and levelling of each waveform.
        workers: number of threads that decode.
        batch_seconds: audio in one batch, in seconds; None lets the encoder choose.
        copies: what each augmented copy is made by, by its utterance_id.
    """

    data: Path
    preprocessing: AudioPreprocessing
    workers: int
    batch_seconds: float | None
    copies: Mapping[str, CopyRecipe] = dataclasses.field(default_factory=dict)


def cut_chunks(pending: pd.DataFrame, size: int, first_number: int) -> list[Chunk]:
    """Cut a manifest into chunks, in its order.

    Args:
        pending: the clips to be encoded, one row each.
        size: clips in a chunk; the last chunk may have fewer.
        first_number: number of the first chunk's part file; the others count up from it.
    """
    starts = range(0, len(pending), size)
    return [Chunk(first_number + start // size, pending.iloc[start : start + size]) for start in starts]


def encode_chunks(
    encoder: Encoder,
    chunks: Sequence[Chunk],
    read_options: ReadOptions,
    parts: PartFolder,
    on_progress: ProgressCallback,
) -> None:
    """Encode chunks and write each as a part file.

    Args:
        encoder: computes the vectors.
        chunks: the clips, in the order in which they are to be encoded.
        read_options: how clips are read and batched.
        parts: the folder for the part files.
        on_progress: called after every batch, and for clips that cannot be read.

    Raises:
        OSError: a part file cannot be written; those written before it are complete.
    """
    with (
        ThreadPoolExecutor(read_options.workers, thread_name_prefix="decode") as threads,
        BatchPool(encoder, read_options.batch_seconds) as batch_pool,
    ):
        decoder = _AheadDecoder(threads, chunks, read_options, encoder.max_clip_s)

        def complete(num_clips: int, audio_s: float) -> None:
            on_progress(num_clips, audio_s)
            decoder.submit(num_clips)  # the completed clips are no longer in memory, so there is room for as many

        for chunk in chunks:
            decoder.submit(max(0, len(chunk.clips) - decoder.num_submitted))
            waveforms, facts = _separate_waveforms(decoder.take(len(chunk.clips)))
            complete(len(facts) - len(waveforms), 0.0)
            vectors: dict[int, np.ndarray] = {}
            lengths = {row: len(waveform) for row, waveform in waveforms.items()}
            for batch in batch_pool.encode(waveforms):
                vectors.update(batch)
                complete(len(batch), sum(lengths[row] for row in batch) / RATE_HZ)
            for row, vector in vectors.items():
                if not np.isfinite(vector).all():
                    facts[row] = ClipError("the encoder gave numbers that are not finite")
            parts.write(chunk.number, encoder.spec, *_split_by_outcome(chunk.clips, facts, vectors))


class _AheadDecoder:
    """Decoder of the clips of all chunks, in order, on several threads and ahead of the encoder."""

    def __init__(
        self, threads: ThreadPoolExecutor, chunks: Sequence[Chunk], read_options: ReadOptions, max_clip_s: float
    ) -> None:
        """Prepare to decode; nothing is submitted yet.

        Args:
            threads: the threads to decode on.
            chunks: the clips.
            read_options: how clips are read.
            max_clip_s: longest clip that the encoder takes, in seconds.
        """
        self._threads = threads
        self._clips = (clip for chunk in chunks for clip in chunk.clips[["utterance_id", "path"]].to_numpy().tolist())
        self._read_options = read_options
        self._max_clip_s = max_clip_s
        self._futures: deque[Future[DecodedClip | ClipError]] = deque()

    @property
    def num_submitted(self) -> int:
        """Number of clips that were submitted and not taken yet."""
        return len(self._futures)

    def submit(self, num_clips: int) -> None:
        """Submit the next clips for decoding; fewer at the end of the last chunk."""
        self._futures.extend(
            self._threads.submit(_decode_clip, self._read_options, name, path, self._max_clip_s)
            for name, path in islice(self._clips, num_clips)
        )

    def take(self, num_clips: int) -> list[DecodedClip | ClipError]:
        """Wait for the first submitted clips and return them, or for each that cannot be read, the reason."""
        return [self._futures.popleft().result() for _ in range(num_clips)]


def _decode_clip(read_options: ReadOptions, utterance_id: str, path: str, max_clip_s: float) -> DecodedClip | ClipError:
    """Read one clip, or make an augmented copy of it.

    Args:
        read_options: how clips are read.
        utterance_id: as in the manifest.
        path: as in the manifest, relative to the data folder.
        max_clip_s: longest clip that the encoder takes, in seconds.

    Returns:
        The waveform and the facts about the clip, or the reason why it cannot be used.
    """
    recipe = read_options.copies.get(utterance_id)
    augment = None if recipe is None else functools.partial(recipe.make, data=read_options.data)
    try:
        waveform, facts = load_clip(read_options.data / path, read_options.preprocessing, augment)
        if len(waveform) > max_clip_s * RATE_HZ:
            duration_s = len(waveform) / RATE_HZ
            raise ClipError(f"too long: {duration_s:.0f} s, at most {max_clip_s:.0f} s; cut it into utterances")
    except ClipError as error:
        return error
    return waveform, facts


def _separate_waveforms(
    outcomes: list[DecodedClip | ClipError],
) -> tuple[dict[int, np.ndarray], list[ClipFacts | ClipError]]:
    """Separate the waveforms of a chunk from the facts about its clips.

    The caller keeps no other reference to a waveform, so that its memory is freed as soon as the batch pool removes it
    from the dictionary.

    Returns:
        The waveforms by row in the chunk, of the clips that could be read, and for each row the facts or the error.
    """
    waveforms = {row: outcome[0] for row, outcome in enumerate(outcomes) if not isinstance(outcome, ClipError)}
    facts = [outcome if isinstance(outcome, ClipError) else outcome[1] for outcome in outcomes]
    return waveforms, facts


def _split_by_outcome(
    clips: pd.DataFrame, facts: list[ClipFacts | ClipError], vectors: dict[int, np.ndarray]
) -> tuple[pd.DataFrame, list[np.ndarray], pd.DataFrame]:
    """Split the clips of a chunk into those that have vectors and those that could not be read or encoded.

    Args:
        clips: manifest rows of the chunk.
        facts: for each row the facts about the clip, or the error.
        vectors: the vectors by row.

    Returns:
        The readable clips with the columns `FACTS` filled in, their vectors in the same order, and the unreadable clips
        with the column `reason`.
    """
    readable_facts = [(row, fact) for row, fact in enumerate(facts) if isinstance(fact, ClipFacts)]
    columns = pd.DataFrame([dataclasses.asdict(fact) for _, fact in readable_facts], columns=list(FACTS))
    readable = clips.iloc[[row for row, _ in readable_facts]]
    readable = readable.assign(**{name: columns[name].to_numpy() for name in FACTS})
    errors = [(row, str(fact)) for row, fact in enumerate(facts) if isinstance(fact, ClipError)]
    unreadable = clips.iloc[[row for row, _ in errors]].assign(reason=[reason for _, reason in errors])
    return readable, [vectors[row] for row, _ in readable_facts], unreadable
