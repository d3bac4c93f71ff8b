"""What people ask of the store beside the deliveries: attempts as they went, silences, telling again."""

from __future__ import annotations

import sqlite3
import uuid
from typing import Final

import msgspec

from schemas.followups import FollowupEvent
from services.alerts import metrics
from services.alerts.deliveries import Attempt, Silence
from services.alerts.grouping import REPEATED
from services.alerts.store import Store

MOST_ATTEMPTS: Final = 1_000


class Ledger:
    """Reads and writes through the store's threads, in its order."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def attempts(self, message_id: str) -> list[Attempt]:
        """The attempts of one message, or of the message that told one event; oldest first."""

        def work(file: sqlite3.Connection) -> list[Attempt]:
            rows = file.execute(
                "SELECT message_id, channel, at_ms, number, verdict, status, took_ms, events FROM attempts"
                " WHERE message_id IN (SELECT message_id FROM deliveries WHERE event_id = ? OR message_id = ?)"
                " OR message_id = ? ORDER BY at_ms, rowid LIMIT ?",
                (message_id, message_id, message_id, MOST_ATTEMPTS),
            )
            return [Attempt(*row) for row in rows]

        return await self._store.read(work)

    async def silences(self) -> list[Silence]:
        """Those that hold now, and those that ended within a day; the last to end first."""
        return sorted(self._store.silences, key=lambda one: (-one.until_ms, one.id))

    async def silence(self, team: str | None, channel: str | None, until_ms: int, reason: str, now_ms: int) -> Silence:
        """Hold back, from now on, what is told of a team to a channel."""
        made = Silence(str(uuid.uuid4()), team, channel, until_ms, now_ms, reason)

        def work(file: sqlite3.Connection) -> None:
            file.execute(
                "INSERT INTO silences (id, team, channel, until_ms, made_ms, reason) VALUES (?, ?, ?, ?, ?, ?)",
                (made.id, team, channel, until_ms, now_ms, reason),
            )

        await self._store.write(work, durable=True)
        self._store.silences.append(made)
        return made

    async def end(self, silence_id: str, now_ms: int) -> Silence | None:
        """End a silence now: what it holds back is due. None: there is no such silence, or it has ended."""
        found = next((one for one in self._store.silences if one.id == silence_id and one.until_ms > now_ms), None)
        if found is None:
            return None
        self._store.silences.remove(found)

        def work(file: sqlite3.Connection) -> None:
            file.execute("DELETE FROM silences WHERE id = ?", (silence_id,))
            file.execute(
                "UPDATE deliveries SET next_ms = ? WHERE state = 'pending' AND attempts = 0 AND next_ms = ?"
                " AND (? IS NULL OR team = ?) AND (? IS NULL OR channel = ?)",
                (now_ms, found.until_ms, found.team, found.team, found.channel, found.channel),
            )

        await self._store.write(work, durable=True)
        return found

    async def seen(self, what: str) -> bool:
        """Whether something from outside was taken already."""
        return await self._store.read(
            lambda file: file.execute("SELECT 1 FROM seen WHERE id = ?", (what,)).fetchone() is not None
        )

    async def see(self, what: str, now_ms: int) -> None:
        """Note that it was taken."""
        await self._store.write(
            lambda file: file.execute("INSERT OR IGNORE INTO seen (id, at_ms) VALUES (?, ?)", (what, now_ms)),
            durable=True,
        )

    async def case(self, case_id: str) -> FollowupEvent | None:
        """The newest event of a case that came here within 30 days."""

        def work(file: sqlite3.Connection) -> FollowupEvent | None:
            row = file.execute("SELECT event FROM cases WHERE case_id = ?", (case_id,)).fetchone()
            return msgspec.json.decode(row[0], type=FollowupEvent) if row else None

        return await self._store.read(work)

    async def cases_of(self, incident: str) -> list[FollowupEvent]:
        """The cases of an incident, as their newest events left them: a case by its id, or those of a message."""

        def work(file: sqlite3.Connection) -> list[FollowupEvent]:
            rows = file.execute(
                "SELECT event FROM cases WHERE case_id = ?"
                " OR case_id IN (SELECT case_id FROM deliveries WHERE message_id = ?) ORDER BY case_id",
                (incident, incident),
            )
            return [msgspec.json.decode(raw, type=FollowupEvent) for (raw,) in rows]

        return await self._store.read(work)

    async def again(self, channel: str | None, message_id: str | None, now_ms: int) -> dict[str, int]:
        """Tell again what was given up, under its old id: of a channel, or one message. Channel → how many."""

        def work(file: sqlite3.Connection) -> dict[str, int]:
            wanted = (
                f"state = 'given_up' AND event IS NOT NULL AND kind <> '{REPEATED}' AND (? IS NULL OR channel = ?)"
                " AND (? IS NULL OR message_id = ? OR event_id = ?)"
            )
            given = (channel, channel, message_id, message_id, message_id)
            counts = dict(
                file.execute(f"SELECT channel, count(*) FROM deliveries WHERE {wanted} GROUP BY channel", given)  # noqa: S608
            )
            file.execute(
                "UPDATE deliveries SET state = 'pending', attempts = 0, next_ms = ?, settled_ms = NULL,"  # noqa: S608
                f" last_status = NULL WHERE {wanted}",
                (now_ms, *given),
            )
            return counts

        counts = await self._store.write(work, durable=True)
        await self._store.count_dead()
        for name, count in counts.items():
            metrics.PENDING.labels(name).inc(count)
        return counts
