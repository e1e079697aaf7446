"""From a data folder to the manifest of its clips. No audio is read, so thousands of clips take a moment."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from ser_embed.corpora.audio_files import SUFFIXES, audio_files, one_file_each, printable
from ser_embed.corpora.base import Corpus
from ser_embed.corpora.manifest_csv import MANIFEST, UnusableCorpus, read_manifest
from ser_embed.corpora.registry import CORPORA, CorpusLocation, find_corpora, pick_corpora
from ser_embed.errors import InputError
from ser_embed.manifest import EMOTIONS, UNREADABLE_COLUMNS, build_manifest, combine

_LABELS = 5  # unknown labels named in a note


@dataclasses.dataclass(frozen=True)
class Scan:
    """What is in a data folder.

    Attributes:
        manifest: the clips, sorted by utterance_id; `path` is relative to the data folder.
        unreadable: audio files that are no clip of their corpus: utterance_id, path, reason.
        notes: what was passed over and why, one line each.
    """

    manifest: pd.DataFrame
    unreadable: pd.DataFrame
    notes: tuple[str, ...]


def scan_data(data: str | Path, corpora: Sequence[str] = ()) -> Scan:
    """List the clips of a data folder.

    Args:
        data: a folder that holds corpora in subfolders, or is a corpus itself.
        corpora: names of the corpora wanted; without any, all that can be used. A single known one may also say what
            `data` itself is, whatever the folder is called.

    Raises:
        InputError: no such folder, no corpus in it, a corpus asked for that is not there or holds no clips, or a
            table that is not what it should be.
    """
    data = Path(data)
    places = find_corpora(data)
    scans, notes = [], []
    for place in pick_corpora(data, places, corpora) if corpora else places.values():
        try:
            scans.append(_scan_place(data, place))
        except UnusableCorpus as reason:
            if corpora:
                raise
            notes.append(f"{place.name} left out: {reason}")
    if not scans:
        raise InputError(_nothing_in(data, notes))
    return Scan(
        manifest=combine(scan.manifest for scan in scans),
        unreadable=pd.concat([scan.unreadable for scan in scans], ignore_index=True),
        notes=(*notes, *(note for scan in scans for note in scan.notes)),
    )


def _nothing_in(data: Path, notes: Sequence[str]) -> str:
    looked_for = f"expected a corpus in {data}: a folder named {', '.join(CORPORA)}, or one with a {MANIFEST}"
    found = "; ".join(notes) or "found none"
    return f"{looked_for}; {found} (see data/README.md, or make one with: python -m ser_embed.demo {data / 'demo'})"


def _scan_place(data: Path, place: CorpusLocation) -> Scan:
    if place.corpus is not None:
        return _scan_corpus(data, place.corpus, place.folders)
    (folder,) = place.folders
    inside = _inside(data, folder)
    rows = ({**row, "path": str(inside / row["path"])} for row in read_manifest(folder, place.name))
    manifest = build_manifest(rows)
    return Scan(manifest, _table_of_unreadable([]), tuple(_note_labels(place.name, manifest["emotion"])))


def _note_labels(corpus: str, emotions: Iterable[str]) -> Iterator[str]:
    """Name the labels that are no emotion of this library, the rarest first: a slip of the pen is rare."""
    counts = Counter(label for label in emotions if label not in EMOTIONS)
    rarest = sorted(counts, key=lambda label: (counts[label], label))
    if rarest:
        found = [f"{label!r} ({counts[label]} clip{'s' if counts[label] > 1 else ''})" for label in rarest]
        more = [f"and {len(found) - _LABELS} more"] if len(found) > _LABELS else []
        yield f"{corpus}: labels that are none of {', '.join(EMOTIONS)}: {', '.join(found[:_LABELS] + more)}"


def _inside(data: Path, folder: Path) -> PurePosixPath:
    return PurePosixPath(folder.relative_to(data).as_posix())


def _scan_corpus(data: Path, corpus: Corpus, folders: Sequence[Path]) -> Scan:
    where = " and ".join(map(str, folders))
    found = [file for folder in folders for file in _files_of(corpus, data, folder)]
    if not found:
        raise UnusableCorpus(f"expected audio ({', '.join(SUFFIXES)}) in {where}, found none")
    clips = [(path, fields) for path, fields in found if fields is not None]
    wanted = [(path, fields) for path, fields in clips if not _other_form(corpus, fields)]
    if not wanted:
        raise UnusableCorpus(f"expected clips named {corpus.grammar} in {where}, found {printable(found[0][0])}")
    chosen = one_file_each(data, wanted)
    manifest = build_manifest(_row(corpus, path, fields) for path, fields in chosen)
    return Scan(
        manifest=corpus.add_tables(manifest, folders) if corpus.add_tables else manifest,
        unreadable=_table_of_unreadable([_stranger(corpus, path) for path, fields in found if fields is None]),
        notes=tuple(_notes(corpus, [_other_form(corpus, fields) for _, fields in clips], len(wanted) - len(chosen))),
    )


def _files_of(corpus: Corpus, data: Path, folder: Path) -> list[tuple[PurePosixPath, dict[str, Any] | None]]:
    inside = _inside(data, folder)
    return [(inside / path, corpus.parse(path)) for path in audio_files(folder)]


def _row(corpus: Corpus, path: PurePosixPath, fields: Mapping[str, Any]) -> dict[str, Any]:
    row = {name: value for name, value in fields.items() if name != "clip" and name not in corpus.only}
    return {
        **row,
        "utterance_id": f"{corpus.name}/{fields['clip']}",
        "path": str(path),
        "corpus": corpus.name,
        "speaker": f"{corpus.name}/{fields['speaker']}",
    }


def _other_form(corpus: Corpus, fields: Mapping[str, Any]) -> str:
    """Return what makes this clip another form of the same voice, such as "song", or "" if the clip is used."""
    return next((fields[name] for name, value in corpus.only.items() if fields[name] != value), "")


def _notes(corpus: Corpus, forms: Sequence[str], num_copies: int) -> Iterator[str]:
    counts = Counter(filter(None, forms))
    if counts:
        used = " ".join(corpus.only.values())
        parts = ", ".join(f"{count} {form}" for form, count in counts.most_common())
        yield f"{corpus.name}: left out {counts.total()} clips, since only {used} is used: {parts}"
    if num_copies:
        yield f"{corpus.name}: left out {num_copies} files that hold a clip again, as a copy or in another format"


def _stranger(corpus: Corpus, path: PurePosixPath) -> dict[str, str]:
    return {
        "utterance_id": f"{corpus.name}/{printable(path)}",
        "path": printable(path),
        "reason": f"file name does not follow {corpus.grammar}",
    }


def _table_of_unreadable(rows: Sequence[Mapping[str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(UNREADABLE_COLUMNS), dtype=object)
