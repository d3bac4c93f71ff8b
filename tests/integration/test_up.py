"""`pulse up`, whole: real engines, real services, started and ended as a person would."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.local.ports import free_base
from deploy.local.probes import clickhouse_answers, kafka_answers, service_ready
from deploy.local.spawn import on_leash
from deploy.topics import migrate_topics
from schemas.topics import Topic
from tests.engines import in_own_loop, wait_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

# Of the test alone: no service reads it.
PROBE = Topic("up.probe", "none", 1, {}, "what a test writes")
NAMES = {"kafka", "clickhouse", "ingest", "worker-0", "sink", "query", "alerts"}


@dataclass(slots=True)
class Instance:
    """One `pulse up` and the line it printed."""

    data: Path
    base: int
    process: subprocess.Popen[str]
    ready: dict[str, Any]

    @property
    def pids(self) -> dict[str, int]:
        """Pids of now, from client.json."""
        found: dict[str, int] = json.loads((self.data / "client.json").read_text())["pids"]
        return found


def command(data: Path, base: int, *more: str) -> list[str]:
    return [sys.executable, "-m", "services.cli", "up", "--data", str(data), "--port-base", str(base), "--json", *more]


def start(data: Path, base: int) -> Instance:
    data.mkdir(exist_ok=True)
    with (data / "supervisor.log").open("ab") as log:
        # On a leash: nothing stays behind when the tests are interrupted.
        process = subprocess.Popen(on_leash(command(data, base)), stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()  # ends with the process at the latest, and that ends by itself
    if not line:
        process.wait(timeout=60)
        pytest.fail(f"not ready, exit code {process.returncode}: {(data / 'supervisor.log').read_text()[-3000:]}")
    return Instance(data, base, process, json.loads(line))


def end(instance: Instance) -> None:
    """Leave nothing behind, whatever happened."""
    instance.process.kill()
    instance.process.communicate()


def alive(pids: dict[str, int]) -> list[str]:
    def runs(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    return [name for name, pid in pids.items() if runs(pid)]


def answers(instance: Instance) -> bool:
    """Both engines and every door."""
    ready = instance.ready

    async def ask() -> list[bool]:
        return await asyncio.gather(
            kafka_answers(ready["kafka"]),
            clickhouse_answers(ready["clickhouse"]),
            *(service_ready(ready[name]) for name in ("ingest", "query", "alerts")),
        )

    return all(in_own_loop(ask()))


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    started = start(tmp_path_factory.mktemp("up") / "a", free_base())
    try:
        yield started
    finally:
        end(started)


def test_one_line_says_where_everything_is(instance: Instance) -> None:
    base, ready = instance.base, instance.ready
    assert ready["ready"] is True
    assert [ready[name] for name in ("ingest", "query", "alerts")] == [f"http://127.0.0.1:{base + i}" for i in range(3)]
    assert ready["kafka"] == f"127.0.0.1:{base + 3}"
    assert ready["clickhouse"].startswith(f"http://127.0.0.1:{base + 5}")
    assert {"write", "read", "import", "admin"} <= ready["keys"].keys()
    assert ready["pids"].keys() == NAMES
    assert sorted(alive(ready["pids"])) == sorted(NAMES)
    done = subprocess.run([sys.executable, "-m", "deploy.ready", ready["ingest"]], timeout=30, check=False)
    assert done.returncode == 0
    assert answers(instance)


def test_clients_find_the_same_in_the_data_directory(instance: Instance) -> None:
    client = json.loads((instance.data / "client.json").read_text())
    assert client["pid"] == instance.process.pid
    assert {name: client[name] for name in ("ingest", "query", "alerts", "kafka", "clickhouse", "keys", "pids")} == {
        name: value for name, value in instance.ready.items() if name != "ready"
    }


def test_the_minted_keys_open_the_doors(instance: Instance) -> None:
    keys = instance.ready["keys"]
    body = json.dumps({"team": "support", "score": 9}).encode()
    headers = {"Authorization": f"Bearer {keys['write']}", "Content-Type": "application/json"}
    post = urllib.request.Request(f"{instance.ready['ingest']}/v1/responses", data=body, headers=headers)  # noqa: S310
    with urllib.request.urlopen(post, timeout=30) as answer:  # noqa: S310  our own instance
        assert answer.status == 202
    headers = {"Authorization": f"Bearer {keys['read']}"}
    get = urllib.request.Request(f"{instance.ready['query']}/v1/teams", headers=headers)  # noqa: S310
    with urllib.request.urlopen(get, timeout=30) as answer:  # noqa: S310
        assert answer.status == 200


def test_no_key_but_the_public_one_is_in_a_services_environment(instance: Instance) -> None:
    secret = [key for kind, key in instance.ready["keys"].items() if kind != "widget"]
    for name in NAMES - {"kafka", "clickhouse"}:
        environment = psutil.Process(instance.pids[name]).environ()
        assert not [variable for variable, value in environment.items() if any(key in value for key in secret)], name


def test_a_second_up_on_the_same_directory_names_the_pid_and_exits_2(instance: Instance) -> None:
    done = subprocess.run(command(instance.data, free_base()), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert str(instance.process.pid) in done.stderr


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    base = free_base()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", base + 3))
        listener.listen()
        done = subprocess.run(command(tmp_path, base), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"port {base + 3} (kafka)" in done.stderr


@pytest.mark.parametrize("engine", ["kafka", "clickhouse"])
def test_a_killed_engine_comes_back_where_it_was_with_its_data(instance: Instance, engine: str) -> None:
    before = instance.pids
    offset = in_own_loop(_write(instance.ready["kafka"], engine.encode()))
    psutil.Process(before[engine]).kill()
    wait_for(lambda: instance.pids[engine] != before[engine], 30, f"another start of {engine}")
    wait_for(partial(answers, instance), 60, "everything answering again")
    assert in_own_loop(_read(instance.ready["kafka"], offset)) == engine.encode()


def test_a_killed_service_comes_back(instance: Instance) -> None:
    before = instance.pids
    for name in ("ingest", "worker-0", "sink", "query", "alerts"):
        psutil.Process(before[name]).kill()
    wait_for(lambda: all(instance.pids[name] != before[name] for name in NAMES - {"kafka", "clickhouse"}), 60)
    wait_for(partial(answers, instance), 60, "everything answering again")
    assert instance.pids["kafka"] == before["kafka"]


def test_two_run_side_by_side_and_the_death_of_one_supervisor_leaves_nothing_of_it(
    instance: Instance, tmp_path: Path
) -> None:
    """Then the same directory continues: same keys, same ports; and SIGTERM ends it in order with exit code 0."""
    other = start(tmp_path / "b", free_base())
    try:
        assert answers(other)
        assert answers(instance)
        other.process.kill()
        wait_for(lambda: not alive(other.ready["pids"]), 10, "the end of every process of the killed supervisor")
    finally:
        end(other)
    again = start(other.data, other.base)
    try:
        assert again.ready["keys"] == other.ready["keys"]
        assert {**again.ready, "pids": {}} == {**other.ready, "pids": {}}
        again.process.send_signal(signal.SIGTERM)
        rest, _ = again.process.communicate(timeout=90)
        assert (again.process.returncode, rest) == (0, "")
        assert alive(again.ready["pids"]) == []
        log = (again.data / "supervisor.log").read_text()
        assert "killed=True" not in log  # each of them ended by itself
        assert json.loads((again.data / "client.json").read_text())["pid"] is None
    finally:
        end(again)
    assert answers(instance)


async def _write(kafka: str, value: bytes) -> int:
    await migrate_topics(kafka, [PROBE])
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all")
    await producer.start()
    try:
        return int((await producer.send_and_wait(PROBE.name, value, partition=0)).offset)
    finally:
        await producer.stop()


async def _read(kafka: str, offset: int) -> bytes:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka)
    await consumer.start()
    try:
        partition = TopicPartition(PROBE.name, 0)
        consumer.assign([partition])
        consumer.seek(partition, offset)
        return bytes((await asyncio.wait_for(consumer.getone(), 20)).value)
    finally:
        await consumer.stop()
