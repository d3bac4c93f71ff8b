"""The table of a case's states, as a whole."""

from __future__ import annotations

import itertools
from typing import Final, get_args

import pytest

from schemas.feedback import ActKind
from schemas.followups import State
from stream.domain.moves import MOVES, Signal, allowed, move
from stream.domain.values import OPEN

STATES: Final[tuple[State, ...]] = get_args(State)
SIGNALS: Final[tuple[Signal, ...]] = get_args(Signal)
BY_PEOPLE: Final = {*get_args(ActKind), "attempt"}
BY_CUSTOMERS: Final = {"rescore", "withdraw", "join", "relapse"}
BY_TIME: Final = {"wake_open", "wake_acknowledged", "wake_contacted"}


def after(signal: Signal) -> dict[State, State]:
    """What a signal leads to from each state that allows it."""
    return {state: MOVES[state, signal] for state in STATES if (state, signal) in MOVES}


def test_every_signal_is_of_people_customers_or_time() -> None:
    assert set(SIGNALS) == BY_PEOPLE | BY_CUSTOMERS | BY_TIME
    assert {signal for _, signal in MOVES} == set(SIGNALS)
    assert {state for state, _ in MOVES} | set(MOVES.values()) == set(STATES)


@pytest.mark.parametrize(("state", "signal"), sorted(set(itertools.product(STATES, SIGNALS)) - MOVES.keys()))
def test_every_move_not_in_the_table_is_refused(state: State, signal: Signal) -> None:
    with pytest.raises(ValueError, match=f"{signal} is not allowed in {state}"):
        move(state, signal)


@pytest.mark.parametrize(("state", "signal"), sorted(MOVES))
def test_every_move_in_the_table_is_made(state: State, signal: Signal) -> None:
    assert move(state, signal) == MOVES[state, signal]


def test_no_state_is_terminal_and_all_can_be_reached() -> None:
    reached: set[State] = {"open"}
    while new := {to for (state, _), to in MOVES.items() if state in reached} - reached:
        reached |= new
    assert reached == set(STATES)
    for state in STATES:
        assert any(of == state and to != state for (of, _), to in MOVES.items()), f"there is no way out of {state}"


@pytest.mark.parametrize("signal", ["resolve", "rescore", "withdraw", "join", "snooze", "contact", "assign"])
def test_what_is_open_can_be_closed_snoozed_contacted_and_given_away_from_every_step(signal: Signal) -> None:
    assert after(signal).keys() == OPEN


def test_people_reopen_what_they_resolved_and_customers_what_they_closed() -> None:
    assert after("reopen") == {"resolved": "open"}
    assert after("relapse") == dict.fromkeys(("rescored", "withdrawn", "joined"), "open")


def test_nothing_takes_a_contact_back_but_a_reopening() -> None:
    ways = {(signal, to) for (state, signal), to in MOVES.items() if state == "contacted" and to in OPEN}
    assert {to for _, to in ways} == {"contacted", "snoozed"}


def test_an_attempt_that_reaches_nobody_contacts_nobody() -> None:
    assert after("attempt") == {
        "open": "acknowledged",
        "acknowledged": "acknowledged",
        "contacted": "contacted",
        "snoozed": "snoozed",
    }


def test_assignments_and_notes_leave_the_state_as_it_is() -> None:
    for signal in ("assign", "note"):
        found = after(signal)
        assert list(found) == list(found.values())


@pytest.mark.parametrize("signal", sorted(BY_TIME))
def test_only_what_sleeps_wakes_up(signal: Signal) -> None:
    assert after(signal) == {"snoozed": signal.removeprefix("wake_")}


def test_what_is_allowed_in_a_state_is_what_the_table_has_for_people() -> None:
    assert {state: allowed(state) for state in STATES} == {
        "open": ("acknowledge", "assign", "note", "contact", "callback", "snooze", "resolve"),
        "acknowledged": ("assign", "note", "contact", "callback", "snooze", "resolve"),
        "contacted": ("assign", "note", "contact", "callback", "snooze", "resolve"),
        "snoozed": ("acknowledge", "assign", "note", "contact", "callback", "snooze", "resolve"),
        "resolved": ("note", "reopen"),
        "rescored": ("note",),
        "withdrawn": (),
        "joined": (),
    }
