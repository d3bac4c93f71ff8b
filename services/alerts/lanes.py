"""A lane carries the deliveries of one channel to their target. Lanes share nothing, so none holds up another.

New events are handed over in memory and go out at once; the store is asked only for what found no room here, what
was left by an earlier process and what is to be tried again. Nothing polls: a lane sleeps until its next due time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import SystemRandom
from typing import Final

import structlog
from msgspec import structs

from schemas.followups import FollowupEvent
from schemas.followups import State as CaseState
from services.alerts import metrics
from services.alerts.channels import Channel, Message, Told
from services.alerts.deliveries import Attempt, Delivery, State
from services.alerts.grouping import CLOSED, Pace, Rate, is_news
from services.alerts.people import Absence, People, Text
from services.alerts.retries import Outcome, next_wait_ms
from services.alerts.store import Store
from services.alerts.store_groups import standing
from services.alerts.taps import Link
from services.common.clock import wall_clock_ms

log = structlog.get_logger()

# Messages on their way at once to one target, and deliveries held in memory, those included.
PLACES: Final = 16
ROOM: Final = 256
_NEVER_MS: Final = 1 << 62
_random = SystemRandom().random


class Lane:
    """Sends what `offer` hands over and what the store holds. `run` ends by cancellation or by the unforeseen."""

    def __init__(
        self,
        channel: Channel,
        store: Store,
        people: People,
        now_ms: Callable[[], int] = wall_clock_ms,
        chance: Callable[[], float] = _random,
        rate: Rate | None = None,
        *,
        follows: bool = False,
        links: Callable[[FollowupEvent], tuple[Link, ...]] = lambda _: (),
    ) -> None:
        self._links = links
        self._pace = Pace(rate) if rate else None
        self._follows = follows
        self.channel = channel
        self.disabled = False
        self._store = store
        self._people = people
        self._now_ms = now_ms
        self._chance = chance
        self._places = asyncio.Semaphore(PLACES)
        self._held: dict[str, asyncio.Task[None]] = {}
        self._loading = asyncio.Lock()
        self._wake = asyncio.Event()
        self._look_ms = 0  # when the store may hold something due that is not held here
        self._paused_until_ms = 0
        self._closed = False
        self._failure: Exception | None = None
        metrics.DISABLED.labels(channel.name).set(0)

    def offer(self, deliveries: Sequence[Delivery]) -> None:
        """Send these new deliveries, which are stored already. Those without room are loaded later."""
        for delivery in deliveries:
            if self._stopped() or len(self._held) >= ROOM:
                self._look_again(self._now_ms())
                return
            self._start(delivery)

    def look(self, at_ms: int = 0) -> None:
        """Something in the store may be due now, or at a time to come."""
        self._look_again(at_ms or self._now_ms())

    async def run(self) -> None:
        """Load what is due, sleep until more is."""
        while True:
            self._wake.clear()
            if self._failure is not None:
                raise self._failure
            if self._may_load():
                await self._load()
            if not self._may_load():
                await self._rest()

    async def drain(self, within_s: float) -> None:
        """Start nothing more; wait for what is on its way, then drop the rest: it is pending still."""
        self._closed = True
        tasks = set(self._held.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=within_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _stopped(self) -> bool:
        return self._closed or self.disabled or self._now_ms() < self._paused_until_ms

    def _may_load(self) -> bool:
        return not self._stopped() and self._look_ms <= self._now_ms() and len(self._held) <= ROOM // 2

    def _look_again(self, at_ms: int) -> None:
        self._look_ms = min(self._look_ms, at_ms)
        self._wake.set()

    async def _load(self) -> None:
        async with self._loading:
            now_ms = self._now_ms()
            limit = ROOM + len(self._held)
            self._look_ms = _NEVER_MS  # before the store is asked: what is put off meanwhile moves it back
            due = await self._store.due(self.channel.name, now_ms, limit)
            fresh = [delivery for delivery in due if delivery.key not in self._held]
            for delivery in fresh[: ROOM - len(self._held)]:
                self._start(delivery)
            if len(due) == limit or len(self._held) >= ROOM:
                self._look_again(now_ms)
            next_ms = await self._store.next_due_ms(self.channel.name, now_ms)
            if next_ms is not None:
                self._look_again(next_ms)

    async def _rest(self) -> None:
        until_ms = max(self._look_ms, self._paused_until_ms)
        waits_for_room = self._look_ms <= self._now_ms() and len(self._held) > ROOM // 2
        idle = self.disabled or self._closed or waits_for_room or until_ms == _NEVER_MS
        try:
            async with asyncio.timeout(None if idle else max(until_ms - self._now_ms(), 1) / 1_000):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _start(self, delivery: Delivery) -> None:
        if delivery.key not in self._held:
            self._held[delivery.key] = asyncio.create_task(self._carry(delivery), name=f"deliver-{self.channel.name}")

    async def _carry(self, delivery: Delivery) -> None:
        try:
            expected = await self._people.expect(delivery.event.case)  # not in a place: others have their text
            async with self._places:
                if self._stopped():
                    self._look_again(self._paused_until_ms)
                    return
                if self._pace:
                    await self._pace.wait()
                began_ms = self._now_ms()
                outcome = await self._attempt(delivery, expected)
            await self._conclude(delivery, outcome, began_ms)
        except Exception as error:  # noqa: BLE001 # `run` raises it, where somebody listens
            self._failure = error
        finally:
            # Under the lock, so that a load under way still sees as held what its answer may list as pending.
            async with self._loading:
                del self._held[delivery.key]
            self._wake.set()

    async def _attempt(self, delivery: Delivery, expected: Text | Absence | None) -> Outcome:
        message = await self._message(delivery, expected)
        if message is None:
            return Outcome("delivered", "in_group")
        try:
            return await self.channel.send(message)
        except Exception as error:  # noqa: BLE001 # one bad message must not stop all others again and again
            log.error("send_raised", channel=self.channel.name, event_id=delivery.key, error=type(error).__name__)
            return Outcome("retry", "error")

    async def _message(self, delivery: Delivery, expected: Text | Absence | None) -> Message | None:
        """What to send; None: nothing, as the group that the case was told in does not follow it yet."""
        event, case = delivery.event, delivery.event.case
        if self._follows and not is_news(event):
            incident, states = await self._store.write(lambda file: standing(file, self.channel.name, case.case_id))
            if incident:
                if "open" in states:
                    return None
                state: CaseState = "resolved" if CLOSED.issuperset(states) else "acknowledged"
                event = structs.replace(event, case=structs.replace(case, state=state))
                return Message(event, incident=incident)
        first = await self._told(delivery.event, expected)
        more = tuple([await self._told(other, await self._people.expect(other.case, 0)) for other in delivery.more])
        grouped = delivery.message_id if delivery.count > 1 else ""
        links = self._links(event) if delivery.count == 1 else ()
        return Message(
            *(event, first.text, first.missing, more, delivery.count, delivery.message_id, grouped, links),
            repeated=delivery.repeated,
        )

    async def _told(self, event: FollowupEvent, expected: Text | Absence | None) -> Told:
        found = await self._people.lookup(event.case) if isinstance(expected, Text) else expected
        missing = found if isinstance(found, Absence) else None
        if missing is not None:
            metrics.TEXT_MISSING.labels(missing.value).inc()
            log.warning("text_missing", event_id=event.event_id, case_id=event.case.case_id, reason=missing.value)
        return Told(event, found if isinstance(found, Text) else None, missing)

    async def _conclude(self, delivery: Delivery, outcome: Outcome, began_ms: int) -> None:
        """Write down what an attempt came to. Sent comes before written: a crash between the two repeats it."""
        name, attempts, now_ms = self.channel.name, delivery.attempts + 1, self._now_ms()
        took_ms = max(now_ms - began_ms, 0)
        attempt = Attempt(
            delivery.key, name, began_ms, attempts, outcome.verdict, outcome.status, took_ms, delivery.count
        )
        metrics.DELIVERIES.labels(name, outcome.verdict).inc()
        if outcome.verdict == "delivered":
            metrics.SECONDS.labels(name).observe(max(now_ms - delivery.event.at_ms, 0) / 1_000)
            await self._settle(delivery, "delivered", attempts, outcome.status, None, attempt)
            return
        if outcome.verdict == "gone" and not self.disabled:
            self.disabled = True
            metrics.DISABLED.labels(name).set(1)
            log.error("channel_disabled", channel=name, status=outcome.status)
        if outcome.pause_ms:
            self._paused_until_ms = max(self._paused_until_ms, now_ms + outcome.pause_ms)
            log.warning("channel_paused", channel=name, status=outcome.status, pause_ms=outcome.pause_ms)
        wait_ms = next_wait_ms(attempts, outcome, self._chance())
        if wait_ms is None:
            await self._settle(delivery, "given_up", attempts, outcome.status, None, attempt)
            return
        log.warning(
            "delivery_put_off",
            channel=name,
            event_id=delivery.key,
            case_id=delivery.event.case.case_id,
            status=outcome.status,
            attempts=attempts,
            wait_ms=wait_ms,
        )
        await self._settle(delivery, "pending", attempts, outcome.status, now_ms + wait_ms, attempt)
        self._look_again(now_ms + wait_ms)

    async def _settle(
        self,
        delivery: Delivery,
        state: State,
        attempts: int,
        status: str,
        next_ms: int | None,
        attempt: Attempt | None = None,
    ) -> None:
        if state == "given_up":
            metrics.DELIVERIES.labels(self.channel.name, "given_up").inc()
            log.error(
                "delivery_given_up",
                channel=self.channel.name,
                event_id=delivery.key,
                case_id=delivery.event.case.case_id,
                status=status,
                attempts=attempts,
            )
        more = await self._store.settle(delivery, state, attempts, status, next_ms, self._now_ms(), attempt)
        if more or (state != "pending" and self._follows):
            self._look_again(self._now_ms())  # what goes on with its case has been waiting for it
        if state == "delivered" and (repeat_ms := self._store.repeat_ms(self.channel.name)):
            self._look_again(self._now_ms() + repeat_ms)
