"""Scan of a data folder: the manifest of its clips, made from file names and tables.

No audio is read, so that thousands of clips take less than a second.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from ser_embed.corpora.audio_files import SUFFIXES, audio_files, drop_duplicate_files, storable
from ser_embed.corpora.base import Corpus
from ser_embed.corpora.manifest_csv import MANIFEST, UnusableCorpus, read_manifest
from ser_embed.corpora.registry import CORPORA, CorpusLocation, find_corpora, select_corpora
from ser_embed.errors import InputError
from ser_embed.manifest import EMOTIONS, UNREADABLE_COLUMNS, build_manifest, combine

_MAX_LISTED_LABELS = 5  # in a note about unknown labels


@dataclasses.dataclass(frozen=True)
class Scan:
    """The content of a data folder.

    Attributes:
        manifest: the clips, sorted by utterance_id; `path` is relative to the data folder.
        unreadable: audio files whose names do not follow the grammar of their corpus: utterance_id, path, reason.
        notes: what was left out and why, one line each.
    """

    manifest: pd.DataFrame
    unreadable: pd.DataFrame
    notes: tuple[str, ...]


def scan_data(data: str | Path, corpora: Sequence[str] = ()) -> Scan:
    """List the clips of a data folder.

    Args:
        data: a folder that holds corpora in subfolders, or is a corpus itself.
        corpora: names of the requested corpora; if empty, all corpora that can be used. If no corpus is found in
            `data`, a single name of the registry states which corpus `data` itself is, whatever the folder's name.

    Raises:
        InputError: there is no such folder or no corpus in it; a requested corpus is missing or has no clips; or a
            csv table cannot be read or lacks a column.
    """
    data = Path(data)
    locations = find_corpora(data)
    scans, notes = [], []
    for location in select_corpora(data, locations, corpora) if corpora else locations.values():
        try:
            scans.append(_scan_location(data, location))
        except UnusableCorpus as reason:
            if corpora:
                raise
            notes.append(f"{location.name} left out: {reason}")
    if not scans:
        raise InputError(_describe_empty(data, notes))
    return Scan(
        manifest=combine(scan.manifest for scan in scans),
        unreadable=pd.concat([scan.unreadable for scan in scans], ignore_index=True),
        notes=(*notes, *(note for scan in scans for note in scan.notes)),
    )


def _describe_empty(data: Path, notes: Sequence[str]) -> str:
    """Return the message for a data folder without a usable corpus; `notes` say which ones were left out."""
    expected = f"expected a corpus in {data}: a folder named {', '.join(CORPORA)}, or one with a {MANIFEST}"
    content = "; ".join(notes) or "found none"
    return f"{expected}; {content} (see data/README.md, or make one with: python -m ser_embed.demo {data / 'demo'})"


def _scan_location(data: Path, location: CorpusLocation) -> Scan:
    if location.corpus is not None:
        return _scan_corpus(data, location.corpus, location.folders)
    (folder,) = location.folders
    prefix = _relative(data, folder)
    rows = ({**row, "path": str(prefix / row["path"])} for row in read_manifest(folder, location.name))
    manifest = build_manifest(rows)
    return Scan(manifest, _unreadable_table([]), tuple(_note_unknown_labels(location.name, manifest["emotion"])))


def _note_unknown_labels(corpus: str, emotions: Iterable[str]) -> Iterator[str]:
    """Yield a note if there are labels not in `EMOTIONS`, the rarest first, because misspellings are rare."""
    counts = Counter(label for label in emotions if label not in EMOTIONS)
    rarest = sorted(counts, key=lambda label: (counts[label], label))
    if rarest:
        labels = [f"{label!r} ({counts[label]} clip{'s' if counts[label] > 1 else ''})" for label in rarest]
        more = [f"and {len(labels) - _MAX_LISTED_LABELS} more"] if len(labels) > _MAX_LISTED_LABELS else []
        listed = ", ".join(labels[:_MAX_LISTED_LABELS] + more)
        yield f"{corpus}: labels that are none of {', '.join(EMOTIONS)}: {listed}"


def _relative(data: Path, folder: Path) -> PurePosixPath:
    return PurePosixPath(folder.relative_to(data).as_posix())


def _scan_corpus(data: Path, corpus: Corpus, folders: Sequence[Path]) -> Scan:
    folder_names = " and ".join(map(str, folders))
    files = [file for folder in folders for file in _parse_files(corpus, data, folder)]
    if not files:
        raise UnusableCorpus(f"expected audio ({', '.join(SUFFIXES)}) in {folder_names}, found none")
    clips = [(path, fields) for path, fields in files if fields is not None]
    used = [(path, fields) for path, fields in clips if not _excluded_form(corpus, fields)]
    if not used:
        raise UnusableCorpus(f"expected clips named {corpus.grammar} in {folder_names}, found {storable(files[0][0])}")
    unique = drop_duplicate_files(data, used)
    manifest = build_manifest(_manifest_row(corpus, path, fields) for path, fields in unique)
    excluded_forms = [_excluded_form(corpus, fields) for _, fields in clips]
    return Scan(
        manifest=corpus.add_tables(manifest, folders) if corpus.add_tables else manifest,
        unreadable=_unreadable_table([_unreadable_row(corpus, path) for path, fields in files if fields is None]),
        notes=tuple(_note_left_out(corpus, excluded_forms, len(used) - len(unique))),
    )


def _parse_files(corpus: Corpus, data: Path, folder: Path) -> list[tuple[PurePosixPath, dict[str, Any] | None]]:
    """Return the audio files of a folder, relative to the data folder, each with the fields parsed from its name."""
    prefix = _relative(data, folder)
    return [(prefix / path, corpus.parse(path)) for path in audio_files(folder)]


def _manifest_row(corpus: Corpus, path: PurePosixPath, fields: Mapping[str, Any]) -> dict[str, Any]:
    row = {name: value for name, value in fields.items() if name != "clip" and name not in corpus.required_values}
    return {
        **row,
        "utterance_id": f"{corpus.name}/{fields['clip']}",
        "path": str(path),
        "corpus": corpus.name,
        "speaker": f"{corpus.name}/{fields['speaker']}",
    }


def _excluded_form(corpus: Corpus, fields: Mapping[str, Any]) -> str:
    """Return the first value that excludes a clip, such as "song", or "" if the clip is used."""
    return next((fields[name] for name, value in corpus.required_values.items() if fields[name] != value), "")


def _note_left_out(corpus: Corpus, excluded_forms: Sequence[str], num_copies: int) -> Iterator[str]:
    """Yield the notes about clips and files that were left out.

    Args:
        corpus: the corpus.
        excluded_forms: for each clip the value that excludes it, or "".
        num_copies: files that repeat a clip.
    """
    counts = Counter(filter(None, excluded_forms))
    if counts:
        used = " ".join(corpus.required_values.values())
        parts = ", ".join(f"{count} {form}" for form, count in counts.most_common())
        yield f"{corpus.name}: left out {counts.total()} clips, since only {used} is used: {parts}"
    if num_copies:
        yield f"{corpus.name}: left out {num_copies} files that repeat a clip, as a copy or in another format"


def _unreadable_row(corpus: Corpus, path: PurePosixPath) -> dict[str, str]:
    return {
        "utterance_id": f"{corpus.name}/{storable(path)}",
        "path": storable(path),
        "reason": f"file name does not follow {corpus.grammar}",
    }


def _unreadable_table(rows: Sequence[Mapping[str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(UNREADABLE_COLUMNS), dtype=object)
