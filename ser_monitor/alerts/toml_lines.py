"""Line numbers of a TOML file: in which line a table of an array begins, and in which one of its keys stands.

Python's parser tells lines only of what is no TOML. This scanner goes over text that it has accepted, so it need only
know where values end: brackets, and the strings and comments in which brackets and line ends mean nothing.
"""

import re
import tomllib
from collections.abc import Iterator

from ser_embed.reading import shortened

_KEY = r"""(?:"(?:\\.|[^"\\\n])*"|'[^'\n]*'|[\w-]+)"""
_STATEMENT = re.compile(rf"[ \t]*(?:(?P<array>\[\[)|(?P<table>\[))?[ \t]*(?P<key>{_KEY})")
_PART = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5}'''
    r"""|'''.*?'{3,5}"""
    r"""|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|\#[^\n]*|[\[\]{}\n]""",
    re.DOTALL,
)
_LINE_OF_ERROR = re.compile(r" \(at line (\d+), column \d+\)| \(at end of document\)")


class TableLines:
    """Lines of the tables of an array, such as each `[[rule]]` of a file, counted from 1.

    Args:
        text: that `tomllib` accepts.
        array: name of the array.
    """

    def __init__(self, text: str, array: str) -> None:
        self._tables: list[tuple[int, dict[str, int]]] = []
        self._top_level: dict[str, int] = {}
        keys = self._top_level
        for line, match in _statements(text):
            key = _plain(match["key"])
            if match["array"] and key == array:
                keys = {}
                self._tables.append((line, keys))
            elif match["array"] or match["table"]:
                keys = {}
            if match["array"] or match["table"]:
                self._top_level.setdefault(key, line)
            else:
                keys.setdefault(key, line)

    def of_top_level(self, key: str) -> int:
        """Return the line of a key or table at the top level, or 1 where it cannot be told."""
        return self._top_level.get(key, 1)

    def of_table(self, number: int, key: str = "") -> int:
        """Return the line of a key of a table of the array, or of the table where the key has no line of its own.

        Args:
            number: of the table, from 0.
            key: of the table; "" for the table itself.
        """
        if number >= len(self._tables):  # written in line: array = [{key = value}]
            return next(iter(self._top_level.values()), 1)
        line, keys = self._tables[number]
        return keys.get(key, line)


def syntax_error(text: str, error: tomllib.TOMLDecodeError) -> tuple[int, str]:
    """Return the line of a syntax error, and what it is, without the line."""
    match = _LINE_OF_ERROR.search(str(error))
    line = int(match[1]) if match and match[1] else text.count("\n", 0, len(text.rstrip())) + 1
    return line, shortened(_LINE_OF_ERROR.sub("", str(error)))


def _statements(text: str) -> Iterator[tuple[int, re.Match[str]]]:
    """Yield the line and the beginning of each statement: a header, or a key with its value."""
    begin, line = 0, 1
    while begin <= len(text):
        if match := _STATEMENT.match(text, begin):
            yield line, match
        end = _end_of_statement(text, begin) + 1
        line += text.count("\n", begin, end)
        begin = end


def _end_of_statement(text: str, begin: int) -> int:
    """Return the position of the line end that ends a statement."""
    depth = 0
    for part in _PART.finditer(text, begin):
        if part[0] == "\n" and depth == 0:
            return part.start()
        depth += (part[0] in "[{") - (part[0] in "]}")
    return len(text)


def _plain(key: str) -> str:
    """Return a key without its quotes and escapes."""
    return next(iter(tomllib.loads(f"{key} = 0")))
