"""Extraction pipeline: from corpora to a manifest, from new clips to part files, and from part files to the store.

The old store and the part files stay valid until the new store has replaced them, so that an extraction can be killed
at any time and continued by the same command.
"""

import contextlib
import dataclasses
import importlib.metadata
import logging
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from ser_embed import __version__
from ser_embed.audio.decode import AudioPreprocessing
from ser_embed.cli import quiet
from ser_embed.corpora.scan import Scan, scan_data
from ser_embed.encoders.base import Encoder, EncoderOptions
from ser_embed.encoders.registry import find_family, load_encoder, source_name
from ser_embed.encoders.speaker_embeddings import stored_speakers
from ser_embed.encoders.training_clips import training_clips_of
from ser_embed.errors import InputError
from ser_embed.extraction.chunks import Chunk, ReadOptions, cut_chunks
from ser_embed.extraction.config import ExtractConfig
from ser_embed.extraction.copies import CopyRecipe, plan_copies
from ser_embed.extraction.devices import encode_on_devices
from ser_embed.extraction.report import (
    ExtractReport,
    describe_nothing_readable,
    note_stored_but_removed,
    note_stored_but_unreadable,
)
from ser_embed.extraction.tables import is_removed_from_corpora, merge_tables
from ser_embed.files import exclusive_lock
from ser_embed.manifest import UNREADABLE_COLUMNS, recordings_of
from ser_embed.spec import EmbeddingSpec
from ser_embed.store.cache import SOURCE_FILE, Cache
from ser_embed.store.merge import EncoderTraining, is_up_to_date, write_merged
from ser_embed.store.parts import PartFolder
from ser_embed.store.reader import Store
from ser_embed.store.seal import DamagedStore

logger = logging.getLogger(__name__)


def run_extraction(config: ExtractConfig) -> ExtractReport:
    """Run the extraction that `config` describes; see `ser_embed.extract`.

    Raises:
        InputError: before anything is written, if the model, the corpora, the store or the part files do not fit, or
            if no clip would be left in the store.
        OSError: a file cannot be written; the old store and complete part files are unchanged.
    """
    store_path = config.store_path
    # A misspelt model name, and a store file of another format, are reported before the encoder is loaded.
    find_family(config.model)
    scan = scan_data(config.data, config.corpus)
    if store_path.exists() and not (config.force and _is_damaged(store_path)):
        Store(store_path).close()
    encoder, further_devices = _load_encoders(config)
    with exclusive_lock(store_path):
        return _extract_into(store_path, encoder, further_devices, scan, config)


def _load_encoders(config: ExtractConfig) -> tuple[Encoder, dict[str, EncoderOptions]]:
    """Load the encoder of the first device.

    Returns:
        The encoder, and for each further device, under a name that is unique even if a device is listed twice, the
        options to load its encoder with.
    """
    preprocessing = AudioPreprocessing(config.trim_db, config.level_db)
    devices = config.device.split(",")
    revision = config.revision or _stored_revision(config)
    first = EncoderOptions(
        config.layers, config.pooling, preprocessing, devices[0], config.dtype, revision, config.storage
    )
    encoder = load_encoder(config.model, first)
    if config.device == "auto" and encoder.device == "cuda":
        import torch

        devices = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    first = dataclasses.replace(first, revision=encoder.spec.revision or None)  # a branch may move on meanwhile
    return encoder, {
        f"{device} ({index})": dataclasses.replace(first, device=device)
        for index, device in enumerate(devices)
        if index
    }


def _stored_revision(config: ExtractConfig) -> str | None:
    """Return the commit that the store, or an unfinished extraction into it, has vectors of, if of the same model."""
    for path in (config.store_path, *PartFolder(config.store_path)):
        # There may be no store yet; a damaged part file is reported later.
        with contextlib.suppress(InputError, OSError), Store(path) as store:
            if source_name(store.spec.model) == source_name(config.model):
                return store.spec.revision or None
    return None


def _extract_into(
    store_path: Path,
    encoder: Encoder,
    further_devices: dict[str, EncoderOptions],
    scan: Scan,
    config: ExtractConfig,
) -> ExtractReport:
    """Encode what is new into part files and merge them into the store, whose lock is held.

    Args:
        store_path: the store.
        encoder: the encoder of the first device.
        further_devices: for each further device the options to load its encoder with.
        scan: the clips of the corpora.
        config: the configuration of the extraction.
    """
    recordings = scan.manifest[: config.limit]
    manifest, copies = plan_copies(recordings, config.data, config.augment, config.augment_copies, config.augment_seed)
    training_clips = training_clips_of(encoder.spec)
    old_stores = _reusable_stores(store_path, encoder.spec, config.force)
    parts = PartFolder(store_path)
    parts.remove_drafts()
    parts.check(encoder.spec, drop=config.force)
    for message in (*scan.notes, *encoder.notes):  # after the checks: a command that fails prints its error only
        logger.warning(message)
    cache = Cache.from_files([*([] if config.force else old_stores), *parts]).without_outdated_copies(manifest)
    chunks = _pending_chunks(manifest, cache, parts, config)
    audio_s, elapsed_s = _encode_pending(encoder, further_devices, chunks, parts, config, copies)
    del cache, chunks  # their tables are as long as the manifest

    cache = Cache.from_files([*old_stores, *parts])
    current = cache.without_outdated_copies(manifest)
    num_dropped = len(cache.clips) - len(current.clips)
    clips, unreadable, all_unreadable = merge_tables(scan, manifest, store_path, current)
    is_removed = is_removed_from_corpora(scan, clips)
    if config.prune:
        clips = clips[~is_removed].reset_index(drop=True)
        num_dropped += int(is_removed.sum())
    if clips.empty and any(map(_has_clips, old_stores)):
        parts.remove()
        raise InputError(describe_nothing_readable(recordings, unreadable, config.data))
    speakers = stored_speakers(Path(config.model), encoder.spec.layers, encoder.spec.width)
    if config.force or not (old_stores and is_up_to_date(store_path, clips, all_unreadable, speakers)):
        training = EncoderTraining(speakers, training_clips)
        write_merged(store_path, encoder.spec, _software(config), clips, all_unreadable, training)
    parts.remove()
    recording_ids = recordings_of(clips)
    is_readable = ~(
        clips["utterance_id"].isin(unreadable["utterance_id"]) | recording_ids.isin(unreadable["utterance_id"])
    )
    note_stored_but_unreadable(clips[~is_readable])
    if not config.prune:
        note_stored_but_removed(clips[is_removed], config.data)
    is_new = clips[SOURCE_FILE] != str(store_path)
    return ExtractReport(
        store=store_path,
        spec=encoder.spec,
        clips=len(clips),
        copies=int((recording_ids != clips["utterance_id"]).sum()),
        extracted=int(is_new.sum()),
        unchanged=int((~is_new & is_readable & clips["utterance_id"].isin(manifest["utterance_id"])).sum()),
        dropped=num_dropped,
        unreadable=tuple(dict(zip(UNREADABLE_COLUMNS, row, strict=True)) for row in unreadable.to_numpy()),
        audio_s=audio_s,
        elapsed_s=elapsed_s,
    )


def _reusable_stores(store_path: Path, spec: EmbeddingSpec, force: bool) -> list[Path]:
    """Return the old store as a list of one path, or an empty list if there is none to reuse.

    Args:
        store_path: the store, which need not exist.
        spec: what the vectors of this run are.
        force: ignore a store that is damaged or of another spec instead of raising.

    Raises:
        InputError: the store holds vectors of another spec.
    """
    if not store_path.exists():
        return []
    if force and _is_damaged(store_path):
        logger.warning("%s was damaged: it is replaced, with whatever clips of other corpora it held", store_path)
        return []
    with Store(store_path) as store:
        if force and store.spec.differences(spec):
            return []
        store.spec.require_same(spec, str(store_path))
    return [store_path]


def _is_damaged(path: Path) -> bool:
    """Return whether a file was a store once, but cannot be opened as one."""
    try:
        Store(path).close()
    except DamagedStore:
        return True
    except InputError:
        pass
    return False


def _has_clips(path: Path) -> bool:
    """Return whether a store holds any clip."""
    with Store(path) as store:
        return len(store) > 0


def _pending_chunks(manifest: pd.DataFrame, cache: Cache, parts: PartFolder, config: ExtractConfig) -> list[Chunk]:
    """Return the chunks to encode: first new and changed clips, then clips that an unfinished run could not read.

    The latter may have been repaired since. They have chunks of their own, so that the chunks before them are those of
    an uninterrupted run.

    Args:
        manifest: the clips of this run.
        cache: the clips that are already extracted.
        parts: the part files of an unfinished run.
        config: the configuration of the extraction.
    """
    pending = manifest[~manifest["utterance_id"].isin(cache.unchanged_ids(manifest, config.data, config.workers))]
    in_parts = cache.unreadable[SOURCE_FILE] != str(config.store_path)
    is_retry = pending["utterance_id"].isin(cache.unreadable.loc[in_parts, "utterance_id"])
    chunks = cut_chunks(pending[~is_retry], config.chunk, parts.next_number())
    return chunks + cut_chunks(pending[is_retry], config.chunk, parts.next_number() + len(chunks))


def _encode_pending(
    encoder: Encoder,
    further_devices: dict[str, EncoderOptions],
    chunks: list[Chunk],
    parts: PartFolder,
    config: ExtractConfig,
    copies: Mapping[str, CopyRecipe],
) -> tuple[float, float]:
    """Encode chunks into part files and show a progress bar.

    Args:
        encoder: the encoder of the first device.
        further_devices: for each further device the options to load its encoder with.
        chunks: the clips to encode.
        parts: the folder for the part files.
        config: the configuration of the extraction.
        copies: what each augmented copy is made by.

    Returns:
        The audio that was encoded and the time it took, both in seconds.
    """
    preprocessing = AudioPreprocessing(config.trim_db, config.level_db)
    read_options = ReadOptions(config.data, preprocessing, config.workers, config.batch_seconds, copies)
    start, audio_s = time.perf_counter(), 0.0
    num_clips = sum(len(chunk.clips) for chunk in chunks)
    with tqdm(total=num_clips, desc=encoder.spec.name, unit="clip", disable=quiet()) as bar:

        def show_progress(new_clips: int, new_audio_s: float) -> None:
            nonlocal audio_s
            audio_s += new_audio_s
            bar.set_postfix_str(f"{audio_s / (time.perf_counter() - start):.1f} audio-s/s", refresh=False)
            bar.update(new_clips)

        job = (chunks, read_options, parts)
        encode_on_devices(encoder, further_devices, config.model, job, show_progress)
    return audio_s, time.perf_counter() - start


def _software(config: ExtractConfig) -> dict[str, Any]:
    """Return the installed versions of what the vectors depend on, and the absolute path of the data folder."""
    packages = ["numpy", "torch", "transformers", "soundfile", "soxr", "librosa", "opensmile"]
    packages += ["scipy", "python-stretch"] if config.augment else []
    versions = {}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "twostage-ser": __version__,
        "python": platform.python_version(),
        **versions,
        "data": str(config.data.resolve()),
    }
