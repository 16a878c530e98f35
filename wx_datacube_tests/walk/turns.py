"""Turns: which labels may be requested without a refresh, by the rules of the contract in plain Python.

Add a rule here if the contract gets one about when a label is requested. Nothing here imports the warehouse: states and
answers come from the reference.
"""

import datetime as dt

from wx_datacube.catalog.articles import DAILY_READING
from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.model import Endpoint
from wx_datacube.catalog.periods import SETTLED_HOUR, midnight_of
from wx_datacube_tests.reference import Label, Reference

DAY = dt.timedelta(days=1)
NOON = dt.timedelta(hours=SETTLED_HOUR)
DAYS_OF_GROWTH = (1, 2, 3, 4, 5, 6, 7, 10, 14, 21, 30)
"""Days after publication on which a growing label is requested again."""


def is_open(reference: Reference, label: Label) -> bool:
    """Return whether a label has landed and isn't final."""
    answer = reference.answers.get(label)
    return bool(answer and not answer.final and reference.stored.get(label))


def is_delayed(reference: Reference, label: Label) -> bool:
    """Return whether the answer in force for a label said that its figures aren't final."""
    answer = reference.answers.get(label)
    return answer is not None and answer.last_undelayed != answer.call_id


def is_turn_due(reference: Reference, label: Label, at: dt.datetime) -> bool:
    """Return whether an open label's turn has come at that time and wasn't taken."""
    midnight, fetched_at = midnight_of(at), reference.answers[label].fetched_at
    yesterday = Label(label.account, DAILY_READING.name, at.date() - DAY)
    landed = bool(reference.stored.get(yesterday)) and reference.answers[yesterday].final
    if fetched_at >= midnight or not (landed or at >= midnight + NOON):
        return False
    return is_delayed(reference, label) or _has_grown(BY_NAME[label.endpoint], label.date, fetched_at, at)


def _has_grown(endpoint: Endpoint, published: dt.date, since: dt.datetime, at: dt.datetime) -> bool:
    if not endpoint.grows:
        return False
    *days, last = (dt.datetime.combine(published + number * DAY, dt.time()) for number in DAYS_OF_GROWTH)
    return any(since < moment <= at for moment in (*days, last + NOON))


def why_unfounded(reference: Reference, label: Label, at: dt.datetime, overlap: dt.timedelta) -> str | None:
    """Return why a call for a label at that time, without a refresh, was one too many; None if it was right.

    `overlap` is how long another process may have been planning the call while the label landed.
    """
    answer, state = reference.answers.get(label), reference._state(label)
    if state == "implied":  # by the answer about its day
        answer = reference.answers[label._replace(endpoint=BY_NAME[label.endpoint].days)]
    if state == "missing" or (answer is not None and at - answer.fetched_at < overlap):
        return None
    if not is_open(reference, label):
        return f"was {state} and final by {answer}"
    return None if is_turn_due(reference, label, at) else f"was open, last answered at {reference.answers[label]}"
