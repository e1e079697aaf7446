"""What a run's figures say, in sentences for people who do not program."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ser_head.personalization.conditions import CLOSED, ENROLLED, PLAIN, TRANSDUCTIVE, UNKNOWN

if TYPE_CHECKING:
    pass

UNKNOWN_VALUE = "–"
_SMALLEST_P = 0.001  # what ten thousand resamples can still tell from 0


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share of 1 in percent."""
    return UNKNOWN_VALUE if share is None else f"{100 * share:.{digits}f} %"


def decimal(value: float | None, digits: int = 3) -> str:
    """Return a number with a fixed number of digits."""
    return UNKNOWN_VALUE if value is None else f"{value:.{digits}f}"


def signed(difference: float | None, digits: int = 3) -> str:
    """Return a difference with its sign."""
    return UNKNOWN_VALUE if difference is None else f"{difference:+.{digits}f}"


def points(difference: float | None, digits: int = 1) -> str:
    """Return a difference between two shares of 1 in percentage points, with its sign.

    >>> points(0.0314)
    '+3.1'
    """
    return UNKNOWN_VALUE if difference is None else f"{100 * difference:+.{digits}f}"


def of_hundred(share: float) -> str:
    """Return a share of 1 as a whole number of 100.

    >>> of_hundred(0.704)
    '70 of 100'
    """
    return f"{100 * share:.0f} of 100"


def p_value(value: float | None) -> str:
    """Return a p-value.

    >>> p_value(0.0002), p_value(0.04)
    ('<0.001', '0.040')
    """
    return f"<{_SMALLEST_P}" if value is not None and value < _SMALLEST_P else decimal(value)


def count(number: float) -> str:
    """Return a whole number, its thousands set apart by thin spaces."""
    return f"{number:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


_PROTOCOLS = {
    "speaker": "The speakers were divided into three groups: one to learn from, one to choose the best moment of the "
    "training, and one, kept aside until the end, for the test.",
    "random": "The clips were divided at random into training, validation and test, whoever speaks in them.",
    "kfold": "The speakers were divided into groups. Each group was tested once, by a head trained on the others.",
    "loso": "Each speaker was tested once, by a head trained on all the other speakers.",
    "cross": "The head was trained on one corpus, {}, and tested on another, {}.",
}
_CONDITIONS = {
    PLAIN: "a second head, without personalisation",
    UNKNOWN: "the head is not told who speaks",
    ENROLLED: "it was given {} unlabelled clip{} of the speaker, none of those scored",
    TRANSDUCTIVE: "it was given all clips of the speaker, unlabelled, those scored included",
    CLOSED: "the speaker was heard in training",
}
_METHODS = {
    "normalize": "takes the voice's own average and spread out of the numbers",
    "embedding": "describes a voice as a blend of the training voices it resembles",
    "features": "is given the voice's average numbers",
    "papt": "adds what the encoder's pre-training learned of the voice",
    "calibrate": "expects emotions as often as in the training voices it resembles",
}
# What a test clip may share with training, beside its speaker; and how that reads.
COPIES = ("bytes", "audio", "augmented")
_SHARED = {
    "speaker": "are of somebody who was also heard in training",
    "bytes": "are the very file of a training clip",
    "audio": "sound exactly like a training clip",
    "augmented": "are an altered copy of a training clip, or one was made from them",
    "sentence": "say a sentence that was also said in training, as is usual with acted speech",
}
_NAMES = {"speaker": "speaker", "bytes": "file", "audio": "sound", "augmented": "source", "sentence": "sentence"}
_SLIGHT = 0.02  # a bias of certainty below this is not worth a word


def protocol_in_words(protocol: str) -> str:
    """Return how the clips were parted; "" for a protocol this module does not know."""
    kind, *corpora = protocol.split(":")
    return _PROTOCOLS.get(kind, "").format(*corpora)


def condition_in_words(condition: str) -> str:
    """Return what the head knew of the speaker; "" for a condition this module does not know.

    >>> condition_in_words("unknown")
    'the head is not told who speaks'
    """
    kind, _, size = condition.partition(":")
    return _CONDITIONS.get(kind, "").format(size or "some", "" if size == "1" else "s")


def methods_in_words(methods: Sequence[str]) -> str:
    """Return what a personalised head makes of a voice.

    >>> methods_in_words(["features"])
    "is given the voice's average numbers (features)"
    """
    said = [f"{_METHODS.get(method, 'listens to the voice')} ({method})" for method in methods]
    return " and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)


def shared_in_words(leakage: Mapping[str, Any], num_tested: int) -> list[str]:
    """Return what test clips share with clips learned from, one sentence each; none where nothing is shared.

    Args:
        leakage: of metrics.json, what `ser_head.data.leakage.Audit.to_dict` returns.
        num_tested: test clips.
    """
    said = []
    for name, words in _SHARED.items():
        found = leakage.get(name, {})
        if found.get("clips"):
            example = " and ".join(found["example"])
            said.append(f"{count(found['clips'])} of {count(num_tested)} test clips {words}, such as {example}.")
    duplicates = leakage.get("duplicates", {})
    if duplicates.get("clips"):
        names = " and ".join(duplicates["example"])
        said.append(
            f"{count(duplicates['clips'])} recordings of the corpus sound exactly like another, such as {names}."
        )
    return said


def measured_in_words(folds: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return which corpora were standardised by their test clips, one sentence each.

    Args:
        folds: of run.json.
    """
    corpora = {name for fold in folds for name, own in fold.get("corpora", {}).items() if own["transductive"]}
    return [
        f"The numbers of {name} were standardised by its own test clips, without their labels. "
        "A user would need many clips of a new corpus for figures like these."
        for name in sorted(corpora)
    ]


def unchecked_in_words(leakage: Mapping[str, Any]) -> str:
    """Return what could not be checked for some clips, "" where all was.

    Args:
        leakage: as for `shared_in_words`.
    """
    unknown = {name: leakage[name]["unknown"] for name in _SHARED if leakage.get(name, {}).get("unknown")}
    parts = ", ".join(f"{_NAMES[name]} ({count(clips)} clips)" for name, clips in unknown.items())
    return parts and f"Not known, and so not checked: {parts}."


def certainty_in_words(test: Mapping[str, Any], calibration: Mapping[str, Any] | None) -> str:
    """Return how far a stated probability lies from the truth.

    Args:
        test: figures with ece and reliability.
        calibration: of metrics.json, if there is any.
    """
    lean = sum(row["n"] * (row["confidence"] - row["accuracy"]) for row in test["reliability"] if row["n"])
    lean /= sum(row["n"] for row in test["reliability"])
    word = "" if abs(lean) < _SLIGHT else f"; mostly it is too {'sure of itself' if lean > 0 else 'modest'}"
    gap = f"{100 * test['ece']:.1f} percentage points on average (ECE {decimal(test['ece'])})"
    said = f"What it says and how often it is right differ by {gap}{word}."
    if calibration:
        before = 100 * calibration["before"]["ece"]
        said += f" Without the temperature that was fitted on validation clips it would be {before:.1f}."
    return said


def coverage_in_words(test: Mapping[str, Any]) -> str:
    """Return what is gained by answering only the half of the clips the head is surest of.

    Args:
        test: figures with coverage.
    """
    points = {point["coverage"]: point for point in test["coverage"]["points"]}
    whole, half = points[1.0], points[0.5]
    return (
        f"Answering only the half of the clips it is surest of (at least {percent(half['confidence'], 0)} sure), it is "
        f"right in {of_hundred(half['accuracy'])}; on all clips in {of_hundred(whole['accuracy'])}."
    )


def in_words(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each value as (name, text).

    >>> list(in_words({"seed": 0, "refit": False, "split": [0.6, 0.4], "trim_db": None}))
    [('seed', '0'), ('refit', 'no'), ('split', '0.6, 0.4'), ('trim_db', '–')]
    """
    for name, value in values.items():
        if isinstance(value, bool):
            yield name, "yes" if value else "no"
        elif isinstance(value, list | tuple):
            yield name, ", ".join(map(str, value)) or UNKNOWN_VALUE
        else:
            yield name, UNKNOWN_VALUE if value in (None, "") else str(value)


def aligned(rows: Sequence[Sequence[str]], *, markdown: bool = False) -> str:
    """Lay out a table in columns of even width; the first row is the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    if not markdown:
        return "\n".join("  ".join(line).rstrip() for line in lines)
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
