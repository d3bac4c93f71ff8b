"""The outbox on a real broker that freezes or dies: everything arrives, in order, and nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import stream.outbox
from schemas import topics
from stream.domain.messages import Message
from stream.outbox import KafkaOutbox
from tests.engines import Engines
from tests.integration.stream_place import Place, until

pytestmark = pytest.mark.real

SENDERS = range(8)


class Sending:
    """One sender a partition: it counts, and each number is acknowledged before the next is sent."""

    def __init__(self, outbox: KafkaOutbox) -> None:
        self.last = dict.fromkeys(SENDERS, -1)
        self.enough = asyncio.Event()
        self._tasks = [asyncio.create_task(self._send(outbox, partition)) for partition in SENDERS]

    async def _send(self, outbox: KafkaOutbox, partition: int) -> None:
        while not self.enough.is_set():
            number = self.last[partition] + 1
            value = b"%d" % number
            await outbox.send(
                partition, [Message(topics.TEAM_SCORES, b"t", value), Message(topics.REJECTS, None, value)]
            )
            self.last[partition] = number
            await asyncio.sleep(0.01)

    async def further(self, by: int = 5) -> None:
        """Until every sender is so many numbers further."""
        before = dict(self.last)

        async def all_further() -> bool:
            for task in self._tasks:
                if task.done():
                    task.result()
            return all(self.last[partition] >= before[partition] + by for partition in SENDERS)

        await until(all_further, 90, "every sender")

    async def end(self) -> None:
        self.enough.set()
        await asyncio.gather(*self._tasks)


@pytest.fixture
def place(engines: Engines, tmp_path: Path) -> Place:
    engines.topics(anew=True)
    return Place(engines, tmp_path)


@pytest.fixture
async def outbox(place: Place, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KafkaOutbox]:
    monkeypatch.setattr(stream.outbox, "SEND_WITHIN_S", 1.0)
    outbox = KafkaOutbox(place.kafka)
    yield outbox
    await outbox.close()


@pytest.mark.parametrize("how", ["frozen", "killed"])
async def test_everything_arrives_in_order_and_no_task_or_socket_is_left(
    place: Place, outbox: KafkaOutbox, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL", "aiokafka")
    forgotten: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: forgotten.append(context))
    kafka = place.engines.kafka_engine
    sending = Sending(outbox)
    await sending.further()
    tasks, sockets = len(asyncio.all_tasks()), _sockets()
    for _ in range(3):
        if how == "frozen":
            kafka.processes[-1].send_signal(signal.SIGSTOP)
        else:
            kafka.kill()

        async def in_trouble() -> bool:
            return outbox.trouble is not None

        await until(in_trouble, 60, "trouble")
        if how == "frozen":
            kafka.processes[-1].send_signal(signal.SIGCONT)
        else:
            kafka.start()
            await asyncio.to_thread(kafka.wait)
        await sending.further()
    assert outbox.trouble is None

    async def tidy() -> bool:
        return len(asyncio.all_tasks()) <= tasks + 2 and _sockets() <= sockets + 2

    await until(tidy, 30, "as many tasks and sockets as before")
    await sending.end()
    await outbox.close()
    gc.collect()
    await asyncio.sleep(0)
    assert [(context["message"], repr(context.get("exception"))) for context in forgotten] == []
    for topic in (topics.TEAM_SCORES, topics.REJECTS):
        arrived: dict[int, list[int]] = {partition: [] for partition in SENDERS}
        for record in await place.read(topic):
            arrived[record.partition].append(int(record.value))
        for partition, numbers in arrived.items():
            assert set(numbers) == set(range(sending.last[partition] + 1))
            assert numbers == sorted(numbers), "an old message came after a newer one"


def _sockets() -> int:
    return len(psutil.Process().net_connections())
