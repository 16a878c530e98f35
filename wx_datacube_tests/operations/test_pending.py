"""Pending labels: one rule for ticks and commands, and the ranges that become runs.

Add a test here when another rule decides what is pending.
"""

import datetime as dt
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx_datacube.catalog.model import Period
from wx_datacube.catalog.periods import due_labels
from wx_datacube.operations.pending import MERGE_BELOW, Range, pending_labels, ranges
from wx_datacube.warehouse.coverage import State

DUE = due_labels(Period.DAY, dt.date(2026, 1, 1), dt.date(2026, 7, 1))
LANDED = dict.fromkeys(DUE, State.LANDED)
STATES = st.sampled_from(State)


@pytest.mark.parametrize(
    ("state", "materialized", "seen_to"),
    [
        (State.MISSING, False, True),
        (State.MISSING, True, True),
        (State.LANDED, False, True),
        (State.LANDED, True, False),
        (State.EMPTY, False, True),
        (State.EMPTY, True, False),
        (State.IMPLIED, False, True),
        (State.IMPLIED, True, False),
    ],
)
def test_missing_labels_are_always_pending_and_others_until_materialized(
    state: State, materialized: bool, seen_to: bool
) -> None:
    """A missing label is always pending; any other label only until it is materialized."""
    label = DUE[0]

    assert pending_labels({label: state}, [label] if materialized else []) == [label] * seen_to


@given(st.lists(STATES, max_size=60), st.sets(st.integers(0, 59)))
def test_pending_labels_are_due_and_oldest_first(states: list[State], done: set[int]) -> None:
    """Only due labels are pending, oldest first, whatever else is materialized."""
    known = dict(reversed(list(zip(DUE, states, strict=False))))
    found = pending_labels(known, [DUE[number] for number in done])

    assert found == sorted(found)
    assert set(found) <= set(known)
    assert {label for label in known if label not in found} == {
        label for number, label in enumerate(DUE) if number in done and known.get(label, State.MISSING) != "missing"
    }


@given(st.sets(st.integers(0, len(DUE) - 1)), st.data())
def test_ranges_cover_everything_and_merge_small_gaps_only(chosen: set[int], data: st.DataObject) -> None:
    """Ranges are newest first and at least 30 labels apart; each label is in one, and gaps within are smaller."""
    labels = [DUE[number] for number in chosen]
    states = {label: data.draw(STATES) if label in labels else State.LANDED for label in DUE}
    found = ranges(labels, states)
    places = [(DUE.index(each.first), DUE.index(each.last)) for each in found]

    assert places == sorted(places, reverse=True)
    assert all(sum(first <= number <= last for first, last in places) == 1 for number in chosen)
    for (newer, _), (_, older) in itertools.pairwise(places):
        assert newer - older - 1 >= MERGE_BELOW
    for (first, last), each in zip(places, found, strict=True):
        inside = sorted(number for number in chosen if first <= number <= last)
        assert {first, last} <= set(inside)
        assert all(after - before - 1 < MERGE_BELOW for before, after in itertools.pairwise(inside))
        assert each.missing == sum(states[DUE[number]] is State.MISSING for number in inside)


@pytest.mark.parametrize(("between", "count"), [(0, 1), (29, 1), (30, 2), (31, 2)])
def test_thirty_labels_between_make_two_ranges(between: int, count: int) -> None:
    """A gap of 30 labels splits a range; a smaller one doesn't."""
    assert len(ranges([DUE[0], DUE[between + 1]], LANDED)) == count


def test_a_range_counts_its_missing_labels() -> None:
    """A range counts the missing labels separately, since labels that only need materializing cost no call."""
    states = LANDED | {DUE[3]: State.MISSING, DUE[4]: State.MISSING}

    assert ranges(DUE[:6], states) == [Range(DUE[0], DUE[5], 6, 2)]


def test_nothing_to_do_makes_no_range() -> None:
    """Without pending labels there is no range."""
    assert ranges([], LANDED) == []
    assert pending_labels({}, DUE) == []


def test_weeks_are_counted_in_weeks() -> None:
    """Gaps are counted in labels of any length: 29 weeks are merged, as 29 days are."""
    weeks = due_labels(Period.WEEK, dt.date(2025, 1, 1), dt.date(2026, 7, 1))
    landed = dict.fromkeys(weeks, State.LANDED)

    assert ranges([weeks[0], weeks[30]], landed) == [Range(weeks[0], weeks[30], 31, 0)]
    assert len(ranges([weeks[0], weeks[31]], landed)) == 2
