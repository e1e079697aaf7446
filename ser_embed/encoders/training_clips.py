"""Training clips of a fine-tuned encoder: the table of the labelled clips that it learned from, beside its weights.

`training_clips.csv` has the columns `TRAINING_CLIP_COLUMNS`: those of the manifest as they were when the encoder was
tuned, `emotion` being the label it learned, and `part`: "train", or "validation" for a clip that only chose the epoch.
A head that is tested on one of these clips, or on another clip of one of these speakers, is tested on what its encoder
has learned by heart. So extraction copies the table into the store, and the spec of the vectors sums it up. This module
loads no framework.
"""

import csv
import io
import json
from pathlib import Path

import pandas as pd

from ser_embed.errors import InputError
from ser_embed.files import atomic_write, digest_of, input_error_on_write
from ser_embed.manifest import TRAINING_CLIP_COLUMNS
from ser_embed.reading import expect, input_error_on_read
from ser_embed.spec import EmbeddingSpec

TRAINING_CLIPS_FILE = "training_clips.csv"
TRAIN, VALIDATION = "train", "validation"  # values of the column `part`
_NEEDED = ("utterance_id", "part")  # the other columns may be unknown, ""


def write_training_clips(folder: Path, clips: pd.DataFrame) -> None:
    """Write the table of the clips that the model in a folder was fine-tuned on, in one piece.

    Args:
        folder: the model's, which exists.
        clips: one row per clip with `TRAINING_CLIP_COLUMNS`, in any order; other columns are left out.

    Raises:
        InputError: a column is missing or holds what it may not, or the file cannot be written.
    """
    path = folder / TRAINING_CLIPS_FILE
    with input_error_on_read(f"no table of training clips for {path}"):
        check_training_clips(clips)
        table = merge_training_clips(clips)
    text = io.StringIO(newline="")
    csv.writer(text).writerows([TRAINING_CLIP_COLUMNS, *table.to_numpy(object).tolist()])
    with input_error_on_write(path), atomic_write(path) as draft:
        draft.write_bytes(text.getvalue().encode())


def read_training_clips(folder: Path) -> pd.DataFrame:
    """Read the table of the clips that the model in a folder was fine-tuned on.

    Args:
        folder: the model's; it may be a name or a Hub id, which no table belongs to.

    Returns:
        One row per clip, text columns `TRAINING_CLIP_COLUMNS`, sorted; no row where the folder has no such file.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / TRAINING_CLIPS_FILE
    if not path.exists():
        return no_training_clips()
    with input_error_on_read(f"the table of training clips {path} is damaged"):
        reader = csv.reader(io.StringIO(path.read_bytes().decode("utf-8"), newline=""), strict=True)
        header, rows = next(reader, []), list(reader)
        expect(tuple(header) == TRAINING_CLIP_COLUMNS, ", ".join(TRAINING_CLIP_COLUMNS), header)
        uneven = [row for row in rows if len(row) != len(header)]
        expect(not uneven, f"{len(header)} values in every row", uneven[:1])
        table = pd.DataFrame(rows, columns=header, dtype=object)
        expect(len(table) > 0, "at least one clip", 0)
        check_training_clips(table)
        return merge_training_clips(table)


def training_clips_of(spec: EmbeddingSpec) -> pd.DataFrame:
    """Return the clips that an encoder was fine-tuned on, from the folder that its spec names.

    Raises:
        InputError: they are not those that the spec sums up.
    """
    clips = no_training_clips() if spec.tuned_on is None else read_training_clips(Path(spec.model))
    if describe(clips) != spec.tuned_on:
        raise InputError(f"expected a model tuned on {spec.tuned_on} in {spec.model}, found {describe(clips)}")
    return clips


def no_training_clips() -> pd.DataFrame:
    """Return the table of an encoder that learned from no labelled clip."""
    return pd.DataFrame(columns=list(TRAINING_CLIP_COLUMNS), dtype=object)


def merge_training_clips(*tables: pd.DataFrame) -> pd.DataFrame:
    """Combine tables, as for an encoder tuned from one that was tuned before: each clip once, sorted.

    A file that has changed in between is a clip of its own. What was trained on in one table and chose the epoch in
    another was trained on.
    """
    rows = sorted(tuple(row) for table in tables for row in table[list(TRAINING_CLIP_COLUMNS)].to_numpy(object))
    parts: dict[tuple[str, ...], str] = {}
    for *clip, part in rows:  # "train" comes before "validation"
        parts.setdefault(tuple(clip), part)
    merged = [(*clip, part) for clip, part in parts.items()]
    return pd.DataFrame(merged, columns=list(TRAINING_CLIP_COLUMNS), dtype=object)


def check_training_clips(table: pd.DataFrame) -> None:
    """Check the values of a table.

    Raises:
        ValueError: a value is no text, is missing where it is needed, or names no part; it is an InputError of one
            line in the functions that read files.
    """
    for name in TRAINING_CLIP_COLUMNS:
        is_text = table[name].map(_is_text).astype(bool)
        expect(bool(is_text.all()), f"texts as {name}", table[name][~is_text].tolist()[:1])
    for name in _NEEDED:
        expect(not (table[name] == "").any(), f"a {name} for every clip", "")
    others = set(table["part"]) - {TRAIN, VALIDATION}
    expect(not others, f"{TRAIN} or {VALIDATION} as part", sorted(others))


def _is_text(value: object) -> bool:
    """Return whether a value is a text that UTF-8 and HDF5 can hold."""
    try:
        return isinstance(value, str) and "\0" not in value and value.encode() is not None
    except UnicodeEncodeError:
        return False


def describe(clips: pd.DataFrame) -> str | None:
    """Sum up the training clips of an encoder for the spec of its vectors; None where there are none.

    Args:
        clips: a table as `read_training_clips` returns it.

    >>> describe(no_training_clips()) is None
    True
    """
    if clips.empty:
        return None
    num_speakers = len(set(clips["speaker"]) - {""})
    rows = clips[list(TRAINING_CLIP_COLUMNS)].to_numpy(object).tolist()
    digest = digest_of(json.dumps(rows, separators=(",", ":")).encode())
    return f"{len(clips)} clips of {num_speakers} speakers, digest {digest}"
