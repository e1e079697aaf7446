"""Rules: what a file says, defaults, and one line with its number for whatever is wrong."""

import os
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_embed.errors import InputError
from ser_monitor.alerts.channels.base import ChannelContext
from ser_monitor.alerts.rules import Rule, load_rules, parse_rules
from tests.ser_monitor.alerts.listening import LABELS, session

CONTEXT = ChannelContext(environment={"SER_WEBHOOK_SECRET": "secret"})
FILE = """\
# Rules of the hotline.
[[rule]]
name = "raised voice"
when = "angry > 0.6 for 5 s"
sources = ["hotline-*"]
speakers = ["anna", "b[eo]n"]
cooldown_s = 10
hysteresis = 0.1
channels = [
    "terminal",
    "webhook:https://example.org/alerts",
]

[[rule]]
name = "nobody"
when = "silence for 60 s"
"""


def test_a_file_becomes_rules(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_bytes(b"\xef\xbb\xbf" + FILE.replace("\n", "\r\n").encode())  # as some editors of Windows write
    raised, nobody = load_rules(path, LABELS, CONTEXT)
    assert (raised.name, str(raised.condition)) == ("raised voice", "angry > 0.6 for 5 s")
    assert raised.sources == ("hotline-*",)
    assert raised.speakers == ("anna", "b[eo]n")
    assert (raised.cooldown_s, raised.hysteresis) == (10, 0.1)
    assert raised.channels == ("terminal", "webhook:https://example.org/alerts")
    assert nobody == Rule("nobody", nobody.condition, ("*",), ("*",), 60, 0.05, ("terminal",))
    assert str(nobody.condition) == "silence for 1 min"


@pytest.mark.parametrize(
    ("source", "speaker", "applies"),
    [
        ("hotline-1", "anna", True),
        ("hotline-1", "ben", True),
        ("hotline-1", "bun", False),
        ("hotline-1", "", False),
        ("Hotline-1", "anna", False),
        ("desk", "anna", False),
    ],
)
def test_patterns_choose_sources_and_speakers(source: str, speaker: str, applies: bool) -> None:
    rule, for_all = parse_rules(FILE, "rules.toml", LABELS, CONTEXT)
    assert rule.applies_to(session(source=source, speaker=speaker)) == applies
    assert for_all.applies_to(session(source=source, speaker=speaker))


def changed(before: str, after: str) -> str:
    assert FILE.count(before) == 1
    return FILE.replace(before, after)


@pytest.mark.parametrize(
    ("text", "line", "error"),
    [
        ("", 1, r"expected at least one \[\[rule\]\]"),
        ("# nothing\n", 1, r"expected at least one \[\[rule\]\]"),
        ("rule = []\n", 1, r"expected at least one \[\[rule\]\]"),
        ("\n[rule]\nname = 'x'\n", 2, r"expected tables \[\[rule\]\], with two brackets"),
        ("rule = [1]\n", 1, r"expected tables \[\[rule\]\]"),
        ("a = " + "[" * 9999, 1, "expected TOML"),
        (
            changed('[[rule]]\nname = "nobody"', "[[rules]]\nname = 'nobody'"),
            14,
            r"unknown key 'rules'.*\(did you mean rule\?\)",
        ),
        (changed('name = "nobody"', 'name = "nobody'), 15, "expected TOML: "),
        (changed("# Rules of the hotline.", "title = 'Rules'"), 1, r"unknown key 'title'; expected \[\[rule\]\]"),
        (changed("cooldown_s", "cool_down_s"), 7, r"unknown key 'cool_down_s' \(did you mean cooldown_s\?\)"),
        (changed("hysteresis", "colour"), 8, "unknown key 'colour'; expected one of name, when, sources"),
        (changed('name = "nobody"', ""), 14, "expected name in the rule, which has none"),
        (changed('when = "silence for 60 s"', ""), 14, "expected when in the rule, which has none"),
        (
            changed('"nobody"', '"raised voice"'),
            15,
            "name: expected one that is unique, not 'raised voice' again, which is in line 3",
        ),
        (changed('"nobody"', '" "'), 15, "name: expected a line of at most 100 characters, not ' '"),
        (changed('"nobody"', '"no\\nbody"'), 15, "name: expected a line"),
        (changed('"nobody"', "7"), 15, "name: expected a line of at most 100 characters, not 7"),
        (changed('"silence for 60 s"', "[]"), 16, r"when: expected text, not \[\]"),
        (
            changed("angry >", "angri >"),
            4,
            r"when: column 1: expected an emotion of the run .*\(did you mean angry\?\)",
        ),
        (changed("> 0.6 for", "> 0.6 vor"), 4, "when: column 13: expected for DURATION or the end, not 'vor'"),
        (changed('"silence for 60 s"', '"""\nsilence\nfor"""'), 16, "when: column 12: expected a duration"),
        (changed('["hotline-*"]', '"hotline-*"'), 5, "sources: expected a list, such as .*, not 'hotline-"),
        (changed('["hotline-*"]', "[]"), 5, r"sources: expected a list, .*, not \[\]"),
        (changed('["hotline-*"]', '["a", "a"]'), 5, "sources: expected a list that names nothing twice"),
        (changed('["hotline-*"]', '["hotline-[1"]'), 5, r"sources: expected a pattern of \* \? and \[letters\]"),
        (changed('["hotline-*"]', '[""]'), 5, "sources: expected text, not ''"),
        (changed('"b[eo]n"', "3"), 6, "speakers: expected text, not 3"),
        (changed("cooldown_s = 10", "cooldown_s = -1"), 7, "cooldown_s: expected a number zero or positive, not -1"),
        (changed("cooldown_s = 10", "cooldown_s = inf"), 7, "cooldown_s: expected a number zero or positive, not inf"),
        (
            changed("cooldown_s = 10", f"cooldown_s = {10**400}"),
            7,
            "cooldown_s: expected a number zero or positive, not 1",
        ),
        (changed("cooldown_s = 10", "cooldown_s = 1" + "0" * 5000), 7, "expected TOML, not a number of so many digits"),
        (changed("cooldown_s = 10", "cooldown_s = 0x" + "f" * 5000), 7, "cooldown_s: .*, not a number of so many"),
        (changed("cooldown_s = 10", 'cooldown_s = "1 min"'), 7, "cooldown_s: expected a number .*, not '1 min'"),
        (
            changed("hysteresis = 0.1", "hysteresis = true"),
            8,
            "hysteresis: expected a number at least 0 and below 1, not True",
        ),
        (
            changed("hysteresis = 0.1", "hysteresis = 1"),
            8,
            "hysteresis: expected a number at least 0 and below 1, not 1",
        ),
        (changed('"terminal"', '"pager"'), 9, r"channels: expected a channel \(terminal, webhook:.*\), not 'pager'"),
        (changed('"terminal"', '"terminal:1"'), 9, "channels: expected terminal alone"),
        (
            changed("https://example.org", "https://u:pw@example.org:x"),
            9,
            "channels: .* not 'webhook:https://example.org:x",
        ),
        (changed("webhook:https://", "webhok:https://u:pw@"), 9, "channels: .* not 'webhok:https://example.org"),
        (changed("https://example.org", "ftp://example.org"), 9, "channels: expected webhook:https://"),
        (changed('"terminal"', '"email:anna@example.org"'), 9, "channels: SER_SMTP_URL has to be .*, and is not set"),
        (
            changed('"terminal"', '"apprise:nonsense"'),
            9,
            "channels: expected one address that apprise takes, not that of 'nonsense'",
        ),
    ],
)
def test_whatever_is_wrong_is_one_line_with_its_number(text: str, line: int, error: str) -> None:
    with pytest.raises(InputError, match=rf"^rules\.toml, line {line}: {error}[^\n]*$"):
        parse_rules(text, "rules.toml", LABELS, CONTEXT)


@given(st.integers(0, len(FILE)), st.integers(0, 20), st.text(alphabet="[]{}\"'=#\n\\ .,xµ\0\r", max_size=5))
def test_any_other_damage_is_one_line_with_a_number(begin: int, length: int, put_in: str) -> None:
    damaged = FILE[:begin] + put_in + FILE[begin + length :]
    try:
        rules = parse_rules(damaged, "rules.toml", LABELS, CONTEXT)
    except InputError as error:
        message = str(error)
        match = re.fullmatch(r"rules\.toml, line (\d+): [^\n]+", message)
        lines = int(match[1]) if match else 0
        if not 1 <= lines <= damaged.count("\n") + 1:
            pytest.fail(message)
    else:
        assert 1 <= len(rules) <= 2


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    with pytest.raises(InputError, match=r"^cannot read the rules .*rules\.toml: No such file"):
        load_rules(path)
    with pytest.raises(InputError, match=r"^cannot read the rules .*: Is a directory" if os.name != "nt" else "cannot"):
        load_rules(tmp_path)
    path.write_bytes(b"[[rule]]\nname = '\xff'\n")
    with pytest.raises(InputError, match=r"rules\.toml, line 2: expected UTF-8, not the byte 0xff$"):
        load_rules(path)
    path.write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(InputError, match=r"at most 1 MB$"):
        load_rules(path)


def test_without_apprise_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    text = changed('"terminal"', '"apprise:json://localhost"')
    with pytest.raises(
        InputError, match=r"line 9: channels: apprise is not installed; run: pip install .*\[apprise\]'$"
    ):
        parse_rules(text, "rules.toml", LABELS, CONTEXT)
