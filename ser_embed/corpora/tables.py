"""Reading the csv files that come with a corpus."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ser_embed.errors import InputError


def find_table(folders: Iterable[Path], filename: str) -> Path | None:
    """Return where a csv file lies: in a corpus folder or its parent, or in the `processedResults` of one of them."""
    for folder in folders:
        for place in (folder, folder.absolute().parent):
            for path in (place / filename, place / "processedResults" / filename):
                if path.is_file():
                    return path
    return None


def read_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read columns of a csv file as text.

    Raises:
        InputError: the file is not csv, or lacks one of the columns.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:  # pandas' own parser errors are ValueErrors
        raise InputError(f"expected a csv table with a column {columns[0]!r}, but {path} is none ({error})") from error
    for name in columns:
        if name not in table:
            raise InputError(f"expected a column {name!r} in {path}, found {', '.join(table.columns[:12])}")
    return table[list(columns)]


def index_by(table: pd.DataFrame, key: str) -> pd.DataFrame:
    """Return the table indexed by one of its columns; of rows that share a key the first counts."""
    return table.drop_duplicates(key).set_index(key)
