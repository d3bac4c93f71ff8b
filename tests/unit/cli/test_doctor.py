"""What the doctor says about a machine and a data folder."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from services.cli.doctor import doors, engines, folder, machine
from services.cli.doctor.command import examine
from services.cli.doctor.machine import GIB
from services.cli.instance import ClientFile, read_client_file
from tests.unit.cli.conftest import FakeService, Pulse


def change(data: Path, **fields: Any) -> ClientFile:
    path = data / "client.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return read_client_file(data)


@pytest.mark.parametrize(("free", "level"), [(20 * GIB, "ok"), (2 * GIB, "warn"), (GIB // 2, "bad")])
def test_little_room_on_the_disk_is_told_before_it_is_too_late(tmp_path: Path, free: int, level: str) -> None:
    assert machine.disk(tmp_path / "not" / "yet", free).level == level


@pytest.mark.parametrize(("available", "level"), [(4 * GIB, "ok"), (GIB, "warn")])
def test_little_memory_is_told(available: int, level: str) -> None:
    assert machine.memory(available).level == level


def test_a_taken_port_is_named_with_who_would_use_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        [finding] = machine.ports(port)
    assert finding.level == "bad"
    assert finding.saw == f"port {port} (ingest) is taken by another program"


def test_no_instance_is_told_with_how_to_start_one(tmp_path: Path) -> None:
    [finding], client = folder.look(tmp_path)
    assert client is None
    assert (finding.level, finding.what) == ("bad", "instance")
    assert f"pulse up --data {tmp_path}" in finding.do


def test_keys_that_others_can_read_are_told(data: Path) -> None:
    (data / "client.json").chmod(0o644)
    findings, _ = folder.look(data)
    assert [finding.do for finding in findings if finding.what == "keys"] == [f"chmod 600 {data / 'client.json'}"]


def test_a_stopped_instance_is_told(data: Path) -> None:
    findings, client = folder.look(data)
    assert client is None
    assert findings[-1].saw == f"nothing runs in {data}"


def test_a_supervisor_that_is_gone_is_told(data: Path) -> None:
    change(data, pid=2**22 + 1)
    findings, client = folder.look(data)
    assert client is None
    assert "is gone" in findings[-1].saw


def test_a_process_that_is_gone_is_told_with_its_log(data: Path) -> None:
    change(data, pid=os.getpid(), pids={"ingest": os.getpid(), "sink": 2**22 + 1})
    findings, client = folder.look(data)
    assert client is not None
    assert findings[-1].saw == "not running: sink"
    assert str(data / "logs" / "sink.log") in findings[-1].do


def test_every_service_is_asked_where_it_listens(data: Path) -> None:
    client = change(data, pids={"worker-0": 1, "worker-1": 2})
    assert set(doors.addresses_of(client, data)) == {"ingest", "query", "alerts"}
    (data / "ports").write_text("8640\n")
    addresses = doors.addresses_of(client, data)
    assert addresses["sink"] == "http://127.0.0.1:8646"
    assert addresses["worker-1"] == "http://127.0.0.1:8651"


async def test_a_service_that_is_not_ready_says_why(data: Path, service: FakeService) -> None:
    service.says("/readyz", {"detail": "no produce was acknowledged lately"}, 503)
    service.says("/v1/position", {"partitions": []})
    found = {finding.what: finding for finding in await doors.services(read_client_file(data), data)}
    assert found["ingest"].saw == "not ready: no produce was acknowledged lately"
    assert found["read key"].level == found["lag"].level == "ok"


async def test_a_service_that_works_but_has_something_to_say_is_a_warning(data: Path, service: FakeService) -> None:
    service.says("/readyz", {"status": "ready", "notices": ["slack: 3 given up and not told"]})
    found = {finding.what: finding for finding in await doors.services(read_client_file(data), data)}
    assert (found["alerts"].level, found["alerts"].saw) == ("warn", "slack: 3 given up and not told")
    service.says("/readyz", {"status": "ready"})
    found = {finding.what: finding for finding in await doors.services(read_client_file(data), data)}
    assert found["alerts"].level == "ok"


async def test_a_key_the_services_do_not_know_is_told(data: Path, service: FakeService) -> None:
    service.says("/v1/position", {"detail": "not known"}, 401)
    found = {finding.what: finding for finding in await doors.services(read_client_file(data), data)}
    assert found["read key"].level == "bad"
    assert found["lag"].level == "warn"


@pytest.mark.parametrize(
    ("first", "second", "level", "names"),
    [
        ((10, 10), (0, 0), "ok", ""),
        ((10, 10), (5, 7), "warn", ""),
        ((10, 10), (10, 10), "bad", "worker-0.log"),
        ((0, 10), (0, 12), "bad", "sink.log"),
    ],
)
def test_lag_is_bad_when_it_does_not_shrink(
    first: tuple[int, int], second: tuple[int, int], level: str, names: str, tmp_path: Path
) -> None:
    looks = [dict(zip(("folded", "sunk"), look, strict=True)) for look in (first, second)]
    finding = doors.judge_lag(looks[0], looks[1], tmp_path)
    assert finding.level == level
    assert names in finding.do


@pytest.mark.parametrize(("ahead_s", "level"), [(0.4, "ok"), (-4.0, "ok"), (90.0, "bad"), (-90.0, "bad")])
def test_clocks_that_differ_are_told(ahead_s: float, level: str) -> None:
    assert doors.judge_clock(ahead_s).level == level


async def test_engines_that_do_not_answer_are_told_without_a_password() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    [kafka] = await engines.kafka(f"127.0.0.1:{port}")
    [clickhouse] = await engines.clickhouse(f"http://user:hidden@127.0.0.1:{port}/pulse")
    assert (kafka.level, clickhouse.level) == ("bad", "bad")
    assert "hidden" not in clickhouse.saw


def test_the_tables_are_those_of_the_migrations() -> None:
    assert {"panes", "answers", "positions"} <= engines.declared_tables()


def test_findings_are_printed_with_what_to_do_and_end_in_an_exit_code(pulse: Pulse, tmp_path: Path) -> None:
    result = pulse("doctor", "--data", str(tmp_path / "none"))
    assert result.exit_code == 1
    assert "✗ instance" in result.stdout
    assert "→ start one" in result.stdout
    document = json.loads(pulse("doctor", "--json", "--data", str(tmp_path / "none")).stdout)
    assert not document["ok"]
    assert {"level", "what", "saw", "do"} == set(document["findings"][0])


def test_a_machine_without_an_instance_is_looked_at_for_one(tmp_path: Path) -> None:
    assert [finding.what for finding in examine(tmp_path, None)] == [
        "python", "packages", "disk", "memory", "ports", "instance"
    ]  # fmt: skip
