"""Extraction on several accelerators: one process for each, with its share of the chunks.

The calling process encodes on the first device and starts one process for each further device. The processes share only
the part folder: each writes the part files of its own chunks. The number and the content of a part file do not depend
on the device that encodes it.
"""

import multiprocessing
import queue
import sys
from collections.abc import Sequence
from multiprocessing.queues import Queue

from ser_embed.encoders.base import Encoder, EncoderOptions
from ser_embed.encoders.registry import load_encoder
from ser_embed.errors import SerError
from ser_embed.extraction.chunks import Chunk, ProgressCallback, ReadOptions, encode_chunks
from ser_embed.store.parts import PartFolder

EncodingJob = tuple[Sequence[Chunk], ReadOptions, PartFolder]


def encode_on_devices(
    encoder: Encoder,
    further_devices: dict[str, EncoderOptions],
    model: str,
    job: EncodingJob,
    on_progress: ProgressCallback,
) -> None:
    """Encode chunks on one device or several.

    Args:
        encoder: the encoder of this process, on the first device.
        further_devices: for each further device, its name and the options to load its encoder with.
        model: name of the model to load there.
        job: all chunks, how clips are read, and the folder for the part files.
        on_progress: called after every batch of every device.

    Raises:
        SerError: the process of a further device failed; complete part files are kept.
    """
    chunks, read_options, parts = job
    if not further_devices:
        encode_chunks(encoder, chunks, read_options, parts, on_progress)
        return
    num_devices = 1 + len(further_devices)
    context = multiprocessing.get_context("spawn")  # CUDA cannot be used in a forked process
    progress = context.Queue()
    processes = {
        device: context.Process(
            target=_encode_share,
            args=(model, options, (chunks[index::num_devices], read_options, parts), progress),
            daemon=True,
        )
        for index, (device, options) in enumerate(further_devices.items(), start=1)
    }
    for process in processes.values():
        process.start()

    def report_all_devices(num_clips: int, audio_s: float) -> None:
        on_progress(num_clips, audio_s)
        _forward_progress(progress, on_progress)

    encode_chunks(encoder, chunks[::num_devices], read_options, parts, report_all_devices)
    for device, process in processes.items():
        while process.is_alive():
            process.join(timeout=0.2)
            _forward_progress(progress, on_progress)
        if process.exitcode:
            raise SerError(
                f"the process on {device} failed with exit code {process.exitcode}; run the same command again"
            )
    _forward_progress(progress, on_progress)


def _encode_share(model: str, options: EncoderOptions, job: EncodingJob, progress: "Queue[tuple[int, float]]") -> None:
    """Encode the chunks of one further device, in a process of its own.

    Args:
        model: name of the model to load.
        options: the options to load it with, which include the device.
        job: the chunks of this device, how clips are read, and the folder for the part files.
        progress: receives the number of clips and the seconds of audio of every batch.
    """
    parent = multiprocessing.parent_process()

    def send_progress(num_clips: int, audio_s: float) -> None:
        if parent is not None and not parent.is_alive():
            sys.exit("the parent process of this extraction has ended")
        progress.put((num_clips, audio_s))

    encode_chunks(load_encoder(model, options), *job, send_progress)


def _forward_progress(progress: "Queue[tuple[int, float]]", on_progress: ProgressCallback) -> None:
    """Pass on all progress that is waiting in the queue."""
    while True:
        try:
            on_progress(*progress.get_nowait())
        except queue.Empty:
            return
