"""CSV tables that are distributed with a corpus: demographics, ratings, lists of speakers. All values are text."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ser_embed.errors import InputError

_MAX_LISTED_COLUMNS = 12  # in an error message


def find_table(folders: Iterable[Path], filename: str) -> Path | None:
    """Return the path of a csv file, or None if there is no such file.

    It is searched for in each corpus folder, in the folder's parent, and in the `processedResults` of either.
    """
    for folder in folders:
        for parent in (folder, folder.absolute().parent):
            for path in (parent / filename, parent / "processedResults" / filename):
                if path.is_file():
                    return path
    return None


def read_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read columns of a csv file as text; a missing value is "".

    Raises:
        InputError: the file is not csv, or lacks one of the columns.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:  # the parser errors of pandas are ValueErrors
        raise InputError(f"expected a csv table with a column {columns[0]!r}, but {path} is none ({error})") from error
    for name in columns:
        if name not in table:
            raise InputError(
                f"expected a column {name!r} in {path}, found {', '.join(table.columns[:_MAX_LISTED_COLUMNS])}"
            )
    return table[list(columns)]


def index_by(table: pd.DataFrame, key: str) -> pd.DataFrame:
    """Return the table indexed by its column `key`; of rows with the same key only the first remains."""
    return table.drop_duplicates(key).set_index(key)
