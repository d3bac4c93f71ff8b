"""Who is on call: hand-overs over changes of the clock, overrides, and the time before the start."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.teams.rota import next_hand_over, on_call
from tests.unit.teams.configs import ms, team

ZONE = "Europe/Copenhagen"
TEAM = team(
    f"""
timezone = "{ZONE}"
[teams.t.on_call]
hand_over = "mon 09:00"
start = 2026-10-05
people = ["ada", "ben", "cleo"]
overrides = [
  {{ person = "cleo", start = "2026-11-04 12:00", end = "2026-11-06 08:00" }},
  {{ person = "dan", start = "2026-11-05 00:00", end = "2026-11-05 06:00" }},
]
"""
)


@pytest.mark.parametrize(
    ("at", "person"),
    [
        pytest.param("2026-10-05T08:59+02:00", "cleo", id="before-the-start-as-if-it-had-gone-on-for-ever"),
        pytest.param("2026-10-05T09:00+02:00", "ada", id="start"),
        pytest.param("2026-10-12T08:59:59+02:00", "ada", id="last-second-of-a-week"),
        pytest.param("2026-10-12T09:00+02:00", "ben", id="first-second-of-a-week"),
        pytest.param("2026-10-26T08:59+01:00", "cleo", id="the-week-of-the-clock-change-is-an-hour-longer"),
        pytest.param("2026-10-26T09:00+01:00", "ada", id="hand-over-at-nine-local-after-the-clock-change"),
        pytest.param("2026-11-04T11:59+01:00", "ben", id="before-the-override"),
        pytest.param("2026-11-04T12:00+01:00", "cleo", id="override"),
        pytest.param("2026-11-05T05:00+01:00", "dan", id="the-last-override-wins"),
        pytest.param("2026-11-05T06:00+01:00", "cleo", id="override-goes-on"),
        pytest.param("2026-11-06T08:00+01:00", "ben", id="override-over"),
        pytest.param("2027-03-29T08:59+02:00", "ada", id="hand-over-after-the-spring-change-not-yet"),
        pytest.param("2027-03-29T09:00+02:00", "ben", id="hand-over-after-the-spring-change"),
    ],
)
def test_who_is_on_call(at: str, person: str) -> None:
    assert on_call(TEAM.on_call, ZONE, ms(at)) == person


def test_without_a_rota_nobody_is() -> None:
    assert on_call(None, ZONE, 0) is None


def test_one_person_is_always_on_call() -> None:
    alone = team('[teams.t.on_call]\nstart = 2026-01-05\npeople = ["ada"]')
    assert {on_call(alone.on_call, "UTC", ms("2026-01-01") + week * 604_800_000) for week in range(60)} == {"ada"}


@given(st.integers(ms("2026-01-01"), ms("2028-01-01")))
def test_a_turn_ends_at_the_next_hand_over_and_not_before(at_ms: int) -> None:
    rota = TEAM.on_call
    assert rota is not None
    plain = rota.model_copy(update={"overrides": ()})
    ahead = next_hand_over(plain, ZONE, at_ms)
    assert at_ms < ahead <= at_ms + timedelta(days=7, hours=1) / timedelta(milliseconds=1)
    turn = [on_call(plain, ZONE, at) for at in (at_ms, ahead - 1, ahead)]
    assert turn[0] == turn[1]
    assert turn[2] == rota.people[(rota.people.index(turn[0] or "") + 1) % 3]
