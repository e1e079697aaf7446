"""Document of a run, run.json: what it has to say to be used, and the digests that tell a run that was changed.

    folds          its heads; with --refit whole one, of number 0, trained on all clips
    tested_folds   then the folds that the figures come from, whose heads are not kept
    digests        {path inside the run folder: digest of the file's bytes}, of every file that a run is written with
    digest         of all the rest of run.json, `digests` included

They are there to find damage and edits, not forgers, who could write new ones. Runs written before there were digests
are read without them; what they say has to make sense in any case.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ser_embed.errors import InputError
from ser_embed.files import digest_of_file
from ser_embed.reading import (
    DIGEST,
    are_names,
    expect,
    input_error_on_read,
    is_as_signed,
    is_number,
    path_inside,
    read_json,
    signed,
)
from ser_head.data.dataset import class_order
from ser_head.scoring.scorer_file import check_fold

FORMAT = "ser-run"
VERSION = 1
RUN_FILE = "run.json"
DIGESTS = "digests"
TESTED_FOLDS = "tested_folds"
# The report is made of the run, and can be made again.
_NOT_SIGNED = (RUN_FILE, "report.html")


def unsigned(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of run.json without digests."""
    return {key: value for key, value in about.items() if key not in (DIGEST, DIGESTS)}


def sign_run(folder: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of run.json with the digests of the files in the folder.

    Args:
        folder: of the run, with all its files.
        about: the content.
    """
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    return sign_files(folder, about, [name for name in names if name not in _NOT_SIGNED])


def sign_files(folder: Path, about: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the content of run.json with the digests of some files.

    Args:
        folder: of the run.
        about: the content.
        names: paths of the files inside it.
    """
    return signed({**unsigned(about), DIGESTS: {name: digest_of_file(folder / name) for name in names}})


def read_document(folder: Path) -> dict[str, Any]:
    """Read the run.json of a folder, and check it.

    Raises:
        InputError: there is none, it is of another format, was changed since it was written, or cannot be used.
    """
    path = folder / RUN_FILE
    if not path.is_file():
        raise InputError(f"expected a run folder with a {RUN_FILE}, found none at {folder}")
    with input_error_on_read(f"the run {folder} is damaged: {RUN_FILE} cannot be used"):
        about = read_json(path)
        if (about["format"], about["version"]) != (FORMAT, VERSION):
            raise InputError(f"expected {FORMAT} {VERSION}, but {path} is {about['format']} {about['version']}")
        if (DIGEST in about or DIGESTS in about) and not is_as_signed(about):
            raise changed(folder, RUN_FILE)
        _check(about)
    return about


def require_unchanged(folder: Path, name: str, digests: Mapping[str, str]) -> Path:
    """Check that a file of a run is as it was written, and return its path.

    Args:
        folder: of the run.
        name: path of the file inside it.
        digests: those of run.json; none of a run that was written without.

    Raises:
        InputError: the file is missing, lies outside, cannot be read, or was changed.
    """
    with input_error_on_read(f"the run {folder} is damaged: {shown(name)} cannot be read"):
        path = path_inside(folder, name)
        if not path.is_file():
            raise InputError(f"the run {folder} is damaged: {shown(name)} is missing")
        if digests and digests.get(name) != digest_of_file(path):
            raise changed(folder, name)
    return path


def changed(folder: Path, name: str) -> InputError:
    """Return the error that tells of a file that was changed."""
    return InputError(
        f"the run {folder} was changed since it was written: {shown(name)} is not what its digest in {RUN_FILE} says"
    )


def shown(name: str) -> str:
    """Return the name of a file as it can be printed in one line."""
    return name if name.isprintable() else repr(name)


def _check(about: dict[str, Any]) -> None:
    """Check what a run says of itself, but for its settings and spec, which check themselves.

    Raises:
        ValueError: naming the part and its value.
    """
    tested_folds = about.get(TESTED_FOLDS, [])
    for key, kind in (("settings", dict), ("spec", dict), ("folds", list)):
        expect(isinstance(about[key], kind), f"an {kind.__name__} as {key}", about[key])
    expect(isinstance(tested_folds, list), f"a list as {TESTED_FOLDS}", tested_folds)
    labels, layers, members = about["labels"], about["layers"], about.get("members", [])
    expect(are_names(labels) and "" not in labels, "different names as labels", labels)
    expect(are_names(layers) and len(layers) > 0, "different names as layers", layers)
    expect(are_names(members), "different names as members", members)
    if DIGESTS not in about:  # which would show that classes were swapped
        in_order = list(class_order(pd.Series(labels, dtype=object)))
        expect(labels == in_order, f"the order {' '.join(in_order)} of labels", labels)
    folds = about["folds"]
    expect(bool(folds) != bool(members), "folds or members", {"folds": len(folds), "members": len(members)})
    for fold in [*folds, *tested_folds]:
        expect(isinstance(fold, dict), "an object for each fold", fold)
        check_fold(fold, len(layers), bool(labels))
    numbers = [fold["fold"] for fold in [*folds, *tested_folds]]
    expect(len(set(numbers)) == len(numbers), "folds of different numbers", numbers)
    if members:
        temperature = about["temperature"]
        expect(is_number(temperature) and temperature > 0, "a temperature above 0", temperature)
