"""The ingest service as it runs, over the real Kafka: the whole table of bad requests, receipts, and outages."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
import pytest

from schemas.feedback import Answer, EraseRespondent
from schemas.generations import Generation
from schemas.people import Person
from schemas.topics import FEEDBACK, PARTITIONS, PEOPLE, partition_of
from services.common.keys import key_hash
from services.common.producing import WrongTopic
from services.ingest.port import NotHeld, Outgoing
from services.ingest.publisher import KafkaPublisher
from tests.engines import Engines
from tests.integration.ingest_service import IngestService, record_at, records, serving, until
from tests.unit.ingest import bad_requests
from tests.unit.ingest.bad_requests import answer
from tests.unit.ingest.fakes import ADMIN, SECRET, WRITE

pytestmark = pytest.mark.real

BATCH = "/v1/responses/batch"
PUBLISH_TIMEOUT_S = 3


@pytest.fixture(scope="module")
def kafka(engines: Engines) -> str:
    engines.topics()
    return engines.kafka


@pytest.fixture(scope="module")
def shared(kafka: str) -> Iterator[IngestService]:
    yield from serving(kafka)


@pytest.fixture
async def ingest(shared: IngestService) -> IngestService:
    await shared.ready()
    return shared


@pytest.fixture
def own(kafka: str) -> Iterator[IngestService]:
    """A service of one test alone, which may be stopped or cut off."""
    yield from serving(kafka, PULSE_PUBLISH_TIMEOUT=f"PT{PUBLISH_TIMEOUT_S}S")


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def post(
    http: aiohttp.ClientSession, url: str, body: Any, path: str = "/v1/responses", **headers: str | None
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, body and headers of a POST with the write key. `None` leaves a header out."""
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    usual: dict[str, str | None] = {"Authorization": f"Bearer {WRITE}", "Content-Type": "application/json", **headers}
    given = {name: value for name, value in usual.items() if value is not None}
    async with http.post(f"{url}{path}", data=raw, headers=given, skip_auto_headers=["Content-Type"]) as reply:
        return reply.status, await reply.json(content_type=None), dict(reply.headers)


def decoded(record: Any) -> Answer:
    return msgspec.json.decode(record.value, type=Answer)


async def of_team(kafka: str, team: str) -> list[Any]:
    """The team's records of the log, in order."""
    return [record for record in await records(kafka, FEEDBACK) if record.key == team.encode()]


async def test_every_bad_request_is_refused_by_name_and_only_the_good_ones_around_it_reach_the_log(
    ingest: IngestService, http: aiohttp.ClientSession, kafka: str
) -> None:
    team = f"table-{time.time_ns()}"
    good: list[str] = []
    for bad in bad_requests.SINGLE:
        path = f"/v1/responses?{bad.query}" if bad.query else "/v1/responses"
        status, body, _ = await post(http, ingest.url, bad.raw(), path, **bad.headers)
        assert (bad.id, status, body["code"]) == (bad.id, bad.status, bad.code)
        assert sorted(error["path"] for error in body.get("errors", [])) == sorted(bad.paths), bad.id
        status, body, _ = await post(http, ingest.url, answer(team=team).encode())
        assert status == 202
        good.append(body["response_id"])
    assert len(good) >= 60
    assert [decoded(record).response_id for record in await of_team(kafka, team)] == good


async def test_a_receipt_names_the_record_and_the_text_lies_in_the_partition_of_the_team(
    ingest: IngestService, http: aiohttp.ClientSession, kafka: str
) -> None:
    team, response_id = f"receipt-{time.time_ns()}", str(uuid.uuid4())
    given = {"team": team, "score": 2, "response_id": response_id, "comment": "too slow", "respondent": {"id": "c-1"}}
    status, body, _ = await post(http, ingest.url, given)
    assert (status, body["response_id"]) == (202, response_id)
    receipt = body["receipt"]
    record = await record_at(kafka, FEEDBACK, receipt["partition"], receipt["offset"])
    assert (record.key, decoded(record).response_id, record.partition) == (
        team.encode(),
        response_id,
        partition_of(team.encode()),
    )
    assert record.timestamp_type == 1
    assert b"too slow" not in record.value
    key = f"{team}|{response_id}".encode()
    [person] = [each for each in await records(kafka, PEOPLE) if each.key == key]
    assert person.partition == record.partition
    assert msgspec.json.decode(person.value, type=Person).comment == "too slow"


async def test_a_batch_stands_in_the_log_in_its_order_and_each_receipt_is_right(
    ingest: IngestService, http: aiohttp.ClientSession, kafka: str
) -> None:
    team = f"batch-{time.time_ns()}"
    items: list[Any] = [{"team": team, "score": i % 11, "comment": "x" * 900, "survey": str(i)} for i in range(999)]
    items.insert(500, {"team": team, "score": 11})
    status, body, _ = await post(http, ingest.url, items, BATCH)
    assert (status, body["accepted"], body["rejected"], body["retry"]) == (200, 999, 1, 0)
    held = await of_team(kafka, team)
    assert [decoded(record).survey for record in held] == [str(i) for i in range(999)]
    accepted = [item for item in body["items"] if item["status"] == "accepted"]
    assert [item["receipt"]["offset"] for item in accepted] == [record.offset for record in held]
    assert [item["response_id"] for item in accepted] == [decoded(record).response_id for record in held]


async def raw(url: str, request: bytes, *, more: bytes = b"") -> bytes:
    """What the server writes back to these bytes until it is silent or closes; `more` is sent after the first reply."""
    address = urlsplit(url)
    reading, writing = await asyncio.open_connection(address.hostname, address.port)
    writing.write(request)
    found = await _until_silent(reading)
    if more:
        writing.write(more)
        found += await _until_silent(reading)
    writing.close()
    return found


async def _until_silent(reading: asyncio.StreamReader) -> bytes:
    found = await asyncio.wait_for(reading.read(65_536), 10)
    with contextlib.suppress(TimeoutError):  # a reply may come in several pieces
        while piece := await asyncio.wait_for(reading.read(65_536), 0.2):
            found += piece
    return found


def request(*headers: str, path: str = "/v1/responses") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {WRITE}", "Content-Type: application/json"]
    return "\r\n".join([*lines, *headers, "", ""]).encode()


async def test_the_limit_holds_for_every_way_a_body_can_be_sent(ingest: IngestService) -> None:
    waits = await raw(ingest.url, request("Content-Length: 70000", "Expect: 100-continue"))
    assert waits.startswith(b"HTTP/1.1 413 ")
    chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    chunked = await raw(ingest.url, request("Transfer-Encoding: chunked") + chunk * 3)
    assert chunked.startswith(b"HTTP/1.1 413 ")
    good = answer().encode()
    assert (await raw(ingest.url, request(f"Content-Length: {len(good)}") + good)).startswith(b"HTTP/1.1 202 ")
    small = f"{len(good):x}\r\n".encode() + good + b"\r\n0\r\n\r\n"
    assert (await raw(ingest.url, request("Transfer-Encoding: chunked") + small)).startswith(b"HTTP/1.1 202 ")
    # What follows a body that is longer than it says is no request.
    lying = await raw(ingest.url, request("Content-Length: 4") + good)
    assert b"HTTP/1.1 400 " in lying
    both = await raw(ingest.url, request("Content-Length: 4", "Content-Length: 5") + good)
    assert both.startswith(b"HTTP/1.1 400 ")
    large = b"[" + b" " * 1_048_576 + b"]"
    batch = await raw(ingest.url, request(f"Content-Length: {len(large)}", path=BATCH) + large)
    assert batch.startswith(b"HTTP/1.1 413 ")


async def test_after_a_413_the_same_connection_takes_the_next_answer(ingest: IngestService) -> None:
    large, good = b" " * 70_000, answer().encode()
    both = await raw(
        ingest.url,
        request("Content-Length: 70000") + large,
        more=request(f"Content-Length: {len(good)}") + good,
    )
    assert both.startswith(b"HTTP/1.1 413 ")
    assert b"HTTP/1.1 202 " in both


class Senders:
    """Clients that send each answer, with an id of its own, until it is acknowledged."""

    def __init__(self, http: aiohttp.ClientSession, url: str, team: str) -> None:
        self.http = http
        self.url = url
        self.team = team
        self.receipts: dict[str, dict[str, Any]] = {}
        self.refused: list[int] = []
        self.longest_s = 0.0
        self.stopping = asyncio.Event()

    async def send(self) -> None:
        while not self.stopping.is_set():
            response_id = str(uuid.uuid4())
            given = {"team": self.team, "score": 9, "response_id": response_id, "comment": "x"}
            while response_id not in self.receipts:
                began = time.monotonic()
                try:
                    status, body, headers = await post(self.http, self.url, given)
                except aiohttp.ClientError:
                    if self.stopping.is_set():
                        return
                    await asyncio.sleep(0.05)
                    continue
                self.longest_s = max(self.longest_s, time.monotonic() - began)
                if status == 202:
                    self.receipts[response_id] = body["receipt"]
                else:
                    assert status in (429, 503), body
                    assert headers["Retry-After"] == "1"
                    assert status == 429 or body["response_id"] == response_id
                    self.refused.append(status)
                    if self.stopping.is_set():
                        return
                    await asyncio.sleep(0.05)

    async def reach(self, count: int, within_s: float = 60.0) -> None:
        """Wait until so many answers are acknowledged."""
        await until(lambda: len(self.receipts) >= count, f"{count} acknowledged", within_s)


async def assert_all_held(kafka: str, senders: Senders) -> None:
    """Every acknowledged answer stands where its receipt says."""
    places = {
        (record.partition, record.offset): decoded(record).response_id for record in await of_team(kafka, senders.team)
    }
    for response_id, receipt in senders.receipts.items():
        assert places[receipt["partition"], receipt["offset"]] == response_id


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_kafka_restarted_under_load_gives_503s_then_recovers_and_nothing_acknowledged_is_lost(
    how: str, own: IngestService, engines: Engines, http: aiohttp.ClientSession
) -> None:
    await own.ready()
    senders = Senders(http, own.url, f"outage-{time.time_ns()}")
    tasks = [asyncio.create_task(senders.send()) for _ in range(8)]
    await senders.reach(200)
    getattr(engines.kafka_engine, how)()
    went = await own.ready(503, within_s=10)
    before = len(senders.refused)
    await until(lambda: len(senders.refused) >= before + 20, "20 refusals")
    engines.kafka_engine.start()
    await asyncio.to_thread(engines.kafka_engine.wait)
    back = await own.ready(200, within_s=20)
    await senders.reach(len(senders.receipts) + 200)
    senders.stopping.set()
    await asyncio.gather(*tasks)
    assert 503 in senders.refused
    assert went < 4, went
    assert back < 10, back
    assert senders.longest_s < PUBLISH_TIMEOUT_S + 2
    await assert_all_held(engines.kafka, senders)


async def test_an_idle_service_notices_that_kafka_is_gone_and_that_it_is_back(
    own: IngestService, engines: Engines, http: aiohttp.ClientSession
) -> None:
    await own.ready()
    engines.kafka_engine.kill()
    assert await own.ready(503, within_s=10) < 4
    began = time.monotonic()
    status, body, headers = await post(http, own.url, answer().encode())
    assert (status, headers["Retry-After"]) == (503, "1")
    assert uuid.UUID(body["response_id"])
    assert time.monotonic() - began < 1
    status, _, _ = await post(http, own.url, answer(score=11).encode())
    assert status == 422
    engines.kafka_engine.start()
    await asyncio.to_thread(engines.kafka_engine.wait)
    assert await own.ready(200, within_s=20) < 10
    assert (await post(http, own.url, answer().encode()))[0] == 202


async def test_a_service_that_starts_before_kafka_waits_for_it(
    engines: Engines, kafka: str, http: aiohttp.ClientSession
) -> None:
    engines.kafka_engine.kill()
    services = serving(kafka)
    try:
        service = next(services)
        async with http.get(f"{service.url}/livez") as reply:
            assert reply.status == 200
        assert (await post(http, service.url, answer().encode()))[0] == 503
    finally:
        engines.kafka_engine.start()
        await asyncio.to_thread(engines.kafka_engine.wait)
    await service.ready()
    assert (await post(http, service.url, answer().encode()))[0] == 202
    services.close()


async def test_sigterm_finishes_what_is_under_way_and_exits_0(
    own: IngestService, kafka: str, http: aiohttp.ClientSession
) -> None:
    await own.ready()
    senders = Senders(http, own.url, f"drain-{time.time_ns()}")
    tasks = [asyncio.create_task(senders.send()) for _ in range(8)]
    await senders.reach(100)
    own.process.send_signal(signal.SIGTERM)
    senders.stopping.set()
    await asyncio.gather(*tasks)
    assert await asyncio.to_thread(own.stop) == 0
    assert own.events("stopped")
    await assert_all_held(kafka, senders)


async def test_sigterm_while_kafka_is_away_ends_in_bounded_time(
    own: IngestService, engines: Engines, http: aiohttp.ClientSession
) -> None:
    await own.ready()
    engines.kafka_engine.kill()
    try:
        waiting = asyncio.create_task(post(http, own.url, answer().encode()))
        await own.ready(503, within_s=10)
        began = time.monotonic()
        assert await asyncio.to_thread(own.stop) == 0
        assert time.monotonic() - began < PUBLISH_TIMEOUT_S + 6
        assert (await waiting)[0] == 503
    finally:
        engines.kafka_engine.start()
        await asyncio.to_thread(engines.kafka_engine.wait)


def test_a_log_of_another_partition_count_stops_the_start_with_a_message(kafka: str) -> None:
    script = (
        "from services.common.settings import IngestSettings; from services.ingest.app import run; "
        "run(IngestSettings())"
    )
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PULSE_")}
    environment = {
        **inherited,
        "PULSE_KAFKA": kafka,
        "PULSE_PARTITIONS": "17",
        "PULSE_INGEST_PORT": "0",
        "PULSE_RESPONDENT_SECRET": SECRET,
        "PULSE_KEY_HASHES": json.dumps({"write": [key_hash(WRITE)]}),
    }
    ended = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert "topic feedback.v1 has 16 partitions; PULSE_PARTITIONS says 17" in ended.stderr


@pytest.fixture
async def publisher(kafka: str) -> AsyncIterator[KafkaPublisher]:
    """A publisher in this very process, connected."""
    made = KafkaPublisher(kafka, 5.0)
    keeping = asyncio.create_task(made.keep())
    await until_ready(made)
    yield made
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    await made.close()


async def test_a_clock_far_from_the_broker_s_is_not_ready_and_says_why(kafka: str) -> None:
    apart_ms = -6_000
    made = KafkaPublisher(kafka, 5.0, now_ms=lambda: time.time_ns() // 1_000_000 + apart_ms)
    keeping = asyncio.create_task(made.keep())
    await until_ready(made)
    assert (made.unready() or "").startswith("this machine's clock is 6.0 s behind the broker's; at most 5 s")
    assert await made.publish(outgoing(f"clock-{time.time_ns()}")), "answers that come all the same are taken"
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    await made.close()


async def until_ready(publisher: KafkaPublisher) -> None:
    await until(lambda: publisher.refusal() is None, "ready")


def outgoing(team: str, response_id: str | None = None) -> Outgoing:
    given = response_id or str(uuid.uuid4())
    record = msgspec.json.encode(Answer(response_id=given, score=9, content="c"))
    return Outgoing(given, team.encode(), partition_of(team.encode()), record)


async def test_a_gap_in_the_sequence_numbers_costs_one_503_and_a_new_producer(publisher: KafkaPublisher) -> None:
    """aiokafka issue 1017, made by hand: without a new producer every later answer of the partition would fail."""
    team = f"gap-{time.time_ns()}"
    first = await publisher.publish(outgoing(team))
    stuck = publisher._producer  # noqa: SLF001
    place = next(iter(stuck._txn_manager._sequence_numbers))  # type: ignore[union-attr]  # noqa: SLF001
    for partition in range(16):
        stuck._txn_manager.increment_sequence_number(type(place)(FEEDBACK, partition), 7)  # type: ignore[union-attr]  # noqa: SLF001
    with pytest.raises(NotHeld):
        await publisher.publish(outgoing(team))
    assert publisher.refusal() is not None
    await until_ready(publisher)
    second = await publisher.publish(outgoing(team))
    assert (second.partition, second.offset > first.offset) == (first.partition, True)
    assert publisher._producer is not stuck  # noqa: SLF001


async def test_publishing_many_keeps_their_order(publisher: KafkaPublisher, kafka: str) -> None:
    team = f"many-{time.time_ns()}"
    many = [outgoing(team) for _ in range(500)]
    receipts = await publisher.publish_all(many)
    offsets = [receipt.offset for receipt in receipts if not isinstance(receipt, NotHeld)]
    assert len(offsets) == 500
    assert offsets == sorted(offsets)
    assert [decoded(record).response_id for record in await of_team(kafka, team)] == [each.response_id for each in many]
    assert await publisher.publish_all([]) == []


async def test_another_partition_count_is_refused(kafka: str) -> None:
    made = KafkaPublisher(kafka, 5.0, generation=Generation(1, 8))
    with pytest.raises(WrongTopic, match="16 partitions"):
        await asyncio.wait_for(made.keep(), 20)
    assert made.refusal() is not None
    await made.close()


async def test_the_erasure_of_a_person_stands_in_every_partition_where_its_receipts_say(
    ingest: IngestService, kafka: str
) -> None:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {ADMIN}"}) as session:
        async with session.post(f"{ingest.url}/v1/erasures", json={"respondent": {"id": "c-1017"}}) as reply:
            assert reply.status == 202
            told = await reply.json()
        assert [receipt["partition"] for receipt in told["receipts"]] == [*range(PARTITIONS)]
        for receipt in told["receipts"]:
            record = await record_at(kafka, FEEDBACK, receipt["partition"], receipt["offset"])
            assert record.key is None
            assert msgspec.json.decode(record.value, type=EraseRespondent).respondent == told["respondent_key"]
