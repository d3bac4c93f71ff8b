"""Follow-up cases: the list, and one case with its history. Reading only; people act in `routes_acts`."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any, cast
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response

from schemas.feedback import ContactOutcome
from schemas.followups import Clock
from schemas.followups import State as CaseState
from services.common.problems import NotFound
from services.query import answers, followups
from services.query.deps import READ_AT_LEAST, Own
from services.query.followups import CaseRow, EventRow, Order, Place
from services.query.params import Cursor, Instant, Limit, TeamFilter, decode_cursor, encode_cursor, epoch_ms, from_ms
from services.query.people import Personal, look_up
from services.query.routes_answers import BANDS, contact_view
from services.query.views import (
    CaseAnswerView,
    CaseEventView,
    FollowupDetailView,
    FollowupsView,
    FollowupView,
    OverdueView,
    ReaskView,
)
from stream.domain.moves import allowed
from stream.domain.scores import band_of

router = APIRouter(prefix="/v1", tags=["follow-ups"], dependencies=READ_AT_LEAST)


CaseId = Annotated[UUID, Path(alias="id", description="the case's id")]


@router.get("/followups", summary="Follow-up cases, newest, last changed or most urgent first")
async def get_followups(
    own: Own,
    state: Annotated[list[CaseState], Query(description="only these states; repeat it for several")] = [],  # noqa: B006  FastAPI copies it
    team: TeamFilter = None,
    owner: Annotated[
        str | None, Query(max_length=200, description="only cases of this owner; empty: of nobody")
    ] = None,
    due_before: Annotated[
        Instant, Query(description="only cases whose running clock is due before this time; closed ones have none")
    ] = None,
    order: Annotated[
        Order,
        Query(
            description="`changed`: what changed last first; `due`: by the clock that runs, the most urgent first, "
            "without closed cases"
        ),
    ] = "newest",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> FollowupsView:
    """Each case as it stands, whether its clocks have run out, and the text of the answer that opened it."""
    which = followups.Filter(team, tuple(state), owner, None if due_before is None else epoch_ms(due_before))
    cases, following = await followups.page(own.store, which, decode_cursor(cursor, Place), limit, order)
    texts = await look_up(own.store, ((case.team, case.response_id) for case in cases))
    now_ms = own.now_ms()
    return FollowupsView(
        items=[FollowupView(**case_members(case, texts.get((case.team, case.response_id)), now_ms)) for case in cases],
        next_cursor=None if following is None else encode_cursor(following),
    )


@router.get("/followups/{id}", summary="One follow-up case with its answers and history")
async def get_followup(own: Own, case_id: CaseId, response: Response) -> FollowupDetailView:
    """The case, every answer in it with its text, and everything that happened to it. 404 for an unknown id.

    Its `ETag` is what `If-Match` takes.
    """
    case = await followups.one(own.store, str(case_id))
    if case is None:
        raise NotFound("there is no follow-up case with this id")
    events, scored, texts = await asyncio.gather(
        followups.history(own.store, case),
        answers.of_case(own.store, case.team, case.answers),
        look_up(own.store, ((case.team, id_) for id_ in (*case.answers, *case.notes))),
    )
    response.headers["ETag"] = f'"{case.n}"'
    by_id = {response_id: text for (_, response_id), text in texts.items()}
    return FollowupDetailView(
        **case_members(case, _most_telling(case, by_id), own.now_ms()),
        answers=[_answer_view(id_, scored.get(id_), by_id.get(id_)) for id_ in case.answers],
        history=[_event_view(event, by_id.get(event.note)) for event in events],
    )


def case_members(case: CaseRow, personal: Personal | None, now_ms: int) -> dict[str, Any]:
    """The members of a case's view."""
    return {
        "case_id": case.case_id,
        "team": case.team,
        "response_id": case.response_id,
        "score": case.score,
        "state": case.state,
        "n": case.n,
        "raised_at": from_ms(case.raised_ms),
        "changed_at": from_ms(case.changed_ms),
        "contact_due_at": from_ms(case.contact_due_ms),
        "resolve_due_at": from_ms(case.resolve_due_ms),
        "due_at": _time(case.due_ms),
        "overdue": OverdueView(contact=case.contact_overdue(now_ms), resolve=case.resolve_overdue(now_ms)),
        "owner": case.owner or None,
        "response_ids": case.answers,
        "respondent": case.respondent or None,
        "survey": case.survey or None,
        "channel": case.channel or None,
        "locale": case.locale or None,
        "medium": case.medium or None,
        "callback_at": _time(case.callback_ms),
        "joined_into": case.joined_into or None,
        "contacted_at": _time(case.contacted_ms),
        "agreed_at": _time(case.agreed_ms),
        "snoozed_until": _time(case.snoozed_until_ms),
        "resolved_at": _time(case.resolved_ms),
        "cause": case.cause or None,
        "attempts": case.attempts,
        "contacts": case.contacts,
        "reask_due_at": _time(case.reask_due_ms),
        "reask": _reask_view(case),
        "reask_of": case.reask_of or None,
        "allowed": list(allowed(case.state)),
        "comment": None if personal is None else personal.comment or None,
        "contact": contact_view(personal),
    }


def _reask_view(case: CaseRow) -> ReaskView | None:
    if case.reask_score is None or case.reask_answered_ms is None:
        return None
    return ReaskView(
        response_id=case.reask_response_id,
        score=case.reask_score,
        band=BANDS[band_of(case.reask_score)],
        answered_at=from_ms(case.reask_answered_ms),
    )


def _time(at_ms: int | None) -> datetime | None:
    return None if at_ms is None else from_ms(at_ms)


def _most_telling(case: CaseRow, texts: dict[str, Personal]) -> Personal | None:
    """The opening answer's text; how to reach the person from the newest answer that says so."""
    opening = texts.get(case.response_id)
    for response_id in (case.response_id, *reversed(case.answers)):
        text = texts.get(response_id)
        if text is not None and contact_view(text) is not None:
            return Personal(
                "" if opening is None else opening.comment, text.respondent_id, text.name, text.email, text.phone
            )
    return opening


def _answer_view(response_id: str, brief: answers.Brief | None, personal: Personal | None) -> CaseAnswerView:
    return CaseAnswerView(
        response_id=response_id,
        score=None if brief is None else brief.score,
        event_at=None if brief is None else from_ms(brief.event_ms),
        comment=None if personal is None else personal.comment or None,
    )


def _event_view(event: EventRow, note: Personal | None) -> CaseEventView:
    return CaseEventView(
        event_id=event.event_id,
        n=event.n,
        kind=event.kind,
        at=from_ms(event.at_ms),
        response_id=event.response_id or None,
        state=event.state,
        score=event.score,
        owner=event.owner or None,
        actor=event.actor or None,
        medium=event.medium or None,
        outcome=cast("ContactOutcome | None", event.outcome or None),
        until=_time(event.until_ms),
        cause=event.cause or None,
        note=None if note is None else note.comment or None,
        clock=cast("Clock | None", event.clock or None),
        level=event.level or None,
    )
