"""Text of reports: numbers, aligned tables, and sentences about a run for people who do not program.

Shares lie in [0, 1]. A number that is not known (None) is written as a dash. The functions `..._in_words` return
English sentences, or parts of one, that the templates put together.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ser_embed.errors import InputError
from ser_head.data.splits import Protocol
from ser_head.personalization.conditions import CLOSED, ENROLLED, PLAIN, TRANSDUCTIVE, UNKNOWN
from ser_head.personalization.methods import METHODS, Method

UNKNOWN_VALUE = "–"
_SMALLEST_P = 0.001  # the smallest p-value that ten thousand resamples can tell from 0
_MIN_BIAS = 0.02  # a smaller difference between mean confidence and accuracy is not worth a word
_CONDITIONS = {
    PLAIN: "a second head, without personalisation",
    UNKNOWN: "the head is not told who speaks",
    ENROLLED: "it was given {} unlabelled clip{} of the speaker, none of those scored",
    TRANSDUCTIVE: "it was given all clips of the speaker, unlabelled, those scored included",
    CLOSED: "the speaker was heard in training",
}
COPIES = ("bytes", "audio", "augmented")  # entries of metrics.json "leakage" that make a test clip a copy
# Every entry of "leakage" that is about test clips, as the end of the sentence "3 of 100 test clips ..."
_SHARED = {
    "speaker": "are of somebody who was also heard in training",
    "bytes": "are the very file of a training clip",
    "audio": "sound exactly like a training clip",
    "augmented": "are an altered copy of a training clip, or one was made from them",
    "encoder": "are of somebody from whose clips, and their labels, the encoder has learned",
    "sentence": "say a sentence that was also said in training, as is usual with acted speech",
}
_LEAKAGE_NAMES = {
    "speaker": "speaker",
    "bytes": "file",
    "audio": "sound",
    "augmented": "source",
    "encoder": "training of the encoder",
    "sentence": "sentence",
}


def percent(share: float | None, digits: int = 1) -> str:
    """Format a share of 1 in percent."""
    return UNKNOWN_VALUE if share is None else f"{100 * share:.{digits}f} %"


def decimal(value: float | None, digits: int = 3) -> str:
    """Format a number with a fixed number of decimal digits."""
    return UNKNOWN_VALUE if value is None else f"{value:.{digits}f}"


def signed(difference: float | None, digits: int = 3) -> str:
    """Format a difference with its sign."""
    return UNKNOWN_VALUE if difference is None else f"{difference:+.{digits}f}"


def points(difference: float | None, digits: int = 1) -> str:
    """Format a difference between two shares of 1 in percentage points, with its sign.

    >>> points(0.0314)
    '+3.1'
    """
    return UNKNOWN_VALUE if difference is None else f"{100 * difference:+.{digits}f}"


def of_hundred(share: float) -> str:
    """Format a share of 1 as a whole number of 100.

    >>> of_hundred(0.704)
    '70 of 100'
    """
    return f"{100 * share:.0f} of 100"


def p_value(value: float | None) -> str:
    """Format a p-value.

    >>> p_value(0.0002), p_value(0.04)
    ('<0.001', '0.040')
    """
    return f"<{_SMALLEST_P}" if value is not None and value < _SMALLEST_P else decimal(value)


def count(number: float) -> str:
    """Format a whole number, with thin spaces between its thousands."""
    return f"{number:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def aligned(rows: Sequence[Sequence[str]], *, markdown: bool = False) -> str:
    """Format a table in columns of even width.

    Args:
        rows: cells by row; the first row is the heading.
        markdown: write a Markdown table in place of plain text.

    >>> print(aligned([["run", "UAR"], ["first", "0.512"]]))
    run    UAR
    first  0.512
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    if not markdown:
        return "\n".join("  ".join(line).rstrip() for line in lines)
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def values_in_words(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each value of a mapping as (name, text).

    >>> list(values_in_words({"seed": 0, "refit": False, "split": [0.6, 0.4], "trim_db": None}))
    [('seed', '0'), ('refit', 'no'), ('split', '0.6, 0.4'), ('trim_db', '–')]
    """
    for name, value in values.items():
        if isinstance(value, bool):
            yield name, "yes" if value else "no"
        elif isinstance(value, list | tuple):
            yield name, ", ".join(map(str, value)) or UNKNOWN_VALUE
        else:
            yield name, UNKNOWN_VALUE if value in (None, "") else str(value)


def protocol_in_words(protocol: str) -> str:
    """Describe how the clips were divided into training and test; "" for an unknown protocol."""
    try:
        parsed = Protocol.parse(protocol)
    except InputError:
        return ""
    return parsed.spec.summary.format(train=parsed.train, test=parsed.test)


def condition_in_words(condition: str) -> str:
    """Describe what the head knew of the speaker; "" for an unknown condition.

    >>> condition_in_words("unknown")
    'the head is not told who speaks'
    """
    kind, _, size = condition.partition(":")
    return _CONDITIONS.get(kind, "").format(size or "some", "" if size == "1" else "s")


def methods_in_words(methods: Sequence[str]) -> str:
    """Describe what a head with these personalisation methods does with a voice.

    >>> methods_in_words(["features"])
    "is given the voice's average numbers (features)"
    """
    phrases = [f"{METHODS[method].summary if method in METHODS else Method.summary} ({method})" for method in methods]
    return " and ".join([", ".join(phrases[:-1]), phrases[-1]] if len(phrases) > 1 else phrases)


def shared_in_words(leakage: Mapping[str, Any], num_tested: int) -> list[str]:
    """Describe what test clips share with training and validation clips, and what the encoder has learned from.

    Args:
        leakage: that of metrics.json, see `ser_head.data.leakage.Audit.to_dict`.
        num_tested: number of test clips.

    Returns:
        One sentence for each kind of sharing; none if nothing is shared.
    """
    sentences = []
    for name, predicate in _SHARED.items():
        finding = leakage.get(name, {})
        if finding.get("clips"):
            example = " and ".join(finding["example"])
            sentences.append(
                f"{count(finding['clips'])} of {count(num_tested)} test clips {predicate}, such as {example}."
            )
    if validation := leakage.get("encoder", {}).get("validation"):
        sentences.append(
            f"{count(validation)} clips that chose the epoch and the temperature are among those the encoder has "
            "learned from, or of their speakers; test clips did not take part in that choice."
        )
    duplicates = leakage.get("duplicates", {})
    if duplicates.get("clips"):
        example = " and ".join(duplicates["example"])
        sentences.append(
            f"{count(duplicates['clips'])} recordings of the corpus sound exactly like another, such as {example}."
        )
    return sentences


def measured_in_words(folds: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the corpora that were standardised by their test clips, one sentence each.

    Args:
        folds: those of run.json.
    """
    transductive = {
        name for fold in folds for name, corpus in fold.get("corpora", {}).items() if corpus["transductive"]
    }
    return [
        f"The numbers of {name} were standardised by its own test clips, without their labels. "
        "A user would need many clips of a new corpus for figures like these."
        for name in sorted(transductive)
    ]


def kept_head_in_words(about: Mapping[str, Any]) -> str:
    """Describe the head that a run keeps where it is none of those that were tested; "" for any other run.

    Args:
        about: content of run.json.
    """
    if "tested_folds" not in about:
        return ""
    epochs = about["folds"][0].get("best_epoch")
    duration = f" for {epochs} epochs, the median of theirs," if epochs else ""
    return (
        f"These are the figures of {len(about['tested_folds'])} heads, each tested on speakers it had never heard. The "
        f"head that is kept was trained{duration} on the clips of all speakers, so that none is left to test it. It is "
        "calibrated on what the others answered for speakers who were new to them."
    )


def unchecked_in_words(leakage: Mapping[str, Any]) -> str:
    """Describe what could not be checked, and for how many clips; "" if everything was checked.

    Args:
        leakage: as for `shared_in_words`.
    """
    unknown = {name: leakage[name]["unknown"] for name in _SHARED if leakage.get(name, {}).get("unknown")}
    parts = ", ".join(f"{_LEAKAGE_NAMES[name]} ({count(clips)} clips)" for name, clips in unknown.items())
    return parts and f"Not known, and so not checked: {parts}."


def certainty_in_words(test: Mapping[str, Any], calibration: Mapping[str, Any] | None) -> str:
    """Describe how far the stated probabilities lie from the shares that are right.

    Args:
        test: figures with ece and reliability.
        calibration: that of metrics.json, or None.
    """
    bias = sum(row["n"] * (row["confidence"] - row["accuracy"]) for row in test["reliability"] if row["n"])
    bias /= sum(row["n"] for row in test["reliability"])
    direction = "" if abs(bias) < _MIN_BIAS else f"; mostly it is too {'sure of itself' if bias > 0 else 'modest'}"
    gap = f"{100 * test['ece']:.1f} percentage points on average (ECE {decimal(test['ece'])})"
    text = f"What it says and how often it is right differ by {gap}{direction}."
    if calibration:
        before = 100 * calibration["before"]["ece"]
        text += f" Without the temperature that was fitted on validation clips it would be {before:.1f}."
    return text


def coverage_in_words(test: Mapping[str, Any]) -> str:
    """Describe what is gained by answering only for the half of the clips the head is most certain of.

    Args:
        test: figures with coverage.
    """
    points = {point["coverage"]: point for point in test["coverage"]["points"]}
    whole, half = points[1.0], points[0.5]
    return (
        f"Answering only the half of the clips it is surest of (at least {percent(half['confidence'], 0)} sure), it is "
        f"right in {of_hundred(half['accuracy'])}; on all clips in {of_hundred(whole['accuracy'])}."
    )
