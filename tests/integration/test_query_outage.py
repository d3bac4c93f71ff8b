"""What the query service does when ClickHouse or Kafka is away, or never answers; and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp
import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.ports import free_base
from schemas.scores import TeamScores
from schemas.topics import TEAM_SCORES, partition_of
from services.common.keys import key_hash
from services.query.app import build_app
from services.query.store import Store
from stream.domain.minutes import ceil_minute
from tests.engines import Engines
from tests.unit.query.samples import NOON_MS, READ_KEY, Api, State, Tables, clock, served, settings, uid

pytestmark = pytest.mark.real

Mood = Literal["pass", "silent"]


class Gate:
    """Stands between the service and ClickHouse. `silent`: takes connections and never answers."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        assert parts.port is not None
        self._target = (parts.hostname or "", parts.port)
        self._database = parts.path
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.mood: Mood = "pass"
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self._database}"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Refuse connections and drop those there are, as a killed server does."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._target)
        self._writers |= {writer, back}
        try:
            await asyncio.gather(self._carry(reader, back), self._carry(there, writer))
        except OSError:
            pass
        finally:
            for one in (writer, back):
                self._writers.discard(one)
                one.close()

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while chunk := await source.read(65_536):
            if self.mood == "silent":
                await asyncio.Event().wait()
            sink.write(chunk)
            await sink.drain()
        sink.close()


@asynccontextmanager
async def behind_a_gate(engines: Engines, timeout_s: float = 10.0) -> AsyncIterator[tuple[Api, Gate]]:
    tables = Tables(engines.database())
    tables.states([State("here", uid(1), 1, NOON_MS, NOON_MS, 1, 10)])
    tables.close()
    gate = Gate(tables.url)
    await gate.open()
    chosen = settings(gate.url)
    store = Store(chosen.clickhouse, timeout_s=timeout_s)
    try:
        async with served(build_app(chosen, store=store, now_ms=clock(NOON_MS))) as api:
            yield api, gate
    finally:
        await gate.shut()


async def until(api: Api, path: str, status: int, within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while (await api.get(path))[0] != status:
        assert time.monotonic() < deadline, f"{path} never answered {status}"
        await asyncio.sleep(0.05)


async def test_away_is_a_503_with_retry_after_and_back_is_an_answer(engines: Engines) -> None:
    async with behind_a_gate(engines) as (api, gate):
        assert (await api.ok("/v1/teams/here/score"))["n"] == 1
        await until(api, "/readyz", 200)
        await gate.shut()
        for path in ("/v1/teams/here/score", "/v1/score?at_least=0:0", "/v1/responses", "/v1/followups", "/v1/teams"):
            status, body, headers = await api.get(path)
            assert (status, body["code"], headers["Retry-After"]) == (503, "unavailable", "2"), path
        await until(api, "/readyz", 503)
        await gate.open()
        await until(api, "/v1/teams/here/score", 200)
        await until(api, "/readyz", 200)
        assert (await api.ok("/v1/teams/here/score"))["n"] == 1


async def test_a_store_that_never_answers_costs_the_time_out_and_no_more(engines: Engines) -> None:
    async with behind_a_gate(engines, timeout_s=0.5) as (api, gate):
        await until(api, "/v1/teams/here/score", 200)
        gate.mood = "silent"
        started = time.monotonic()
        answers = await asyncio.gather(*(api.get("/v1/teams/here/score") for _ in range(30)))
        assert {status for status, _, _ in answers} == {503}
        assert time.monotonic() - started < 5
        gate.mood = "pass"
        await until(api, "/v1/teams/here/score", 200)


async def test_it_starts_before_its_store_does(engines: Engines) -> None:
    async with behind_a_gate(engines) as (_, gate):
        await gate.shut()
        async with served(build_app(settings(gate.url), now_ms=clock(NOON_MS))) as early:
            assert (await early.get("/v1/score"))[0] == 503
            assert (await early.get("/readyz"))[0] == 503
            await gate.open()
            await until(early, "/v1/score", 200)


async def statuses(api: Api, found: asyncio.Queue[tuple[str, dict[str, Any]]]) -> None:
    """Put every event of a stream into a queue."""
    headers = {"Authorization": f"Bearer {READ_KEY}"}
    async with api.session.get(api.url + "/v1/live", headers=headers, timeout=aiohttp.ClientTimeout()) as stream:
        name = ""
        async for line in stream.content:
            if line.startswith(b"event: "):
                name = line[7:-1].decode()
            elif line.startswith(b"data: "):
                await found.put((name, json.loads(line[6:])))


async def test_a_broker_that_dies_is_told_and_its_return_loses_no_event(engines: Engines) -> None:
    engines.topics()
    app = build_app(settings(engines.database(), engines.kafka), now_ms=clock(NOON_MS))
    found: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()

    async def until_event(name: str, **members: Any) -> None:
        async with asyncio.timeout(60):
            while True:
                event, data = await found.get()
                if event == name and members.items() <= data.items():
                    return

    async with served(app) as api:
        listening = asyncio.create_task(statuses(api, found))
        await until_event("status", live=True)
        assert (await api.get("/v1/position"))[0] == 200
        await asyncio.to_thread(engines.kafka_engine.kill)
        try:
            status, body, headers = await api.get("/v1/position")
            assert (status, body["code"], headers["Retry-After"]) == (503, "unavailable", "2")
            assert (await api.get("/v1/score"))[0] == 200
            await until_event("status", live=False)
        finally:
            engines.kafka_engine.start()
            await asyncio.to_thread(engines.kafka_engine.wait)
        # Sent as soon as the broker is back, perhaps before the service has noticed: it goes on where it was.
        scores = TeamScores("back", ceil_minute(NOON_MS), None, 1, [])
        async with AIOKafkaProducer(bootstrap_servers=engines.kafka) as producer:
            await producer.send_and_wait(TEAM_SCORES, msgspec.json.encode(scores), b"back", partition_of(b"back"))
        await until_event("score", team="back")
        await until(api, "/v1/position", 200)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


def started(code: str, environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=output, stderr=output)


async def test_sigterm_ends_open_streams_and_exits_with_0(engines: Engines, tmp_path: Path) -> None:
    engines.topics()
    port = free_base()
    environment = {
        **os.environ,
        "PULSE_KAFKA": engines.kafka,
        "PULSE_CLICKHOUSE": engines.database(),
        "PULSE_QUERY_PORT": str(port),
        "PULSE_KEY_HASHES": f'{{"read": ["{key_hash(READ_KEY)}"]}}',
    }
    code = (
        "from services.common.settings import QuerySettings; from services.query.app import run; run(QuerySettings())"
    )
    process = started(code, environment, tmp_path / "query.log")
    try:
        async with aiohttp.ClientSession() as session:
            api = Api(f"http://127.0.0.1:{port}", session)
            deadline = time.monotonic() + 30
            while True:
                assert time.monotonic() < deadline, (tmp_path / "query.log").read_text()
                try:
                    if (await api.get("/readyz"))[0] == 200:
                        break
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)
            headers = {"Authorization": f"Bearer {READ_KEY}"}
            async with session.get(api.url + "/v1/live", headers=headers) as stream:
                assert await stream.content.readline()
                asked_at = time.monotonic()
                process.send_signal(signal.SIGTERM)
                while await asyncio.wait_for(stream.content.read(1_000), 5):
                    pass
        assert await asyncio.to_thread(process.wait, 10) == 0
        assert time.monotonic() - asked_at < 5
    finally:
        process.kill()
        process.wait()
