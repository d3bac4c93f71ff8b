"""What the tables hold of some answers: every row on disk counts, also one that no other query shows."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import msgspec

from services.query.store import Store

MOST: Final = 100  # answers and cases listed: they travel in a URL
Key = tuple[str, str]  # team, response_id

# Whose answer it is, its newest state says.
_OF_RESPONDENT: Final = """
SELECT team, response_id
FROM answers
WHERE (team, response_id) IN (SELECT team, response_id FROM answers WHERE respondent = {respondent:String})
GROUP BY team, response_id
HAVING argMax(respondent, version) = {respondent:String}
ORDER BY team, response_id
LIMIT {most:UInt32}"""

_NAMED: Final = "has(arrayZip({teams:Array(String)}, {ids:Array(String)}), (toString(team), response_id))"

_ANSWER_ROWS: Final = """
SELECT count() AS rows
FROM answers
WHERE ONE_OF_THEM OR ({respondent:String} != '' AND respondent = {respondent:String})""".replace("ONE_OF_THEM", _NAMED)

_PEOPLE_ROWS: Final = "SELECT count() AS rows FROM people WHERE ONE_OF_THEM AND NOT deleted".replace(
    "ONE_OF_THEM", _NAMED
)

_NOTE_ROWS: Final = "SELECT count() AS rows FROM people WHERE case_id IN {cases:Array(String)} AND NOT deleted"

_CASES: Final = """
SELECT DISTINCT case_id
FROM followups FINAL
WHERE ONE_OF_THEM
    OR (team IN {teams:Array(String)} AND hasAny(answers, {ids:Array(String)}))
    OR ({respondent:String} != '' AND respondent = {respondent:String})
ORDER BY case_id
LIMIT {most:UInt32}""".replace("ONE_OF_THEM", _NAMED)

_REJECTS: Final = """
SELECT count() AS rows FROM rejects WHERE multiSearchAny(record, {needles:Array(String)})"""


class _Answer(msgspec.Struct):
    team: str
    response_id: str


class _Case(msgspec.Struct):
    case_id: str


class _Rows(msgspec.Struct):
    rows: int


@dataclass(frozen=True, slots=True)
class Stored:
    """What is there. `more`: the respondent has more answers than are listed and counted here."""

    answers: list[Key]
    more: bool
    answer_rows: int
    people_rows: int
    note_rows: int
    cases: list[str]
    rejects: int


async def stored(store: Store, named: Collection[Key], respondent: str | None, noted: Collection[str] = ()) -> Stored:
    """Count what the tables hold of the answers named, and of those that a respondent gave. Raises Unavailable.

    `noted`: cases whose notes count too, beside those that name one of the answers: an erased one names none.
    """
    found: list[_Answer] = []
    if respondent is not None:
        found = await store.rows("stored_of", _OF_RESPONDENT, _Answer, respondent=respondent, most=MOST + 1)
    keys = sorted({*named, *((row.team, row.response_id) for row in found[:MOST])})
    bound = {"teams": [team for team, _ in keys], "ids": [id_ for _, id_ in keys], "respondent": respondent or ""}
    needles = [id_ for _, id_ in keys] + ([respondent] if respondent else [])
    answers, people, cases, rejects = await asyncio.gather(
        store.rows("stored_answers", _ANSWER_ROWS, _Rows, **bound),
        store.rows("stored_people", _PEOPLE_ROWS, _Rows, **bound),
        store.rows("stored_cases", _CASES, _Case, **bound, most=MOST),
        store.rows("stored_rejects", _REJECTS, _Rows, needles=needles),
    )
    case_ids = [row.case_id for row in cases]
    notes = await store.rows("stored_notes", _NOTE_ROWS, _Rows, cases=sorted({*case_ids, *noted}))
    return Stored(
        answers=keys,
        more=len(found) > MOST,
        answer_rows=answers[0].rows,
        people_rows=people[0].rows,
        note_rows=notes[0].rows,
        cases=case_ids,
        rejects=rejects[0].rows,
    )
