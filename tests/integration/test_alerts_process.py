"""The alerts process: killed, stopped, started twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from deploy.local.ports import free_base
from deploy.local.spawn import leashed
from schemas.followups import FollowupEvent
from services.alerts.store_file import FILE
from services.common.keys import key_hash
from tests.engines import Engines
from tests.unit.alerts.builders import SECRET, raised, until
from tests.unit.alerts.wire import Receiver, committed, publish

pytestmark = pytest.mark.real

PROGRAM = (sys.executable, "-m", "services.cli", "alerts")


@dataclass
class Instance:
    """Starts alerts processes in one folder and on one port; what they log is in `log`."""

    kafka: str
    clickhouse: str
    folder: Path
    port: int
    log: Path

    def start(self, url: str, **more: str) -> subprocess.Popen[bytes]:
        env = os.environ | {
            "PULSE_KAFKA": self.kafka,
            "PULSE_CLICKHOUSE": self.clickhouse,
            "PULSE_ALERTS_DIR": str(self.folder),
            "PULSE_ALERTS_PORT": str(self.port),
            "PULSE_ALERTS_ALLOW": '["127.0.0.1"]',
            "PULSE_ALERTS_WEBHOOK_URL": url,
            "PULSE_ALERTS_WEBHOOK_SECRET": SECRET if url else "",
            "PULSE_KEY_HASHES": json.dumps({"read": [key_hash("read-key")]}),
            **more,
        }
        with self.log.open("ab") as output:
            return leashed(PROGRAM, env, output)

    async def ready(self) -> bool:
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{self.port}/readyz") as answer,
            ):
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def deliveries(self, query: str = "") -> list[dict[str, Any]]:
        headers = {"Authorization": "Bearer read-key"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(f"http://127.0.0.1:{self.port}/v1/deliveries?limit=1000&{query}") as answer,
        ):
            found: list[dict[str, Any]] = (await answer.json())["deliveries"]
            return found

    def states(self) -> dict[str, int]:
        """Rows by state, read from the file: works while no process runs."""
        with closing(sqlite3.connect(self.folder / FILE)) as file:
            return dict(file.execute("SELECT state, count(*) FROM deliveries GROUP BY state").fetchall())


@pytest.fixture
def instance(engines: Engines, tmp_path: Path) -> Instance:
    engines.topics(anew=True)
    return Instance(engines.kafka, engines.database(), tmp_path / "alerts", free_base(), tmp_path / "alerts.log")


@asynccontextmanager
async def started(instance: Instance, url: str, **more: str) -> AsyncIterator[subprocess.Popen[bytes]]:
    process = instance.start(url, **more)
    try:
        await until(instance.ready, 60)
        yield process
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)


def kill_9(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def ids_of(events: Iterable[FollowupEvent]) -> set[str]:
    return {event.event_id for event in events}


async def test_a_process_killed_between_store_and_send_leaves_nothing_unsent(instance: Instance) -> None:
    events = [raised(number) for number in range(60)]
    async with Receiver() as deaf:
        deaf.hold.clear()  # takes messages, answers none
        async with started(instance, deaf.url) as process:
            await publish(instance.kafka, events)

            async def all_stored_and_committed() -> bool:
                return await committed(instance.kafka) == len(events)

            await until(all_stored_and_committed, 30)
            kill_9(process)
    assert instance.states() == {"pending": len(events)}
    async with Receiver() as receiver, started(instance, receiver.url):
        await until(lambda: len(set(receiver.ids())) == len(events), 30)
        assert set(receiver.ids()) == ids_of(events)
        assert len(receiver.came) == len(events)


async def test_under_load_and_kills_every_event_arrives_under_one_stable_id(instance: Instance) -> None:
    events = [raised(number, team=f"team-{number % 7}") for number in range(600)]
    async with Receiver() as receiver:
        feeding = asyncio.create_task(feed(instance.kafka, events))
        for kill_at in (60, 200, 380):
            process = instance.start(receiver.url)
            await until(lambda reached=kill_at: len(set(receiver.ids())) >= reached, 60)  # type: ignore[misc]
            kill_9(process)
        async with started(instance, receiver.url):
            await feeding
            await until(lambda: len(set(receiver.ids())) == len(events), 60)

            async def nothing_pending() -> bool:
                return not await instance.deliveries("state=pending")

            await until(nothing_pending, 30)
        bodies: dict[str, set[bytes]] = {}
        for _, headers, body in receiver.came:
            bodies.setdefault(headers["webhook-id"], set()).add(body)
        assert set(bodies) == ids_of(events)
        assert all(len(different) == 1 for different in bodies.values())
        cases = [msgspec.json.decode(body)["data"]["case_id"] for different in bodies.values() for body in different]
        assert sorted(cases) == sorted(event.case.case_id for event in events)
    assert instance.states() == {"delivered": len(events)}


async def feed(kafka: str, events: list[FollowupEvent]) -> None:
    for first in range(0, len(events), 20):
        await publish(kafka, events[first : first + 20])


async def test_sigterm_ends_what_is_on_its_way_and_exits_0(instance: Instance) -> None:
    event = raised()
    async with Receiver() as receiver, started(instance, receiver.url) as process:
        receiver.hold.clear()
        await publish(instance.kafka, [event])
        await until(lambda: receiver.came, 30)
        process.terminate()
        receiver.hold.set()
        assert await asyncio.to_thread(process.wait, 20) == 0
        assert receiver.ids() == [event.event_id]
    assert instance.states() == {"delivered": 1}


async def test_sigterm_does_not_wait_for_a_target_that_hangs(instance: Instance) -> None:
    async with Receiver() as receiver, started(instance, receiver.url) as process:
        receiver.hold.clear()
        await publish(instance.kafka, [raised()])
        await until(lambda: receiver.came, 30)
        process.terminate()
        assert await asyncio.to_thread(process.wait, 12) == 0
    assert instance.states() == {"pending": 1}


async def test_a_second_process_in_the_same_folder_is_refused_with_the_first_ones_pid(instance: Instance) -> None:
    async with Receiver() as receiver, started(instance, receiver.url) as process:
        second = instance.start(receiver.url, PULSE_ALERTS_PORT="0")
        assert await asyncio.to_thread(second.wait, 60) == 2
        assert f"in use by process {process.pid}" in instance.log.read_text()
        assert process.poll() is None


async def test_a_url_without_a_secret_stops_the_start(instance: Instance) -> None:
    process = instance.start("http://127.0.0.1:9/hook", PULSE_ALERTS_WEBHOOK_SECRET="")
    assert await asyncio.to_thread(process.wait, 60) == 2
    assert "PULSE_ALERTS_WEBHOOK_SECRET is not: set both or neither" in instance.log.read_text()


async def test_a_part_that_fails_as_nobody_foresaw_ends_the_process_with_status_1(instance: Instance) -> None:
    async with Receiver() as receiver, started(instance, receiver.url) as process:
        with closing(sqlite3.connect(instance.folder / FILE)) as file:
            file.execute("DROP TABLE deliveries")
        await publish(instance.kafka, [raised()])
        assert await asyncio.to_thread(process.wait, 30) == 1
        assert "alerts_failed" in instance.log.read_text()


async def test_a_delivery_is_shown_with_its_attempts_and_its_next_time(instance: Instance) -> None:
    event = raised()
    async with Receiver(lambda _: web.Response(status=404)) as receiver, started(instance, receiver.url):
        await publish(instance.kafka, [event])

        async def put_off() -> bool:
            return [row["attempts"] for row in await instance.deliveries()] == [1]

        await until(put_off, 30)
        (row,) = await instance.deliveries(f"case_id={event.case.case_id}")
        assert (row["id"], row["state"], row["last_status"], row["channel"]) == (
            event.event_id,
            "pending",
            "404",
            "webhook",
        )
        assert row["next_attempt_at"] > row["raised_at"]
