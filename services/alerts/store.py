"""What is to be delivered and what was, in SQLite: one row per event and channel. No personal text, ever.

Durability. WAL with synchronous=NORMAL: whatever ends the process, what was written stays. A power cut may take the
newest back, so `sync` comes before an offset is committed: then the events are read again, and a message that went out
already goes out again under its old id, as the contract allows. No alert waits for the disk, 4 to 12 ms in a cloud.

Deletion. What goes is overwritten (secure_delete), and after an erasure the WAL, which holds earlier pages, is emptied
into the file: nothing of it is left in either.

One thread writes and reads in the order asked, so that a lane never loads a row whose ending is on its way; what comes
while it writes shares the next transaction (`store_writer`).
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, replace
from pathlib import Path
from typing import TypeVar

import structlog

from schemas.followups import FollowupEvent
from services.alerts import metrics
from services.alerts import store_repeats as repeats
from services.alerts.amending import Amended, amend
from services.alerts.deliveries import Attempt, Delivery, Row, Silence, State, silent_until
from services.alerts.grouping import NEWS, Grouping
from services.alerts.store_file import FILE, locked, prepare
from services.alerts.store_groups import ROW, due, form, insert, note_case, place, settle, waiting
from services.alerts.store_sweep import DAY_MS, KEPT_MS, Swept, sweep
from services.alerts.store_waiting import CASE_CLOSED, dead_letters, hold_on, is_history, pass_over
from services.alerts.store_writer import StoreWriter, passes
from services.common.clock import wall_clock_ms

log = structlog.get_logger()
T = TypeVar("T")


class Store:
    """The file, and the lock on its folder. Every method may be awaited by many at once.

    Raises at the start: DirInUse, NotOurFile, sqlite3.Error. Later a full disk or the like is waited out, and
    `trouble` names it meanwhile.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.groupings: dict[str, Grouping] = {}  # of the channels that people read; the others are told each event
        self.quiet: Callable[[str, str, int], int] = lambda *_: 0  # until when a team is not to be disturbed
        self._clocked: set[str] = set()  # channels whose groups all have their clock (`store_repeats`)
        self._wal_full = False  # of earlier pages that were to go
        self._channels: set[str] = set()  # with anything pending, now or since the start
        self._lock = locked(folder)
        self._write = sqlite3.connect(folder / FILE, isolation_level=None, check_same_thread=False)
        self._read = sqlite3.connect(folder / FILE, isolation_level=None, check_same_thread=False)
        self._writer = StoreWriter(self._write)
        self._reader = ThreadPoolExecutor(1, "store-reader")
        self._born_ms = prepare(self._write, wall_clock_ms())
        for channel, pending in self._write.execute(
            "SELECT channel, count(*) FROM deliveries WHERE state = 'pending' GROUP BY channel"
        ):
            metrics.PENDING.labels(channel).set(pending)
            self._channels.add(channel)
        self.dead: dict[str, int] = {}  # channel → events given up that can be told again
        self._note_dead(dead_letters(self._write))
        self.silences = [
            Silence(*row)
            for row in self._write.execute("SELECT id, team, channel, until_ms, made_ms, reason FROM silences")
        ]

    @property
    def trouble(self) -> str | None:
        """What the disk refuses just now; None: nothing."""
        return self._writer.trouble

    async def add(
        self, deliveries: Sequence[Delivery], now_ms: int, seen: Sequence[FollowupEvent] = ()
    ) -> list[Delivery]:
        """Store what is not stored yet, and return it; what is history is given up at once.

        Before its `due_ms` none is told. What is older than anything kept here leaves no row: whether it was told,
        nobody can say any more. `seen` are all events that came, told or not: they say how their cases stand.
        """
        silences = [one for one in self.silences if one.until_ms > now_ms]

        def work() -> tuple[list[Delivery], list[Delivery], list[str]]:
            new: list[Delivery] = []
            old: list[Delivery] = []
            dropped: list[str] = []
            for delivery in deliveries:
                event, channel = delivery.event, delivery.channel
                if now_ms - event.at_ms > KEPT_MS:
                    continue
                if self._write.execute(
                    "SELECT 1 FROM deliveries WHERE event_id = ? AND channel = ?", (event.event_id, channel)
                ).fetchone():
                    continue
                if is_history(self._write, event, self._born_ms, now_ms):
                    insert(self._write, delivery, "given_up", event.event_id, None, now_ms, "too_old")
                    old.append(delivery)
                    continue
                given = self.groupings.get(channel), silences, delivery.due_ms
                message_id, due_ms, held = place(self._write, event, channel, now_ms, *given)
                insert(self._write, delivery, "pending", message_id, due_ms, None, held)
                new.append(replace(delivery, due_ms=due_ms if due_ms > now_ms else 0))
            for event in seen:
                if now_ms - event.at_ms <= KEPT_MS:
                    note_case(self._write, event)
                    if event.case.state != "open":
                        dropped += repeats.drop(self._write, event.case.case_id, now_ms)
            return new, old, dropped

        new, old, dropped = await self._writer.transaction(work)
        for delivery in new:
            metrics.PENDING.labels(delivery.channel).inc()
            self._channels.add(delivery.channel)
        for channel in dropped:
            metrics.PENDING.labels(channel).dec()
        if old:
            for delivery in old:
                metrics.DELIVERIES.labels(delivery.channel, "too_old").inc()
            log.warning("deliveries_too_old", count=len(old), newest_ms=max(d.event.at_ms for d in old))
        return new

    async def sync(self) -> None:
        """When it returns, all that was written before outlives a power cut."""
        # A transaction that writes nothing is not synced.
        await self._writer.transaction(lambda: self._write.execute("UPDATE alive SET at_ms = at_ms"), durable=True)

    async def due(self, channel: str, now_ms: int, limit: int) -> list[Delivery]:
        """Messages whose next attempt is due, oldest first. Groups whose time has come are made one on the way.

        People are not told of what was held back and needs nobody any more; machines are.
        """
        grouping, silences, held = self.groupings.get(channel), [*self.silences], self._held(channel, now_ms)

        def work() -> tuple[int, int, list[Delivery]]:
            hold_on(self._write, channel, now_ms, silences)
            passed = pass_over(self._write, channel, now_ms) if grouping else 0
            form(self._write, channel, now_ms, grouping or Grouping())
            again = 0
            if grouping and grouping.repeat_ms:
                if channel not in self._clocked:
                    repeats.start_all(self._write, channel, now_ms)
                again = repeats.repeat(self._write, channel, now_ms, grouping.repeat_ms, held)
            return passed, again, due(self._write, channel, now_ms, limit)

        passed, again, found = await self._writer.transaction(work)
        self._clocked.add(channel)
        if again:
            self._channels.add(channel)
            metrics.PENDING.labels(channel).inc(again)
        if passed:
            metrics.PENDING.labels(channel).dec(passed)
            metrics.DELIVERIES.labels(channel, CASE_CLOSED).inc(passed)
            log.info("held_cases_closed", channel=channel, count=passed)
        return found

    async def count_dead(self) -> None:
        """Count anew what was given up and can be told again, for the metric and for `dead`."""
        self._note_dead(await self._writer.transaction(lambda: dead_letters(self._write)))

    def _note_dead(self, found: dict[str, int]) -> None:
        for channel in self.dead.keys() | found.keys():
            metrics.DEAD.labels(channel).set(found.get(channel, 0))
        self.dead = found

    def _held(self, channel: str, now_ms: int) -> repeats.Held:
        silences = [one for one in self.silences if one.until_ms > now_ms]
        return lambda team: max(silent_until(silences, team, channel, now_ms), self.quiet(team, channel, now_ms))

    def repeat_ms(self, channel: str) -> int:
        """After how long what nobody acknowledges is told again; 0: never."""
        grouping = self.groupings.get(channel)
        return grouping.repeat_ms if grouping else 0

    async def write(self, work: Callable[[sqlite3.Connection], T], *, durable: bool = False) -> T:
        """Run `work` in a transaction of the writer."""
        return await self._writer.transaction(lambda: work(self._write), durable=durable)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` beside the writer, never in its way."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, lambda: work(self._read))

    async def next_due_ms(self, channel: str, after_ms: int) -> int | None:
        """When the first attempt later than `after_ms` is due; None: none is."""
        repeat_ms, held = self.repeat_ms(channel), self._held(channel, after_ms)

        def work() -> int | None:
            found: int | None = self._write.execute(
                "SELECT min(next_ms) FROM deliveries WHERE channel = ? AND state = 'pending' AND next_ms > ?",
                (channel, after_ms),
            ).fetchone()[0]
            again = repeats.next_ms(self._write, channel, after_ms, repeat_ms, held) if repeat_ms else None
            return min((at_ms for at_ms in (found, again) if at_ms is not None), default=None)

        return await self._writer.transaction(work)

    async def settle(
        self,
        delivery: Delivery,
        state: State,
        attempts: int,
        status: str,
        next_ms: int | None,
        now_ms: int,
        attempt: Attempt | None = None,
    ) -> bool:
        """Record what an attempt came to: delivered, given up, or pending with the time of the next attempt.

        Returns whether more of the same cases has been waiting for that, and is due.
        """
        done = state != "pending"
        settled_ms = now_ms if done else None

        def work() -> tuple[int, bool]:
            settled = settle(self._write, delivery, state, attempts, status, next_ms, settled_ms)
            if attempt is not None:
                self._write.execute("INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", astuple(attempt))
            if state == "delivered" and delivery.event.kind in NEWS and self.repeat_ms(delivery.channel):
                repeats.start(self._write, delivery.channel, delivery.event.case.team, now_ms)
            return settled, done and waiting(self._write, delivery.channel, delivery.key, now_ms)

        settled, more = await self._writer.transaction(work)
        if done:
            metrics.PENDING.labels(delivery.channel).dec(settled)
        if state == "given_up":
            await self.count_dead()
        return more

    async def amend(self, events: Sequence[FollowupEvent], now_ms: int) -> list[Delivery]:
        """Let what is pending follow its case (`amending`), and return what is pending again.

        When it returns, the file and its WAL hold nothing of what was to go, unless a reader is in the way of the WAL:
        then the next sweep empties it.
        """

        def work() -> list[Amended]:
            return [amended for event in events if (amended := amend(self._write, event, now_ms))]

        amended = await self._writer.transaction(work, durable=True)
        if not amended:
            return []
        for channel in (channel for one in amended for channel in one.withdrawn):
            metrics.PENDING.labels(channel).dec()
            metrics.DELIVERIES.labels(channel, "withdrawn").inc()
        revived = [delivery for one in amended for delivery in one.revived]
        for delivery in revived:
            metrics.PENDING.labels(delivery.channel).inc()
        log.info("deliveries_amended", cases=len(amended), revived=len(revived))
        self._wal_full = True
        await self._empty_wal()
        return revived

    async def rows(self, state: State | None, case_id: str | None, limit: int) -> list[Row]:
        """Deliveries, newest event first. Never in the writer's way."""
        given = {"state": state, "case_id": case_id}
        wanted = {column: value for column, value in given.items() if value is not None}
        where = " AND ".join(f"{column} = ?" for column in wanted) or "TRUE"

        def work() -> list[Row]:
            found = self._read.execute(
                f"SELECT {ROW} FROM deliveries WHERE {where} ORDER BY at_ms DESC, event_id LIMIT ?",  # noqa: S608
                (*wanted.values(), limit),
            )
            return [Row(*row) for row in found]

        return await asyncio.get_running_loop().run_in_executor(self._reader, work)

    async def sweep(self, now_ms: int, live: Collection[str]) -> int:
        """One small step of housekeeping; returns the rows it touched. Also shows that the file can be written.

        A channel that is not `live` is not configured any more, or stopped by a 410: nobody else ends what it has.
        """
        idle = self._channels - set(live)
        self.silences = [one for one in self.silences if one.until_ms > now_ms - DAY_MS]

        def work() -> tuple[Swept, dict[str, int]]:
            return sweep(self._write, now_ms, idle), dead_letters(self._write)

        swept, dead = await self._writer.transaction(work)
        self._note_dead(dead)
        await self._empty_wal()
        if swept.untold:
            log.error("dead_letters_removed", count=swept.untold)
        for channel, count in (+swept.stranded).items():  # + leaves out the zeros
            log.error("deliveries_stranded", channel=channel, count=count)
            metrics.DELIVERIES.labels(channel, "too_old").inc(count)
            metrics.PENDING.labels(channel).dec(count)
        return swept.removed + swept.stranded.total()

    async def _empty_wal(self) -> None:
        """Move the WAL into the file and cut it to nothing, if it may hold what was to go."""
        if not self._wal_full:
            return

        def work() -> bool:
            (busy, _, _) = self._write.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not busy

        try:
            done = await self._writer.alone(work)
        except sqlite3.OperationalError as error:
            if not passes(error):
                raise
            done = False
        self._wal_full = not done

    def close(self) -> None:
        """Wait for what is under way, close the file, let go of the folder."""
        self._writer.close()
        self._reader.shutdown()
        self._read.close()
        self._write.close()
        os.close(self._lock)
