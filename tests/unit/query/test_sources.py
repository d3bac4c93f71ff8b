"""Which table can tell the counts of a window."""

from __future__ import annotations

import pytest

from schemas.changes import Policy
from services.query.sources import bounds, choose
from stream.domain.minutes import HORIZON_MS, MINUTE_MS, MINUTES_A_DAY, ceil_minute
from tests.unit.query.samples import NOON_MS

LIVE = ceil_minute(NOON_MS)
HORIZON = ceil_minute(NOON_MS - HORIZON_MS)
WEEK = 7 * MINUTES_A_DAY


@pytest.mark.parametrize(
    ("policy", "after", "until", "known_ms", "source"),
    [
        pytest.param("all", LIVE - WEEK, LIVE, None, "panes", id="all-live"),
        pytest.param("all", LIVE - 2 * WEEK, LIVE - WEEK, None, "panes", id="all-in-the-past"),
        pytest.param("latest", LIVE - WEEK, LIVE, None, "panes", id="latest-live"),
        pytest.param("latest", LIVE - WEEK, LIVE + 1, None, "panes", id="latest-a-minute-ahead"),
        pytest.param("latest", LIVE - 2 * WEEK, LIVE - 1, None, "answers", id="latest-in-the-past"),
        pytest.param("all", None, LIVE, None, "both", id="window-without-beginning"),
        pytest.param("all", HORIZON, LIVE, None, "both", id="at-the-horizon"),
        pytest.param("all", HORIZON + 5, LIVE, None, "panes", id="well-inside-the-horizon"),
        pytest.param("latest", HORIZON - 1, LIVE, None, "answers", id="latest-beyond-the-horizon"),
        pytest.param("latest", None, LIVE, None, "answers", id="latest-without-beginning"),
        pytest.param("all", None, LIVE, NOON_MS, "answers", id="everything-as-known-then"),
        pytest.param("all", LIVE - WEEK, LIVE, NOON_MS - 1, "answers", id="as-known-then"),
        pytest.param("latest", LIVE - WEEK, LIVE, NOON_MS, "answers", id="latest-as-known-then"),
    ],
)
def test_the_source_that_can_tell(
    policy: Policy, after: int | None, until: int, known_ms: int | None, source: str
) -> None:
    assert choose(policy, after, until, known_ms, NOON_MS) == source


def test_bounds_never_leave_what_the_columns_can_hold() -> None:
    beginning = bounds("answers", "all", None, None, LIVE, now_ms=NOON_MS)
    assert beginning["panes_after_s"] == 0
    assert beginning["after_ms"] < 0
    assert beginning["every"] is True
    ages = bounds("answers", "all", ["alpha"], -36_500 * MINUTES_A_DAY, LIVE, now_ms=NOON_MS)
    assert ages["after_ms"] == beginning["after_ms"]
    assert ages["teams"] == ["alpha"]


@pytest.mark.parametrize("until", [LIVE, HORIZON + 5, HORIZON - 1_000])
@pytest.mark.parametrize("after", [None, HORIZON - 2_000])
def test_both_sources_meet_and_do_not_overlap(after: int | None, until: int) -> None:
    bound = bounds("both", "all", None, after, until, now_ms=NOON_MS)
    panes = range(bound["panes_after_s"] // 60 + 1, bound["until_s"] // 60 + 1)
    answers = range(bound["after_ms"] // MINUTE_MS + 1, bound["answers_until_ms"] // MINUTE_MS + 1)
    wanted = range((bound["after_ms"] // MINUTE_MS if after is None else after) + 1, until + 1)
    assert len(panes) + len(answers) == len(wanted)
    assert not panes or panes[0] == answers[-1] + 1
    assert answers[0] == wanted[0]
