"""The settings and commands of the local broker."""

from __future__ import annotations

import base64
from pathlib import Path
from uuid import UUID

import pytest

from deploy.local.kafka_config import Broker, cluster_id, java_command, server_properties

BROKER = Broker(Path("/data/kafka"), 8603, 8604)


def settings(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines())


@pytest.mark.parametrize("seed", [UUID(int=0), UUID(int=0xFB << 120), UUID(int=(1 << 128) - 1)])
def test_a_cluster_id_is_never_taken_for_a_flag(seed: UUID) -> None:
    made = cluster_id(seed)
    assert not made.startswith("-")
    assert len(base64.urlsafe_b64decode(made + "==")) == 16


def test_the_broker_listens_on_loopback_only_and_makes_no_topics() -> None:
    found = settings(server_properties(BROKER))
    assert found["listeners"] == "PLAINTEXT://127.0.0.1:8603,CONTROLLER://127.0.0.1:8604"
    assert found["advertised.listeners"] == "PLAINTEXT://127.0.0.1:8603"
    assert found["auto.create.topics.enable"] == "false"
    assert found["log.dirs"] == "/data/kafka/data"


def test_one_node_needs_no_replicas() -> None:
    found = settings(server_properties(BROKER))
    assert {value for name, value in found.items() if name.endswith(("replication.factor", "min.isr"))} == {"1"}


def test_sessions_of_six_seconds_are_allowed() -> None:
    assert int(settings(server_properties(BROKER))["group.min.session.timeout.ms"]) <= 6_000


def test_storage_can_be_formatted_aside() -> None:
    assert settings(server_properties(BROKER, Path("/data/kafka/data.new")))["log.dirs"] == "/data/kafka/data.new"


def test_the_jvm_gets_every_jar_and_its_arguments_last() -> None:
    command = java_command(
        Path("/java"), [Path("/a.jar"), Path("/b.jar")], "kafka.Kafka", ["server.properties"], ["-Xlog"]
    )
    assert command[0] == "/java"
    assert command[command.index("-cp") + 1] == "/a.jar:/b.jar"
    assert command[-2:] == ["kafka.Kafka", "server.properties"]
    assert "-Xmx512m" in command
    assert "-Xlog" in command
