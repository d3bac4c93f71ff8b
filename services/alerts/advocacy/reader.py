"""`team-changes.v1` → asks. Read beside the follow-ups, and never in their way."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Protocol

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer

from schemas.generations import FIRST, Generation
from schemas.topics import TEAM_CHANGES
from services.alerts.advocacy.asks import Asks, Change, allows
from services.alerts.alarms.store import Due, passing
from services.alerts.kafka import UNHURRIED, kept_up, partitions_of

log = structlog.get_logger()

GROUP: Final = "pulse-advocacy"
_POLL_MS: Final = 1_000
_RECORDS: Final = 200
_REST_S: Final = 1.0


class _Changes(msgspec.Struct, gc=False):
    """What of a record matters here; a `Position` has no team."""

    type: str
    team: str = ""
    answers: list[Change] = []


_decoder = msgspec.json.Decoder(_Changes)


OfPromoters = Callable[[Sequence[tuple[str, Change]]], Awaitable[Sequence[Due]]]


class Told(Protocol):
    """Who is to be woken when there is something to say."""

    def wake(self) -> None: ...


class Advocacy:
    """Reads for ever. `run` ends by cancellation or by the unforeseen; an outage is retried in place."""

    def __init__(
        self, bootstrap: str, asks: Asks, told: Told, whom: OfPromoters, generation: Generation = FIRST
    ) -> None:
        self._bootstrap = bootstrap
        self._asks = asks
        self._told = told
        self._whom = whom
        self._generation = generation

    async def run(self) -> None:
        """Read, store, commit. A crash reads again what was not committed, to no effect."""
        await kept_up(self._read, TEAM_CHANGES)

    async def _read(self) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=self._generation.group(GROUP),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            **UNHURRIED,
        )
        try:
            await consumer.start()
            consumer.assign(partitions_of(TEAM_CHANGES, self._generation))
            while True:
                batches = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_RECORDS)
                if batches:
                    await self.take(record.value for records in batches.values() for record in records)
                    await consumer.commit()
                    await asyncio.sleep(0)  # follow-ups come first
        finally:
            await consumer.stop()

    async def take(self, values: Iterable[bytes | None]) -> None:
        """Some records in their order. One that cannot be read is passed over: the sink rejects it, with the reason."""
        changes: list[tuple[str, Change]] = []
        for value in values:
            try:
                record = _decoder.decode(value or b"")
            except msgspec.MsgspecError:
                log.warning("record_unreadable", topic=TEAM_CHANGES)
                continue
            changes += [(record.team, answer) for answer in record.answers]
        if not changes:
            return
        while True:
            try:
                new = await self._follow(changes)
            except sqlite3.OperationalError as error:
                if not passing(error):
                    raise
                log.warning("asks_cannot_be_kept", error=error.sqlite_errorname)
                await asyncio.sleep(_REST_S)
            else:
                break
        if new:
            self._told.wake()

    async def _follow(self, changes: Sequence[tuple[str, Change]]) -> int:
        """Only what allows a question, and what has allowed one, is anybody's business here."""
        known = await self._asks.known({team for team, _ in changes})
        wanted = known | {(team, answer.response_id) for team, answer in changes if allows(answer)}
        followed = [one for one in changes if (one[0], one[1].response_id) in wanted]
        asking = [one for one in followed if allows(one[1])]
        dues = iter(await self._whom(asking) if asking else ())
        return await self._asks.take([(team, one, next(dues) if allows(one) else {}) for team, one in followed])
