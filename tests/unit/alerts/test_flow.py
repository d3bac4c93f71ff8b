"""From a record of followups.v1 to deliveries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.changes import Position
from schemas.followups import FollowupEvent
from services.alerts.channels import Message
from services.alerts.flow import Flow, event_of
from services.alerts.lanes import Lane
from services.alerts.people import Cache, People
from services.alerts.retries import Outcome
from services.alerts.store import Store
from tests.unit.alerts.builders import FakeTable, raised


@dataclass
class Record:
    value: bytes | None
    partition: int = 0
    offset: int = 0


class Silent:
    """A channel that wants raised cases; its lane is not running, so nothing is sent."""

    def __init__(self, name: str) -> None:
        self.name = name

    def wants(self, event: FollowupEvent) -> bool:
        return event.kind == "followup.raised"

    async def send(self, message: Message) -> Outcome:
        return Outcome("delivered", "200")


@pytest.fixture
def store(tmp_path: Path) -> Iterable[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.close()


def flow_of(store: Store, *names: str) -> Flow:
    lanes = [Lane(Silent(name), store, People(Cache(), FakeTable())) for name in names]
    for lane in lanes:
        lane.disabled = True  # takes nothing: the rows are what counts here
    return Flow("unused:9092", store, lanes)


def fetched(*values: bytes | None, partition: int = 0) -> dict[TopicPartition, list[Record]]:
    records = [Record(value, partition, offset) for offset, value in enumerate(values)]
    return {TopicPartition("followups.v1", partition): records}


def test_a_raised_case_is_an_event() -> None:
    event = raised()
    assert event_of(Record(msgspec.json.encode(event))) == event


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(msgspec.json.encode(Position(partition=0, through=5)), id="position"),
        pytest.param(None, id="no-value"),
        pytest.param(b"", id="empty"),
        pytest.param(b"not json", id="not-json"),
        pytest.param(b"[]", id="not-an-object"),
        pytest.param(b'{"type":"event","kind":"followup.raised"}', id="half-an-event"),
        pytest.param(b'{"type":"event","kind":"followup.escalated","more":1}', id="kind-of-a-later-version"),
        pytest.param(b'{"type":"summary"}', id="type-of-a-later-version"),
    ],
)
def test_whatever_else_the_topic_holds_is_passed_over(value: bytes | None) -> None:
    assert event_of(Record(value)) is None


async def test_each_raised_case_becomes_one_row_per_channel_and_other_kinds_none(store: Store) -> None:
    rescored = msgspec.structs.replace(raised(1), kind="followup.rescored")
    flow = flow_of(store, "webhook", "pager")
    await flow.take(fetched(b"junk", *(msgspec.json.encode(event) for event in (raised(0), rescored, raised(2)))))
    rows = await store.rows(None, None, 10)
    assert sorted((row.event_id, row.channel) for row in rows) == sorted(
        (raised(number).event_id, channel) for number in (0, 2) for channel in ("webhook", "pager")
    )
    assert {row.state for row in rows} == {"pending"}


async def test_a_redelivered_batch_changes_nothing(store: Store) -> None:
    flow = flow_of(store, "webhook")
    batch = fetched(*(msgspec.json.encode(raised(number)) for number in range(3)))
    await flow.take(batch)
    before = await store.rows(None, None, 10)
    await flow.take(batch)
    assert await store.rows(None, None, 10) == before


async def test_without_a_channel_nothing_is_recorded_and_the_log_is_still_read(store: Store) -> None:
    flow = flow_of(store)
    await flow.take(fetched(msgspec.json.encode(raised())))
    assert await store.rows(None, None, 10) == []
    assert flow._stored == {TopicPartition("followups.v1", 0): 1}  # noqa: SLF001 # what would be committed


async def test_an_offset_may_be_committed_only_when_its_event_is_stored(store: Store) -> None:
    flow = flow_of(store, "webhook")
    store._write.execute("DROP TABLE deliveries")  # noqa: SLF001 # a file damaged from outside
    with pytest.raises(Exception, match="no such table"):
        await flow.take(fetched(msgspec.json.encode(raised())))
    assert flow._stored == {}  # noqa: SLF001 # what would be committed


class Consumer:
    """Notes when it commits, in the order of what the disk is told."""

    def __init__(self, said: list[str]) -> None:
        self._said = said

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        self._said.append(f"offsets {[*offsets.values()]}")


async def test_an_alert_goes_before_the_disk_has_it_and_an_offset_only_after(store: Store) -> None:
    said: list[str] = []
    store._write.set_trace_callback(said.append)  # noqa: SLF001 # every statement
    flow = flow_of(store, "webhook")
    await flow.take(fetched(msgspec.json.encode(raised())))
    assert not any("FULL" in one for one in said)
    await flow._commit_stored(cast("AIOKafkaConsumer", Consumer(said)))  # noqa: SLF001 # what `run` does by and by
    order = ["PRAGMA synchronous = FULL", "UPDATE alive SET at_ms = at_ms", "COMMIT", "offsets [1]"]
    assert [one for one in said if one in order][-4:] == order


def test_the_flow_is_not_ready_before_it_has_read(store: Store) -> None:
    assert flow_of(store).trouble() == "followups.v1 is not being read yet"
