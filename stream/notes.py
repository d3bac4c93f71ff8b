"""The text of a note that came to nothing does not stay.

A note's text is written before its act, so that no act stands without it (`services.common.acts`). When the act never
reaches the log, and nobody tries again, no case names the text, and no erasure would ever reach it. So a text that is a
day old and that no case names is deleted, by a tombstone as any other. Whether a case names it is known once the fold
and the tables are past what stood in the log at an earlier look, long after the text was written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

import structlog

from schemas.people import person_key
from schemas.topics import PEOPLE
from stream.domain.messages import Message
from stream.log import Log
from stream.outbox import Outbox
from stream.rows import Key
from stream.store import Refused, Unreachable

log = structlog.get_logger()

AFTER_MS: Final = 24 * 3_600_000
EVERY_MS: Final = 3_600_000


Partitioner = Callable[[bytes], int]


class Notes(Protocol):
    """What the tables know of notes."""

    def stored_through(self, generation: int) -> Mapping[int, int]:
        """By partition of the log: everything it caused below this offset is in the tables of cases."""
        ...

    def unnamed_notes(self, before_ms: int) -> Sequence[Key]:
        """Notes written before a time that no case names. Both raise Refused or Unreachable."""
        ...


class Orphans:
    """See the module. `feedback`: the log, whose ends are asked; outages are waited out."""

    def __init__(self, feedback: Log, notes: Notes, outbox: Outbox, partition_of: Partitioner, generation: int) -> None:
        self._feedback = feedback
        self._notes = notes
        self._outbox = outbox
        self._partition_of = partition_of
        self._generation = generation
        self._looked_ms = 0
        self._ends: dict[int, int] = {}  # of the log, at the look before

    async def look(self, partitions: Iterable[int], now_ms: int) -> int:
        """Delete what is to go of these partitions, at most once an hour; how many texts that were."""
        if now_ms - self._looked_ms < EVERY_MS:
            return 0
        self._looked_ms = now_ms
        mine = [*partitions]
        ends = {number: (await self._feedback.bounds(number))[1] for number in mine}
        before, self._ends = self._ends, ends
        try:
            through = await asyncio.to_thread(self._notes.stored_through, self._generation)
            found = await asyncio.to_thread(self._notes.unnamed_notes, now_ms - AFTER_MS)
        except (Refused, Unreachable) as error:  # the next time will do
            log.warning("notes_not_looked_at", error=type(error).__name__)
            return 0
        settled = {number for number in mine if number in before and through.get(number, 0) >= before[number]}
        gone = 0
        for team, note in found:
            number = self._partition_of(team.encode())
            if number in settled:
                await self._outbox.send(number, [Message(PEOPLE, person_key(team, note), None)])
                gone += 1
        return gone
