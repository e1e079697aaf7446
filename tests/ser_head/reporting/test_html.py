"""Html fragments: style rules that apply inside their own element only."""

import re
from importlib.resources import files

from ser_head.reporting.html import scoped


def test_every_rule_of_the_style_is_scoped():
    css = (files("ser_head.reporting") / "templates" / "style.css").read_text("utf-8")
    rules = re.findall(r"^([^{}\n]+) \{", scoped(css, ".own"), flags=re.MULTILINE)
    assert len(rules) > 40
    assert all(re.match(r"\.own( |$)", selector) for rule in rules for selector in rule.split(", "))
    assert ".own .beside > *" in rules
    assert "@" not in scoped(css, ".own")


def test_declarations_are_unchanged():
    css = "body { margin: 0 auto;\n  font: 16px/1.55 Arial, sans-serif; }\n.wide td, h1 { color: #fff; }\n"
    assert scoped(css, ".own") == (
        ".own { margin: 0 auto;\n  font: 16px/1.55 Arial, sans-serif; }\n.own .wide td, .own h1 { color: #fff; }\n"
    )
