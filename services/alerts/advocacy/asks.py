"""Who may be asked for a testimonial: once a person and team, in SQLite beside the alarms. No personal text.

An answer allows it when it counts, is of a promoter (9 or 10), and its attribute `consent` has the word `testimonial`.
The person is the respondent, by the keyed hash; of a respondent nobody knows, each answer is a person. What is kept of
the person is an id made of that, so that the same one is never asked twice.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal

import msgspec

from services.alerts.alarms.records import Note
from services.alerts.alarms.store import AlarmsFile, Due, Said, said
from services.alerts.retries import LAST_WITHIN_MS
from services.common.clock import wall_clock_ms

ATTRIBUTE: Final = "consent"
WORD: Final = "testimonial"
_LEAST: Final = 9
_SPACE: Final = uuid.UUID("4f0d7c50-0a55-5c6a-8a3e-5b0f6f0c9d11")
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS asks (
    ask_id TEXT PRIMARY KEY,      -- of the person and team
    team TEXT NOT NULL,
    response_id TEXT NOT NULL,    -- the answer that allowed it
    version INTEGER NOT NULL,     -- of that answer, the newest that was seen
    withdrawn INTEGER NOT NULL,
    at_ms INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS ask_of_answer ON asks (team, response_id);
"""


class Change(msgspec.Struct, frozen=True, gc=False):
    """What of a `schemas.changes.AnswerChange` matters here."""

    response_id: str
    version: int
    known_ms: int
    score: int
    event_ms: int = 0
    respondent: str | None = None
    reasons: tuple[str, ...] = ()
    history: bool = False
    personal: bool = False
    survey: str | None = None
    channel: str | None = None
    locale: str | None = None
    medium: str | None = None
    attributes: dict[str, str] = {}
    erased: bool = False


class Ask(msgspec.Struct, frozen=True):
    """The one question to a person of a team: the answer that allowed it, and whether it was taken back."""

    ask_id: str
    team: str
    response_id: str
    withdrawn: bool
    at_ms: int


def allows(answer: Change) -> bool:
    """Whether whoever gave this answer may be asked."""
    words = answer.attributes.get(ATTRIBUTE, "").replace(",", " ").lower().split()
    counted = not answer.reasons and not answer.erased and not answer.history
    return counted and answer.score >= _LEAST and WORD in words


def ask_id(team: str, answer: Change) -> str:
    """The id of the one question that a person of a team may be asked."""
    return str(uuid.uuid5(_SPACE, f"{team}|{answer.respondent or answer.response_id}"))


class Asks:
    """The questions, in the file of the alarms. An answer that is four days old by now asks nobody any more.

    Where nobody would be told, the question is not used up.
    """

    def __init__(self, file: AlarmsFile, now_ms: Callable[[], int] = wall_clock_ms) -> None:
        self._file = file
        self._now_ms = now_ms
        file.make(_SCHEMA)

    async def take(self, changes: Sequence[tuple[str, Change, Due]]) -> int:
        """Follow some answers of (team, change, who is told), in the order they changed; how many notes there are.

        Durable when it returns. What was seen before, or is older than what was, does nothing.
        """

        def work(file: sqlite3.Connection) -> int:
            return sum(self._follow(file, *one) for one in changes)

        return await self._file.transaction(work, "FULL") if changes else 0

    async def known(self, teams: Iterable[str]) -> set[tuple[str, str]]:
        """The answers of these teams, as (team, response_id), that somebody may be asked for."""

        def work(file: sqlite3.Connection) -> set[tuple[str, str]]:
            rows = file.execute(
                "SELECT team, response_id FROM asks WHERE NOT withdrawn AND team IN (SELECT value FROM json_each(?))",
                (msgspec.json.encode(sorted(teams)).decode(),),
            )
            return set(rows)

        return await self._file.transaction(work)

    async def listed(self, team: str | None, withdrawn: bool | None, limit: int) -> list[tuple[Ask, list[Said]]]:
        """Who may be asked, newest first, each with what was said of it."""

        def work(file: sqlite3.Connection) -> list[tuple[Ask, list[Said]]]:
            rows = file.execute(
                "SELECT ask_id, team, response_id, withdrawn, at_ms FROM asks"
                " WHERE (?1 IS NULL OR team = ?1) AND (?2 IS NULL OR withdrawn = ?2)"
                " ORDER BY at_ms DESC, ask_id LIMIT ?3",
                (team, withdrawn, limit),
            ).fetchall()
            return [(Ask(*row), said(file, row[0])) for row in rows]

        return await self._file.transaction(work)

    def _follow(self, file: sqlite3.Connection, team: str, answer: Change, due: Due) -> int:
        held = file.execute(
            "SELECT ask_id, version, withdrawn FROM asks WHERE team = ? AND response_id = ?", (team, answer.response_id)
        ).fetchone()
        if held is not None:
            held_id, version, withdrawn = held
            if answer.version <= version:
                return 0
            over = not allows(answer)
            file.execute(
                "UPDATE asks SET version = ?, withdrawn = ? WHERE ask_id = ?",
                (answer.version, withdrawn or over, held_id),
            )
            return self._withdraw(file, held_id, team, answer) if over and not withdrawn else 0
        late = self._now_ms() - answer.known_ms > LAST_WITHIN_MS
        if not allows(answer) or late or not due:
            return 0
        name = ask_id(team, answer)
        new = file.execute(
            "INSERT OR IGNORE INTO asks VALUES (?, ?, ?, ?, 0, ?)",
            (name, team, answer.response_id, answer.version, answer.known_ms),
        ).rowcount
        return self._file.put(file, _note("advocacy.raised", name, team, answer), due) if new else 0

    def _withdraw(self, file: sqlite3.Connection, name: str, team: str, answer: Change) -> int:
        """Say that it is over to those who may have been told; the others are not told at all."""
        note = _note("advocacy.withdrawn", name, team, answer)
        return self._file.put(file, note, self._file.after(note, self._file.drop(file, name)))


def _note(kind: Literal["advocacy.raised", "advocacy.withdrawn"], name: str, team: str, answer: Change) -> Note:
    over = kind == "advocacy.withdrawn"
    data: dict[str, object] = {"ask_id": name, "team": team, "response_id": answer.response_id}
    if not over:
        data |= {"score": answer.score, "survey": answer.survey, "locale": answer.locale, "medium": answer.medium}
    return Note(
        note_id=str(uuid.uuid5(uuid.UUID(name), kind)),
        kind=kind,
        at_ms=answer.known_ms,
        team=team,
        headline=f"A promoter of {team} may be asked for a testimonial"
        if not over
        else f"Do not ask any more: a promoter of {team}",
        lines=(f"Answer {answer.response_id}",) if over else (f"Answer {answer.response_id}: {answer.score} of 10",),
        incident=name,
        over=over,
        began_ms=answer.known_ms,
        data=data,
        personal=answer.personal and not over,
    )
