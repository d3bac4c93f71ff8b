"""Personal text, looked up at the last moment and kept nowhere."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from services.query.store import Store

_AT_ONCE: Final = 100  # ids of one query: they travel in its URL

_PEOPLE: Final = """
SELECT team, response_id, comment, respondent_id, name, email, phone, answers
FROM people FINAL
WHERE team IN {teams:Array(String)} AND response_id IN {ids:Array(String)}"""


class Personal(msgspec.Struct, frozen=True):
    """What an answer says in the words of a person, and how to reach them. An empty text was not given."""

    comment: str = ""
    respondent_id: str = ""
    name: str = ""
    email: str = ""
    phone: str = ""
    answers: str = ""

    def replies(self) -> dict[str, Any]:
        """The free replies to the survey's other questions."""
        decoded = msgspec.json.decode(self.answers) if self.answers else {}
        return decoded if isinstance(decoded, dict) else {}


class _Row(msgspec.Struct, frozen=True):
    team: str
    response_id: str
    comment: str
    respondent_id: str
    name: str
    email: str
    phone: str
    answers: str


async def look_up(store: Store, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Personal]:
    """Personal text by (team, response_id). What has none, or was deleted, is not in the result."""
    wanted = sorted(set(keys))
    chunks = [wanted[i : i + _AT_ONCE] for i in range(0, len(wanted), _AT_ONCE)]
    found = await asyncio.gather(
        *(
            store.rows(
                "people", _PEOPLE, _Row, teams=sorted({team for team, _ in chunk}), ids=[id_ for _, id_ in chunk]
            )
            for chunk in chunks
        )
    )
    asked = set(wanted)
    return {
        (row.team, row.response_id): Personal(
            row.comment, row.respondent_id, row.name, row.email, row.phone, row.answers
        )
        for rows in found
        for row in rows
        if (row.team, row.response_id) in asked
    }
