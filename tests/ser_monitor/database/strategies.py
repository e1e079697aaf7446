"""Hypothesis strategies of items: whatever a session, an event or an alert may hold."""

from datetime import UTC, datetime

from hypothesis import strategies as st

from ser_monitor.events import RULE, UNUSUAL, UTTERANCE, WINDOW, Alert, Event, Session

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
moments = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))
reals = st.floats(allow_nan=False, allow_infinity=False)
shares = st.floats(0, 1)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | reals | st.text(max_size=10),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=5,
)
any_session = st.builds(
    Session,
    id=st.just(""),
    source=texts,
    kind=texts,
    recording=texts,
    speaker=texts,
    started_at=moments,
    run=texts,
    labels=st.lists(texts, max_size=4, unique=True).map(tuple),
    settings=st.dictionaries(st.text(max_size=5), json_values, max_size=3),
)
any_event = st.builds(
    Event,
    session_id=st.just(""),
    number=st.integers(0, 2**31 - 1),
    kind=st.sampled_from([WINDOW, UTTERANCE]),
    start_s=reals,
    end_s=reals,
    started_at=moments,
    speech=shares,
    label=texts,
    probabilities=st.dictionaries(texts, shares, max_size=4),
    smoothed=st.dictionaries(texts, shares, max_size=4),
    activation=st.none() | shares,
    ood_score=st.none() | reals,
    enrolled=st.integers(0, 2**31 - 1),
    hop_s=reals,
    delay_s=reals,
)
any_alert = st.builds(
    Alert,
    id=st.just(""),
    kind=st.sampled_from([RULE, UNUSUAL]),
    rule=texts,
    session_id=st.just(""),
    source=texts,
    speaker=texts,
    began_at=moments,
    raised_at=moments,
    value=st.none() | reals,
    message=texts,
    channels=st.lists(texts, max_size=3, unique=True).map(tuple),
)
