"""A team made into its record: what stays the same, what changes its hash, and what makes no record."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from schemas.feedback import Policy
from services.teams.policies import policies_in
from services.teams.reading import BadTeams, plain, team_of
from stream.domain.policies import BUILT_IN, flaw
from stream.domain.reading import MOST_BYTES
from tests.unit.teams.configs import ms

EXAMPLE = (Path(__file__).parents[3] / "deploy" / "teams.example.toml").read_text(encoding="utf-8")
NOW_MS = ms("2026-11-29T12:00")
OFFICE = '[teams.t]\ntimezone = "Europe/Copenhagen"\ncalendar = { hours = { mon-fri = "09:00-17:00" } }\n'


def policy(text: str, now_ms: int = NOW_MS) -> Policy:
    return policies_in(text, now_ms)["t"]


def test_every_team_of_the_example_makes_a_record_that_the_fold_takes() -> None:
    for found in policies_in(EXAMPLE, NOW_MS).values():
        assert flaw(found) is None
        assert len(msgspec.json.encode(found)) <= MOST_BYTES


def test_what_the_record_carries_is_the_team_again() -> None:
    for found in policies_in(EXAMPLE, NOW_MS).values():
        carried = msgspec.json.decode(msgspec.json.encode(found), type=Policy).config
        again = team_of(carried)
        assert not isinstance(again, list)
        assert plain(carried) == carried


def test_a_team_that_sets_nothing_has_the_built_in_promise() -> None:
    found = policy("[teams.t]")
    assert msgspec.structs.replace(found, rev=BUILT_IN.rev) == BUILT_IN


def test_customers_are_asked_again_after_plain_time_and_only_where_it_is_set() -> None:
    asking = OFFICE + '[teams.t.clocks]\nreask_after = "14d"\n'
    assert policy(asking).reask_ms == 14 * 24 * 3_600_000
    assert policy(asking).rev != policy(OFFICE).rev
    assert b"reask" not in msgspec.json.encode(policy(OFFICE)), "a team that asks nobody has the record it had"


def test_the_same_team_makes_the_same_record_for_a_quarter_and_reaches_further_in_the_next() -> None:
    first, last, after = (policy(OFFICE, ms(at)) for at in ("2026-10-01", "2026-12-31T23:59", "2027-01-01"))
    assert first == last
    assert after.rev != first.rev
    assert (after.until_ms or 0) > (first.until_ms or 0)


def test_around_the_clock_needs_no_renewal() -> None:
    assert policy("[teams.t]", ms("2026-10-01")) == policy("[teams.t]", ms("2029-10-01"))


@pytest.mark.parametrize(
    "more",
    [
        'name = "T"',
        'targets = ["x"]',
        'clocks = { contact = "9h" }',
        'root_causes = ["a"]',
        'routes = [{ to = ["x"] }]',
        'quiet = { hours = { mon = "20:00-21:00" } }',
    ],
)
def test_whatever_changes_changes_the_hash(more: str) -> None:
    assert policy(OFFICE).rev != policy(f"{OFFICE}{more}\n").rev


def test_the_order_of_keys_changes_nothing() -> None:
    one, other = 'name = "T"\ntimezone = "UTC"\n', 'timezone = "UTC"\nname = "T"\n'
    assert policy(f"[teams.t]\n{one}").rev == policy(f"[teams.t]\n{other}").rev


def test_days_of_a_promise_are_working_days() -> None:
    assert policy(OFFICE + 'clocks = { contact = "1d", resolve = "3d" }').resolve_ms == 24 * 3_600_000


def test_the_usual_resolution_is_never_before_the_first_contact() -> None:
    found = policy('[teams.t]\ncalendar = { hours = { mon-fri = "09:00-12:00" } }')
    assert (found.contact_ms, found.resolve_ms) == (10 * 3_600_000, 10 * 3_600_000)


@pytest.mark.parametrize(
    ("calendar", "told"),
    [
        (
            '{ hours = { mon = "09:00-17:00" }, closed = ["2026-01-01..2030-12-31"] }',
            "works so little in the next two years that the promise cannot be kept",
        ),
        (
            '{ hours = { mon-sun = ["06:00-09:00", "10:00-12:00", "13:00-20:00"] } }',
            "has too many pieces: a team with all its hours has at most 65536 bytes",
        ),
    ],
)
def test_a_calendar_that_makes_no_record_is_told_with_its_line(calendar: str, told: str) -> None:
    with pytest.raises(BadTeams) as raised:
        policies_in(f"[teams.a]\n[teams.t]\ncalendar = {calendar}\n", NOW_MS)
    assert [str(one) for one in raised.value.wrong] == [f"line 3: teams.t.calendar {told}"]
