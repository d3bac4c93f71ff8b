"""What is stored of an answer or a respondent, in numbers: for those who erase, before and after."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field, StringConstraints

from schemas.commands import KEY_PATTERN
from schemas.responses import TEAM_PATTERN, UUID_PATTERN
from services.query.deps import READ_AT_LEAST, Own
from services.query.params import invalid
from services.query.stored import MOST, stored
from services.query.views import View

router = APIRouter(prefix="/v1", tags=["answers"], dependencies=READ_AT_LEAST)

_ANSWER = TEAM_PATTERN.removesuffix("$") + r"\|" + UUID_PATTERN.removeprefix("^")


class StoredAnswerView(View):
    """Which answer."""

    team: str
    response_id: str


class StoredView(View):
    """How much the tables hold: rows on disk, also those that no other route shows."""

    answers: list[StoredAnswerView] = Field(description="those asked for and those the respondent gave, at most 200")
    more: bool = Field(description="the respondent has more answers than are listed and counted here")
    answer_rows: int = Field(description="states of these answers; an erased one keeps one, which says only that")
    people_rows: int = Field(description="texts and contacts of these answers")
    note_rows: int = Field(description="texts of notes on the cases below, and on those asked for")
    cases: list[str] = Field(description="ids of follow-ups that name one of the answers, or the respondent")
    rejects: int = Field(description="refused records of the log that name one of the answers, or the respondent")


@router.get("/stored", summary="What is stored of some answers, in numbers")
async def get_stored(
    own: Own,
    answer: Annotated[
        list[Annotated[str, StringConstraints(pattern=_ANSWER)]],
        Query(description="team|response_id; repeat it for several", max_length=MOST),
    ] = [],  # noqa: B006  FastAPI copies the default
    respondent_key: Annotated[
        str | None, Query(pattern=KEY_PATTERN, description="the key under which the log knows a person")
    ] = None,
    case: Annotated[
        list[UUID], Query(description="a case whose notes are counted too; repeat it for several", max_length=MOST)
    ] = [],  # noqa: B006  as above
) -> StoredView:
    """Counts and ids, no text. Not a quick route: it looks through the refused records."""
    if not answer and respondent_key is None:
        raise invalid("answer", "name an answer or a respondent_key")
    named = {(team, response_id) for team, _, response_id in (one.partition("|") for one in answer)}
    found = await stored(own.store, named, respondent_key, [str(one) for one in case])
    return StoredView(
        answers=[StoredAnswerView(team=team, response_id=response_id) for team, response_id in found.answers],
        more=found.more,
        answer_rows=found.answer_rows,
        people_rows=found.people_rows,
        note_rows=found.note_rows,
        cases=found.cases,
        rejects=found.rejects,
    )
