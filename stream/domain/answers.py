"""What one answer does: accepted, a duplicate, a revision, excluded; counted in panes and windows, once per policy.

Counted means: it has a score, is not erased and no exclusion reason stands. Policy `all` counts each counted answer,
`latest` each respondent's newest one by (event time, first offset); one without a respondent counts in both.
"""

from __future__ import annotations

from typing import Final, get_args

from msgspec import structs

from schemas.changes import Cause
from schemas.feedback import Answer, Exclude, Include, Reason
from stream.domain import expiry, followups, keys, reasks, values
from stream.domain.minutes import HORIZON, HORIZON_MS, MINUTE_MS
from stream.domain.reading import Unusable
from stream.domain.scores import BANDS
from stream.domain.team_batch import TeamBatch
from stream.domain.values import NOT_GIVEN, Context, Newest, Reasked, Resolved
from stream.domain.work import Work

UNKNOWN_ORIGINAL: Final = Unusable("unknown_original", "a revision of an unknown answer needs answered_at")
ERASED: Final = Unusable("erased", "this answer was erased, and stays so")
REASONS: Final[tuple[str, ...]] = get_args(Reason)


def apply(
    work: Work, team: TeamBatch, key: bytes, respondent: bytes | None, answer: Answer, appended_ms: int
) -> Unusable | None:
    """Apply one answer record; gives why not when it cannot be.

    `key`: the answer's. `respondent`: the answer's, as it stands in keys.
    """
    old = work.answer(key)
    marks = None
    if old is not None:
        if old.erased:
            work.forget_text(team.name, answer.response_id)  # it came with the answer once more
            return ERASED
        marks = old.marks
        if old.first_offset == NOT_GIVEN:
            old = None
    if old is None:
        if answer.revision and answer.answered_ms is None:
            return UNKNOWN_ORIGINAL
        # The first accepted record of an id fixes its event time.
        event_ms = answer.answered_ms
        if event_ms is None or event_ms > appended_ms:
            event_ms = appended_ms
        new = _resolved(answer, event_ms, work.offset, event_ms < work.known_ms - HORIZON_MS, None, marks)
        work.leaving.append(key)
        _accept(work, team, respondent, answer.response_id, new)
        follow = not new.reasons and not BANDS[new.score]
    else:
        if answer.revision < old.revision:
            return None  # an older revision that arrived late: a newer one has already replaced every field
        if answer.revision == old.revision and answer.content == old.content:
            return None  # the same answer again
        new = _resolved(answer, old.event_ms, old.first_offset, old.history, old.case_id, marks)
        revise(work, team, key, respondent, answer.response_id, old, new, "revision")
        follow = True
    if answer.reask_of is not None or type(old) is Reasked:
        reasks.follow(work, team.name, answer.response_id, old, new)
    if follow:
        new = followups.follow(work, team.name, answer.response_id, old, new, appended_ms)
    work.put_answer(key, new)
    team.say(answer.response_id, new)
    if team.cause is not None:
        team.finish(answer.response_id)
    return None


def mark(work: Work, team: TeamBatch, key: bytes, command: Exclude | Include, appended_ms: int) -> Unusable | None:
    """Set or clear a reason not to count an answer; gives why not when the answer is erased."""
    response_id, excluded = command.response_id, isinstance(command, Exclude)
    old = work.answer(key)
    if old is None:
        old = Resolved(0, NOT_GIVEN, False, 0, 0, "")
        expiry.list_remnant(work, key, work.minute + HORIZON + 1)
    elif old.erased:
        return ERASED
    marks = {**(old.marks or {}), command.reason: excluded}
    if old.first_offset == NOT_GIVEN:
        work.put_answer(key, structs.replace(old, marks=marks, event_ms=work.known_ms))
        return None
    reasons = _reasons("test" in old.reasons, marks)
    if reasons == old.reasons:
        work.put_answer(key, structs.replace(old, marks=marks))
        return None
    new = structs.replace(old, marks=marks, reasons=reasons, not_raised=None)
    respondent = None if old.respondent is None else keys.text(old.respondent)
    revise(work, team, key, respondent, response_id, old, new, "exclusion" if excluded else "inclusion")
    reasks.follow(work, team.name, response_id, old, new)
    new = followups.follow(work, team.name, response_id, old, new, appended_ms)
    work.put_answer(key, new)
    team.say(response_id, new)
    team.finish(response_id)
    return None


def _reasons(test: bool, marks: dict[str, bool] | None) -> tuple[str, ...]:
    """Why an answer is not counted. `test`: what it says of itself, which a command on `test` overrides."""
    if marks is None:
        return ("test",) if test else ()
    return tuple(reason for reason in REASONS if marks.get(reason, test and reason == "test"))


def _resolved(
    answer: Answer,
    event_ms: int,
    first_offset: int,
    history: bool,
    case_id: str | None,
    marks: dict[str, bool] | None,
) -> Resolved:
    context = None
    if (
        answer.survey is not None
        or answer.channel is not None
        or answer.locale is not None
        or answer.medium is not None
        or answer.callback_ms is not None
        or answer.age_group is not None
        or answer.attributes
    ):
        context = Context(
            answer.survey,
            answer.channel,
            answer.locale,
            answer.medium,
            answer.callback_ms,
            answer.age_group,
            answer.attributes,
        )
    found = Resolved(
        event_ms,
        first_offset,
        history,
        answer.score,
        answer.revision,
        answer.content,
        answer.respondent,
        () if marks is None and not answer.test else _reasons(answer.test, marks),
        answer.personal,
        case_id,
        None,
        context,
        marks,
    )
    return found if answer.reask_of is None else values.reasked(found, answer.reask_of)


def carried(answer: Answer, first_offset: int, case_id: str | None, marks: dict[str, bool] | None) -> Resolved:
    """An answer as a carry tells it (`schemas.carries`)."""
    return _resolved(
        answer,
        answer.answered_ms or 0,
        first_offset,
        False,
        case_id,
        marks,
    )


def _accept(work: Work, team: TeamBatch, respondent: bytes | None, response_id: str, new: Resolved) -> None:
    if respondent is not None:
        work.put_answer_of(team.prefixes.answers_of + respondent, new, response_id)
    if new.reasons:
        return
    minute = -(-new.event_ms // MINUTE_MS)
    if minute <= work.shown_until and not new.history:
        team.because("late")
    _count_in(work, team, minute, respondent, response_id, new)


def revise(
    work: Work,
    team: TeamBatch,
    key: bytes,
    respondent: bytes | None,
    response_id: str,
    old: Resolved,
    new: Resolved,
    cause: Cause,
) -> None:
    """Count an answer as it stands now instead of as it stood. `respondent`: the new one's, as it stands in keys."""
    if not (old.reasons and new.reasons):
        team.because(cause)
    minute = -(-old.event_ms // MINUTE_MS)
    if not old.reasons:
        _count_out(work, team, minute, response_id, old)
    if old.respondent != new.respondent:
        if old.respondent is not None:
            work.put_answer_of(keys.answers_of(team.name, old.respondent), old, None)
        if respondent is not None:
            work.put_answer_of(team.prefixes.answers_of + respondent, new, response_id)
    # The answer must stand as it will be while the newest of a respondent is looked for.
    work.put_answer(key, new)
    if not old.reasons and old.respondent is not None:
        _find_newest(work, team, old.respondent, response_id)
    if not new.reasons:
        _count_in(work, team, minute, respondent, response_id, new)


def _count_in(
    work: Work, team: TeamBatch, minute: int, respondent: bytes | None, response_id: str, new: Resolved
) -> None:
    """Count an answer that was not counted; of a respondent's answers, `latest` counts the newest alone."""
    if respondent is None:
        if not new.history:
            team.count(minute, new.score, 1, 1)
        return
    key = team.prefixes.newest + respondent
    before = work.newest(key)
    if before is not None and (before.event_ms, before.first_offset) > (new.event_ms, new.first_offset):
        if not new.history:
            team.count(minute, new.score, 1, 0)
        return
    work.put_newest(key, Newest(new.event_ms, new.first_offset, response_id, new.score, new.history))
    if before is None or before.history or before.minute < work.closed:
        if not new.history:
            team.count(minute, new.score, 1, 1)
        return
    if before.minute <= work.shown_until:
        team.because("newer_answer")
    if not new.history:
        team.count(minute, new.score, 1, 1)
    team.count(before.minute, before.score, 0, -1)


def _count_out(work: Work, team: TeamBatch, minute: int, response_id: str, old: Resolved) -> None:
    """Take out an answer that was counted; who is the respondent's newest now is `_find_newest`'s to say."""
    if old.respondent is None:
        if not old.history:
            team.count(minute, old.score, -1, -1)
        return
    key = team.prefixes.newest + keys.text(old.respondent)
    newest = work.newest(key)
    was_newest = newest is not None and newest.response_id == response_id
    if was_newest:
        work.put_newest(key, None)
    if not old.history:
        team.count(minute, old.score, -1, -1 if was_newest else 0)


def _find_newest(work: Work, team: TeamBatch, respondent: str, but: str) -> None:
    """Where a respondent's newest answer was taken out, count the next one in. `but` is about to be counted itself."""
    key = team.prefixes.newest + keys.text(respondent)
    if work.newest(key) is not None:
        return
    for response_id in work.answers_of(team.name, respondent):
        found = work.answer(keys.answer(team.name, response_id))
        if found is None or found.reasons or response_id == but:
            continue
        if not found.history:
            team.count(found.minute, found.score, 0, 1)
        work.put_newest(key, Newest(found.event_ms, found.first_offset, response_id, found.score, found.history))
        return
