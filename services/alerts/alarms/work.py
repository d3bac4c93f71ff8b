"""The two tasks of score alarms: to look, again and again, and to say what there is to say."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import SystemRandom
from typing import Final

import structlog

from services.alerts import metrics
from services.alerts.alarms.counts import Unreachable
from services.alerts.alarms.records import Alarm, Note, Speaker
from services.alerts.alarms.store import AlarmsFile, Pending, passing
from services.alerts.alarms.watch import Watch
from services.alerts.alarms.whom import Silenced
from services.alerts.deliveries import State
from services.alerts.people import Absence, Asked, People
from services.alerts.retries import LAST_WITHIN_MS, next_wait_ms
from services.common.clock import wall_clock_ms

log = structlog.get_logger()

_AT_ONCE: Final = 50
_REST_MS: Final = 5_000
_random = SystemRandom().random

Show = Callable[[Mapping[str, Alarm], int], Awaitable[None]]


class Alarms:
    """Score alarms at work. `run` ends by cancellation or by the unforeseen; outages of ClickHouse and disk pass."""

    def __init__(
        self,
        watch: Watch | None,
        file: AlarmsFile,
        speakers: Sequence[Speaker],
        every_s: float,
        now_ms: Callable[[], int] = wall_clock_ms,
        chance: Callable[[], float] = _random,
        people: People | None = None,
        show: Show | None = None,
        silenced: Silenced = lambda *_: 0,
        may_look: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.file = file
        self._show = show
        self._silenced = silenced
        self._may_look = may_look
        self._unsilenced = False
        self._people = people
        self._watch = watch
        self._speakers = speakers
        self._every_s = every_s
        self._now_ms = now_ms
        self._chance = chance
        self._gone: set[str] = set()
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """There is something new to say."""
        self._wake.set()

    def look(self) -> None:
        """A silence may have ended."""
        self._unsilenced = True
        self.wake()

    async def run(self) -> None:
        """Look and say, for ever. Without a watch only what is left is said."""
        async with asyncio.TaskGroup() as tasks:
            if self._watch is not None:
                tasks.create_task(self._look(self._watch), name="alarms-look")
            tasks.create_task(self._say(), name="alarms-say")

    async def _look(self, watch: Watch) -> None:
        troubled = False
        if self._may_look is not None:
            await self._may_look()
        while True:
            try:
                changed = await watch.look(self._now_ms())
                if changed:
                    self.wake()
                newest = await self.file.newest()
                metrics.ALARMS_OPEN.set(_open(newest))
                if self._show is not None:
                    await self._show(newest, self._now_ms())
            except (Unreachable, sqlite3.OperationalError) as error:
                if isinstance(error, sqlite3.OperationalError) and not passing(error):
                    raise
                if not troubled:
                    log.warning("alarms_cannot_look", error=type(error).__name__)
                troubled = True
            else:
                troubled = False
            await asyncio.sleep(self._every_s)

    async def _say(self) -> None:
        while True:
            self._wake.clear()
            try:
                next_ms = await self.say_due()
            except sqlite3.OperationalError as error:
                if not passing(error):
                    raise
                next_ms = self._now_ms() + _REST_MS
            try:
                async with asyncio.timeout(None if next_ms is None else max(1, next_ms - self._now_ms()) / 1_000):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def say_due(self) -> int | None:
        """Say what is due, each channel for itself; when there is more to say. None: when something is raised."""
        if self._unsilenced:
            await self.file.let_out(self._now_ms())
            self._unsilenced = False
        for channel in await self.file.give_up(self._now_ms() - LAST_WITHIN_MS):
            metrics.ALARM_NOTES.labels(channel, "given_up").inc()
            log.error("alarm_note_too_old", channel=channel)
        nexts = await asyncio.gather(*(self._through(speaker) for speaker in self._speakers))
        return min((next_ms for next_ms in nexts if next_ms is not None), default=None)

    async def _through(self, speaker: Speaker) -> int | None:
        """Say a channel's notes in their order. One that has gone keeps them for the next start."""
        while speaker.name not in self._gone:
            due = await self.file.due(speaker.name, self._now_ms(), _AT_ONCE)
            for pending in due:
                if until_ms := self._silenced(pending.note.team, speaker.name, self._now_ms()):
                    await self.file.hold(pending, until_ms)
                else:
                    await self._attempt(speaker, pending)
            if not due:
                return await self.file.next_due_ms(speaker.name)
        return None

    async def _attempt(self, speaker: Speaker, pending: Pending) -> None:
        if speaker.name in self._gone or not await self.file.begin(pending):
            return
        outcome = await speaker.say(await self._with_text(pending.note))
        attempts = pending.attempts + 1
        if outcome.verdict == "delivered":
            await self._settle(pending, "delivered", attempts, outcome.status, None)
            return
        wait_ms = next_wait_ms(attempts, outcome, self._chance())
        if outcome.verdict == "gone":
            self._gone.add(speaker.name)
            log.error("alarms_channel_gone", channel=speaker.name)
        if wait_ms is None:
            log.error("alarm_note_given_up", channel=speaker.name, note_id=pending.note.note_id, status=outcome.status)
            await self._settle(pending, "given_up", attempts, outcome.status, None)
        else:
            await self._settle(pending, "pending", attempts, outcome.status, self._now_ms() + wait_ms)

    async def _with_text(self, note: Note) -> Note:
        """Comment and contact, where they are wanted; at the last moment, so that an erasure is not too late."""
        if not note.personal or self._people is None:
            return note
        return note.with_text(await self._people.expect(Asked(note.team, note.data["response_id"])) or Absence.ERASED)

    async def _settle(self, pending: Pending, state: State, attempts: int, status: str, next_ms: int | None) -> None:
        if state != "pending":
            metrics.ALARM_NOTES.labels(pending.channel, state).inc()
        await self.file.settle(pending, state, attempts, status, next_ms)


def _open(alarms: Mapping[str, Alarm]) -> int:
    return sum(alarm.ended_ms is None for alarm in alarms.values())
