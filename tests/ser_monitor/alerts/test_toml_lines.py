"""Lines of TOML tables: against texts that are written line by line, with everything that could mislead a scanner."""

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_monitor.alerts.toml_lines import TableLines, syntax_error

KEYS = {"name": "name", '"name"': "name", "'name'": "name", '"na\\u006de"': "name", "when": "when", "[": "["}
VALUES = [
    "1",
    '"plain"',
    '"a # no comment [[rule]]" # [ a comment',
    '"quote \\" and # [" ',
    "'[[ \" #'",
    '["a", "]", \'[\']',
    '[ # "\n  "one",\n\n  "[[rule]]",  # ] \n]',
    '"""\nname = "x"\n[[rule]]\n\\"""" # end',
    '""""quoted""""',
    '"""quote at the end"""" # " [',
    "'''quote at the end'''' # ' [",
    "'''\nwhen = [ # '\n[[rule]]'''",
    '{ a = "}", b = [1, 2] }',
    "2026-03-01 09:00:00",
]
FILLERS = ["", "# [[rule]]", '  # name = """', "\t"]

keys = st.sampled_from([key for key in KEYS if key != "["])
tables = st.lists(
    st.tuples(
        st.sampled_from(["[[rule]]", "  [[ rule ]] # first", '[["rule"]]', "[['rule']]"]),
        st.lists(st.tuples(keys, st.sampled_from(VALUES)), unique_by=lambda pair: KEYS[pair[0]]),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=50)
@given(tables, st.lists(st.sampled_from(FILLERS), min_size=1, max_size=5), st.sampled_from(["\n", "\n\n"]))
def test_lines_are_those_that_were_written(
    tables: list[tuple[str, list[tuple[str, str]]]], fillers: list[str], end: str
) -> None:
    lines: list[str] = []
    expected: list[tuple[int, dict[str, int]]] = []
    for header, pairs in tables:
        lines += [*fillers, header]
        expected.append((len(lines), {}))
        for key, value in pairs:
            lines += [*fillers, *f" {key} = {value}".split("\n")]
            expected[-1][1][KEYS[key]] = len(lines) - value.count("\n")
    text = "\n".join(lines) + end
    document = tomllib.loads(text)
    table_lines = TableLines(text, "rule")
    for number, (line, keys) in enumerate(expected):
        assert set(document["rule"][number]) == set(keys)
        assert table_lines.of_table(number) == line
        assert {key: table_lines.of_table(number, key) for key in keys} == keys
        assert table_lines.of_table(number, "none") == line


def test_top_level_keys_and_other_tables_are_told_from_the_array() -> None:
    text = 'title = "x"\n[[rule]]\nname = 1\n[rule.more]\nname = 2\n[other]\nname = 3\n[[rule]]\nwhen = 4\n'
    assert tomllib.loads(text)["rule"][1] == {"when": 4}
    table_lines = TableLines(text, "rule")
    assert [table_lines.of_top_level(key) for key in ("title", "rule", "other", "none")] == [1, 2, 6, 1]
    assert [table_lines.of_table(0, "name"), table_lines.of_table(1), table_lines.of_table(1, "when")] == [3, 8, 9]


def test_tables_in_line_have_the_line_of_their_array() -> None:
    table_lines = TableLines('# first\nrule = [{ name = "a" },\n  { name = "b" }]\n', "rule")
    assert [table_lines.of_table(0, "name"), table_lines.of_table(1, "name")] == [2, 2]


@pytest.mark.parametrize(
    ("text", "line"), [("a = 1\nb =\n", 2), ("[[rule]]\nname = 'x\n", 2), ('a = """\n\nx\n\n', 3), ("a = [1,\n\n", 1)]
)
def test_a_syntax_error_has_its_line_and_a_reason_without_one(text: str, line: int) -> None:
    with pytest.raises(tomllib.TOMLDecodeError) as raised:
        tomllib.loads(text)
    line_of_error, reason = syntax_error(text, raised.value)
    assert line_of_error == line
    assert reason
    assert "(at" not in reason
