"""The fold as a state machine: any records in any order, a worker that dies at any step, and what must hold throughout.

Each step appends a record or lets something befall the worker. After each the state is measured against the naive
recount and against the same log in single records. A log that fails is written to `test-output/` as a trace: kept in
`traces/`, it is replayed by `test_traces.py`, and through the real engines by `tests/integration/test_traces.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.unit.stream.acting import act_of
from tests.unit.stream.fakes import (
    DAY,
    HOUR,
    MINUTE,
    TEAMS,
    TICK,
    LogBuilder,
    act_value,
    answer_value,
    carries,
    case_id,
    command_value,
    erase_respondent_value,
    note_id,
    policy_value,
    windows_value,
)
from tests.unit.stream.holding import cases_of
from tests.unit.stream.logs import OTHER_PARTITION, POLICIES, PROPERTY, WINDOW_LISTS
from tests.unit.stream.partition import Reference, Worker
from tests.unit.stream.traces import text_of

FOUND: Final = Path(__file__).parents[3] / "test-output" / "fold-machine.json"

WHICH: Final = st.sampled_from([(team, number) for team in TEAMS[:2] for number in range(4)])
SCORES: Final = st.sampled_from([0, 3, 6, 6, 7, 8, 9, 10])
RESPONDENTS: Final = st.sampled_from(["anna", "anna", "bo", None])
REASONS: Final = st.sampled_from(["test", "bot", "invalid", "duplicate_person"])
CAME_WITH: Final[list[dict[str, Any]]] = [
    {},
    {"survey": "s", "personal": True},
    {"channel": "web", "locale": "da-DK", "attributes": {"plan": "pro"}},
    {"survey": "t", "medium": "phone", "callback_ms": 1_790_000_000_000, "age_group": "30-39"},
]
ACTS: Final = st.sampled_from(
    [
        "acknowledge",
        "assign",
        "note",
        "contact",
        "contact",
        "callback",
        "snooze",
        "snooze",
        "resolve",
        "resolve",
        "reopen",
    ]
)
OUTCOMES: Final = st.sampled_from(["reached", "message_left", "replied", "no_answer", "failed"])
TIMES: Final = st.sampled_from([HOUR, MINUTE, 3 * DAY, 0, 1, -5])
SECONDS: Final = st.sampled_from([0, 1, 30_000, MINUTE - 1, MINUTE, MINUTE + 1])
AGAIN: Final = st.sampled_from([None] * 4 + [0, 1, 2, 3])  # of the case of which answer they are asked again, if any
AGES: Final = st.sampled_from(
    [2 * MINUTE, 61 * MINUTE, 25 * HOUR, 7 * DAY, 7 * DAY + 1, 29 * DAY, 91 * DAY, 400 * DAY, 400 * DAY + 1]
)
JUMPS: Final = st.sampled_from(
    [MINUTE, HOUR, DAY, 6 * DAY, 7 * DAY, 23 * DAY, 31 * DAY, 91 * DAY, 200 * DAY, 401 * DAY]
)
HORIZONS: Final = st.sampled_from([30 * DAY, 399 * DAY, 400 * DAY, 400 * DAY + MINUTE, 401 * DAY, 431 * DAY, 900 * DAY])
BATCH: Final = st.integers(1, 6)


def of_case(team: str, number: int | None) -> str | None:
    """The case that an answer may have opened."""
    return None if number is None else case_id(number, team)


class FoldMachine(RuleBasedStateMachine):
    """See the module. `reference` holds the log; `worker` has folded some of it."""

    def __init__(self) -> None:
        super().__init__()
        self.reference = Reference()
        self.worker = Worker(self.reference)
        self.builder = LogBuilder()
        self.revisions: dict[tuple[str, int], int] = {}
        self.copied = self.old = False
        self.failed = False

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Whatever fails within leaves its log behind, as a trace."""
        try:
            yield
        except Exception:
            self.failed = True
            FOUND.parent.mkdir(exist_ok=True)
            FOUND.write_text(self.trace("what the machine was doing when it failed"), encoding="utf-8")
            raise

    def trace(self, about: str) -> str:
        """The log so far, as a trace."""
        log = self.reference.log
        cuts = sorted({cut for cut in self.worker.cuts if 0 < cut < len(log)})
        return text_of(about, cuts, log)

    def append(self, key: bytes | None, value: bytes | None, skip: int = 0) -> None:
        """One more record of the log. A copied log is younger than its records, which say so."""
        at_ms, headers = self.builder.now_ms, []
        if self.copied:
            headers = [("pulse-appended-ms", str(at_ms).encode())]
            self.builder.now_ms += 1_000 * DAY
        record = self.builder.append(key, value, headers, skip)
        self.builder.now_ms = at_ms
        with self.telling():
            self.reference.append(record)

    def answer(self, which: tuple[str, int], score: int, revision: int, **fields: Any) -> None:
        """An answer record, of which only what is not empty is written; its score says what it came with."""
        team, number = which
        self.revisions[which] = max(revision, self.revisions.get(which, 0))
        given = {name: value for name, value in (CAME_WITH[score % 4] | fields).items() if value}
        self.append(team.encode(), answer_value(number, score, **given, **({"revision": revision} if revision else {})))

    def most_live(self) -> bool:
        """An erased id is dead for the rest of the log: few of them, or little else happens."""
        truth = self.reference.truth
        return 4 * len(truth.erased) <= len(truth.answers)

    # -- records ------------------------------------------------------------------------------------------------------

    @initialize(copied=st.booleans(), old=st.booleans())
    def begin(self, copied: bool, old: bool) -> None:
        """`old`: a log of years, in which answers are forgotten, and come again."""
        self.copied, self.old = copied, old

    @rule(
        which=WHICH,
        score=SCORES,
        respondent=RESPONDENTS,
        test=st.sampled_from([False, False, False, True]),
        again=AGAIN,
    )
    def accept(self, which: tuple[str, int], score: int, respondent: str | None, test: bool, again: int | None) -> None:
        """An answer given now, or another content of the first revision."""
        self.answer(which, score, 0, respondent=respondent, test=test, reask_of=of_case(which[0], again))

    @precondition(lambda self: self.reference.log)
    @rule(back=st.integers(0, 8))
    def duplicate(self, back: int) -> None:
        """A record once more."""
        earlier = self.reference.log[-1 - back % len(self.reference.log)]
        self.append(earlier.key, earlier.value)

    @rule(
        which=WHICH,
        score=SCORES,
        respondent=RESPONDENTS,
        up=st.sampled_from([1, 1, 1, 2, 0, -1]),
        age=SECONDS,
        again=AGAIN,
    )
    def revise(
        self, which: tuple[str, int], score: int, respondent: str | None, up: int, age: int, again: int | None
    ) -> None:
        """A higher revision, other content of the same, or one that comes too late; at times of what is unknown."""
        revision = max(0, self.revisions.get(which, 0) + up)
        answered = self.builder.now_ms - age if age else None
        given = {"answered_ms": answered, "reask_of": of_case(which[0], again)}
        self.answer(which, score, revision, respondent=respondent, **given)

    @rule(which=WHICH, score=SCORES, respondent=RESPONDENTS, age=AGES | SECONDS)
    def arrive_late(self, which: tuple[str, int], score: int, respondent: str | None, age: int) -> None:
        """An answer given earlier, at times beyond what a window, a case or the horizon reaches."""
        self.answer(which, score, 0, respondent=respondent, answered_ms=self.builder.now_ms - age)

    @rule(which=WHICH, score=SCORES, respondent=RESPONDENTS, ahead=st.sampled_from([1, MINUTE, 5 * MINUTE, 9 * DAY]))
    def come_from_the_future(self, which: tuple[str, int], score: int, respondent: str | None, ahead: int) -> None:
        """The client's clock is ahead."""
        self.answer(which, score, 0, respondent=respondent, answered_ms=self.builder.now_ms + ahead)

    @rule(which=WHICH, reason=REASONS, kind=st.sampled_from(["exclude", "exclude", "include"]))
    def mark(self, which: tuple[str, int], reason: str, kind: str) -> None:
        """A reason not to count an answer, set or taken back; at times before there is one."""
        self.append(which[0].encode(), command_value(kind, which[1], reason=reason))

    @precondition(lambda self: self.most_live())
    @rule(which=WHICH)
    def erase(self, which: tuple[str, int]) -> None:
        """An answer goes for ever."""
        self.append(which[0].encode(), command_value("erase", which[1]))

    @precondition(lambda self: self.most_live())
    @rule(respondent=st.sampled_from(["anna", "bo"]))
    def erase_respondent(self, respondent: str) -> None:
        """All that a person has said goes, in both teams."""
        self.append(None, erase_respondent_value(respondent))

    @precondition(lambda self: bool(cases_of(self.reference.state)))
    @rule(
        pick=st.integers(0, 5),
        kind=ACTS,
        at=TIMES,
        outcome=OUTCOMES,
        note=st.booleans(),
        n=st.sampled_from([None, None, None, 0, 0, 1]),
    )
    def act(self, pick: int, kind: str, at: int, outcome: str, note: bool, n: int | None) -> None:
        """Somebody works on a case, which may be closed, or have changed meanwhile."""
        cases = sorted(cases_of(self.reference.state).values(), key=lambda case: (-case.changed_ms, case.case_id))
        case = cases[pick % len(cases)]
        offset = self.builder.next_offset
        of_kind: dict[str, dict[str, Any]] = {
            "assign": {"owner": "lee"} if at else {},
            "contact": {"outcome": outcome},
            "callback": {"at_ms": self.builder.now_ms + at},
            "snooze": {"until_ms": self.builder.now_ms + at},
        }
        given = of_kind.get(kind, {}) | ({"note": note_id(offset)} if note else {})
        if n is not None:
            given["expect_n"] = case.n - n
        self.append(case.team.encode(), act_value(0, kind, offset, case_id=case.case_id, **given))

    @rule(which=WHICH, kind=ACTS)
    def act_on_what_may_be_none(self, which: tuple[str, int], kind: str) -> None:
        """A case of that answer, if it has ever opened one."""
        given = {"at_ms": self.builder.now_ms + HOUR} if kind == "callback" else {}
        self.append(which[0].encode(), act_value(which[1], kind, self.builder.next_offset, team=which[0], **given))

    @precondition(lambda self: any(act_of(record) for record in self.reference.log))
    @rule(back=st.integers(0, 5))
    def act_again_with_another_text(self, back: int) -> None:
        """The request for a command was sent again."""
        acts = [record for record in self.reference.log if act_of(record)]
        earlier = acts[-1 - back % len(acts)]
        again = {**(act_of(earlier) or {}), "note": note_id(self.builder.next_offset)}
        self.append(earlier.key, json.dumps(again).encode())

    @rule(minutes=st.sampled_from(WINDOW_LISTS))
    def set_windows(self, minutes: tuple[int, ...]) -> None:
        """Other windows are live; or a list that none can be made of."""
        self.append(None, windows_value(*minutes))

    @rule(team=st.sampled_from(TEAMS[:2]), policy=st.sampled_from(POLICIES))
    def set_policy(self, team: str, policy: dict[str, Any]) -> None:
        """A team promises other times; or what cannot be promised."""
        self.append(team.encode(), policy_value(**policy))

    @rule(most=st.sampled_from([1, 2, 9]))
    def carry(self, most: int) -> None:
        """The worker says again what would outlive the log; it may be behind, and may say it twice."""
        for key, value in carries(self.worker.state, most):
            self.append(key, value)

    @rule(after=SECONDS)
    def tick(self, after: int) -> None:
        """Time passes."""
        self.builder.now_ms += after
        self.append(None, TICK, skip=int(after == 1))

    @rule(by=JUMPS | SECONDS | st.just(-5_000))
    def jump(self, by: int) -> None:
        """Nobody says anything for minutes or months; or the broker's clock steps back."""
        self.builder.now_ms += by

    @precondition(lambda self: self.old)
    @rule(by=HORIZONS, which=WHICH, score=SCORES, respondent=RESPONDENTS, again=AGAIN)
    def come_after_a_horizon(
        self, by: int, which: tuple[str, int], score: int, respondent: str | None, again: int | None
    ) -> None:
        """What there is grows as old as it may, or older, and an answer comes."""
        self.builder.now_ms += by
        self.answer(which, score, 0, respondent=respondent, reask_of=of_case(which[0], again))

    @rule(which=WHICH, flaw=st.integers(0, 5))
    def append_what_cannot_be_used(self, which: tuple[str, int], flaw: int) -> None:
        """A record that is no answer of a team of this partition."""
        team, good = which[0].encode(), answer_value(which[1], 5)
        key, value = [
            (team, None),
            (team, b'{"type":"answer"'),
            (None, good),
            (OTHER_PARTITION.encode(), good),
            (b"Team 3", good),
            (team, answer_value(which[1], 11)),
        ][flaw]
        self.append(key, value)

    # -- the worker ---------------------------------------------------------------------------------------------------

    @rule(batch=BATCH)
    def fold(self, batch: int) -> None:
        """One batch, undisturbed."""
        with self.telling():
            self.worker.apply(self.worker.ahead()[:batch])

    @rule(batch=BATCH)
    def fold_but_send_later(self, batch: int) -> None:
        """The write is done, and its outbox waits."""
        with self.telling():
            self.worker.write(self.worker.ahead()[:batch])

    @rule(batch=BATCH)
    def die_before_the_write(self, batch: int) -> None:
        """Nothing has happened; the next batch may be another one."""
        with self.telling():
            self.worker.die_before_the_write(self.worker.ahead()[:batch])

    @rule(batch=BATCH, sent=st.integers(0, 9))
    def die_after_the_write(self, batch: int, sent: int) -> None:
        """Some of the outbox has been sent, none of it cleared."""
        with self.telling():
            self.worker.write(self.worker.ahead()[:batch])
            self.worker.send(most=sent)

    @precondition(lambda self: self.worker.position)
    @rule(start=st.integers(0, 40))
    def replay(self, start: int) -> None:
        """From any record on."""
        with self.telling():
            self.worker.replay(start % len(self.reference.log))

    @precondition(lambda self: self.worker.position)
    @rule()
    def keep_a_copy(self) -> None:
        """A checkpoint."""
        self.worker.keep_a_copy()

    @rule(copy=st.integers(0, 3), step=BATCH)
    def lose_the_disk(self, copy: int, step: int) -> None:
        """Rebuilt from a checkpoint or from offset 0, in other batches."""
        with self.telling():
            self.worker.lose_the_disk(copy, step)

    def teardown(self) -> None:
        """At the end all is folded, and readers hold what they would hold after single records."""
        if self.failed:
            return
        with self.telling():
            self.worker.apply(self.worker.ahead())
            self.worker.assert_told_the_same()


TestTheFold = FoldMachine.TestCase
# A quick look each time; PULSE_PROPERTY_EXAMPLES looks further, at random.
TestTheFold.settings = settings(
    PROPERTY,
    max_examples=int(os.environ.get("PULSE_PROPERTY_EXAMPLES", "30")),
    stateful_step_count=40,
    report_multiple_bugs=False,
)
