"""What one answer does: accepted, a duplicate, a revision; counted in panes and windows, once per policy.

Counted means: it has a score and no exclusion reason. Policy `all` counts each counted answer, `latest` each
respondent's newest one by (event time, first offset); an answer without a respondent counts in both.
"""

from __future__ import annotations

from typing import Final

from schemas.changes import Cause, Correction, PaneDelta, WindowMove
from schemas.feedback import Answer
from stream.domain import followups, ids, keys, windows
from stream.domain.minutes import HORIZON_MS, LATE_MS, MINUTE_MS, WINDOWS
from stream.domain.scores import BAND_OF
from stream.domain.values import PLAIN, Context, Newest, Resolved
from stream.domain.work import Work

ALL: Final = 0
LATEST: Final = 1


class Change:
    """The panes that one record moves, and whether that was already shown: then it is a correction."""

    __slots__ = ("before", "cause", "deltas", "late_until", "team", "work")

    def __init__(self, work: Work, team: str) -> None:
        self.work = work
        self.team = team
        self.deltas: list[PaneDelta] = []
        self.cause: Cause | None = None
        self.before: list[list[int]] | None = None
        self.late_until = (work.known_ms - LATE_MS) // MINUTE_MS

    def because(self, cause: Cause) -> None:
        """The record corrects something shown; call before the first `count`."""
        if self.cause is None:
            self.cause = cause
            self.before = windows.sums(self.work.team(self.team))

    def count(self, minute: int, policy: int, score: int, change: int) -> None:
        """One answer more or less in a pane, and in the windows it is in."""
        work, team = self.work, self.team
        work.pane(team, minute)[policy * 11 + score] += change
        windows.add(work.team_now(team), minute, policy * 3 + BAND_OF[score], change)
        work.pane_changed(team, minute)
        if self.cause is not None:
            self.deltas.append(PaneDelta(minute, "latest" if policy else "all", score, change))

    def finish(self, response_id: str) -> None:
        """Say what was corrected, if anything that was shown moved."""
        if self.cause is None or self.before is None or not self.deltas:
            return
        work = self.work
        after = windows.sums(work.team(self.team))
        moves = [
            WindowMove(minutes, "latest" if part else "all", _triple(old, part), _triple(new, part))
            for minutes, old, new in zip(WINDOWS, self.before, after, strict=True)
            for part in (ALL, LATEST)
            if old[part * 3 : part * 3 + 3] != new[part * 3 : part * 3 + 3]
        ]
        correction = Correction(
            id=ids.uuid5(work.generation, work.partition, work.offset, "correction"),
            version=work.version,
            known_ms=work.known_ms,
            as_of=work.minute,
            cause=self.cause,
            response_id=response_id,
            deltas=self.deltas,
            windows=moves,
        )
        work.corrections.setdefault(self.team, []).append(correction)


def _triple(row: list[int], part: int) -> tuple[int, int, int]:
    d, n, p = row[part * 3 : part * 3 + 3]
    return d, n, p


def apply(work: Work, team: str, answer: Answer, appended_ms: int) -> None:
    """Apply one answer record. A revision > 0 of an unknown id without a time has been rejected before."""
    key = keys.answer(team, answer.response_id)
    old = work.answer(key)
    if old is not None:
        if answer.revision < old.revision:
            return  # an older revision that arrived late: a newer one has already replaced every field
        if answer.revision == old.revision and answer.content == old.content:
            return  # the same answer again
    new = _resolve(work, answer, appended_ms, old)
    change = Change(work, team)
    if old is None:
        _accept(change, answer.response_id, new)
    else:
        _revise(change, answer.response_id, old, new)
    if not (old is None and (new.reasons or BAND_OF[new.score])):  # anything but a fresh passive, promoter or excluded
        new = followups.follow(work, team, answer.response_id, old, new, appended_ms)
    work.put_answer(key, new)
    work.say_answer(team, answer.response_id, new)
    change.finish(answer.response_id)


def _resolve(work: Work, answer: Answer, appended_ms: int, old: Resolved | None) -> Resolved:
    if old is None:
        answered_ms = answer.answered_ms
        event_ms = appended_ms if answered_ms is None or answered_ms > appended_ms else answered_ms
        first_offset, history = work.offset, event_ms < appended_ms - HORIZON_MS
        case_id = None
    else:
        event_ms, first_offset, history, case_id = old.event_ms, old.first_offset, old.history, old.case_id
    context = Context(
        answer.survey,
        answer.channel,
        answer.locale,
        answer.medium,
        answer.callback_ms,
        answer.age_group,
        answer.attributes,
    )
    return Resolved(
        event_ms,
        first_offset,
        history,
        answer.score,
        answer.revision,
        answer.content,
        answer.respondent,
        ("test",) if answer.test else (),
        answer.personal,
        case_id,
        None,
        None if context == PLAIN else context,
    )


def _accept(change: Change, response_id: str, new: Resolved) -> None:
    work, team = change.work, change.team
    if new.respondent is not None:
        work.put(keys.answer_of(team, new.respondent, new.event_ms, new.first_offset), response_id.encode())
    if new.reasons:
        return
    minute = new.minute
    if minute <= change.late_until and not new.history:
        change.because("late")
    _count_in(change, response_id, new)


def _revise(change: Change, response_id: str, old: Resolved, new: Resolved) -> None:
    work, team = change.work, change.team
    if not (old.reasons and new.reasons):
        change.because("revision")
    if not old.reasons:
        _count_out(change, response_id, old)
    if old.respondent != new.respondent:
        if old.respondent is not None:
            work.put(keys.answer_of(team, old.respondent, old.event_ms, old.first_offset), None)
        if new.respondent is not None:
            work.put(keys.answer_of(team, new.respondent, new.event_ms, new.first_offset), response_id.encode())
    # The answer must stand as it will be while the newest of a respondent is looked for.
    work.put_answer(keys.answer(team, response_id), new)
    if not old.reasons and old.respondent is not None:
        _find_newest(change, old.respondent, response_id if old.respondent == new.respondent else None)
    if not new.reasons:
        _count_in(change, response_id, new)


def _count_in(change: Change, response_id: str, new: Resolved) -> None:
    """Count an answer that was not counted."""
    minute, score = new.minute, new.score
    if not new.history:
        change.count(minute, ALL, score, 1)
    if new.respondent is None:
        if not new.history:
            change.count(minute, LATEST, score, 1)
        return
    key = keys.newest(change.team, new.respondent)
    newest = change.work.newest(key)
    if newest is not None:
        if (newest.event_ms, newest.first_offset) > (new.event_ms, new.first_offset):
            return
        if not newest.history:
            if newest.minute <= change.late_until:
                _also_correct(change, minute, score, new.history)
            change.count(newest.minute, LATEST, newest.score, -1)
    if not new.history:
        change.count(minute, LATEST, score, 1)
    change.work.put_newest(key, Newest(new.event_ms, new.first_offset, response_id, score, new.history))


def _also_correct(change: Change, minute: int, score: int, history: bool) -> None:
    """A newer answer takes an older one out of policy `latest`, in a pane already shown: all of it is a correction.

    The answer itself has been counted in `all` just now, so its delta and the sums before it are put right.
    """
    if change.cause is not None:
        return
    change.because("newer_answer")
    if not history and change.before is not None:
        change.deltas.append(PaneDelta(minute, "all", score, 1))
        inner = windows.ring_of(change.work.minute, minute)
        for row in change.before[inner:]:
            row[BAND_OF[score]] -= 1


def _count_out(change: Change, response_id: str, old: Resolved) -> None:
    """Take out an answer that was counted; who is the respondent's newest now is `_find_newest`'s to say."""
    if not old.history:
        change.count(old.minute, ALL, old.score, -1)
    if old.respondent is None:
        if not old.history:
            change.count(old.minute, LATEST, old.score, -1)
        return
    key = keys.newest(change.team, old.respondent)
    newest = change.work.newest(key)
    if newest is not None and newest.response_id == response_id:
        if not old.history:
            change.count(old.minute, LATEST, old.score, -1)
        change.work.put_newest(key, None)


def _find_newest(change: Change, respondent: str, skip: str | None) -> None:
    """Where a respondent's newest answer was taken out, count the next one in. `skip` is about to be counted itself."""
    work, team = change.work, change.team
    key = keys.newest(team, respondent)
    if work.newest(key) is not None:
        return
    for _, raw in work.answers_of(team, respondent):
        response_id = raw.decode()
        found = work.answer(keys.answer(team, response_id))
        if found is None or found.reasons or response_id == skip:
            continue
        if not found.history:
            change.count(found.minute, LATEST, found.score, 1)
        work.put_newest(key, Newest(found.event_ms, found.first_offset, response_id, found.score, found.history))
        return
