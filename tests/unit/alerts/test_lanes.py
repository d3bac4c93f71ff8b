"""Carrying deliveries to one target: what is sent, when again, and what holds up what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from schemas.followups import FollowupEvent
from services.alerts.channels import Message
from services.alerts.deliveries import Delivery
from services.alerts.lanes import PLACES, ROOM, Lane
from services.alerts.people import Cache, People, Text
from services.alerts.retries import HOUR_MS, Outcome
from services.alerts.store import Store
from tests.unit.alerts.builders import FakeTable, now_ms, raised, until

OK = Outcome("delivered", "200")
DOWN = Outcome("retry", "503")


class FakeChannel:
    """A channel whose outcomes the test gives, the last one for ever; `gate` holds messages up while it is closed."""

    def __init__(self, *outcomes: Outcome, name: str = "webhook") -> None:
        self.name = name
        self.outcomes = list(outcomes) or [OK]
        self.sent: list[Message] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.at_once = 0
        self.most_at_once = 0

    def wants(self, event: FollowupEvent) -> bool:
        return event.kind == "followup.raised"

    async def send(self, message: Message) -> Outcome:
        self.sent.append(message)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.gate.wait()
        self.at_once -= 1
        return self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]

    @property
    def ids(self) -> list[str]:
        return [message.event.event_id for message in self.sent]


class Clock:
    """The real time plus what the test adds, so that hours pass at once."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return now_ms() + self.ahead_ms


@pytest.fixture
def store(tmp_path: Path) -> Iterable[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.close()


@asynccontextmanager
async def running(
    channel: FakeChannel, store: Store, *, clock: Callable[[], int] = now_ms, people: People | None = None
) -> AsyncIterator[Lane]:
    lane = Lane(channel, store, people or People(Cache(), FakeTable(), 0.05), clock, lambda: 0.0)
    task = asyncio.create_task(lane.run())
    try:
        yield lane
    finally:
        channel.gate.set()
        await lane.drain(5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def hand_over(store: Store, lane: Lane, events: Iterable[FollowupEvent]) -> None:
    lane.offer(await store.add([Delivery(lane.channel.name, event) for event in events], now_ms()))


async def states(store: Store) -> dict[str, tuple[str, int, str | None]]:
    return {row.event_id: (row.state, row.attempts, row.last_status) for row in await store.rows(None, None, 1_000)}


async def settled(store: Store, count: int) -> None:
    async def enough() -> bool:
        return sum(row.state != "pending" for row in await store.rows(None, None, 1_000)) >= count

    await until(enough)


async def marked(store: Store, event: FollowupEvent, attempts: int) -> None:
    async def enough() -> bool:
        return (await states(store))[event.event_id][1] >= attempts

    await until(enough)


async def leap(lane: Lane, clock: Clock, store: Store) -> None:
    """Move the clock to the next attempt, under a lane that sleeps."""
    next_ms = await store.next_due_ms(lane.channel.name, clock())
    assert next_ms is not None
    clock.ahead_ms = next_ms - now_ms()
    lane._wake.set()  # noqa: SLF001 # the lane sleeps by the real clock


async def test_what_is_handed_over_is_sent_at_once_and_marked(store: Store) -> None:
    channel, event = FakeChannel(), raised()
    async with running(channel, store) as lane:
        await hand_over(store, lane, [event])
        await settled(store, 1)
    assert channel.ids == [event.event_id]
    assert await states(store) == {event.event_id: ("delivered", 1, "200")}


async def test_what_an_earlier_process_left_is_sent(store: Store) -> None:
    channel, event = FakeChannel(), raised()
    await store.add([Delivery("webhook", event)], now_ms())
    async with running(channel, store):
        await settled(store, 1)
    assert channel.ids == [event.event_id]


async def test_an_event_handed_over_twice_is_sent_once(store: Store) -> None:
    channel, event = FakeChannel(), raised()
    async with running(channel, store) as lane:
        await hand_over(store, lane, [event])
        await hand_over(store, lane, [event])
        await settled(store, 1)
        await hand_over(store, lane, [event, raised(1)])
        await settled(store, 2)
    assert sorted(channel.ids) == sorted([event.event_id, raised(1).event_id])


async def test_a_failed_attempt_is_repeated_with_the_same_id_when_its_time_has_come(store: Store) -> None:
    channel, event = FakeChannel(DOWN, OK), raised()
    async with running(channel, store) as lane:
        began_ms = now_ms()
        await hand_over(store, lane, [event])
        await settled(store, 1)
    assert channel.ids == [event.event_id] * 2
    assert 1_000 <= now_ms() - began_ms < 2_500
    assert await states(store) == {event.event_id: ("delivered", 2, "200")}


async def test_a_target_that_stays_down_is_given_up_after_twelve_attempts(store: Store) -> None:
    channel, event, clock = FakeChannel(DOWN), raised(), Clock()
    async with running(channel, store, clock=clock) as lane:
        await hand_over(store, lane, [event])
        for attempts in range(1, 12):
            await marked(store, event, attempts)
            assert len(channel.sent) == attempts
            await leap(lane, clock, store)
        await settled(store, 1)
    assert channel.ids == [event.event_id] * 12
    assert await states(store) == {event.event_id: ("given_up", 12, "503")}


async def test_a_retry_keeps_its_time_over_a_restart(store: Store) -> None:
    channel, event, clock = FakeChannel(Outcome("retry", "503", wait_ms=HOUR_MS), OK), raised(), Clock()
    async with running(channel, store, clock=clock) as lane:
        await hand_over(store, lane, [event])
        await marked(store, event, 1)
    async with running(channel, store, clock=clock):
        await store.sweep(now_ms(), ["webhook"])  # the lane has looked by the time this is done
        assert len(channel.sent) == 1
    clock.ahead_ms = HOUR_MS + 1_000
    async with running(channel, store, clock=clock):
        await settled(store, 1)
    assert channel.ids == [event.event_id] * 2


async def test_no_more_than_its_places_are_on_the_way_and_everything_arrives_once(store: Store) -> None:
    channel = FakeChannel()
    channel.gate.clear()
    count = ROOM * 3
    async with running(channel, store) as lane:
        for first in range(0, count, 100):
            await hand_over(store, lane, [raised(number) for number in range(first, min(first + 100, count))])
        await until(lambda: channel.at_once == PLACES)
        channel.gate.set()
        await settled(store, count)
    assert channel.most_at_once == PLACES
    assert len(channel.ids) == len(set(channel.ids)) == count


async def test_a_target_that_hangs_does_not_hold_up_another(store: Store) -> None:
    slow, quick = FakeChannel(name="slow"), FakeChannel(name="quick")
    slow.gate.clear()
    events = [raised(number) for number in range(ROOM + 50)]
    async with running(slow, store) as slow_lane, running(quick, store) as quick_lane:
        await hand_over(store, slow_lane, events)
        await until(lambda: slow.at_once == PLACES)
        await hand_over(store, quick_lane, events)
        await settled(store, len(events))
        assert set(quick.ids) == {event.event_id for event in events}
        assert len(slow.sent) == PLACES


async def test_a_410_stops_the_channel_until_the_next_start_and_loses_nothing(store: Store) -> None:
    channel = FakeChannel(Outcome("gone", "410"))
    async with running(channel, store) as lane:
        await hand_over(store, lane, [raised(0)])
        await until(lambda: lane.disabled)
        await hand_over(store, lane, [raised(1), raised(2)])
    assert channel.ids == [raised(0).event_id]
    assert {state for state, _, _ in (await states(store)).values()} == {"pending"}
    again, clock = FakeChannel(OK), Clock()
    clock.ahead_ms = 2_000
    async with running(again, store, clock=clock):
        await settled(store, 3)
    assert sorted(again.ids) == sorted(raised(number).event_id for number in range(3))


async def test_a_pause_the_target_asked_for_holds_for_the_whole_channel(store: Store) -> None:
    channel, clock = FakeChannel(Outcome("retry", "429", wait_ms=HOUR_MS, pause_ms=HOUR_MS), OK), Clock()
    async with running(channel, store, clock=clock) as lane:
        await hand_over(store, lane, [raised(0)])
        await marked(store, raised(0), 1)
        await hand_over(store, lane, [raised(1)])
        assert len(channel.sent) == 1
        await leap(lane, clock, store)
        await settled(store, 2)
    assert channel.ids == [raised(0).event_id, raised(1).event_id, raised(0).event_id]


@pytest.mark.parametrize("attempts", [0, 1])
async def test_what_nobody_has_been_told_is_told_however_long_it_lay(store: Store, attempts: int) -> None:
    channel, clock, event = FakeChannel(), Clock(), raised()
    delivery = Delivery("webhook", event)
    await store.add([delivery], now_ms())
    await store.settle(delivery, "pending", attempts, "503", now_ms(), now_ms())
    clock.ahead_ms = 20 * 24 * HOUR_MS  # the service was down, say, or the channel paused
    async with running(channel, store, clock=clock):
        await settled(store, 1)
    assert (await states(store))[event.event_id][2] == "200"


async def test_a_channel_that_raises_costs_one_attempt_and_not_the_process(store: Store) -> None:
    class Broken(FakeChannel):
        async def send(self, message: Message) -> Outcome:
            if not self.sent:
                self.sent.append(message)
                raise KeyError("a bug")
            return await super().send(message)

    channel, clock = Broken(), Clock()
    async with running(channel, store, clock=clock) as lane:
        await hand_over(store, lane, [raised()])
        await marked(store, raised(), 1)
        await leap(lane, clock, store)
        await settled(store, 1)
    assert await states(store) == {raised().event_id: ("delivered", 2, "200")}


async def test_what_nobody_foresaw_leaves_the_lane(store: Store) -> None:
    channel = FakeChannel()
    lane = Lane(channel, store, People(Cache(), FakeTable(), 0.05))
    running_lane = asyncio.create_task(lane.run())
    (delivery,) = await store.add([Delivery("webhook", raised())], now_ms())
    store._write.execute("DROP TABLE deliveries")  # noqa: SLF001 # a file damaged from outside
    lane.offer([delivery])
    with pytest.raises(Exception, match="no such table"):
        async with asyncio.timeout(10):
            await running_lane


def _bytes_of(path: Path) -> bytes:
    return path.read_bytes()


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_text_is_looked_up_for_each_attempt_and_never_stored(store: Store, tmp_path: Path) -> None:
    event = raised(personal=True)
    text = Text(0, "Xylophone-comment", name="Quetzal-name", email="zyx@example.com")
    people = People(Cache(), FakeTable({event.case.response_id: text}), 0.05)
    channel, clock = FakeChannel(DOWN, OK), Clock()
    async with running(channel, store, people=people, clock=clock) as lane:
        await hand_over(store, lane, [event])
        await marked(store, event, 1)
        assert event.event_id.encode() in everything_in(tmp_path)
        await leap(lane, clock, store)
        await settled(store, 1)
    assert [message.text for message in channel.sent] == [text] * 2
    for private in (b"Xylophone", b"Quetzal", b"zyx@"):
        assert private not in everything_in(tmp_path)


async def test_an_alert_whose_text_cannot_be_had_goes_out_without_it(store: Store) -> None:
    channel = FakeChannel()
    async with running(channel, store) as lane:
        await hand_over(store, lane, [raised(personal=True)])
        await settled(store, 1)
    (message,) = channel.sent
    assert message.text is None
    assert message.missing is not None


async def test_waiting_for_text_takes_no_place_from_others(store: Store) -> None:
    channel = FakeChannel()
    async with running(channel, store, people=People(Cache(), FakeTable(), 30)) as lane:
        await hand_over(store, lane, [raised(number, personal=True) for number in range(PLACES * 2)])
        await hand_over(store, lane, [raised(999)])
        await settled(store, 1)
        assert channel.ids == [raised(999).event_id]
        await lane.drain(0.01)
