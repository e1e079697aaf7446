"""Sentences: numbers in words, and the two of part 'what these figures are not' stand in the documents too."""

from pathlib import Path

import pytest

from ser_monitor.reporting.wording import NOT_FOR, length_in_words, number_in_words


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "alert", "no alerts"),
        (1, "alert", "1 alert"),
        (2, "stretch", "2 stretches"),
        (1, "stretch", "1 stretch"),
        (12345, "rule", "12\N{NARROW NO-BREAK SPACE}345 rules"),
    ],
)
def test_numbers(number, noun, text):
    assert number_in_words(number, noun) == text


def test_lengths():
    assert length_in_words(1.5) == "90 minutes"
    assert length_in_words(7 * 24) == "168.0 hours"


def test_the_documents_say_what_figures_are_not():
    text = " ".join((Path(__file__).parents[3] / "docs" / "monitoring.md").read_text("utf-8").split())
    assert all(sentence in text for sentence in NOT_FOR)
