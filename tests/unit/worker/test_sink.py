"""The sink's agents: rows into the buffer, and what has none to the rejects, with the rest going on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from faust.types import TP
from pydantic import SecretStr

from schemas import topics
from schemas.changes import Position
from schemas.people import Person, person_key
from stream.batches import RecordBatch, batch_app
from stream.rows import ROWS_OF
from stream.settings import SinkSettings
from stream.sink import Sinking
from tests.unit.stream.fakes import Record
from tests.unit.worker.fetches import fetched

SECRET = "my name is Ane"
DEEP = b'{"team":"a","response_id":"b","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def batch(topic: str, *values: tuple[bytes | None, bytes | None]) -> RecordBatch:
    records = [Record(10 + number, 77, *pair) for number, pair in enumerate(values)]
    return RecordBatch(TP(topic, 3), fetched(TP(topic, 3), records))


@pytest.fixture
async def sinking() -> Sinking:
    settings = SinkSettings(
        kafka="127.0.0.1:9", clickhouse=SecretStr("http://127.0.0.1:9/x"), session_timeout=timedelta(seconds=6)
    )
    return Sinking(batch_app("pulse-test", settings, "sink-0"), settings)


async def take(sinking: Sinking, taken: RecordBatch) -> Any:
    """Let the agent's body take one batch."""

    async def batches() -> Any:
        yield taken

    await sinking.store(batches())
    return sinking._writer.buffer  # noqa: SLF001  the writer's own tests are elsewhere


POSITION = msgspec.json.encode(Position(3, 9))


@pytest.mark.parametrize("bad", [None, b"{", b"\xff", DEEP], ids=["tombstone", "not-json", "not-text", "deep"])
async def test_a_record_that_has_no_rows_is_rejected_and_its_neighbours_are_not(
    sinking: Sinking, bad: bytes | None
) -> None:
    buffer = await take(sinking, batch(topics.TEAM_CHANGES, (b"a", POSITION), (b"a", bad), (b"a", POSITION)))
    assert len(buffer.rows["positions"]) == 2
    ((source, reject),) = buffer.rejects
    assert (source.offset, reject.offset, reject.reason) == (11, 11, "undecodable")
    assert reject.record == bad
    assert buffer.positions == {(topics.TEAM_CHANGES, 3): 13}


async def test_a_bad_personal_record_leaves_only_its_place(sinking: Sinking) -> None:
    buffer = await take(sinking, batch(topics.PEOPLE, (b"acme|a-1", f'{{"comment":"{SECRET}"'.encode())))
    ((_, reject),) = buffer.rejects
    assert SECRET not in repr(reject)
    assert (reject.topic, reject.partition, reject.offset, reject.key) == (topics.PEOPLE, 3, 10, "acme|a-1")


async def test_a_bad_reject_is_passed_over(sinking: Sinking) -> None:
    buffer = await take(sinking, batch(topics.REJECTS, (None, b"{")))
    assert buffer.rejects == []
    assert buffer.positions == {(topics.REJECTS, 3): 11}


async def test_every_row_knows_where_it_came_from(sinking: Sinking) -> None:
    person = msgspec.json.encode(Person("acme", "a-1", comment="x"))
    buffer = await take(sinking, batch(topics.PEOPLE, (person_key("acme", "a-1"), person)))
    for table, found in buffer.rows.items():
        assert len(found) == len(buffer.sources[table])
    (source,) = buffer.sources["people"]
    assert (source.topic, source.partition, source.offset, source.at_ms) == (topics.PEOPLE, 3, 10, 77)


async def test_partitions_taken_away_are_not_committed_any_more(sinking: Sinking) -> None:
    gate = sinking._gate  # noqa: SLF001
    for topic in ROWS_OF:
        gate.emitted(topic, 3, 9)
    await sinking._revoked(None, {TP(topics.PEOPLE, 3), TP("elsewhere", 3)})  # noqa: SLF001
    assert gate.get(TP(topics.PEOPLE, 3)) is None
    assert gate.get(TP(topics.FOLLOWUPS, 3)) == 9


async def test_ready_means_a_member_without_trouble(sinking: Sinking) -> None:
    assert sinking.ready() == "not a member of the consumer group yet"
    await sinking._assigned(None, {TP(topics.PEOPLE, 3)})  # noqa: SLF001
    assert sinking.ready() is None
    sinking._writer.trouble = "ClickHouse: code 202"  # noqa: SLF001
    assert sinking.ready() == "ClickHouse: code 202"
