"""Sentences of reports on monitored speech, for people who do not program."""

from ser_head.reporting.text import count, percent
from ser_monitor.reporting.analysis.performance import FEWEST, Performance

# Intervals by bootstrap over fewer units are too narrow (Cameron, Gelbach and Miller, "Bootstrap-Based Improvements for
# Inference with Clustered Errors", 2008).
_FEWEST_UNITS = 10

# What such a figure is not; docs/monitoring.md has the same two sentences.
NOT_FOR = (
    "Activation and emotions describe how speech sounds: they are no lie detector, do not show what a person feels, "
    "and should not decide about anybody.",
    "They are not for judging or watching employees, pupils or students: to infer the emotions of people at work or in "
    "education is forbidden in the European Union, except for medical or safety reasons "
    "(EU AI Act, Regulation 2024/1689, Article 5(1)(f)).",
)


def length_in_words(hours: float) -> str:
    """Describe a length of time.

    >>> length_in_words(0.21), length_in_words(30.04)
    ('13 minutes', '30.0 hours')
    """
    return f"{hours * 60:.0f} minutes" if hours < 2 else f"{hours:.1f} hours"


def number_in_words(number: int, noun: str) -> str:
    """Describe how many there are of something.

    Args:
        number: how many.
        noun: what of; its plural ends in s, or es after ch.

    >>> number_in_words(1, "alert"), number_in_words(0, "alert")
    ('1 alert', 'no alerts')
    """
    plural = noun + ("es" if noun.endswith("ch") else "s")
    return f"{count(number) if number else 'no'} {noun if number == 1 else plural}"


def performance_in_words(performance: Performance | None) -> list[str]:
    """Describe what corrections say of the answers, and how far they can be trusted, in sentences."""
    if performance is None:
        return [
            "Nobody has corrected or confirmed an answer of this period, so nothing here says how often it is right."
        ]
    number = performance.num_corrections
    right = round(performance.figure("accuracy")["value"] * number)
    sentences = [
        f"People looked at {number_in_words(number, 'answer')} and would have given the same in {count(right)}. "
        "They choose what they look at, often what seems wrong, so this is no estimate for all answers."
    ]
    if not performance.is_enough:
        sentences.insert(0, f"Too few corrections to say how well it does: {number}; {FEWEST} give a first idea.")
    if performance.num_units < 2:
        sentences.append("All are of one speaker or session, so there are no intervals.")
    elif performance.num_units < _FEWEST_UNITS:
        sentences.append(f"Intervals over no more than {performance.num_units} speakers or sessions are too narrow.")
    if performance.num_uncertain:
        sentences.append(
            f"{count(performance.num_uncertain)} of the answers were “uncertain”; their most probable emotion counts."
        )
    if performance.num_unscored:
        sentences.append(
            f"{number_in_words(performance.num_unscored, 'correction')} without scored speech do not count."
        )
    if performance.agreement is not None:
        sentences.append(
            f"Where two people looked at the same stretch, they agree in {percent(performance.agreement, 0)}; "
            "which bounds what can be asked of any system."
        )
    return sentences
