"""A whole extraction: corpora to manifest, what is new to part files, part files to the store."""

import contextlib
import dataclasses
import importlib.metadata
import platform
import time
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from ser_embed import __version__
from ser_embed.audio.decode import AudioPreprocessing
from ser_embed.cli import note, quiet
from ser_embed.corpora.scan import Scan, scan_data
from ser_embed.encoders.base import Encoder, EncoderOptions
from ser_embed.encoders.registry import find_family, load_encoder
from ser_embed.encoders.speaker_embeddings import stored_speakers
from ser_embed.errors import InputError
from ser_embed.extraction.chunks import Chunk, ReadOptions, cut_chunks
from ser_embed.extraction.config import ExtractConfig
from ser_embed.extraction.devices import encode_on
from ser_embed.files import exclusive_lock
from ser_embed.manifest import UNREADABLE_COLUMNS
from ser_embed.spec import EmbeddingSpec
from ser_embed.store.cache import SOURCE, Cache
from ser_embed.store.merge import is_up_to_date, merged_clips, merged_unreadable, write_merged
from ser_embed.store.parts import PartFolder
from ser_embed.store.reader import Store


@dataclasses.dataclass(frozen=True)
class ExtractReport:
    """What an extraction did.

    Attributes:
        store: the file.
        spec: what its vectors are.
        clips: how many clips it holds now.
        extracted: clips encoded, in this run or in an unfinished one it went on with.
        unchanged: clips of the manifest that were in the store already, and can be read.
        dropped: stored clips that the corpora no longer have, left out of the store now.
        unreadable: one {"utterance_id", "path", "reason"} for each clip of this run that could not be read.
        audio_s: seconds of audio encoded in this run.
        elapsed_s: seconds the encoding took.
    """

    store: Path
    spec: EmbeddingSpec
    clips: int
    extracted: int
    unchanged: int
    dropped: int
    unreadable: tuple[dict[str, str], ...]
    audio_s: float
    elapsed_s: float

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {**dataclasses.asdict(self), "store": str(self.store)}

    def summary(self) -> str:
        """Return the report as two lines for a person."""
        layers = f"{len(self.spec.layers)} layer{'s' if len(self.spec.layers) > 1 else ''} x {self.spec.width}"
        speed = f" ({self.audio_s / self.elapsed_s:.1f} audio-seconds per second)" if self.audio_s else ""
        dropped = f", {self.dropped} dropped" if self.dropped else ""
        return (
            f"{self.store}: {self.clips} clips, {layers}, {self.spec.pooling} of {self.spec.name}\n"
            f"{self.extracted} extracted{speed}, {self.unchanged} unchanged, {len(self.unreadable)} unreadable{dropped}"
        )


def run_extraction(config: ExtractConfig) -> ExtractReport:
    """Extract what `settings` ask for; see `ser_embed.extract`.

    Raises:
        InputError: before anything is written, if the model, the corpora, the store or the part files do not fit, or
            if none of the store's clips would be left.
        OSError: something could not be written; the old store and finished parts are untouched.
    """
    path = config.store_path
    find_family(config.model)  # a misspelt name is told at once
    scan = scan_data(config.data, config.corpus)
    if path.exists():
        Store(path).close()  # and so is a file of another format
    encoder, others = _load_encoders(config)
    with exclusive_lock(path):
        return _extract_into(path, encoder, others, scan, config)


def _load_encoders(config: ExtractConfig) -> tuple[Encoder, dict[str, EncoderOptions]]:
    """Load the encoder of this process, and say with which options further devices load theirs."""
    preparation = AudioPreprocessing(config.trim_db, config.level_db)
    devices = config.device.split(",")
    options = [EncoderOptions(config.layers, config.pooling, preparation, device, config.dtype) for device in devices]
    encoder = load_encoder(config.model, options[0])
    if config.device == "auto" and encoder.device == "cuda":
        import torch

        devices = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        options = [dataclasses.replace(options[0], device=device) for device in devices]
    return encoder, {f"{device} ({index})": options[index] for index, device in enumerate(devices) if index}


def _extract_into(
    path: Path, encoder: Encoder, others: dict[str, EncoderOptions], scan: Scan, config: ExtractConfig
) -> ExtractReport:
    manifest = scan.manifest[: config.limit]
    stored = _usable_store(path, encoder.spec, config.force)
    parts = PartFolder(path)
    parts.sweep()
    parts.check(encoder.spec, drop=config.force)
    for message in (*scan.notes, *encoder.notes):  # not before the checks: a command that fails says that alone
        note(message)
    cache = Cache.of([*([] if config.force else stored), *parts])
    chunks = _pending_chunks(manifest, cache, parts, config)
    audio_s, elapsed_s = _encode_pending(encoder, others, chunks, parts, config)
    del cache, chunks  # tables as long as the manifest

    clips, unreadable, listed = _outcome(scan, manifest, path, Cache.of([*stored, *parts]))
    gone = _gone(scan, clips)
    if config.prune:
        clips = clips[~gone].reset_index(drop=True)
    if clips.empty and any(map(_holds_clips, stored)):
        parts.remove()
        raise InputError(_nothing_readable(manifest, unreadable, config.data))
    speakers = stored_speakers(Path(config.model), encoder.spec.layers, encoder.spec.width)
    if config.force or not (stored and is_up_to_date(path, clips, listed, speakers)):
        write_merged(path, encoder.spec, _software(config.data), clips, listed, speakers)
    parts.remove()
    readable = ~clips["utterance_id"].isin(unreadable["utterance_id"])
    _note_kept(clips[~readable])
    if not config.prune:
        _note_gone(clips[gone], config.data)
    new = clips[SOURCE[0]] != str(path)
    return ExtractReport(
        store=path,
        spec=encoder.spec,
        clips=len(clips),
        extracted=int(new.sum()),
        unchanged=int((~new & readable & clips["utterance_id"].isin(manifest["utterance_id"])).sum()),
        dropped=int(gone.sum()) if config.prune else 0,
        unreadable=tuple(dict(zip(UNREADABLE_COLUMNS, row, strict=True)) for row in unreadable.to_numpy()),
        audio_s=audio_s,
        elapsed_s=elapsed_s,
    )


def _usable_store(path: Path, spec: EmbeddingSpec, force: bool) -> list[Path]:
    """Return the old store as a list of one or none; one of another spec is an error, or dropped by --force."""
    if not path.exists():
        return []
    with Store(path) as store:
        if force and store.spec.differences(spec):
            return []
        store.spec.require_same(spec, str(path))
    return [path]


def _holds_clips(path: Path) -> bool:
    with Store(path) as store:
        return len(store) > 0


def _pending_chunks(manifest: pd.DataFrame, cache: Cache, parts: PartFolder, config: ExtractConfig) -> list[Chunk]:
    """Return what is to be encoded: clips that are new or changed, then those an unfinished run could not read.

    The latter may have been put right since. They come apart, so that the chunks before are those of an unbroken run.
    """
    pending = manifest[~manifest["utterance_id"].isin(cache.unchanged(manifest, config.data, config.workers))]
    tried = cache.unreadable.loc[cache.unreadable[SOURCE[0]] != str(config.store_path), "utterance_id"]
    again = pending["utterance_id"].isin(tried)
    chunks = cut_chunks(pending[~again], config.chunk, parts.next_number())
    return chunks + cut_chunks(pending[again], config.chunk, parts.next_number() + len(chunks))


def _encode_pending(
    encoder: Encoder,
    others: dict[str, EncoderOptions],
    chunks: list[Chunk],
    parts: PartFolder,
    config: ExtractConfig,
) -> tuple[float, float]:
    """Encode chunks into part files under a progress bar; return audio-seconds and seconds."""
    preparation = AudioPreprocessing(config.trim_db, config.level_db)
    reading = ReadOptions(config.data, preparation, config.workers, config.batch_seconds)
    start, audio_s = time.perf_counter(), 0.0
    num_clips = sum(len(chunk.clips) for chunk in chunks)
    with tqdm(total=num_clips, desc=encoder.spec.name, unit="clip", disable=quiet()) as bar:

        def advance(clips: int, seconds: float) -> None:
            nonlocal audio_s
            audio_s += seconds
            bar.set_postfix_str(f"{audio_s / (time.perf_counter() - start):.1f} audio-s/s", refresh=False)
            bar.update(clips)

        encode_on(encoder, others, config.model, (chunks, reading, parts), advance)
    return audio_s, time.perf_counter() - start


def _outcome(
    scan: Scan, manifest: pd.DataFrame, path: Path, cache: Cache
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return the clips the new store will hold, those this run could not use, and those the store will list as such."""
    failed = cache.unreadable[cache.unreadable[SOURCE[0]] != str(path)]
    unreadable = pd.concat([scan.unreadable, failed])[list(UNREADABLE_COLUMNS)]  # misnamed, or not to be decoded
    listed = merged_unreadable(unreadable, _other_unreadable(scan, manifest, cache, path))
    readable = manifest[~manifest["utterance_id"].isin(failed["utterance_id"])]
    return merged_clips(readable, cache), unreadable, listed


def _other_unreadable(scan: Scan, manifest: pd.DataFrame, cache: Cache, path: Path) -> pd.DataFrame:
    """Return what the old store lists as unreadable and this run did not look at: other corpora, or past --limit."""
    old = cache.unreadable[cache.unreadable[SOURCE[0]] == str(path)]
    passed_over = set(scan.manifest["utterance_id"]) - set(manifest["utterance_id"])
    seen = {_corpus_of(name) for name in [*scan.manifest["utterance_id"], *scan.unreadable["utterance_id"]]}
    return old[old["utterance_id"].isin(passed_over) | ~old["utterance_id"].map(_corpus_of).isin(seen)]


def _corpus_of(utterance_id: str) -> str:
    return utterance_id.partition("/")[0]


def _nothing_readable(manifest: pd.DataFrame, unreadable: pd.DataFrame, data: Path) -> str:
    first = unreadable[unreadable["utterance_id"].isin(manifest["utterance_id"])].iloc[0]
    found = f"none of the {len(manifest)} can be read, such as {first['path']}: {first['reason']}"
    return f"expected clips that can be read in {data}, but {found}"


def _note_kept(clips: pd.DataFrame) -> None:
    """Say which clips cannot be read now, but keep the vectors they have."""
    if len(clips):
        first = clips["utterance_id"].iloc[0]
        note(f"{len(clips)} clips that cannot be read now keep their stored vectors, such as {first}")


def _gone(scan: Scan, clips: pd.DataFrame) -> pd.Series:
    """Return which clips the corpora of this run no longer have, as booleans (clips,)."""
    ours = clips["corpus"].isin(scan.manifest["corpus"].unique())
    return ours & ~clips["utterance_id"].isin(scan.manifest["utterance_id"])


def _note_gone(clips: pd.DataFrame, data: Path) -> None:
    """Say which stored clips the corpora no longer have, but are kept."""
    if len(clips):
        found = f"{len(clips)} stored clips are no longer in {data}, such as {clips['utterance_id'].iloc[0]}"
        note(f"{found}; they are kept in the store; --prune drops them")


def _software(data: Path) -> dict[str, Any]:
    packages = ("numpy", "torch", "transformers", "soundfile", "soxr", "librosa", "opensmile")
    versions = {}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {"twostage-ser": __version__, "python": platform.python_version(), **versions, "data": str(data.resolve())}
