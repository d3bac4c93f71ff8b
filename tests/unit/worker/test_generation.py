"""A later generation of the log: its own topics, folders and partition count, all through the worker and the sink."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from faust.types import TP
from pydantic import SecretStr

import stream.app
from schemas import topics
from schemas.changes import Position
from schemas.feedback import Answer
from schemas.generations import FIRST, Generation
from stream.app import check_log
from stream.batches import RecordBatch, batch_app
from stream.domain.fold import fold
from stream.domain.messages import Message
from stream.errors import LogMismatch
from stream.outbox import KafkaOutbox
from stream.settings import SinkSettings
from stream.sink import Sinking
from stream.state import root_of
from tests.unit.stream.fakes import FakeState, Record
from tests.unit.stream.said import read
from tests.unit.worker.fakes import FakeBroker
from tests.unit.worker.fetches import fetched

SECOND = Generation(2, 5)
TEAM = b"team-1"
ANSWER = msgspec.json.encode(Answer("00000000-0000-4000-8000-000000000001", 9, "c"))


@pytest.mark.parametrize("partition", range(5))
def test_an_answer_counts_only_where_its_key_lies_among_so_many(partition: int) -> None:
    effects = fold(FakeState(), [Record(0, 1_000, TEAM, ANSWER)], partition, 2, 5)
    rejects = [out.message for out in read(effects.outputs) if out.topic == topics.REJECTS]
    if partition == SECOND.partition_of(TEAM):
        assert rejects == []
    else:
        assert [reject.reason for reject in rejects] == ["wrong_partition"]  # type: ignore[union-attr]


def test_states_of_two_generations_never_share_a_folder() -> None:
    assert root_of(Path("state"), FIRST) == Path("state")
    assert root_of(Path("state"), SECOND) == Path("state/g2")


async def test_what_the_fold_says_goes_to_the_topics_of_the_generation() -> None:
    broker = FakeBroker()
    outbox = KafkaOutbox("", broker.producer, generation=SECOND)
    await outbox.send(4, [Message(topics.FOLLOWUPS, b"k", b"1"), Message(topics.PEOPLE, b"p", None)])
    assert broker.arrived == {("followups.v1.g2", 4): [(b"k", b"1")], ("people.v1.g2", 4): [(b"p", None)]}


async def test_the_sink_reads_them_and_commits_there_but_rejects_by_the_declared_name() -> None:
    settings = SinkSettings(
        kafka="127.0.0.1:9", clickhouse=SecretStr("http://127.0.0.1:9/x"), generation=2, partitions=5
    )
    sinking = Sinking(batch_app("pulse-test", settings, "sink-0"), settings)
    name = SECOND.topic(topics.TEAM_CHANGES)
    records: Any = [Record(0, 7, None, msgspec.json.encode(Position(3, 9))), Record(1, 8, None, b"{")]

    async def batches() -> Any:
        yield RecordBatch(TP(name, 3), fetched(TP(name, 3), records))

    await sinking.store(batches())
    buffer = sinking._writer.buffer  # noqa: SLF001  the writer's own tests are elsewhere
    assert buffer.positions == {(name, 3): 2}
    assert buffer.rows["positions"] == [(topics.TEAM_CHANGES, 3, 9, 2 << 48 | 9)]
    ((_, reject),) = buffer.rejects
    assert reject.topic == topics.TEAM_CHANGES


class Admin:
    """aiokafka's admin client, of a broker with one log of 5 partitions that takes its times as `stamped`."""

    stamped = "LogAppendTime"

    def __init__(self, bootstrap_servers: str) -> None: ...

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def describe_topics(self, names: list[str]) -> Any:
        assert names == ["feedback.v1.g2"]
        return [{"error_code": 0, "partitions": [{}] * 5}]

    async def describe_configs(self, resources: list[Any]) -> Any:
        entries = [("retention.ms", "1"), ("message.timestamp.type", type(self).stamped, False, 1, False)]
        return [type("Answer", (), {"resources": [(0, "", 2, resources[0].name, entries)]})()]


async def test_a_log_that_is_still_being_copied_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream.app, "AIOKafkaAdminClient", Admin)
    await check_log("", SECOND)
    with pytest.raises(LogMismatch, match="has 5 partitions, PULSE_PARTITIONS says 6: set it to 5"):
        await check_log("", Generation(2, 6))
    monkeypatch.setattr(Admin, "stamped", "CreateTime")
    with pytest.raises(LogMismatch, match="not a whole log yet"):
        await check_log("", SECOND)
