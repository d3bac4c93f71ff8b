"""Random logs: duplicates, edits, late answers, history, test flags, changes of respondent, ticks, jumps of months."""

from __future__ import annotations

import os
from typing import Any, Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.unit.stream.fakes import DAY, HOUR, MINUTE, TEAMS, TICK, LogBuilder, Record, answer_value

# The normal run draws the same examples each time. PULSE_PROPERTY_EXAMPLES=20000 looks further, at random.
_MORE: Final = os.environ.get("PULSE_PROPERTY_EXAMPLES")
PROPERTY: Final = settings(
    max_examples=int(_MORE or 200),
    derandomize=_MORE is None,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

OTHER_PARTITION: Final = "team-1"
NEXT: Final = -1  # the revision after the greatest one of that id so far
# How far the broker's clock moves on; it steps back a little when a partition gets another leader.
_CALM: Final = [0] * 6 + [1, 999, 30_000, MINUTE - 1, MINUTE, MINUTE + 1, 5 * MINUTE, 59 * MINUTE, HOUR, -5_000]
_WILD: Final = [HOUR, 9 * HOUR, DAY, 6 * DAY, 7 * DAY, 23 * DAY, 60 * DAY, 91 * DAY, 200 * DAY, 401 * DAY]
# How long before its append an answer was given; None: the client did not say; below 0: its clock is ahead.
_AGES: Final = st.sampled_from(
    [None] * 5
    + [0, 0, 1, 30_000, MINUTE - 1, MINUTE, MINUTE + 1, 2 * MINUTE, 61 * MINUTE, 25 * HOUR, 2 * DAY, 7 * DAY]
    + [7 * DAY + 1, 29 * DAY, 89 * DAY, 91 * DAY, 399 * DAY, 400 * DAY, 400 * DAY + 1, 500 * DAY, -3 * MINUTE]
)
_KINDS: Final = st.sampled_from(["answer"] * 9 + ["again", "again", "tick", "bad"])
_NUMBERS: Final = st.sampled_from([0, 0, 1, 1, 2, 2, 3, 4, 5])
_SCORES: Final = st.sampled_from([0, 3, 6, 6, 7, 8, 9, 10])
_RESPONDENTS: Final = st.sampled_from([None, None, "anna", "anna", "bo"])
_REVISIONS: Final = st.sampled_from([0] * 4 + [1, 2] + [NEXT] * 4)
_TESTS: Final = st.sampled_from([False] * 6 + [True])
_TEAMS: Final = st.sampled_from([TEAMS[0], TEAMS[0], TEAMS[0], TEAMS[1]])
_PICKS: Final = st.integers(0, 1 << 16)


def _entries(steps: list[int]) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    entry = st.tuples(
        _KINDS, st.sampled_from(steps), _TEAMS, _NUMBERS, _SCORES, _AGES, _RESPONDENTS, _REVISIONS, _TESTS, _PICKS
    )
    # Lists are drawn short unless they must not be; the short ones are what a failure shrinks to.
    return st.lists(entry, min_size=1, max_size=8) | st.lists(entry, min_size=12, max_size=40)


_ENTRIES: Final = _entries(_CALM) | _entries(_CALM + _WILD)
_COPIED: Final = st.sampled_from([False] * 4 + [True])


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    """A log of one partition, 1 to 40 records. One in five was copied: its records carry their first append time."""
    builder = LogBuilder()
    revisions: dict[tuple[str, int], int] = {}
    for kind, step, team, number, score, age, respondent, revision, test, pick in draw(_ENTRIES):
        builder.now_ms += step
        skip = 1 if pick % 11 == 0 else 0
        if kind == "answer":
            fields: dict[str, Any] = {"survey": f"s{pick % 2}"}
            if age is not None:
                fields["answered_ms"] = builder.now_ms - age
            if respondent is not None:
                fields["respondent"] = respondent
            greatest = revisions.get((team, number), 0)
            revision = greatest + 1 if revision == NEXT else revision
            revisions[team, number] = max(greatest, revision)
            if revision:
                fields["revision"] = revision
            if test:
                fields["test"] = True
            builder.append(team.encode(), answer_value(number, score, **fields), skip=skip)
        elif kind == "again" and builder.records:
            earlier = builder.records[pick % len(builder.records)]
            builder.append(earlier.key, earlier.value, skip=skip)
        elif kind == "bad":
            builder.append(*_unusable(pick, team))
        else:
            builder.append(None, TICK, skip=skip)
    return _copied(builder.records) if draw(_COPIED) else builder.records


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
