"""The states of a follow-up case, and what leads from one to another: one table, one function.

    open ─► acknowledged ─► contacted ─► resolved         people, in any of these steps at once
      ╰──────────┴──────────────┴──────► snoozed          and back when the time has come
    any of these four ─► rescored, withdrawn, joined      the customer's own doing; only the customer takes it back

No state is terminal: `resolved` is reopened by people, the other closed ones by what becomes of the answers.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from schemas.feedback import ActKind
from schemas.followups import Case, State

# Those of people have the names of their acts, but an attempt at contact that reached nobody; then those of the
# customer's answers, and those of time: what a snoozed case wakes up to is what it was.
Signal = Literal[
    ActKind,
    "attempt",
    "rescore",
    "withdraw",
    "join",
    "relapse",
    "wake_open",
    "wake_acknowledged",
    "wake_contacted",
]
Moves = dict[tuple[State, Signal], State]

_OPEN: Final[tuple[State, ...]] = ("open", "acknowledged", "contacted", "snoozed")


def _all(states: tuple[State, ...], signal: Signal, to: State | None = None) -> Moves:
    """From each of `states` to one, or to itself."""
    return {(state, signal): to or state for state in states}


MOVES: Final[Moves] = {
    ("open", "acknowledge"): "acknowledged",
    ("snoozed", "acknowledge"): "acknowledged",
    **_all(_OPEN, "assign"),
    **_all((*_OPEN, "resolved", "rescored"), "note"),
    **_all(("acknowledged", "contacted", "snoozed"), "attempt"),
    ("open", "attempt"): "acknowledged",  # somebody is at it
    **_all(_OPEN, "contact", "contacted"),
    **_all(("acknowledged", "contacted", "snoozed"), "callback"),
    ("open", "callback"): "acknowledged",
    **_all(_OPEN, "snooze", "snoozed"),
    **_all(_OPEN, "resolve", "resolved"),
    ("resolved", "reopen"): "open",
    **_all(_OPEN, "rescore", "rescored"),
    **_all(_OPEN, "withdraw", "withdrawn"),
    **_all(_OPEN, "join", "joined"),
    ("rescored", "relapse"): "open",
    ("withdrawn", "relapse"): "open",
    ("joined", "relapse"): "open",  # the answer that opened it has left the case that it was joined into
    ("snoozed", "wake_open"): "open",
    ("snoozed", "wake_acknowledged"): "acknowledged",
    ("snoozed", "wake_contacted"): "contacted",
}

ACTS: Final[tuple[ActKind, ...]] = get_args(ActKind)
WAKING: Final[dict[State | None, Signal]] = {
    "open": "wake_open",
    "acknowledged": "wake_acknowledged",
    "contacted": "wake_contacted",
}


def move(state: State, signal: Signal) -> State:
    """The state after a signal. Raises ValueError for one that is not allowed in this state."""
    try:
        return MOVES[state, signal]
    except KeyError:
        raise ValueError(f"{signal} is not allowed in {state}") from None


def allowed(state: State) -> tuple[ActKind, ...]:
    """What people may do with a case in this state, in the order of `ActKind`. Empty when nothing is theirs to do."""
    return tuple(kind for kind in ACTS if (state, kind) in MOVES)


def waking(case: Case) -> Signal:
    """What wakes a snoozed case. Raises KeyError for one that is not snoozed."""
    return WAKING[case.snoozed_from]
