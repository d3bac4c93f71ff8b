"""Random logs: duplicates, edits, late answers, history, test flags, changes of respondent, ticks, jumps of months."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.unit.stream.fakes import (
    DAY,
    HOUR,
    MINUTE,
    TEAMS,
    TICK,
    LogBuilder,
    Record,
    act_value,
    answer_value,
    case_id,
    command_value,
    erase_respondent_value,
    note_id,
    office_hours,
    policy_value,
    windows_value,
)

# The normal run draws the same examples each time. PULSE_PROPERTY_EXAMPLES=20000 looks further, at random.
_MORE: Final = os.environ.get("PULSE_PROPERTY_EXAMPLES")
_USUAL: Final = 20 if os.environ.get("TESTS_QUICK") else 60
PROPERTY: Final = settings(
    max_examples=int(_MORE or _USUAL),
    derandomize=_MORE is None,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

OTHER_PARTITION: Final = "team-1"
NEXT: Final = -1  # the revision after the greatest one of that id so far

# A log is drawn as bytes, seven a record, each of which picks from one of these lists: drawing the fields one by one
# would take ten times as long as all that is tested with them.
_KINDS: Final = (
    ["answer"] * 20
    + ["again"] * 4
    + ["act"] * 8
    + ["tick", "tick", "bad", "exclude", "exclude", "exclude", "include", "erase", "erase_respondent", "windows"]
    + ["policy"]
)
_ACTS: Final = [
    "acknowledge",
    "assign",
    "note",
    "contact",
    "contact",
    "callback",
    "snooze",
    "resolve",
    "resolve",
    "reopen",
]
_REASONS: Final = ["test", "bot", "test", "invalid", "duplicate_person"]
# Minutes; those of the last two are refused.
WINDOW_LISTS: Final = [
    *[(60, 1_440, 10_080, 43_200, 129_600), (1,), (1, 2, 3, 5, 60), (90, 527_040), (7 * 1_440,), tuple(range(1, 21))],
    *[(60, 60), (527_041,)],
]
_HOURS: Final = office_hours(40)
# The last two are refused.
POLICIES: Final[list[dict[str, Any]]] = [
    {
        "contact_ms": HOUR,
        "resolve_ms": 2 * HOUR,
        "raise_within_ms": 30 * DAY,
        "remind_ms": [MINUTE, HOUR],
        "reask_ms": 14 * DAY,
    },
    {"open": _HOURS, "until_ms": _HOURS[-1] + DAY, "remind_ms": [9 * HOUR], "escalate_ms": [0, HOUR, 30 * HOUR]},
    {
        "open": _HOURS,
        "until_ms": _HOURS[-1],
        "contact_ms": 90 * MINUTE,
        "escalate_ms": [1],
        "config": {"routes": [{"to": "ada"}]},
    },
    {"raise_within_ms": DAY, "root_causes": ["delay"]},
    {"reask_ms": HOUR},
    {"open": _HOURS[::-1], "until_ms": _HOURS[-1]},
    {"contact_ms": 0},
]
# How far the broker's clock moves on; it steps back a little when a partition gets another leader.
_CALM: Final = [0] * 6 + [1, 999, 30_000, MINUTE - 1, MINUTE, MINUTE + 1, 5 * MINUTE, 59 * MINUTE, HOUR, -5_000]
_WILD: Final = [HOUR, 9 * HOUR, DAY, 6 * DAY, 7 * DAY, 23 * DAY, 60 * DAY, 91 * DAY, 200 * DAY, 401 * DAY]
_WHICH: Final = [(team, n) for team in (TEAMS[0], TEAMS[0], TEAMS[1]) for n in (0, 0, 1, 1, 2, 2, 3, 4, 5)]
_SAID: Final = [(score, False) for score in [0, 3, 6, 6, 7, 8, 9, 10] * 4] + [(3, True), (6, True), (9, True)] * 2
# How long before its append an answer was given; None: the client did not say; below 0: its clock is ahead.
_AGES: Final = (
    [None] * 7
    + [0, 0, 0, 1, 30_000, MINUTE - 1, MINUTE, MINUTE + 1, 2 * MINUTE, 61 * MINUTE, 25 * HOUR, 2 * DAY, 7 * DAY]
    + [7 * DAY + 1, 29 * DAY, 89 * DAY, 91 * DAY, 399 * DAY, 400 * DAY, 400 * DAY + 1, 500 * DAY, -3 * MINUTE]
)
_RESPONDENTS: Final = [None, None, "anna", "anna", "bo"]
_REVISIONS: Final = [0] * 4 + [1, 2] + [NEXT] * 4
_WIDTH: Final = 7

T = TypeVar("T")


def _pick(options: Sequence[T], byte: int) -> T:
    return options[byte % len(options)]


def _log(drawn: bytes, steps: list[int]) -> list[Record]:
    builder = LogBuilder()
    revisions: dict[tuple[str, int], int] = {}
    for at in range(0, len(drawn) - _WIDTH + 1, _WIDTH):
        b = drawn[at : at + _WIDTH]
        kind = _pick(_KINDS, b[0])
        builder.now_ms += _pick(steps, b[1])
        team, number = _pick(_WHICH, b[2])
        skip = int(b[6] > 240)
        if kind == "answer":
            score, test = _pick(_SAID, b[3])
            age = _pick(_AGES, b[4])
            revision = _pick(_REVISIONS, b[6])
            greatest = revisions.get((team, number), 0)
            revision = greatest + 1 if revision == NEXT else revision
            revisions[team, number] = max(greatest, revision)
            fields = {
                "answered_ms": None if age is None else builder.now_ms - age,
                "respondent": _pick(_RESPONDENTS, b[5]),
                "revision": revision,
                "test": test,
                "survey": f"s{b[5] & 1}",
                "reask_of": _pick([*(case_id(n, team) for n in range(4)), "of no case"] + [None] * 7, b[1] + 5 * b[5]),
            }
            given = {name: value for name, value in fields.items() if value}
            builder.append(team.encode(), answer_value(number, score, **given), skip=skip)
        elif kind == "again" and builder.records:
            earlier = _pick(builder.records[::-1], b[3])
            builder.append(earlier.key, earlier.value, skip=skip)
        elif kind == "act":
            builder.append(team.encode(), _act(builder, team, number, b), skip=skip)
        elif kind in ("exclude", "include"):
            # Taken back half of the time: what nobody has set is seldom cleared.
            kind = _pick([kind, "include"], b[5])
            builder.append(team.encode(), command_value(kind, number, reason=_pick(_REASONS, b[3])), skip=skip)
        elif kind == "erase":
            builder.append(team.encode(), command_value(kind, number), skip=skip)
        elif kind == "erase_respondent":
            builder.append(None, erase_respondent_value(_pick(["anna", "bo"], b[3])), skip=skip)
        elif kind == "windows":
            builder.append(None, windows_value(*_pick(WINDOW_LISTS, b[3])), skip=skip)
        elif kind == "policy":
            builder.append(team.encode(), policy_value(**_pick(POLICIES, b[3])), skip=skip)
        elif kind == "bad":
            builder.append(*_unusable(b[3], team))
        else:
            builder.append(None, TICK, skip=skip)
    return builder.records


def _act(builder: LogBuilder, team: str, number: int, b: bytes) -> bytes:
    """Somebody does something with the case that an answer has opened, if it has."""
    kind = _pick(_ACTS, b[3])
    later = builder.now_ms + _pick([HOUR, DAY, 9 * DAY, 0], b[4])
    given: dict[str, Any] = {"callback": {"at_ms": later}, "snooze": {"until_ms": later}}.get(kind, {})
    if kind == "contact":
        given = {"outcome": _pick(["reached", "no_answer", "replied"], b[4])}
    if b[5] & 1:
        given["note"] = note_id(builder.next_offset)
    if b[6] % 8 == 1:
        given["expect_n"] = b[6] // 8 % 4
    return act_value(number, kind, builder.next_offset, team=team, **given)


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    """A log of one partition, 1 to 40 records. One in five was copied: its records carry their first append time."""
    steps = draw(st.sampled_from([_CALM, _CALM + _WILD]))
    # Drawn short unless they must not be; the short ones are what a failure shrinks to.
    short = st.binary(min_size=_WIDTH, max_size=8 * _WIDTH)
    log = _log(draw(short | st.binary(min_size=12 * _WIDTH, max_size=40 * _WIDTH)), steps)
    return _copied(log) if draw(st.sampled_from([False] * 4 + [True])) else log


@st.composite
def cut_logs(draw: st.DrawFn) -> tuple[list[Record], list[int]]:
    """A log, and where to cut it into batches."""
    log = draw(logs())
    return log, draw(st.lists(st.integers(1, len(log)), max_size=6))


def _unusable(pick: int, team: str) -> tuple[bytes | None, bytes | None]:
    good = answer_value(pick % 6, 5)
    return [
        (team.encode(), None),
        (team.encode(), b'{"type":"answer"'),
        (None, good),
        (OTHER_PARTITION.encode(), good),
    ][pick % 4]


def _copied(log: list[Record]) -> list[Record]:
    first = log[0].timestamp + 1_000 * DAY
    return [
        Record(
            record.offset,
            first + index,
            record.key,
            record.value,
            [("pulse-appended-ms", str(record.timestamp).encode())],
        )
        for index, record in enumerate(log)
    ]
