"""The real Kafka and the real ClickHouse engine, as the launchers start them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import clickhouse_connect
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from clickhouse_connect.driver import AsyncClient, Client
from clickhouse_connect.driver.exceptions import DatabaseError

from deploy.errors import EngineUnavailable, MigrationRefused, TopicMismatch
from deploy.local.probes import clickhouse_answers, kafka_answers
from deploy.migrate import migrate_tables
from deploy.topics import TopicChanges, migrate_topics
from schemas.topics import FEEDBACK, TOPICS
from tests.engines import Engines, running_engines, wait_for

pytestmark = pytest.mark.real

SCHEMA = "k UInt64, team LowCardinality(String), at DateTime64(3, 'UTC'), counts Array(UInt32)"
COLUMNS = ["k", "team", "at", "counts"]


def rows(count: int) -> list[list[Any]]:
    return [[k, f"team-{k % 3}", datetime(2026, 3, 29, 1, 0, tzinfo=UTC), [k, 1]] for k in range(count)]


def client(url: str, **options: Any) -> Client:
    return clickhouse_connect.get_client(dsn=url, **options)


async def async_client(url: str) -> AsyncClient:
    return await clickhouse_connect.get_async_client(dsn=url)


@pytest.fixture
def database(engines: Engines) -> Iterator[str]:
    """Address of a database with one table, `t`."""
    name = f"d{os.urandom(6).hex()}"
    with client(engines.clickhouse) as admin:
        admin.command(f"CREATE DATABASE {name}")
        admin.command(f"CREATE TABLE {name}.t ({SCHEMA}) ENGINE = MergeTree ORDER BY k")
        yield f"{engines.clickhouse}/{name}"
        admin.command(f"DROP DATABASE {name}")


def post(url: str, body: bytes = b"", **headers: str) -> tuple[int, str, dict[str, str]]:
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")  # noqa: S310  our own engine
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), dict(error.headers)


class TestClickHouse:
    @pytest.mark.parametrize("compress", [False, "lz4", "zstd", "gzip"])
    def test_rows_that_are_inserted_are_there_whatever_packs_them(self, database: str, compress: str | bool) -> None:
        with client(database, compress=compress) as clickhouse:
            summary = clickhouse.insert("t", rows(1000), column_names=COLUMNS)
            assert summary.written_rows == 1000
            found = clickhouse.query("SELECT * FROM t WHERE k = {k:UInt64}", parameters={"k": 999}).result_rows
        assert found == [(999, "team-0", datetime(2026, 3, 29, 1, 0), [999, 1])]  # noqa: DTZ001  the driver's UTC

    async def test_the_async_client_inserts_queries_and_streams(self, database: str) -> None:
        clickhouse = await async_client(database)
        try:
            await clickhouse.insert("t", rows(5000), column_names=COLUMNS)
            async with await clickhouse.query_row_block_stream("SELECT k FROM t ORDER BY k") as blocks:
                read = [row[0] async for block in blocks for row in block]
        finally:
            await clickhouse.close()
        assert read == list(range(5000))

    async def test_no_query_sees_the_parameters_of_another_at_48_at_once(self, database: str) -> None:
        clickhouse = await async_client(database)
        try:
            asked = [
                clickhouse.query("SELECT {n:UInt32}, {s:String}", parameters={"n": n, "s": f"'{n}\\"})
                for n in range(480)
            ]
            limit = asyncio.Semaphore(48)

            async def bounded(query: Any) -> Any:
                async with limit:
                    return await query

            answers = await asyncio.gather(*map(bounded, asked))
        finally:
            await clickhouse.close()
        assert [answer.result_rows for answer in answers] == [[(n, f"'{n}\\")] for n in range(480)]

    async def test_inserts_queries_and_mistakes_may_come_at_the_same_time(self, database: str) -> None:
        clickhouse = await async_client(database)

        async def mistake(n: int) -> None:
            with pytest.raises(DatabaseError, match=f"no_column_{n}"):
                await clickhouse.query(f"SELECT no_column_{n}")

        try:
            await asyncio.gather(
                *(clickhouse.insert("t", rows(200), column_names=COLUMNS) for _ in range(16)),
                *(clickhouse.query("SELECT count() FROM t") for _ in range(16)),
                *(mistake(n) for n in range(16)),
            )
            counted = await clickhouse.query("SELECT count() FROM t")
        finally:
            await clickhouse.close()
        assert counted.result_rows == [(3200,)]

    @pytest.mark.parametrize("text", ["it's", "a\\b", "tab\tand\nline", "ü € 🙂", "", "x" * 50_000])
    def test_a_parameter_arrives_as_it_was_sent(self, database: str, text: str) -> None:
        with client(database) as clickhouse:
            assert clickhouse.query("SELECT {s:String}", parameters={"s": text}).result_rows == [(text,)]

    def test_a_setting_holds_for_its_query_and_no_longer(self, database: str) -> None:
        with client(database) as clickhouse:
            asked = "SELECT getSetting('max_block_size')"
            usual = clickhouse.query(asked).result_rows
            for _ in range(20):  # more than there are threads
                assert clickhouse.query(asked, settings={"max_block_size": 1234}).result_rows == [(1234,)]
                assert clickhouse.query(asked).result_rows == usual

    def test_the_engine_keeps_utc_and_writes_before_it_acknowledges(self, database: str) -> None:
        with client(database) as clickhouse:
            asked = "SELECT timezone(), toHour(toDateTime(3600)), getSetting('async_insert')"
            assert clickhouse.query(asked).result_rows == [("UTC", 1, False)]

    @pytest.mark.parametrize(
        ("statement", "code"),
        [
            ("SELEC 1", 62),
            ("SELECT nothing", 47),
            ("SELECT * FROM nowhere", 60),
            ("SELECT {a:UInt8}", 456),
            ("SELECT throwIf(1)", 395),
            ("INSERT INTO nowhere FORMAT CSV\n1", 60),
            ("INSERT INTO t FORMAT Native\nnot native at all", None),
            ("SYSTEM SHUTDOWN", 344),
            ("SET max_threads = 1", 344),
            ("", 62),
        ],
    )
    def test_a_mistake_gets_the_engines_code_and_words_and_harms_nothing(
        self, engines: Engines, database: str, statement: str, code: int | None
    ) -> None:
        name = database.rpartition("/")[2]
        status, text, headers = post(f"{engines.clickhouse}/?database={name}", statement.encode())
        assert status == 500
        assert text.startswith(f"Code: {headers['X-ClickHouse-Exception-Code']}. DB::")
        assert code is None or headers["X-ClickHouse-Exception-Code"] == str(code)
        assert post(f"{engines.clickhouse}/", b"SELECT 1")[:2] == (200, "1\n")

    def test_an_unknown_setting_or_database_spoils_no_later_query(self, engines: Engines) -> None:
        for _ in range(20):
            assert post(f"{engines.clickhouse}/?max_threds=1", b"SELECT 1")[0] == 500
            assert (
                post(f"{engines.clickhouse}/?database=nowhere", b"SELECT 1")[2]["X-ClickHouse-Exception-Code"] == "81"
            )
            assert post(f"{engines.clickhouse}/?max_threads=1", b"SELECT 1")[:2] == (200, "1\n")

    def test_a_refused_insert_leaves_no_rows(self, engines: Engines, database: str) -> None:
        name = database.rpartition("/")[2]
        body = b"INSERT INTO t (k) FORMAT CSV\n1\n2\nnot a number\n"
        assert post(f"{engines.clickhouse}/?database={name}", body)[0] == 500
        with client(database) as clickhouse:
            assert clickhouse.query("SELECT count() FROM t").result_rows == [(0,)]

    def test_a_body_in_chunks_and_one_that_is_packed_wrongly(self, engines: Engines, database: str) -> None:
        name = database.rpartition("/")[2]

        with client(engines.clickhouse) as clickhouse:
            clickhouse.raw_insert(f"{name}.t", ["k"], (b"%d\n" % k for k in range(3)), fmt="CSV")
            assert clickhouse.query(f"SELECT sum(k) FROM {name}.t").result_rows == [(3,)]
        status, text, _ = post(f"{engines.clickhouse}/", b"SELECT 1", **{"Content-Encoding": "lz4"})
        assert (status, "lz4" in text) == (400, True)

    def test_a_long_statement_may_stand_in_the_address(self, engines: Engines) -> None:
        statement = urllib.parse.quote(f"SELECT length('{'x' * 100_000}')")
        assert post(f"{engines.clickhouse}/?query={statement}")[:2] == (200, "100000\n")

    def test_formats_defaults_and_simple_questions(self, engines: Engines) -> None:
        assert post(f"{engines.clickhouse}/?default_format=JSONEachRow", b"SELECT 1 AS a")[1] == '{"a":1}\n'
        assert json.loads(post(f"{engines.clickhouse}/", b"SELECT 1 AS a FORMAT JSON")[1])["rows"] == 1
        with urllib.request.urlopen(f"{engines.clickhouse}/ping", timeout=5) as answer:  # noqa: S310
            assert answer.read() == b"Ok.\n"


class TestTables:
    def test_migrating_twice_changes_nothing(self, engines: Engines) -> None:
        url = engines.database()
        assert migrate_tables(url) == []

    def test_a_new_file_is_applied_and_a_changed_one_refused(self, engines: Engines, tmp_path: Path) -> None:
        url = f"{engines.clickhouse}/m{os.urandom(6).hex()}"
        first = tmp_path / "0001_one.sql"
        first.write_text(
            "CREATE TABLE a (k Int8 COMMENT 'one; two') ENGINE = Memory; -- three;\n"
            "CREATE TABLE b (k Int8) ENGINE = Memory;"
        )
        assert migrate_tables(url, tmp_path) == [1]
        (tmp_path / "0002_two.sql").write_text("ALTER TABLE a ADD COLUMN n Int8")
        assert migrate_tables(url, tmp_path) == [2]
        first.write_text("CREATE TABLE other (k Int8) ENGINE = Memory")
        with pytest.raises(MigrationRefused, match="md5 is not equal"):
            migrate_tables(url, tmp_path)

    def test_a_file_that_fails_is_refused_in_the_engines_words(self, engines: Engines, tmp_path: Path) -> None:
        (tmp_path / "0001_bad.sql").write_text("CREATE TABLE a (k NoSuchType) ENGINE = Memory")
        with pytest.raises(MigrationRefused, match="NoSuchType"):
            migrate_tables(f"{engines.clickhouse}/m{os.urandom(6).hex()}", tmp_path)

    def test_a_clickhouse_that_is_away_is_named(self) -> None:
        with pytest.raises(EngineUnavailable, match=r"127\.0\.0\.1:9"):
            migrate_tables("http://127.0.0.1:9/pulse")


class TestTopics:
    def test_topics_are_made_once_with_their_settings(self, engines: Engines) -> None:
        first = asyncio.run(migrate_topics(engines.kafka, prefix="once."))
        assert first == TopicChanges(tuple(f"once.{topic.name}" for topic in TOPICS), ())
        assert asyncio.run(migrate_topics(engines.kafka, prefix="once.")) == TopicChanges((), ())
        found = asyncio.run(_settings(engines.kafka, f"once.{FEEDBACK}"))
        assert found["message.timestamp.type"] == "LogAppendTime"
        assert found["min.insync.replicas"] == "1"

    def test_a_setting_that_differs_is_altered_and_the_settings_of_others_stay(self, engines: Engines) -> None:
        (topic,) = (topic for topic in TOPICS if topic.name == FEEDBACK)
        name = f"alter.{topic.name}"
        theirs = _with(topic, **{"retention.ms": "1000", "segment.ms": "86400000"})
        asyncio.run(migrate_topics(engines.kafka, [theirs], prefix="alter."))
        changes = asyncio.run(migrate_topics(engines.kafka, [topic], prefix="alter."))
        assert changes == TopicChanges((), (name,))
        wait_for(  # a broker tells a little later what the controller has taken
            lambda: asyncio.run(_settings(engines.kafka, name))["retention.ms"] == topic.config["retention.ms"]
        )
        assert asyncio.run(_settings(engines.kafka, name))["segment.ms"] == "86400000"

    def test_another_partition_count_is_refused_before_anything_is_changed(self, engines: Engines) -> None:
        topics = [_resized(topic, 3) if topic.name == FEEDBACK else topic for topic in TOPICS]
        asyncio.run(migrate_topics(engines.kafka, [topics[0]], prefix="count."))
        with pytest.raises(TopicMismatch, match=r"count\.feedback\.v1 has 3 partitions, 16 are asked for"):
            asyncio.run(migrate_topics(engines.kafka, prefix="count."))
        assert asyncio.run(_names(engines.kafka, "count.")) == {f"count.{FEEDBACK}"}

    def test_topics_made_anew_are_empty(self, engines: Engines) -> None:
        name = engines.topics("anew.")[FEEDBACK]
        asyncio.run(_produce(engines.kafka, name, 0))
        engines.topics("anew.", anew=True)
        asyncio.run(_produce(engines.kafka, name, 1))
        read = asyncio.run(_consume(engines.kafka, name, 500))
        assert {value.partition(b"-")[0] for value in read} == {b"1"}

    def test_a_topic_that_is_deleted_after_it_was_listed_is_made(
        self, engines: Engines, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name = engines.topics("listed.")[FEEDBACK]
        listed = AIOKafkaAdminClient.list_topics

        async def then_deleted(admin: AIOKafkaAdminClient) -> list[str]:
            names: list[str] = await listed(admin)
            await admin.delete_topics([name])
            while name in await listed(admin):
                await asyncio.sleep(0.01)
            return names

        monkeypatch.setattr(AIOKafkaAdminClient, "list_topics", then_deleted)
        assert asyncio.run(migrate_topics(engines.kafka, prefix="listed.")).created == (name,)

    def test_a_kafka_that_is_away_is_named(self) -> None:
        with pytest.raises(EngineUnavailable, match=r"127\.0\.0\.1:9"):
            asyncio.run(migrate_topics("127.0.0.1:9"))

    def test_the_broker_makes_no_topic_by_itself(self, engines: Engines) -> None:
        async def ask() -> set[str]:
            consumer = AIOKafkaConsumer(bootstrap_servers=engines.kafka)
            await consumer.start()
            try:
                consumer.subscribe(["never.made"])
                await consumer.topics()
            finally:
                await consumer.stop()
            return await _names(engines.kafka, "never.")

        assert asyncio.run(ask()) == set()


def test_prepare_makes_both_ready_and_may_be_run_again(engines: Engines) -> None:
    url = f"{engines.clickhouse}/p{os.urandom(6).hex()}"
    environment = {**os.environ, "PULSE_KAFKA": engines.kafka, "PULSE_CLICKHOUSE": url}
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "deploy.prepare"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert {topic.name for topic in TOPICS} <= asyncio.run(_names(engines.kafka, ""))
    assert migrate_tables(url) == []


def test_prepare_says_what_it_was_not_told_and_what_is_away() -> None:
    away = {"PULSE_KAFKA": "127.0.0.1:9", "PULSE_CLICKHOUSE": "http://user:secret@127.0.0.1:9/pulse"}
    for given, said in (({}, "PULSE_KAFKA and PULSE_CLICKHOUSE must be set"), (away, "kafka at 127.0.0.1:9")):
        bare = {name: value for name, value in os.environ.items() if not name.startswith("PULSE_")}
        done = subprocess.run(
            [sys.executable, "-m", "deploy.prepare", "--within", "0"],
            env=bare | given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 1
        assert said in done.stderr
        assert "secret" not in done.stderr


def test_ready_asks_a_service(engines: Engines) -> None:
    command = [sys.executable, "-m", "deploy.ready", engines.clickhouse]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr.startswith("404")) == (1, True)  # the engine has no /readyz
    away = subprocess.run([*command[:-1], "http://127.0.0.1:9"], capture_output=True, timeout=30, check=False)
    assert away.returncode == 1


def test_engines_answer_and_say_so(engines: Engines) -> None:
    assert asyncio.run(kafka_answers(engines.kafka))
    assert asyncio.run(clickhouse_answers(f"{engines.clickhouse}/default"))
    assert not asyncio.run(kafka_answers("127.0.0.1:9"))
    assert not asyncio.run(clickhouse_answers("http://127.0.0.1:9/default"))


def test_what_was_acknowledged_survives_kill_9_of_both_engines(tmp_path: Path) -> None:
    """Killed right after the last acknowledgement, twice; every acknowledged record and row is there afterwards."""
    with running_engines(tmp_path) as engines:
        topic = engines.topics()[FEEDBACK]
        url = engines.database()
        with client(url) as clickhouse:
            clickhouse.command(f"CREATE TABLE t ({SCHEMA}) ENGINE = MergeTree ORDER BY k")
        sent: list[bytes] = []
        for turn in range(2):
            sent += asyncio.run(_produce(engines.kafka, topic, turn))
            with client(url) as clickhouse:
                for _ in range(5):
                    clickhouse.insert("t", rows(100), column_names=COLUMNS)
            for engine in (engines.kafka_engine, engines.clickhouse_engine):
                engine.kill()
                engine.start()
            for engine in (engines.kafka_engine, engines.clickhouse_engine):
                engine.wait()
            with client(url) as clickhouse:
                assert clickhouse.query("SELECT count() FROM t").result_rows == [(500 * (turn + 1),)]
            assert sorted(asyncio.run(_consume(engines.kafka, topic, len(sent)))) == sorted(sent)
        assert engines.clickhouse_engine.stop() == 0
        assert engines.kafka_engine.stop() in (0, 143)  # 143: the JVM's own way of an orderly end by SIGTERM


def test_a_second_process_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with running_engines(tmp_path) as engines:
        first = engines.clickhouse_engine
        port = first.command.index("--port") + 1
        second = replace(first, command=(*first.command[:port], "0", *first.command[port + 1 :]), processes=[])
        second.start()
        assert second.processes[0].wait(timeout=20) == 1
        assert psutil.pid_exists(first.pid)


async def _produce(kafka: str, topic: str, turn: int) -> list[bytes]:
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        values = [f"{turn}-{n}".encode() for n in range(500)]
        await asyncio.gather(*[await producer.send(topic, value) for value in values])
    finally:
        await producer.stop()
    return values


async def _consume(kafka: str, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        read: list[bytes] = []
        async with asyncio.timeout(20):
            while len(read) < count:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    read += [record.value for record in records]
    finally:
        await consumer.stop()
    return read


async def _settings(kafka: str, topic: str) -> dict[str, str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    finally:
        await admin.close()
    return {entry[0]: entry[1] for entry in answer.resources[0][4]}


async def _names(kafka: str, prefix: str) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        return {name for name in await admin.list_topics() if name.startswith(prefix)}
    finally:
        await admin.close()


def _with(topic: Any, **config: str) -> Any:
    return type(topic)(topic.name, topic.key, topic.partitions, topic.config | config, topic.about)


def _resized(topic: Any, partitions: int) -> Any:
    return type(topic)(topic.name, topic.key, partitions, topic.config, topic.about)
