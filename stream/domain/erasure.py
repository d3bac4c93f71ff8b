"""Erasure: an answer is forgotten for ever. It leaves every count, and only that its id is erased stays known."""

from __future__ import annotations

from msgspec import structs

from stream.domain import answers, expiry, followups, keys, reasks
from stream.domain.minutes import HORIZON
from stream.domain.team_batch import TeamBatch
from stream.domain.values import NOT_GIVEN, Resolved
from stream.domain.work import Work


def erase(work: Work, team: TeamBatch, key: bytes, response_id: str, kind: str = "correction") -> None:
    """Forget one answer, known or yet to come. `key`: the answer's; `kind`: of the correction (`TeamBatch.finish`)."""
    work.forget_text(team.name, response_id)
    old = work.answer(key)
    if old is None or old.first_offset == NOT_GIVEN:
        new = Resolved(0, NOT_GIVEN, False, 0, 0, "", erased=True)
        work.put_answer(key, new)
        if old is None or not old.erased:
            _never_leaves(work, key)
            # It may have left the state, and stand in ClickHouse.
            team.say(response_id, structs.replace(new, first_offset=0))
        return
    if old.erased:
        return
    # Being erased is a reason like the others not to count it.
    new = Resolved(old.event_ms, old.first_offset, old.history, 0, 0, "", reasons=("erased",), erased=True)
    answers.revise(work, team, key, None, response_id, old, new, "erasure")
    followups.forget(work, team.name, response_id, old)
    reasks.follow(work, team.name, response_id, old, new)
    _never_leaves(work, key)
    team.say(response_id, new)
    team.finish(response_id, kind)


def _never_leaves(work: Work, key: bytes) -> None:
    expiry.block(work, work.minute + HORIZON + 1).append(keys.ERASED + key[1:])


def erase_respondent(work: Work, respondent: str) -> None:
    """Forget every answer that a respondent has given so far, in every team of this partition."""
    for name in work.teams_of(respondent):
        team = work.of(name)
        # Oldest first: the next newest one is looked for only once.
        for response_id in reversed(list(work.answers_of(name, respondent))):
            erase(work, team, keys.answer(name, response_id), response_id, f"correction/{name}/{response_id}")
