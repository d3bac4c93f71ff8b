"""Nothing that nobody has been told of is dropped: long silences, long outages of ours and of a receiver."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import Mock

import aiohttp
import pytest

from services.alerts.app import build_app
from services.alerts.deliveries import Delivery
from services.alerts.flow import Flow
from services.alerts.grouping import Grouping
from services.alerts.lanes import Lane
from services.alerts.ledger import Ledger
from services.alerts.people import Cache, People
from services.alerts.retries import HOUR_MS, SCHEDULE_MS
from services.alerts.store import Store
from services.alerts.store_file import FILE
from services.alerts.store_sweep import KEPT_MS, sweep
from tests.unit.alerts.builders import FakeTable, now_ms, raised, until
from tests.unit.alerts.serving import served
from tests.unit.alerts.test_app import settings_in
from tests.unit.alerts.test_grouping import DOWN, OK, Channel, Clock, clock

__all__ = ["clock"]  # the fixture

DAY_MS = 24 * HOUR_MS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    opened.groupings["slack"] = Grouping(0, 5 * 60_000)
    yield opened
    opened.close()


class Told:
    """A flow and its lanes at work. `leap` lets time pass."""

    def __init__(self, store: Store, clock: Clock, *channels: Channel) -> None:
        self.store = store
        self.clock = clock
        people = People(Cache(), FakeTable(), 0.05)
        self.lanes = [Lane(channel, store, people, clock, lambda: 0.0, follows=False) for channel in channels]
        self.flow = Flow("unused:9092", store, self.lanes)

    async def leap(self, by_ms: int) -> None:
        self.clock.ahead_ms += by_ms
        for lane in self.lanes:
            lane.look()

    async def has(self, state: str, count: int) -> None:
        async def there() -> bool:
            return sum(row.state == state for row in await self.store.rows(None, None, 1_000)) >= count

        await until(there)


@asynccontextmanager
async def telling(store: Store, clock: Clock, *channels: Channel) -> AsyncIterator[Told]:
    told = Told(store, clock, *channels)
    running = [asyncio.create_task(lane.run()) for lane in told.lanes]
    try:
        yield told
    finally:
        for lane, task in zip(told.lanes, running, strict=True):
            await lane.drain(1)
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def test_what_a_silence_of_a_week_held_back_is_told_in_one_message_when_it_ends(
    store: Store, clock: Clock
) -> None:
    people, machine = Channel(), Channel("webhook")
    await Ledger(store).silence(None, None, clock() + 7 * DAY_MS, "a fair", clock())
    async with telling(store, clock, people, machine) as told:
        await told.flow.tell([raised(number) for number in range(3)])
        assert {row.last_status for row in await store.rows("pending", None, 10)} == {"held"}
        await told.leap(7 * DAY_MS - 60_000)
        await asyncio.sleep(0.05)
        assert people.sent == machine.sent == []
        await told.leap(61_000)
        await told.has("delivered", 6)
    assert [message.count for message in people.sent] == [3]
    assert [message.count for message in machine.sent] == [1, 1, 1]


async def test_people_are_not_told_of_a_case_that_closed_during_the_silence_and_machines_are(
    store: Store, clock: Clock
) -> None:
    people, machine = Channel(), Channel("webhook")
    for channel in (people, machine):
        channel.wants = lambda event: event.kind == "followup.raised"  # type: ignore[method-assign]
    silence = await Ledger(store).silence(None, None, clock() + 2 * DAY_MS, "", clock())
    async with telling(store, clock, people, machine) as told:
        await told.flow.tell([raised(number) for number in range(4)])
        await told.flow.tell([raised(1, kind="followup.resolved", n=2, state="resolved")])
        await told.flow.tell([raised(2, kind="followup.rescored", n=2, state="rescored")])
        await told.flow.tell([raised(3, kind="followup.acknowledged", n=2, state="acknowledged")])
        assert await Ledger(store).end(silence.id, clock() + DAY_MS)
        await told.leap(DAY_MS)
        await told.has("delivered", 6)
    assert [{one.event.case.case_id for one in message.told} for message in people.sent] == [
        {raised(0).case.case_id, raised(3).case.case_id}
    ]
    assert len(machine.sent) == 4
    passed = await store.rows("given_up", None, 10)
    assert {(row.case_id, row.channel, row.last_status) for row in passed} == {
        (raised(number).case.case_id, "slack", "case_closed") for number in (1, 2)
    }
    assert store.dead == {}  # nobody needs to be told of them any more
    assert await Ledger(store).again(None, None, clock()) == {}


async def test_a_silence_made_longer_by_another_one_holds_on(store: Store, clock: Clock) -> None:
    channel, ledger = Channel(), Ledger(store)
    await ledger.silence("support", None, clock() + DAY_MS, "", clock())
    async with telling(store, clock, channel) as told:
        await told.flow.tell([raised(0), raised(0, team="billing")])
        await told.has("delivered", 1)
        await ledger.silence("support", "slack", clock() + 3 * DAY_MS, "", clock())
        await told.leap(2 * DAY_MS)
        await asyncio.sleep(0.05)
        assert [message.event.case.team for message in channel.sent] == ["billing"]
        await told.leap(DAY_MS + 1_000)
        await told.has("delivered", 2)


async def test_what_happened_while_the_service_was_down_for_days_is_told_once_it_is_up(tmp_path: Path) -> None:
    first = Store(tmp_path)
    before = raised(0)
    await first.add([Delivery("slack", before)], now_ms(), [before])
    first.close()
    late_ms = now_ms() + 9 * DAY_MS
    meanwhile = [raised(number, at_ms=now_ms() + number * DAY_MS) for number in range(1, 8)]
    second = Store(tmp_path)
    new = await second.add([Delivery("slack", event) for event in meanwhile], late_ms, meanwhile)
    assert [delivery.event for delivery in new] == meanwhile
    assert len(await second.due("slack", late_ms, 100)) == 1 + len(meanwhile)
    # A log that is read again tells a target that is new here nothing of what was known before.
    again = await second.add([Delivery("pager", event) for event in meanwhile[:3]], late_ms, meanwhile)
    assert again == []
    assert {row.last_status for row in await second.rows("given_up", None, 10)} == {"too_old"}
    second.close()


async def test_a_file_of_an_earlier_version_was_made_when_it_was_last_at_work(tmp_path: Path) -> None:
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE) as file:
        file.execute("DROP TABLE born")
        file.execute("DROP INDEX dead")
        file.execute("UPDATE alive SET at_ms = ?", (now_ms() - 5 * DAY_MS,))
    file.close()
    upgraded = Store(tmp_path)
    since, before = (raised(number, at_ms=now_ms() - days * DAY_MS) for number, days in ((1, 3), (2, 7)))
    new = await upgraded.add([Delivery("slack", since), Delivery("slack", before)], now_ms())
    assert [delivery.event for delivery in new] == [since]
    upgraded.close()


async def test_a_dead_receiver_ends_in_dead_letters_that_readiness_names_until_they_are_told(
    store: Store, clock: Clock, tmp_path: Path
) -> None:
    channel, event = Channel(answer=DOWN), raised(0)
    app = build_app(settings_in(tmp_path), store, Mock(), Mock(), lambda: None)

    async def readiness(url: str) -> dict[str, object]:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/readyz") as answer:
            assert answer.status == 200
            found: dict[str, object] = await answer.json()
            return found

    async with served(app) as url, telling(store, clock, channel) as told:
        await told.flow.tell([event])
        for attempt, wait_ms in enumerate(SCHEDULE_MS, 1):
            await until(lambda attempt=attempt: len(channel.sent) == attempt)  # type: ignore[misc]
            assert await readiness(url) == {"status": "ready"}
            await told.leap(wait_ms + DAY_MS)  # and the service itself was down for another day each time
        await told.has("given_up", 1)
        await until(lambda: store.dead == {"slack": 1})
        assert len(channel.sent) == len(SCHEDULE_MS) + 1
        notice = "slack: 1 given up and not told; once it is mended, pulse resend --channel slack"
        assert await readiness(url) == {"status": "ready", "notices": [notice]}

        channel.answer = OK
        assert await Ledger(store).again("slack", None, clock()) == {"slack": 1}
        assert await readiness(url) == {"status": "ready"}
        await told.leap(1)
        await told.has("delivered", 1)
    assert {message.id for message in channel.sent} == {event.event_id}
    assert store.dead == {}


async def test_dead_letters_are_counted_after_a_restart_and_when_they_leave_after_thirty_days(tmp_path: Path) -> None:
    first = Store(tmp_path)
    given = [Delivery("pager", raised(number)) for number in range(3)]
    await first.add(given, now_ms())
    await first.settle(given[0], "given_up", 12, "503", None, now_ms())
    await first.settle(given[1], "given_up", 1, "400", None, now_ms())
    await first.settle(given[2], "delivered", 1, "202", None, now_ms())
    first.close()
    second = Store(tmp_path)
    assert second.dead == {"pager": 2}
    swept = await second.write(lambda file: sweep(file, now_ms() + KEPT_MS + 1_000, []))
    assert (swept.removed, swept.untold) == (3, 2)
    await second.count_dead()
    assert second.dead == {}
    second.close()
