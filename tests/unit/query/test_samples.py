"""The yardstick of the integration tests, held against the contract's words."""

from __future__ import annotations

from services.query.params import from_ms, parse_instant
from stream.domain.minutes import ceil_minute
from tests.unit.query.samples import NOON_MS, State, iso, recount, standing, uid


def test_the_recount_takes_the_newest_state_that_was_known() -> None:
    states = [State("t", uid(1), 1, NOON_MS, NOON_MS, 1, 3), State("t", uid(1), 2, NOON_MS, NOON_MS + 1, 1, 9)]
    assert [state.score for state in standing(states)] == [9]
    assert recount(states, ceil_minute(NOON_MS), 60).promoters == 1
    assert recount(states, ceil_minute(NOON_MS), 60, known_ms=NOON_MS).detractors == 1
    assert parse_instant(iso(NOON_MS)) == from_ms(NOON_MS)
