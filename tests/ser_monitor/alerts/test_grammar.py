"""Grammar of conditions: round trips, defaults, errors with columns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_embed.errors import InputError
from ser_monitor.alerts.conditions import COMPARISONS, Condition
from ser_monitor.alerts.grammar import STATES, parse_condition
from ser_monitor.alerts.quantities import (
    Activation,
    Emotion,
    Quantity,
    Rise,
    Share,
    Silence,
    Uncertainty,
    Unfamiliarity,
)

LABELS = ("angry", "calm", "fear")

names = st.one_of(st.sampled_from(LABELS), st.sampled_from(["silence", "for", "activation", "share"]), st.text())
windows_s = st.floats(1e-3, 3600)
signals = st.one_of(st.builds(Emotion, names), st.just(Activation()))
quantities: st.SearchStrategy[Quantity] = st.one_of(
    signals, st.builds(Share, names, windows_s), st.builds(Rise, signals, windows_s)
)
durations_s = st.one_of(st.just(0.0), st.integers(1, 86400).map(float), st.floats(1e-6, 86400))
compared = st.builds(Condition, quantities, st.sampled_from(list(COMPARISONS)), st.floats(0, 1), durations_s)
states = st.builds(
    lambda state, duration_s: Condition(*state[:1], ">", state[1], duration_s, is_state=True),
    st.sampled_from(list(STATES.values())),
    durations_s.filter(bool),
)


@given(st.one_of(compared, states))
def test_a_condition_comes_back_from_its_text(condition: Condition) -> None:
    assert parse_condition(str(condition)) == condition


@given(st.text())
def test_whatever_is_no_condition_is_an_error_of_one_line_with_a_column(text: str) -> None:
    with pytest.raises(InputError, match=r"^column \d+: expected .*, not .*$"):
        parse_condition(f"{text} > 2")


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("angry > 0.6 for 5 s", Condition(Emotion("angry"), ">", 0.6, 5)),
        ("  angry>=.6  ", Condition(Emotion("angry"), ">=", 0.6)),
        ("activation > 0.8 for 10 s", Condition(Activation(), ">", 0.8, 10)),
        ("share(angry, 60 s) > 0.3", Condition(Share("angry", 60), ">", 0.3)),
        ("share ( uncertain , 2min ) <= 1e-1 for 1 h", Condition(Share("uncertain", 120), "<=", 0.1, 3600)),
        ("rise(fear) > 0.4", Condition(Rise(Emotion("fear"), 30), ">", 0.4)),
        ("rise(activation, 500 ms) < -0.4", Condition(Rise(Activation(), 0.5), "<", -0.4)),
        ("unfamiliar for 30 s", Condition(Unfamiliarity(), ">", 1, 30, is_state=True)),
        ("uncertain for 30s", Condition(Uncertainty(), ">", 0.5, 30, is_state=True)),
        ("silence for 1.5 min", Condition(Silence(), ">", 0.5, 90, is_state=True)),
        ('"calm" < 1', Condition(Emotion("calm"), "<", 1)),
    ],
)
def test_the_forms_of_the_grammar(text: str, condition: Condition) -> None:
    assert parse_condition(text, LABELS) == condition


def test_milliseconds_are_the_nearest_float() -> None:
    durations_s = [parse_condition(f"silence for {number} ms").duration_s for number in range(1, 2000)]
    assert durations_s == [number / 1000 for number in range(1, 2000)]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", r"column 1: expected an emotion, activation, .* not the end"),
        ("angry", r"column 6: expected one of > >= < <=, not the end"),
        ("angry = 0.6", r"column 7: expected one of > >= < <=, not '='"),
        ("angry > 60", r"column 9: expected a number from 0 to 1, not '60'"),
        ("angry > -0.1", r"column 9: expected a number from 0 to 1, not '-0.1'"),
        ("angry > high", r"column 9: expected a number from 0 to 1, not 'high'"),
        ("angry > 0.6 in 5 s", r"column 13: expected for DURATION or the end, not 'in'"),
        ("angry > 0.6 for", r"column 16: expected a duration .* not the end"),
        ("angry > 0.6 for 5", r"column 18: expected a unit \(ms, s, min, h\), not the end"),
        ("angry > 0.6 for 5 sec", r"column 19: expected a unit \(ms, s, min, h\), not 'sec'"),
        ("angry > 0.6 for 0 s", r"column 17: expected a duration up to 24 h, such as 5 s or 2 min, not '0'"),
        ("angry > 0.6 for 25 h", r"column 17: expected a duration up to 24 h"),
        ("angry > 0.6 for 1e999 s", r"column 17: expected a duration up to 24 h"),
        ("angry > 0.6 for 5 s and calm < 1", r"column 21: expected the end, not 'and'"),
        ("angri > 0.6", r"column 1: expected an emotion of the run \(angry, calm, fear\), not 'angri' \(.*angry\?\)"),
        ("uncertain > 0.5", r"column 11: expected 'for', not '>'"),
        ("silence", r"column 8: expected 'for', not the end"),
        ("share(angry) > 0.3", r"column 12: expected ',', not '\)'"),
        ("share(bored, 60 s) > 0.3", r"column 7: expected an emotion of the run"),
        ("share(angry, 2 h) > 0.3", r"column 14: expected a duration up to 1 h"),
        ("rise(angry, 60 s > 0.3", r"column 18: expected '\)', not '>'"),
        ("rise(silence, 60 s) > 0.3", r"column 6: expected an emotion of the run"),
        ("rise(angry) > 1.5", r"column 15: expected a number from -1 to 1, not '1.5'"),
        ('"angry > 0.6', r"column 1: expected an emotion"),
        ('"\\x" > 0.6', r"column 1: expected a name in double quotes"),
        ("angry > 0.6; calm > 1", r"column 12: expected for DURATION or the end, not ';'"),
    ],
)
def test_errors_name_the_column_and_what_was_expected(text: str, error: str) -> None:
    with pytest.raises(InputError, match=f"^{error}"):
        parse_condition(text, LABELS)


@given(compared, st.floats(0, 1, exclude_max=True), st.floats(-1, 1))
def test_hysteresis_only_widens_what_meets_a_condition(condition: Condition, hysteresis: float, value: float) -> None:
    assert condition.is_kept(value, 0) == condition.is_met(value)
    assert condition.is_kept(value, hysteresis) or not condition.is_met(value)


@pytest.mark.parametrize("text", ["angry > 0.03", "angry < 0.98", "rise(angry) > -0.9", "unfamiliar for 1 s"])
def test_a_condition_can_end_however_near_its_threshold_is_to_the_end_of_the_scale(text: str) -> None:
    condition = parse_condition(text)
    end = condition.quantity.lowest if condition.comparison == ">" else condition.quantity.highest
    assert not condition.is_kept(end, 0.5)
