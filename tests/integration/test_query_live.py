"""Reading one's own write, and live events, over the real Kafka and ClickHouse."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.changes import Correction, PaneDelta, Position, TeamChanges, WindowMove
from schemas.feedback import Tick
from schemas.followups import Case, FollowupEvent
from schemas.scores import Counts, TeamScores, WindowScore
from schemas.topics import FEEDBACK, FOLLOWUPS, PARTITIONS, TEAM_CHANGES, TEAM_SCORES, partition_of
from services.query.app import build_app
from services.query.log import WORKER_GROUP
from stream.domain.minutes import ceil_minute
from tests.engines import Engines
from tests.unit.query.samples import (
    NOON_MS,
    READ_KEY,
    Api,
    State,
    Tables,
    clock,
    filled,
    iso,
    served,
    settings,
    uid,
)

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

VERSION = (1 << 48) + 5


@pytest.fixture(scope="module")
def tables(engines: Engines) -> Iterator[Tables]:
    engines.topics()
    with filled(engines.database()) as written:
        yield written


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(engines: Engines, tables: Tables) -> AsyncIterator[Api]:
    async with served(build_app(settings(tables.url, engines.kafka), now_ms=clock(NOON_MS))) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def producer(engines: Engines) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(bootstrap_servers=engines.kafka, acks="all") as sending:
        yield sending


def stored(tables: Tables, partition: int, through: int, topics: tuple[str, ...] = (TEAM_CHANGES, FOLLOWUPS)) -> None:
    """Say that everything below `through` is stored."""
    row = {"partition": partition, "through": through, "version": (1 << 48) + through}
    tables.insert("positions", [row | {"topic": topic} for topic in topics])


async def test_a_read_waits_for_its_receipt(tables: Tables, api: Api) -> None:
    states = [State("mine", uid(k), k, NOON_MS, NOON_MS, k, 10) for k in (1, 2)]
    tables.states(states[:1])
    stored(tables, 3, 7)
    assert (await api.ok("/v1/teams/mine/score", at_least="3:6"))["n"] == 1
    waiting = asyncio.create_task(api.ok("/v1/teams/mine/score", at_least="3:8"))
    stored(tables, 3, 9, (TEAM_CHANGES,))
    # One of the two topics is not enough, so it must still be waiting once a later question has been answered.
    await api.ok("/v1/teams/mine/score", at_least="3:6")
    assert not waiting.done()
    tables.states(states)
    stored(tables, 3, 9, (FOLLOWUPS,))
    assert (await asyncio.wait_for(waiting, 5))["n"] == 2


async def test_a_receipt_that_does_not_come_is_a_503_after_five_seconds(tables: Tables, api: Api) -> None:
    stored(tables, 4, 2)
    started = time.monotonic()
    status, body, headers = await api.get("/v1/responses", at_least=["3:0", "4:1,4:2"])
    assert 5 <= time.monotonic() - started < 9
    assert (status, body["code"], headers["Retry-After"]) == (503, "unavailable", "1")
    assert body["sunk"] == {"4": 2}


async def test_positions_show_the_log_the_fold_and_the_store(
    engines: Engines, tables: Tables, api: Api, producer: AIOKafkaProducer
) -> None:
    empty = await api.ok("/v1/position")
    assert [row["partition"] for row in empty["partitions"]] == list(range(PARTITIONS))
    before = empty["partitions"][5]["end"]
    for _ in range(3):
        await producer.send_and_wait(FEEDBACK, msgspec.json.encode(Tick()), partition=5)
    end = before + 3
    found = await api.ok("/v1/position")
    assert found["partitions"][5]["end"] == end
    assert found["caught_up"] is False
    consumer = AIOKafkaConsumer(
        bootstrap_servers=engines.kafka, group_id=WORKER_GROUP, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    consumer.assign([TopicPartition(FEEDBACK, 5)])
    await consumer.commit({TopicPartition(FEEDBACK, 5): end - 1})
    await consumer.stop()
    stored(tables, 5, end - 2)
    row = (await api.ok("/v1/position", at_least=f"5:{end - 3}"))["partitions"][5]
    assert (row["end"], row["folded"], row["sunk"]) == (end, end - 1, end - 2)


class Live:
    """A client of the event stream."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    async def next(self, *names: str) -> dict[str, Any]:
        """The next event of one of these names; others are passed over."""
        while True:
            fields: dict[str, str] = {}
            while (line := (await asyncio.wait_for(self._content.readline(), 15)).decode().rstrip("\n")) or not fields:
                assert not self._content.at_eof(), "the stream ended"
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
            if fields.get("event") in names:
                return fields | {"data": json.loads(fields["data"])}

    async def connected(self) -> None:
        """Until events flow."""
        while not (await self.next("status"))["data"]["live"]:
            pass

    async def ended(self) -> None:
        while await asyncio.wait_for(self._content.read(1_000), 5):
            pass


@asynccontextmanager
async def live(api: Api, last_id: str = "", **params: Any) -> AsyncIterator[Live]:
    headers = {"Authorization": f"Bearer {READ_KEY}"} | ({"Last-Event-ID": last_id} if last_id else {})
    async with api.session.get(api.url + "/v1/live", params=params, headers=headers) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        yield Live(answer.content)


def team_scores(team: str, promoters: int) -> TeamScores:
    counts = Counts(1, 1, promoters)
    live_minute = ceil_minute(NOON_MS)
    return TeamScores(team, live_minute, live_minute + 9, VERSION, [WindowScore(10_080, counts, counts)])


def sender(producer: AIOKafkaProducer) -> Callable[..., Any]:
    async def send(topic: str, team: str, record: msgspec.Struct) -> None:
        partition = partition_of(team.encode())
        await producer.send_and_wait(topic, msgspec.json.encode(record), team.encode(), partition)

    return send


async def test_live_events_of_all_three_topics_arrive(api: Api, producer: AIOKafkaProducer) -> None:
    send = sender(producer)
    case = Case(*(uid(1), "quick", uid(2), 3, "open", 1, NOON_MS, NOON_MS, NOON_MS, NOON_MS, (uid(2),), VERSION))
    delta = PaneDelta(ceil_minute(NOON_MS), "all", 3, 1)
    move = WindowMove(10_080, "all", (1, 0, 0), (2, 0, 0))
    late = Correction(uid(8), VERSION, NOON_MS, ceil_minute(NOON_MS), "late", uid(2), [delta], [move])
    async with live(api) as events:
        await events.connected()
        started = time.monotonic()
        await send(TEAM_SCORES, "quick", team_scores("quick", 8))
        score = await events.next("score")
        assert time.monotonic() - started < 2
        assert (score["data"]["team"], score["data"]["windows"][0]["all"]["nps"]) == ("quick", 70.0)
        assert score["data"]["record"] == f"{partition_of(b'quick')}:5"
        await send(FOLLOWUPS, "quick", Position(1, 9))
        await send(FOLLOWUPS, "quick", FollowupEvent(uid(7), "followup.raised", NOON_MS, case, uid(2)))
        followup = await events.next("followup", "correction")
        assert (followup["event"], followup["data"]["case_id"]) == ("followup", uid(1))
        await send(TEAM_CHANGES, "quick", TeamChanges("quick"))
        await send(TEAM_CHANGES, "quick", TeamChanges("quick", corrections=[late]))
        correction = await events.next("score", "followup", "correction")
        assert correction["event"] == "correction"
        told = correction["data"]
        assert (told["id"], told["team"], told["cause"], told["response_id"]) == (uid(8), "quick", "late", uid(2))
        assert (told["version"], told["record"]) == (VERSION, f"{partition_of(b'quick')}:5")
        assert (told["known_at"], told["as_of"]) == (iso(NOON_MS), iso(NOON_MS))
        assert told["deltas"] == [{"minute": iso(NOON_MS), "policy": "all", "score": 3, "change": 1}]
        [moved] = told["windows"]
        assert (moved["window"], moved["policy"]) == ("7d", "all")
        assert (moved["before"]["detractors"], moved["after"]["detractors"]) == (1, 2)
        assert (moved["before"]["nps"], moved["after"]["display"]) == (-100.0, -100)


async def test_a_stream_of_one_team_hears_of_no_other(api: Api, producer: AIOKafkaProducer) -> None:
    send = sender(producer)
    async with live(api, team="chosen") as events:
        await events.connected()
        await send(TEAM_SCORES, "ignored", team_scores("ignored", 1))
        await send(TEAM_SCORES, "chosen", team_scores("chosen", 2))
        assert (await events.next("score"))["data"]["team"] == "chosen"


async def test_a_returning_client_gets_what_it_missed_or_is_told_to_start_over(
    api: Api, producer: AIOKafkaProducer
) -> None:
    send = sender(producer)
    async with live(api) as events:
        await events.connected()
        await send(TEAM_SCORES, "missed", team_scores("missed", 1))
        last_id = (await events.next("score"))["id"]
        await send(TEAM_SCORES, "missed", team_scores("missed", 4))
        await events.next("score")
    async with live(api, last_id) as events:
        assert (await events.next("score"))["data"]["windows"][0]["all"]["promoters"] == 4
    async with live(api, "another-process-1") as events:
        assert (await events.next("reset", "score"))["event"] == "reset"


async def test_a_record_that_cannot_be_read_is_passed_over(api: Api, producer: AIOKafkaProducer) -> None:
    send = sender(producer)
    async with live(api) as events:
        await events.connected()
        await producer.send_and_wait(TEAM_SCORES, b"not json", b"sound", partition_of(b"sound"))
        await producer.send_and_wait(TEAM_SCORES, None, b"tombstone", partition_of(b"sound"))
        await send(TEAM_SCORES, "sound", team_scores("sound", 3))
        assert (await events.next("score"))["data"]["team"] == "sound"


async def test_the_end_of_the_service_ends_its_streams_at_once(engines: Engines, tables: Tables) -> None:
    app = build_app(settings(tables.url, engines.kafka), now_ms=clock(NOON_MS))
    async with served(app) as running, live(running) as events:
        await events.connected()
        started = time.monotonic()
        app.state.services.feed.close()
        await events.ended()
        assert time.monotonic() - started < 1


async def test_times_in_events_are_written_like_everywhere(api: Api, producer: AIOKafkaProducer) -> None:
    async with live(api) as events:
        await events.connected()
        await sender(producer)(TEAM_SCORES, "times", team_scores("times", 3))
        found = (await events.next("score"))["data"]
        assert (found["as_of"], found["valid_until"]) == (iso(NOON_MS), iso(NOON_MS + 9 * 60_000))
