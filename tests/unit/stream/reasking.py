"""Which answer each case should tell of as what asking again came to, and when nobody was to be asked: naively.

Kept from record to record beside the recount of the answers; shares no code with the fold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from schemas.followups import Case, FollowupEvent
from tests.unit.stream.fakes import FakeState
from tests.unit.stream.holding import OPEN, cases_of
from tests.unit.stream.recount import Counted, Recount
from tests.unit.stream.said import Out

Name = tuple[str, str]  # team, response id
Pair = tuple[str, int, int]  # response id, score, event time


class Pairs:
    """The answer that each case tells of, by the case's id."""

    def __init__(self) -> None:
        self.of: dict[str, Pair] = {}

    def check(
        self,
        before: Mapping[Name, Counted],
        cases: Mapping[str, Case],
        outputs: Iterable[Out],
        state: FakeState,
        truth: Recount,
    ) -> None:
        """One record was folded. `before`, `cases`: the answers and the cases as they were until then."""
        events = [out.message for out in outputs if isinstance(out.message, FollowupEvent)]
        _assert_asked(events, before, cases)
        known = {case_id: case for case_id, case in cases.items() if not _has_left(case, truth)}
        was = {case_id: pair for case_id, pair in self.of.items() if case_id in known}
        pairs = self.of = dict(was)
        for name in before.keys() | truth.answers.keys():
            old, new = before.get(name), truth.answers.get(name)
            if old == new:
                continue
            team, response_id = name
            names = new.reask_of if new is not None and new.counted else None
            for case_id in [one for one, pair in pairs.items() if pair[0] == response_id and known[one].team == team]:
                if case_id != names:
                    del pairs[case_id]
            case = known.get(names or "")
            if new is None or case is None or case.team != team or case.response_id == response_id:
                continue
            if case.case_id not in pairs or pairs[case.case_id][0] == response_id:
                pairs[case.case_id] = response_id, new.score, new.event_ms
        after = cases_of(state)
        told = {case_id: case.reask for case_id, case in after.items() if case.reask is not None}
        assert {case_id: (one.response_id, one.score, one.answered_ms) for case_id, one in told.items()} == pairs
        for case_id, (response_id, score, event_ms) in pairs.items():
            answer = truth.answers[after[case_id].team, response_id]
            assert (answer.reask_of, answer.counted, answer.score, answer.event_ms) == (case_id, True, score, event_ms)
        changed = {case_id for case_id in pairs.keys() | was.keys() if pairs.get(case_id) != was.get(case_id)}
        kinds = {"followup.reasked", "followup.reask_forgotten"}
        assert sorted(event.case.case_id for event in events if event.kind in kinds) == sorted(changed)
        for event in events:
            if event.kind in kinds:
                assert (event.kind == "followup.reasked") == (event.case.case_id in pairs)
                assert (event.case.reask is not None) == (event.case.case_id in pairs)


def _has_left(case: Case, truth: Recount) -> bool:
    return case.state not in OPEN and -(-case.changed_ms // 60_000) < truth.closed


def _assert_asked(events: Iterable[FollowupEvent], before: Mapping[Name, Counted], cases: Mapping[str, Case]) -> None:
    """Whoever is unhappy anew is not asked, and neither is anybody of whom no unhappy answer is left."""
    for event in events:
        if event.kind not in ("followup.reask", "followup.reask_withheld"):
            continue
        case = event.case
        assert case.reask is None
        answers = [before.get((case.team, answer)) for answer in cases[case.case_id].answers]
        unhappy = any(answer is not None and answer.detractor for answer in answers)
        anew = any(
            other.state in OPEN and (other.team, other.respondent) == (case.team, case.respondent)
            for other in cases.values()
            if case.respondent is not None
        )
        asked = unhappy and not anew
        assert event.kind == ("followup.reask" if asked else "followup.reask_withheld")
        assert case.reask_due_ms == (event.at_ms if asked else None)
