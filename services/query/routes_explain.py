"""The birth certificate of a score: what it counts, what it leaves out, up to where, and every answer behind it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from fastapi import APIRouter

from services.common.problems import NotFound
from services.common.settings import QuerySettings
from services.query import scores
from services.query.deps import READ_AT_LEAST, Own, Services
from services.query.explain import Behind, Explained, Place, explain
from services.query.params import (
    Ask,
    AsOf,
    Cursor,
    KnownAt,
    Limit,
    PolicyParam,
    Team,
    Window,
    ask,
    decode_cursor,
    encode_cursor,
    from_ms,
    invalid,
    when,
)
from services.query.routes_answers import BANDS
from services.query.views import BehindView, ExplainView, LogPlaceView, Numbers, numbers
from stream.domain.ids import offset_of
from stream.domain.scores import band_of

router = APIRouter(prefix="/v1", tags=["scores"], dependencies=READ_AT_LEAST)


@router.get("/teams/{team}/score/explain", summary="Where a score comes from: every answer behind it")
async def get_explanation(
    own: Own,
    team: Team,
    window: Window = "7d",
    policy: PolicyParam = "all",
    as_of: AsOf = None,
    known_at: KnownAt = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ExplainView:
    """The counts of one score, what is left out of them, the place in the log they are known up to, and the answers.

    All pages together recount to the number. The cursor keeps `as_of` and what was known when the first page was read,
    so answers that come meanwhile change neither the number nor the pages; an erasure does, and `excluded` says so.
    """
    return await explained(own, team, window, policy, as_of, known_at, limit, cursor)


async def explained(
    own: Services,
    team: str,
    window: str,
    policy: PolicyParam,
    as_of: datetime | None,
    known_at: datetime | None,
    limit: int,
    cursor: str | None,
) -> ExplainView:
    """One page of an explanation. Raises NotFound for a team never seen, Invalid for a cursor of another question."""
    place = decode_cursor(cursor, Place)
    question = ask(own.now_ms(), team, window, policy, as_of, known_at)
    if place is not None:
        question = _same_question(question, place, given=as_of is not None)
    found = await explain(own.store, own.settings.log, team, question, place, limit, own.now_ms())
    if not found.tally.total and not found.excluded and not await scores.seen(own.store, team):
        raise NotFound(f"team {team!r} has never sent an answer")
    return _view(team, question, found, own.settings)


def _same_question(asked: Ask, place: Place, *, given: bool) -> Ask:
    """The question as the first page put it; a parameter that says otherwise is refused rather than ignored."""
    same = (asked.team, asked.window, asked.policy) == (place.team, place.window, place.policy)
    same = same and (asked.known_ms is None or asked.known_ms == place.known_ms)
    if not same or (given and asked.as_of != place.moment.as_of):
        raise invalid("cursor", "belongs to a question with other parameters; give those of the first page, or none")
    return replace(asked, as_of=place.moment.as_of, known_ms=place.known_ms)


def _view(team: str, question: Ask, found: Explained, settings: QuerySettings) -> ExplainView:
    figures = numbers(found.tally, settings.min_sample)
    moment, partition = found.moment, settings.log.partition_of(team.encode())
    newest = f"{partition}:{offset_of(moment.newest)}" if moment.newest else None
    known_ms = moment.known_ms if question.known_ms is None else question.known_ms
    return ExplainView(
        **{name: getattr(figures, name) for name in Numbers.model_fields},
        team=team,
        window=question.window,
        policy=question.policy,
        as_of=when(question.as_of),
        known_at=from_ms(known_ms) if known_ms else None,
        from_=None if question.after is None else when(question.after),
        to=when(question.as_of),
        excluded=found.excluded,
        log=LogPlaceView(partition=partition, through=moment.through, record=newest, version=moment.newest),
        items=[_behind(row, partition) for row in found.answers],
        next_cursor=None if found.following is None else encode_cursor(found.following),
    )


def _behind(row: Behind, partition: int) -> BehindView:
    return BehindView(
        response_id=row.response_id,
        score=row.score,
        band=BANDS[band_of(row.score)],
        event_at=from_ms(row.event_ms),
        known_at=from_ms(row.known_ms),
        revision=row.revision,
        respondent=row.respondent or None,
        record=f"{partition}:{offset_of(row.version)}",
        version=row.version,
    )
