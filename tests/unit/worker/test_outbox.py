"""The outbox: in order, until it is acknowledged, with a new producer after every error."""

from __future__ import annotations

import asyncio
from itertools import islice

import pytest
from aiokafka.errors import KafkaConnectionError

import stream.outbox
from schemas import topics
from stream.domain.messages import Message
from stream.outbox import KafkaOutbox, backoff
from tests.unit.worker.fakes import FakeBroker, until

A, B = topics.TEAM_CHANGES, topics.FOLLOWUPS
MESSAGES = [Message(A, b"k1", b"1"), Message(B, None, b"2"), Message(A, b"k3", b"3"), Message(A, None, b"4")]


class World:
    """An outbox, the broker behind it, and the waits between its tries."""

    def __init__(self) -> None:
        self.broker = FakeBroker()
        self.waits: list[float] = []
        self.outbox = KafkaOutbox("", self.broker.producer, self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)

    @property
    def states(self) -> list[str]:
        return [producer.state for producer in self.broker.made]


def test_waits_grow_to_five_seconds_and_never_end() -> None:
    waits = list(islice(backoff(), 200))
    assert waits[:7] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0]
    assert set(waits[6:]) == {5.0}


async def test_messages_arrive_in_their_order_topic_by_topic() -> None:
    world = World()
    await world.outbox.send(3, MESSAGES)
    assert world.broker.arrived == {(A, 3): [(b"k1", b"1"), (b"k3", b"3"), (None, b"4")], (B, 3): [(None, b"2")]}
    assert world.waits == []
    assert world.states == ["started"]


async def test_more_than_a_batch_holds_goes_in_several() -> None:
    world = World()
    messages = [Message(A, b"%d" % number, b"x" * 300_000) for number in range(10)]
    await world.outbox.send(0, messages)
    assert [key for key, _ in world.broker.arrived[A, 0]] == [message.key for message in messages]


async def test_a_message_larger_than_a_batch_is_sent_all_the_same() -> None:
    """Whether the broker takes it is the broker's to say: here it must not vanish."""
    world = World()
    huge = b"x" * (3 << 20)
    await world.outbox.send(0, [Message(A, b"a", b"1"), Message(A, b"b", huge), Message(A, b"c", b"3")])
    assert [(key, len(value or b"")) for key, value in world.broker.arrived[A, 0]] == [
        (b"a", 1),
        (b"b", len(huge)),
        (b"c", 1),
    ]


async def test_nothing_to_send_is_sent_at_once() -> None:
    world = World()
    await world.outbox.send(0, [])
    assert world.broker.arrived == {}


async def test_an_outage_is_waited_out_however_long_it_is() -> None:
    world = World()
    world.broker.failing_starts = 40
    await world.outbox.send(3, MESSAGES)
    assert len(world.waits) == 40
    assert len(world.broker.arrived[A, 3]) == 3


async def test_after_an_error_everything_goes_again_through_a_new_producer() -> None:
    world = World()
    world.broker.failing_sends = 2
    await world.outbox.send(3, MESSAGES)
    assert world.broker.arrived[B, 3] == [(None, b"2")]
    assert world.states == ["abandoned", "started"]
    assert world.waits == [0.1]


async def test_an_acknowledgement_that_never_comes_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream.outbox, "SEND_WITHIN_S", 0.01)
    world = World()
    world.broker.silent = True
    sending = asyncio.create_task(world.outbox.send(3, MESSAGES))
    await until(lambda: len(world.waits) >= 2)
    assert world.outbox.trouble == "Kafka: TimeoutError"
    world.broker.silent = False
    await sending
    assert set(world.states[:-1]) == {"abandoned"}
    assert world.outbox.trouble is None


async def test_an_error_of_one_partition_makes_one_new_producer_for_all() -> None:
    world = World()
    await world.outbox.send(0, MESSAGES)
    world.broker.silent = True
    others = [asyncio.create_task(world.outbox.send(partition, MESSAGES)) for partition in range(1, 4)]
    await until(lambda: len(world.broker.made[0].waiting) == 8)
    world.broker.silent = False
    world.broker.failing_sends = 1
    await world.outbox.send(0, MESSAGES)
    await asyncio.gather(*others)
    assert world.states == ["abandoned", "started"]
    assert all(len(world.broker.arrived[A, partition]) >= 3 for partition in range(4))


async def test_being_cancelled_leaves_the_acknowledgements_alone() -> None:
    world = World()
    world.broker.silent = True
    sending = asyncio.create_task(world.outbox.send(3, MESSAGES))
    await until(lambda: bool(world.broker.made) and len(world.broker.made[0].waiting) == 2)
    sending.cancel()
    await asyncio.wait({sending})
    assert sending.cancelled()
    assert not any(future.done() for future in world.broker.made[0].waiting)


async def test_a_cancelled_start_leaves_no_producer_behind() -> None:
    world = World()
    hold = asyncio.Event()

    class Slow:
        state = "made"

        async def start(self) -> None:
            await hold.wait()

        async def stop(self) -> None:
            self.state = "stopped"

    slow = Slow()
    outbox = KafkaOutbox("", lambda: slow)  # type: ignore[arg-type, return-value]
    starting = asyncio.create_task(outbox.send(0, MESSAGES))
    await asyncio.sleep(0)
    starting.cancel()
    await asyncio.wait({starting})
    assert slow.state == "stopped"
    await world.outbox.close()


async def test_closing_flushes_and_a_later_send_starts_anew() -> None:
    world = World()
    await world.outbox.send(0, MESSAGES)
    await world.outbox.close()
    await world.outbox.close()
    assert world.states == ["stopped"]
    await world.outbox.send(0, MESSAGES)
    assert world.states == ["stopped", "started"]


class TestTicks:
    async def test_a_tick_is_one_record_of_the_log_without_a_key(self) -> None:
        world = World()
        await world.outbox.tick(5)
        assert world.broker.arrived == {(topics.FEEDBACK, 5): [(None, b'{"type":"tick"}')]}

    async def test_what_is_said_again_is_appended_in_its_order_with_its_keys(self) -> None:
        world = World()
        await world.outbox.append(5, [(b"a", b"1"), (None, b"2")])
        assert world.broker.arrived == {(topics.FEEDBACK, 5): [(b"a", b"1"), (None, b"2")]}

    async def test_a_refused_tick_is_not_tried_again_and_its_producer_is_left(self) -> None:
        world = World()
        world.broker.failing_sends = 1
        with pytest.raises(KafkaConnectionError):
            await world.outbox.tick(5)
        assert world.states == ["abandoned"]
        assert world.waits == []

    async def test_a_stuck_producer_is_left_even_when_only_ticks_are_sent(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stream.outbox, "TICK_WITHIN_S", 0.01)
        world = World()
        world.broker.silent = True
        with pytest.raises(TimeoutError):
            await world.outbox.tick(5)
        world.broker.silent = False
        await world.outbox.tick(5)
        assert world.states == ["abandoned", "started"]

    async def test_a_broker_that_is_away_raises(self) -> None:
        world = World()
        world.broker.failing_starts = 1
        with pytest.raises(KafkaConnectionError):
            await world.outbox.tick(5)
        assert world.states == ["stopped"]
