"""What the clocks of all cases have to say, worked out again from the events alone: no state, no calls of the fold.

After each thing said of a case, what is to be said of it next is worked out by the policy of that moment: every point
of both clocks that lies ahead, of which the earliest comes. When time has passed, all that has come is expected, in
the order of (due, case).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from schemas.followups import Case, FollowupEvent
from tests.unit.stream.acting import time_told
from tests.unit.stream.recount import Recount
from tests.unit.stream.said import Out

Said = tuple[int, str | None, str, int]  # when, clock, kind, level
ALL = ("followup.reminder", "followup.breached", "followup.escalated")
SAID_OF = {
    ("open", "contact"): ALL,
    ("open", "resolve"): ALL,
    ("acknowledged", "contact"): ALL[:2],
    ("acknowledged", "resolve"): ALL,
    ("contacted", "contact"): ALL[:2],  # of a callback that was agreed
    ("contacted", "resolve"): ALL,
    ("snoozed", "contact"): ALL[1:2],
    ("snoozed", "resolve"): ALL[1:2],
}


class Clocks:
    """What is expected of every case of a partition that is open."""

    def __init__(self) -> None:
        self.ahead: dict[str, list[Said]] = {}  # case to what is said of it at the next moment
        self.cases: dict[str, Case] = {}

    def check(self, outputs: Iterable[Out], truth: Recount) -> None:
        """The outputs of one record: first all that has fallen due, then what the record itself has caused."""
        events = [out.message for out in outputs if isinstance(out.message, FollowupEvent)]
        fired = [event for event in events if time_told(event)]
        assert events[: len(fired)] == fired, "time comes before the record that moved it"
        for event in fired:
            found = [(said[0][0], case_id) for case_id, said in self.ahead.items() if said]
            due_ms, case_id = min(found)
            assert due_ms <= truth.stream_ms, "it comes too early"
            assert (event.at_ms, event.case.case_id) == (due_ms, case_id)
            said = self.ahead[case_id].pop(0)
            kind = event.kind.replace("_withheld", "")  # why: see `reasking`
            assert (event.at_ms, event.clock, kind, event.level or 0) == said
            assert event.response_id is None
            if not self.ahead[case_id]:
                self._look_ahead(event.case, due_ms, truth)
            self.cases[case_id] = event.case
        overdue = [case_id for case_id, said in self.ahead.items() if said and said[0][0] <= truth.stream_ms]
        assert not overdue, "it should have been told by now"
        for event in events[len(fired) :]:
            self.cases[event.case.case_id] = event.case
            self._look_ahead(event.case, truth.stream_ms, truth)
        for case in self.cases.values():
            ahead = self.ahead[case.case_id]
            assert case.next_ms == (ahead[0][0] if ahead else None)

    def _look_ahead(self, case: Case, after_ms: int, truth: Recount) -> None:
        policy = truth.policies.get(case.team, {})
        points = [
            said
            for clock, due_ms in (("contact", case.contact_due_ms), ("resolve", case.resolve_due_ms))
            for said in _points(clock, due_ms, policy)
            if said[0] > after_ms and said[2] in SAID_OF.get((case.state, clock), ())
            if clock == "resolve" or "contacted" not in (case.state, case.snoozed_from) or case.agreed_ms is not None
        ]
        points.sort(key=lambda said: (said[0], said[1], ALL.index(said[2]), said[3]))
        reask_ms = case.reask_due_ms
        if case.state == "resolved" and reask_ms is not None and reask_ms > after_ms:
            points = [(reask_ms, None, "followup.reask", 0)]
        wakes_ms = case.snoozed_until_ms
        if wakes_ms is not None:
            points = [said for said in points if said[0] <= wakes_ms] + [(wakes_ms, None, "followup.woke", 0)]
        self.ahead[case.case_id] = [said for said in points if said[0] == points[0][0]]


def _points(clock: str, due_ms: int, policy: dict[str, Any]) -> Iterable[Said]:
    hours = policy.get("open") or [0, 0]
    spans = [*zip(hours[::2], hours[1::2], strict=True), (int(policy.get("until_ms", 0)), 1 << 62)]
    for ahead_ms in policy.get("remind_ms", ()):
        yield _back(spans, due_ms, ahead_ms), clock, ALL[0], 0
    yield due_ms, clock, ALL[1], 0
    for level, after_ms in enumerate(policy.get("escalate_ms", ()), 1):
        yield _on(spans, due_ms, after_ms), clock, ALL[2], level


def _on(spans: Sequence[tuple[int, int]], from_ms: int, work_ms: int) -> int:
    at = from_ms
    for start, end in spans if work_ms else ():
        at = max(at, start)
        if at + work_ms <= end:
            return at + work_ms
        work_ms -= max(0, end - at)
    return at


def _back(spans: Sequence[tuple[int, int]], from_ms: int, work_ms: int) -> int:
    at = from_ms
    for start, end in spans[::-1] if work_ms else ():
        at = min(at, end)
        if at - work_ms >= start:
            return at - work_ms
        work_ms -= max(0, at - start)
    return spans[0][0] if work_ms else at
