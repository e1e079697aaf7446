"""Texts that a spreadsheet would compute."""

import pandas as pd
import pytest

from ser_monitor.database.formulas import without_formulas


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_a_formula_becomes_text(text: str) -> None:
    table = pd.DataFrame({"name": [text, "hall", None], "value": [-1.5, 2.0, None]})
    safe = without_formulas(table)
    assert safe["name"].tolist()[:2] == [f"'{text}", "hall"]
    assert safe["name"].isna().tolist() == [False, False, True]
    pd.testing.assert_series_equal(safe["value"], table["value"])
    assert table["name"].iloc[0] == text


def test_an_empty_table_stays_one() -> None:
    assert without_formulas(pd.DataFrame({"name": [], "value": []})).columns.tolist() == ["name", "value"]
