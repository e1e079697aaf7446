"""Formulas in CSV files: names that a spreadsheet would compute, written so that it shows them.

Names of files and sources may come from anybody, and a spreadsheet takes a cell that begins with = + - or @ for a
formula, which may read other cells, open addresses and start programs (CWE-1236). As OWASP recommends, an apostrophe
goes before it. Numbers stay numbers.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "\n")


def without_formulas(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return a table whose texts no spreadsheet takes for formulas."""
    from pandas.api.types import is_bool_dtype, is_datetime64_any_dtype, is_numeric_dtype

    harmless = (is_numeric_dtype, is_bool_dtype, is_datetime64_any_dtype)
    texts = [name for name in table if not any(test(table[name].dtype) for test in harmless)]
    return table.assign(**{str(name): table[name].map(_as_text) for name in texts})


def _as_text(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_BEGINNINGS) else value
