"""How the local broker is configured and started: values only, nothing here runs anything."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

# 512 MB hold the broker of one machine; the serial collector starts fastest and leaves the other core alone.
# No hsperfdata file in /tmp; out of memory ends the process, and the supervisor starts it again.
JVM_FLAGS: Final = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
)
# For the short-lived tools: compiling for top speed costs more than it gives.
TOOL_FLAGS: Final = ("-XX:TieredStopAtLevel=1",)
BROKER_MAIN: Final = "kafka.Kafka"
FORMAT_MAIN: Final = "kafka.tools.StorageTool"
LOG4J: Final = Path(__file__).with_name("log4j2.properties")


@dataclass(frozen=True, slots=True)
class Broker:
    """One node that is both broker and controller, on loopback. `home` holds its settings and its data."""

    home: Path
    port: int
    controller_port: int

    @property
    def logs(self) -> Path:
        return self.home / "data"

    @property
    def settings_file(self) -> Path:
        return self.home / "server.properties"


def cluster_id(seed: UUID) -> str:
    """A cluster id as Kafka writes it: 22 characters of base64. No leading dash: the tools take it for a flag."""
    return "P" + base64.urlsafe_b64encode(seed.bytes).decode().rstrip("=")[1:]


def server_properties(broker: Broker, logs: Path | None = None) -> str:
    """The text of server.properties. `logs`: another data folder than the broker's, for formatting it aside."""
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        # A static quorum: its address is not written into the data, so the ports may change between two starts.
        "controller.quorum.voters": f"1@127.0.0.1:{broker.controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{broker.port},CONTROLLER://127.0.0.1:{broker.controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{broker.port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(logs or broker.logs),
        "auto.create.topics.enable": "false",
        "default.replication.factor": "1",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # Fewer internal partitions: the broker starts and recovers faster.
        "offsets.topic.num.partitions": "5",
        "transaction.state.log.num.partitions": "1",
        "share.coordinator.state.topic.num.partitions": "1",
        # A killed broker may register again when its old session has ended: with the default of 9 s that was
        # the larger part of a 12 s restart.
        "broker.session.timeout.ms": "2000",
        "broker.heartbeat.interval.ms": "300",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "log.cleaner.enable": "true",
        "log.cleaner.dedupe.buffer.size": str(32 * 1024 * 1024),
        "num.network.threads": "2",
        "num.io.threads": "4",
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def java_command(
    java: Path, jars: Sequence[Path], main: str, arguments: Sequence[str], flags: Sequence[str] = ()
) -> list[str]:
    """The argument list of one JVM run of `main`."""
    return [
        str(java),
        *JVM_FLAGS,
        *flags,
        f"-Dlog4j2.configurationFile={LOG4J}",
        "-cp",
        ":".join(map(str, jars)),
        main,
        *arguments,
    ]
