"""Answers, newest first."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from services.query import answers
from services.query.answers import AnswerRow, Place
from services.query.deps import READ_AT_LEAST, Own
from services.query.params import (
    BandName,
    Cursor,
    Instant,
    Limit,
    TeamFilter,
    decode_cursor,
    encode_cursor,
    epoch_ms,
    from_ms,
    invalid,
)
from services.query.people import Personal
from services.query.views import ContactView, ResponsesView, ResponseView
from stream.domain.scores import band_of

router = APIRouter(prefix="/v1", tags=["answers"], dependencies=READ_AT_LEAST)


@router.get("/responses", summary="Answers, newest first")
async def get_responses(
    own: Own,
    team: TeamFilter = None,
    band: Annotated[BandName | None, Query(description="only answers whose score is in this band")] = None,
    q: Annotated[
        str, Query(max_length=200, description="only answers whose comment holds this text, in any case")
    ] = "",
    from_: Annotated[Instant, Query(alias="from", description="only answers given after this time")] = None,
    to: Annotated[Instant, Query(description="only answers given at or before this time")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ResponsesView:
    """Each answer as it stands now, excluded ones too, with `counted` and the reasons. Holds personal text."""
    if from_ is not None and to is not None and from_ > to:
        raise invalid("from", "must not be after `to`")
    which = answers.Filter(
        team, band, q, None if from_ is None else epoch_ms(from_), None if to is None else epoch_ms(to)
    )
    found, following = await answers.page(own.store, which, decode_cursor(cursor, Place), limit)
    return ResponsesView(
        items=[response_view(row, personal) for row, personal in found],
        next_cursor=None if following is None else encode_cursor(following),
    )


def response_view(row: AnswerRow, personal: Personal | None) -> ResponseView:
    """An answer and its text as one view."""
    return ResponseView(
        team=row.team,
        response_id=row.response_id,
        score=row.score,
        band=BANDS[band_of(row.score)],
        event_at=from_ms(row.event_ms),
        known_at=from_ms(row.known_ms),
        revision=row.revision,
        counted=not row.reasons,
        reasons=row.reasons,
        history=row.history,
        respondent=row.respondent or None,
        survey=row.survey or None,
        channel=row.channel or None,
        locale=row.locale or None,
        medium=row.medium or None,
        callback_at=None if row.callback_ms is None else from_ms(row.callback_ms),
        age_group=row.age_group or None,
        attributes=row.attributes,
        case_id=row.case_id or None,
        not_raised=row.not_raised or None,
        reask_of=row.reask_of or None,
        comment=None if personal is None else personal.comment or None,
        contact=contact_view(personal),
        answers={} if personal is None else personal.replies(),
        version=row.version,
    )


BANDS: tuple[BandName, ...] = ("detractor", "passive", "promoter")


def contact_view(personal: Personal | None) -> ContactView | None:
    """How to reach a person; None when nothing of it is known."""
    if personal is None or not (personal.respondent_id or personal.name or personal.email or personal.phone):
        return None
    return ContactView(
        respondent_id=personal.respondent_id or None,
        name=personal.name or None,
        email=personal.email or None,
        phone=personal.phone or None,
    )
