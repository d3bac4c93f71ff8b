"""What a follow-up case is: how it is stored, held open, told, and which answers are in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from msgspec import structs

from schemas import topics
from schemas.feedback import Act
from schemas.followups import Case, Clock, FollowupEvent, Kind
from stream.domain import clocks, ids, keys, values
from stream.domain.messages import message
from stream.domain.moves import Signal, move, waking
from stream.domain.scores import BANDS
from stream.domain.values import Resolved

if TYPE_CHECKING:
    from stream.domain.work import Work

CARRIED: Final[Kind] = "followup.carried"
MOST_LISTED: Final = 100  # answers that a case names
MOST_NOTES: Final = 100  # texts that it keeps


def is_detractor(resolved: Resolved | None) -> bool:
    """A counted detractor answer."""
    return resolved is not None and not resolved.reasons and not BANDS[resolved.score]


def blank(case: Case) -> Case:
    """Without what the opening answer came with."""
    return structs.replace(
        case,
        survey=None,
        channel=None,
        locale=None,
        medium=None,
        callback_ms=None,
        attributes={},
        reask_of=None,
    )


def emptied(case: Case) -> Case:
    """Of a joined case whose opening answer is erased: the other answers went over, so nothing of anybody is left."""
    return structs.replace(blank(case), respondent=None, personal=False)


def opening_is_erased(work: Work, case: Case) -> bool:
    """Whether the answer that opened a case is erased."""
    opening = work.answer(keys.answer(case.team, case.response_id))
    return opening is not None and opening.erased


def tell(work: Work, case: Case, kind: Kind, response_id: str | None, act: Act | None = None) -> Case:
    """The case as it stands now is its next event."""
    case = structs.replace(case, n=case.n + 1, changed_ms=work.known_ms, version=work.version)
    return say(work, case, kind, response_id, act=act)


def say(
    work: Work,
    case: Case,
    kind: Kind,
    response_id: str | None = None,
    clock: Clock | None = None,
    level: int | None = None,
    act: Act | None = None,
) -> Case:
    """Store a case, and say what has become of it. Gives the case with what its clocks say next."""
    case = clocks.kept(work, case)
    told(work, keys.case(case.team, case.case_id), case, kind, response_id, clock=clock, level=level, act=act)
    return case


def told(
    work: Work,
    key: bytes,
    case: Case,
    kind: Kind,
    response_id: str | None,
    *,
    clock: Clock | None = None,
    level: int | None = None,
    act: Act | None = None,
) -> None:
    """As `say`, of a case under its key, whose clocks have been seen to."""
    work.put(key, values.CASE.pack(case))
    # `raised_ms` belongs to its id: a case that has left the state, and comes again with its opening answer's id,
    # counts its events anew.
    own_id = ids.named(f"{case.case_id}|{case.n}|{case.raised_ms}")
    event = FollowupEvent(own_id, kind, case.changed_ms, case, response_id, clock=clock, level=level, act=act)
    work.events.append(message(topics.FOLLOWUPS, case.team.encode(), event))


def establish(work: Work, case: Case) -> None:
    """Store a case as a carry tells it, and say so: for readers it is a case, and no event of it."""
    case = clocks.kept(work, structs.replace(case, next_ms=None), work.known_ms)
    work.put_case(case)
    own_id = ids.uuid5(work.generation, work.partition, work.offset, CARRIED)
    event = FollowupEvent(own_id, CARRIED, work.known_ms, case)
    work.events.append(message(topics.FOLLOWUPS, case.team.encode(), event))


def moved(case: Case, signal: Signal) -> Case:
    """The case after a signal. One that leaves its sleep has none ahead of it any more."""
    state = move(case.state, signal)
    if case.state != "snoozed" or state == "snoozed":
        return structs.replace(case, state=state)
    return structs.replace(case, state=state, snoozed_until_ms=None, snoozed_from=None)


def awake(case: Case) -> Case:
    """The case, which more has come about: nobody may sleep on it."""
    return moved(case, waking(case)) if case.state == "snoozed" else case


def forget_notes(work: Work, case: Case) -> Case:
    """The case without its notes: who they speak of has been erased, or cannot be told any more."""
    for note in case.notes:
        work.forget_text(case.team, note)
    return structs.replace(case, notes=())


def known(work: Work, team: str, case_id: str) -> Case:
    """The case that an answer names. Raises ValueError when the state does not hold it."""
    case = work.case(team, case_id)
    if case is None:
        raise ValueError("an answer names a case that the state does not hold")
    return case


def open_case_of(work: Work, team: str, respondent: str | None) -> Case | None:
    """The open case of a respondent; None when there is none, or nobody is known."""
    if respondent is None:
        return None
    raw = work.get(keys.open_case(team, respondent))
    return None if raw is None else known(work, team, raw.decode())


def hold(work: Work, case: Case) -> None:
    """This is the respondent's open case from now on."""
    if case.respondent is not None:
        work.put(keys.open_case(case.team, case.respondent), case.case_id.encode())


def release(work: Work, case: Case) -> None:
    """It is no longer the respondent's open case."""
    if case.respondent is not None:
        work.put(keys.open_case(case.team, case.respondent), None)


def members(work: Work, case: Case) -> Iterator[str]:
    """All answers of a case, newest first: a case is one respondent's, or one answer's where nobody is known."""
    if case.respondent is None:
        yield case.response_id
        return
    for response_id in work.answers_of(case.team, case.respondent):
        found = work.answer(keys.answer(case.team, response_id))
        if found is not None and found.case_id == case.case_id:
            yield response_id


def kept_notes(work: Work, team: str, notes: tuple[str, ...]) -> tuple[str, ...]:
    """The newest notes of two cases that become one; the text of the others goes."""
    for note in notes[:-MOST_NOTES]:
        work.forget_text(team, note)
    return notes[-MOST_NOTES:]


def any_detractor(work: Work, case: Case, but: str | None = None) -> bool:
    """Whether an answer of a case, `but` one, is a counted detractor."""
    return any(
        is_detractor(work.answer(keys.answer(case.team, answer))) for answer in members(work, case) if answer != but
    )


def listed(answers: tuple[str, ...]) -> tuple[str, ...]:
    """The opening answer and the newest ones: an id that a whole crowd shares must not make events endless."""
    return answers if len(answers) <= MOST_LISTED else (answers[0], *answers[1 - MOST_LISTED :])
