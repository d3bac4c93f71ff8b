"""Live windows = panes summed = a naive recount, after any history; the rings are what the panes say."""

from __future__ import annotations

import pytest
from hypothesis import given

from tests.unit.stream.fakes import PARTITION, Record, play
from tests.unit.stream.holding import (
    assert_panes_hold,
    assert_rings_are_what_panes_say,
    assert_windows_hold,
    panes_of,
    summed,
)
from tests.unit.stream.knowing import KnowingRecount
from tests.unit.stream.logs import PROPERTY, cut_logs

Log = list[Record]


@PROPERTY
@given(cut_logs())
def test_live_windows_equal_panes_summed_equal_a_recount_at_every_minute_they_are_valid_for(
    drawn: tuple[Log, list[int]],
) -> None:
    log, cuts = drawn
    for end in {len(log), *cuts[:1]}:
        run = play(log[:end], [cut for cut in cuts if cut < end])
        truth = KnowingRecount.of(log[:end], PARTITION)
        assert_windows_hold(run.state, run.scores, truth)


@PROPERTY
@given(cut_logs())
def test_every_pane_and_every_published_pane_equals_a_recount_of_its_minute(drawn: tuple[Log, list[int]]) -> None:
    log, cuts = drawn
    run = play(log, cuts)
    truth = KnowingRecount.of(log, PARTITION)
    assert_panes_hold(run.state, truth)
    stored = {(team, minute): pane for team, minute, pane in panes_of(run.state)}
    published = {at: [*pane.all, *pane.latest] for at, pane in run.panes.items()}
    assert stored.items() <= published.items()
    assert all(minute < truth.closed for _, minute in published.keys() - stored.keys())


@PROPERTY
@given(cut_logs())
def test_rings_and_due_keys_derived_again_from_panes_are_equal(drawn: tuple[Log, list[int]]) -> None:
    log, cuts = drawn
    assert_rings_are_what_panes_say(play(log, cuts).state)


@pytest.mark.parametrize("policy", ["all", "latest"])
def test_the_helper_sums_a_pane_by_bands(policy: str) -> None:
    pane = [1, 0, 0, 0, 0, 0, 1, 1, 1, 0, 2, *([0] * 10), 5]
    assert summed([(1, pane)], policy) == ((2, 2, 2) if policy == "all" else (0, 0, 5))
