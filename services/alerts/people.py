"""Comment and contact of an answer, looked up at the last moment and kept nowhere but in bounded memory.

Ingest writes `people.v1` before the log, so its tail (`people_tail.py`) has nearly always been here before the event
that asks. What it does not hold (a retry of yesterday, a restart) comes from the ClickHouse table `people`.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

import msgspec
import structlog

from schemas.people import person_key
from services.alerts import metrics

log = structlog.get_logger()

ENTRIES_MAX: Final = 100_000
BYTES_MAX: Final = 64 * 1024 * 1024
WAIT_S: Final = 3.0
READ_WITHIN_S: Final = 30.0  # for `people.v1` after a start; without it a message goes without text
_ENTRY_OVERHEAD_BYTES: Final = 300
# The tail's head start before ClickHouse is asked, and how often it is asked again while waiting.
_TAIL_FIRST_S: Final = 0.05
_ASK_AGAIN_S: Final = 0.25


class Text(msgspec.Struct, frozen=True, omit_defaults=True):
    """What of a `schemas.people.Person` an alert tells. Its repr says nothing, so that no log can."""

    revision: int = 0
    comment: str | None = None
    respondent_id: str | None = None
    name: str | None = None
    email: str | None = None
    phone: str | None = None

    def __repr__(self) -> str:
        return "Text(…)"


class Absence(Enum):
    """Why there is no text: nothing known of it yet, or it was deleted."""

    NOT_FOUND = "not_found"
    ERASED = "erased"


class Whose(Protocol):
    """Whose text is asked for: a case, or the answer of a note. `personal`: there is some."""

    @property
    def team(self) -> str: ...
    @property
    def response_id(self) -> str: ...
    @property
    def personal(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """One answer's text is asked for."""

    team: str
    response_id: str
    personal: bool = True


class Table(Protocol):
    """The ClickHouse table `people`. NOT_FOUND also when it cannot be asked: never an exception."""

    async def read(self, team: str, response_id: str) -> Text | Absence: ...


class Cache:
    """The newest texts of `people.v1`, least recently used first out. Deletion is final: it beats any later text."""

    def __init__(self, entries_max: int = ENTRIES_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._entries_max = entries_max
        self._bytes_max = bytes_max
        self._entries: OrderedDict[bytes, tuple[int, bytes | None]] = OrderedDict()  # revision, Text as JSON
        self._bytes = 0
        self._waiting: dict[bytes, set[asyncio.Event]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, key: bytes, text: Text) -> None:
        """Take a text, unless the key is erased or holds one of a higher revision."""
        held = self._entries.get(key)
        if held is None or (held[1] is not None and held[0] <= text.revision):
            self._set(key, text.revision, msgspec.json.encode(text))

    def erase(self, key: bytes) -> None:
        """Take a tombstone."""
        self._set(key, 0, None)

    def get(self, key: bytes) -> Text | Absence:
        """What is held."""
        held = self._entries.get(key)
        if held is None:
            return Absence.NOT_FOUND
        self._entries.move_to_end(key)
        return Absence.ERASED if held[1] is None else msgspec.json.decode(held[1], type=Text)

    async def arrival(self, key: bytes, timeout_s: float) -> None:
        """Return when something arrives for `key`, or after `timeout_s`."""
        arrived = asyncio.Event()
        self._waiting.setdefault(key, set()).add(arrived)
        try:
            async with asyncio.timeout(timeout_s):
                await arrived.wait()
        except TimeoutError:
            # It may have arrived in the very moment that the time was over: then nobody waits any more.
            waiting = self._waiting.get(key, set())
            waiting.discard(arrived)
            if not waiting:
                self._waiting.pop(key, None)

    def _set(self, key: bytes, revision: int, raw: bytes | None) -> None:
        self._drop(key)
        self._entries[key] = (revision, raw)
        self._bytes += _size(key, raw)
        while len(self._entries) > self._entries_max or self._bytes > self._bytes_max:
            self._drop(next(iter(self._entries)))
        metrics.PEOPLE_HELD.set(len(self._entries))
        for arrived in self._waiting.pop(key, ()):
            arrived.set()

    def _drop(self, key: bytes) -> None:
        held = self._entries.pop(key, None)
        if held is not None:
            self._bytes -= _size(key, held[1])


def _size(key: bytes, raw: bytes | None) -> int:
    return len(key) + len(raw or b"") + _ENTRY_OVERHEAD_BYTES


class People:
    """Looks up the text of a case: memory first, then the table.

    The table is behind: it may hold what a tombstone of `people.v1` has deleted. So it is asked only when `read` is
    set, which says that the topic has been read up to where it ended at the start; None: it has.
    """

    def __init__(
        self,
        cache: Cache,
        table: Table,
        wait_s: float = WAIT_S,
        read: asyncio.Event | None = None,
        read_within_s: float = READ_WITHIN_S,
    ) -> None:
        self._cache = cache
        self._table = table
        self._wait_s = wait_s
        self._read = read
        self._read_within_s = read_within_s
        self._patient_until_s: float | None = None

    async def expect(self, case: Whose, wait_s: float | None = None) -> Text | Absence | None:
        """Wait until the case's text can be had, at most 3 s unless said otherwise. None: the case has no text.

        After a start the 3 s begin when `people.v1` has been read, or was not within 30 s. Never raises for an outage:
        the caller sends without text rather than not at all.
        """
        if not case.personal:
            return None
        key = person_key(case.team, case.response_id)
        clock = asyncio.get_running_loop().time
        wait_s = self._wait_s if wait_s is None else wait_s
        if self._cache.get(key) is Absence.NOT_FOUND:
            await self._caught_up()
        deadline_s = clock() + wait_s
        if self._cache.get(key) is Absence.NOT_FOUND and wait_s > 0:
            await self._cache.arrival(key, min(_TAIL_FIRST_S, wait_s))
        while True:
            found = await self.lookup(case)
            left_s = deadline_s - clock()
            if found is not Absence.NOT_FOUND or left_s <= 0:
                return found
            await self._cache.arrival(key, min(_ASK_AGAIN_S, left_s))

    async def lookup(self, case: Whose) -> Text | Absence:
        """What is known now."""
        key = person_key(case.team, case.response_id)
        held = self._cache.get(key)
        if held is not Absence.NOT_FOUND:
            metrics.TEXT_SOURCE.labels("memory").inc()
            return held
        if self._read is not None and not self._read.is_set():
            return Absence.NOT_FOUND
        found = await self._table.read(case.team, case.response_id)
        if isinstance(found, Text):
            metrics.TEXT_SOURCE.labels("clickhouse").inc()
            self._cache.put(key, found)
        return self._cache.get(key)  # not `found`: a newer text or a tombstone may have come meanwhile

    async def _caught_up(self) -> None:
        """Return when `people.v1` has been read, or its time is over: an outage is waited for once, not by each."""
        if self._read is None or self._read.is_set():
            return
        now_s = asyncio.get_running_loop().time()
        if self._patient_until_s is None:
            self._patient_until_s = now_s + self._read_within_s
        try:
            async with asyncio.timeout(max(self._patient_until_s - now_s, 0)):
                await self._read.wait()
        except TimeoutError:
            pass
