"""The list of live windows as a record, by example."""

from __future__ import annotations

import pytest

from stream.domain import keys
from stream.domain.minutes import LONGEST_WINDOW, MOST_WINDOWS, WINDOWS
from tests.unit.stream.fakes import DAY, HOUR, TEAMS, LogBuilder, Run, play, windows_value
from tests.unit.stream.holding import assert_rings_are_what_panes_say

DAY_MINUTES = 24 * 60


def shown(run: Run, team: str = TEAMS[0]) -> dict[int, int]:
    """Window to promoters."""
    return {window.minutes: window.all.promoters for window in run.scores[team].windows}


@pytest.fixture
def log() -> LogBuilder:
    log = LogBuilder()
    for hours in (0, 2, 30, 24 * 20):
        log.answer(hours, 9, answered_ms=log.now_ms - hours * HOUR)
    log.answer(7, 9, team=TEAMS[1], answered_ms=log.now_ms - 100 * DAY)
    return log


def test_until_a_record_names_others_the_five_are_live(log: LogBuilder) -> None:
    run = play(log.records)
    assert tuple(shown(run)) == WINDOWS
    assert keys.WINDOWS not in run.state.data


def test_another_list_is_summed_from_the_panes_and_published_for_every_team(log: LogBuilder) -> None:
    log.append(None, windows_value(180, 2 * DAY_MINUTES, LONGEST_WINDOW))
    run = play(log.records)
    assert shown(run) == {180: 2, 2 * DAY_MINUTES: 3, LONGEST_WINDOW: 4}
    assert shown(run, TEAMS[1]) == {180: 0, 2 * DAY_MINUTES: 0, LONGEST_WINDOW: 1}
    assert_rings_are_what_panes_say(run.state)
    log.tick(HOUR + 1)
    assert shown(play(log.records))[180] == 1


def test_the_last_list_holds_and_the_same_again_says_nothing(log: LogBuilder) -> None:
    log.append(None, windows_value(60))
    log.append(None, windows_value(*WINDOWS))
    run = play(log.records)
    assert shown(run) == shown(play(log.records[:-2]))
    log.append(None, windows_value(*WINDOWS))
    effects = run.fold(log.records[-1:])
    assert effects.changes.keys() == {keys.META}


@pytest.mark.parametrize(
    "minutes",
    [(), (0, 60), (-1,), (60, 60), (120, 60), (LONGEST_WINDOW + 1,), tuple(range(1, MOST_WINDOWS + 2))],
    ids=["none", "zero", "negative", "twice", "descending", "too long", "too many"],
)
def test_a_list_that_cannot_be_is_refused(log: LogBuilder, minutes: tuple[int, ...]) -> None:
    log.append(None, windows_value(*minutes))
    run = play(log.records)
    assert [reject.reason for reject in run.rejects] == ["bad_field"]
    assert tuple(shown(run)) == WINDOWS


def test_most_and_longest_are_taken(log: LogBuilder) -> None:
    minutes = (*range(1, MOST_WINDOWS), LONGEST_WINDOW)
    log.append(None, windows_value(*minutes))
    assert tuple(shown(play(log.records))) == minutes
