"""Tables of reports: the same rows as a CSV file, with every digit, and as cells of a page, for people.

Shares and other figures are written by the functions of `ser_head.reporting.text`; a value that is missing (None, NaN,
NaT) is a dash in a page and empty in a CSV file.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Any

import pandas as pd

from ser_head.reporting.text import UNKNOWN_VALUE, count, decimal, percent
from ser_monitor.database.export import without_formulas

SHOWN_ROWS = 200  # of a table in a page; its CSV file has all


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: in the CSV file.
        heading: in the page.
        write: formats a value that is not missing.
        is_number: whether it is set to the right.
    """

    name: str
    heading: str
    write: Callable[[Any], str] = str
    is_number: bool = False


@dataclass(frozen=True)
class Table:
    """A table of a report.

    Attributes:
        name: of its CSV file, without the suffix.
        frame: the rows.
        columns: what is shown, in this order; the CSV file has these columns too.
    """

    name: str
    frame: pd.DataFrame
    columns: tuple[Column, ...]

    @property
    def num_hidden(self) -> int:
        """Number of rows that the page leaves out."""
        return max(0, len(self.frame) - SHOWN_ROWS)

    def cells(self) -> Iterator[list[tuple[Column, str]]]:
        """Yield the rows of the page: each cell's column and text."""
        values = [self.frame[column.name].head(SHOWN_ROWS).tolist() for column in self.columns]
        for row in zip(*values, strict=True):
            yield [(column, written(column, value)) for column, value in zip(self.columns, row, strict=True)]

    def write_csv(self, folder: Path) -> Path:
        """Write the rows to a CSV file in a folder; return its path. Moments are in UTC."""
        path = folder / f"{self.name}.csv"
        without_formulas(self.frame[[column.name for column in self.columns]]).to_csv(path, index=False)
        return path


def written(column: Column, value: Any) -> str:
    """Return a value as the page shows it.

    Args:
        column: its column.
        value: the value.
    """
    return UNKNOWN_VALUE if pd.isna(value) else column.write(value)


def text_column(name: str, heading: str) -> Column:
    """Return a column of text, in which an empty one is a dash.

    Args:
        name: of the column.
        heading: in the page.
    """
    return Column(name, heading, lambda value: str(value) or UNKNOWN_VALUE)


def share_column(name: str, heading: str) -> Column:
    """Return a column of shares of 1, shown in percent.

    Args:
        name: of the column.
        heading: in the page.
    """
    return Column(name, heading, percent, is_number=True)


def count_column(name: str, heading: str) -> Column:
    """Return a column of whole numbers.

    Args:
        name: of the column.
        heading: in the page.
    """
    return Column(name, heading, count, is_number=True)


def decimal_column(name: str, heading: str, digits: int = 2) -> Column:
    """Return a column of numbers with decimal digits.

    Args:
        name: of the column.
        heading: in the page.
        digits: how many.
    """
    return Column(name, heading, lambda value: decimal(value, digits), is_number=True)


def moment_column(name: str, heading: str, zone: tzinfo) -> Column:
    """Return a column of moments, shown as the clocks of a time zone do.

    Args:
        name: of the column.
        heading: in the page.
        zone: the time zone.
    """
    return Column(name, heading, lambda value: f"{value.astimezone(zone):%Y-%m-%d %H:%M:%S}")
