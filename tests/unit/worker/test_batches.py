"""Faust in batches: one event a fetched batch, commits by what has been emitted."""

# ruff: noqa: SLF001  what is tested here are overrides of Faust's own private parts

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

import faust
import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.structs import TopicPartition
from faust.types import TP, Message
from pydantic import SecretStr

from schemas import topics
from stream.batches import (
    BatchApp,
    BatchConsumer,
    BatchScheduler,
    CommitGate,
    RawSchema,
    RecordBatch,
    batch_app,
    gate_of,
    partitions_of,
    seek_to_committed,
)
from stream.fetched import Fetched
from stream.settings import SinkSettings
from tests.unit.stream.fakes import Record
from tests.unit.worker import fetches

FIRST, SECOND = TP(topics.FEEDBACK, 0), TP(topics.FEEDBACK, 1)
OTHER = TP(topics.PEOPLE, 0)


def fetched(tp: TP, *offsets: int) -> Fetched:
    return fetches.fetched(tp, [Record(offset, 1_000 + offset, None, b"v") for offset in offsets])


@pytest.fixture
def app() -> faust.App:
    settings = SinkSettings(
        kafka="127.0.0.1:9,127.0.0.1:10",
        clickhouse=SecretStr("http://127.0.0.1:9/x"),
        session_timeout=timedelta(seconds=6),
    )
    return batch_app("pulse-test", settings, "test-0")


@pytest.fixture
def consumer(app: faust.App) -> BatchConsumer:
    """A consumer that is assigned two partitions and not connected to anything."""
    made = cast(BatchConsumer, app.consumer)
    made.assignment = lambda: {FIRST, SECOND}  # type: ignore[method-assign]
    return made


class TestBatches:
    def test_a_poll_becomes_one_batch_a_partition_small_ones_first(self) -> None:
        poll = {FIRST: [fetched(FIRST, 5, 6, 9)], SECOND: [], OTHER: [fetched(OTHER, 2)]}
        batches = list(BatchScheduler().iterate(poll))
        assert [(tp, batch.offset, len(list(batch.fetched.records()))) for tp, batch in batches] == [
            (OTHER, 2, 1),
            (FIRST, 9, 3),
        ]

    def test_a_batch_passes_for_its_last_record(self, consumer: BatchConsumer) -> None:
        batch = RecordBatch(SECOND, fetched(SECOND, 5, 6))
        message = consumer._to_message(SECOND, batch)
        assert (message.topic, message.partition, message.offset) == (topics.FEEDBACK, 1, 6)
        assert message.timestamp == 1.006
        assert cast(object, message.value) is batch
        assert message.key is None

    async def test_key_and_value_reach_the_agent_untouched(self, app: faust.App) -> None:
        batch = RecordBatch(FIRST, fetched(FIRST, 1))
        message = cast(Message, type("M", (), {"key": b"\xff", "value": batch}))
        assert RawSchema().loads_value(app, message) is batch
        assert RawSchema().loads_key(app, message) == b"\xff"

    def test_only_the_partitions_of_the_topic_count(self) -> None:
        assert partitions_of([FIRST, SECOND, OTHER], topics.FEEDBACK) == {0, 1}
        assert partitions_of([], topics.FEEDBACK) == set()


class TestGate:
    def test_knows_only_what_was_emitted(self) -> None:
        gate = CommitGate()
        assert gate.get(FIRST) is None
        gate.emitted(topics.FEEDBACK, 0, 7)
        assert gate.get(FIRST) == 7
        assert gate.partitions() == [FIRST]

    def test_forgets_a_partition_that_is_somebody_elses(self) -> None:
        gate = CommitGate()
        gate.emitted(topics.FEEDBACK, 0, 7)
        gate.forget(topics.FEEDBACK, 0)
        gate.forget(topics.FEEDBACK, 0)
        assert gate.get(FIRST) is None
        assert gate.partitions() == []

    def test_belongs_to_the_app(self, app: faust.App) -> None:
        assert gate_of(app) is gate_of(app)
        with pytest.raises(TypeError):
            gate_of(BatchApp("plain"))


class TestCommits:
    @pytest.fixture
    def committed(self, consumer: BatchConsumer, monkeypatch: pytest.MonkeyPatch) -> list[dict[TP, int]]:
        """What would go to the broker, commit by commit."""
        commits: list[dict[TP, int]] = []

        async def commit(offsets: Any, start_new_transaction: bool = True) -> bool:
            commits.append(dict(offsets))
            consumer._committed_offset.update(offsets)
            return True

        monkeypatch.setattr(consumer, "_commit_offsets", commit)
        return commits

    async def test_are_what_was_emitted_not_what_faust_acknowledged(
        self, app: faust.App, consumer: BatchConsumer, committed: list[dict[TP, int]]
    ) -> None:
        message = consumer._to_message(FIRST, RecordBatch(FIRST, fetched(FIRST, 0, 1, 2)))
        consumer.track_message(message)
        assert consumer.ack(message)
        assert not consumer.unacked
        await consumer.commit()
        assert committed == []
        gate_of(app).emitted(topics.FEEDBACK, 0, 3)
        await consumer.commit()
        await consumer.commit()
        assert committed == [{FIRST: 3}]

    async def test_never_go_back(self, app: faust.App, consumer: BatchConsumer, committed: list[dict[TP, int]]) -> None:
        consumer._committed_offset[FIRST] = 10
        gate_of(app).emitted(topics.FEEDBACK, 0, 4)
        await consumer.commit()
        assert committed == []

    async def test_of_an_empty_log_are_none(
        self, app: faust.App, consumer: BatchConsumer, committed: list[dict[TP, int]]
    ) -> None:
        consumer._committed_offset[FIRST] = 0
        gate_of(app).emitted(topics.FEEDBACK, 0, 0)
        await consumer.commit()
        assert committed == []

    async def test_stop_once_a_partition_is_forgotten(
        self, app: faust.App, consumer: BatchConsumer, committed: list[dict[TP, int]]
    ) -> None:
        gate_of(app).emitted(topics.FEEDBACK, 0, 4)
        gate_of(app).emitted(topics.FEEDBACK, 1, 8)
        gate_of(app).forget(topics.FEEDBACK, 0)
        await consumer.commit()
        assert committed == [{SECOND: 8}]

    async def test_gaps_between_batches_mean_nothing(
        self, app: faust.App, consumer: BatchConsumer, committed: list[dict[TP, int]]
    ) -> None:
        await consumer._add_gap(FIRST, 3, 90)
        gate_of(app).emitted(topics.FEEDBACK, 0, 91)
        await consumer.commit()
        assert committed == [{FIRST: 91}]
        assert not consumer._gap[FIRST]

    async def test_may_be_asked_for_by_topic(
        self, app: faust.App, consumer: BatchConsumer, committed: list[dict[TP, int]]
    ) -> None:
        gate_of(app).emitted(topics.FEEDBACK, 0, 4)
        gate_of(app).emitted(topics.PEOPLE, 0, 9)
        await consumer.commit({topics.PEOPLE})
        assert committed == [{OTHER: 9}]

    async def test_acknowledgements_leave_nothing_behind(self, consumer: BatchConsumer) -> None:
        """Faust keeps each acknowledged offset until its own reckoning commits it, which never happens here."""
        for offset in range(1_000):
            message = consumer._to_message(FIRST, RecordBatch(FIRST, fetched(FIRST, offset)))
            consumer.track_message(message)
            consumer.ack(message)
        assert not consumer._acked[FIRST]
        assert not consumer._acked_index[FIRST]
        assert not consumer.unacked


class TestSeeking:
    """After a rebalance the consumer goes to what is committed."""

    class Kafka:
        def __init__(self, committed: dict[TopicPartition, int | None]) -> None:
            self.committed = committed
            self.to_beginning: list[TopicPartition] = []

        async def seek_to_committed(self) -> dict[TopicPartition, int | None]:
            return self.committed

        async def seek_to_beginning(self, *partitions: TopicPartition) -> None:
            assert partitions, "no argument means every partition"
            self.to_beginning.extend(partitions)

    @pytest.mark.parametrize("none", [None, 0])
    async def test_a_partition_without_a_committed_offset_is_read_from_its_beginning(self, none: int | None) -> None:
        kafka = self.Kafka({TopicPartition("t", 0): 5, TopicPartition("t", 1): none})
        assert await seek_to_committed(kafka) == kafka.committed
        assert kafka.to_beginning == [TopicPartition("t", 1)]

    async def test_where_all_are_committed_nothing_else_moves(self) -> None:
        kafka = self.Kafka({TopicPartition("t", 0): 5})
        await seek_to_committed(kafka)
        assert kafka.to_beginning == []

    async def test_a_seek_that_fails_is_tried_again(
        self, consumer: BatchConsumer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Faust would go on where it was, and what it has dropped would be missing."""
        tries: list[int] = []

        async def seek() -> dict[TP, int]:
            tries.append(1)
            if len(tries) < 3:
                raise KafkaConnectionError
            return {FIRST: 7}

        async def at_once(_: float) -> None: ...

        monkeypatch.setattr(consumer, "seek_to_committed", seek)
        monkeypatch.setattr("stream.log.asyncio.sleep", at_once)
        await consumer.perform_seek()
        assert len(tries) == 3
        assert consumer._read_offset[FIRST] == 7


def test_the_app_commits_often_holds_few_batches_and_has_no_web_server(app: faust.App) -> None:
    conf = app.conf
    assert [str(url) for url in conf.broker] == ["kafka://127.0.0.1:9", "kafka://127.0.0.1:10"]
    assert (conf.web_enabled, conf.stream_wait_empty, conf.topic_allow_declare) == (False, False, False)
    assert (conf.consumer_group_instance_id, conf.consumer_auto_offset_reset) == ("test-0", "earliest")
    assert conf.broker_commit_interval == 0.5
    assert conf.stream_buffer_maxsize == 4
    assert conf.broker_session_timeout == 6
    assert conf.broker_session_timeout <= conf.broker_request_timeout


def test_the_app_makes_no_folder(app: faust.App, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app.finalize()
    app._create_directories()
    assert list(tmp_path.iterdir()) == []


def test_records_have_what_the_fold_reads() -> None:
    """A fake record and a fetched one agree on the names."""
    (record,) = fetched(FIRST, 1).records()
    assert all(hasattr(record, name) for name in Record.__dataclass_fields__)
    assert {"offset", "timestamp", "key", "value", "headers"} == set(Record.__dataclass_fields__)
