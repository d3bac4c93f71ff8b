"""Which processes one instance consists of: their commands, environments and addresses. Starts nothing."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from deploy.local.home import Secrets
from deploy.local.ports import ports_of
from deploy.local.probes import clickhouse_answers, kafka_answers, service_ready

DATABASE = "pulse"
# Where processors are short, what somebody waits for goes first, and the tables, which are behind anyway, come after.
_AFTER_OTHERS = ("nice", "-n", "10")


@dataclass(frozen=True, slots=True)
class Child:
    """One process: how it is started, and the question whose yes means that it is ready."""

    name: str
    command: tuple[str, ...]
    address: str
    ready: Callable[[], Awaitable[bool]]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """One instance. `engines` are started first and stopped last; services stop in the order of `stop_order`."""

    base: int
    kafka: str
    clickhouse: str
    engines: tuple[Child, ...]
    services: tuple[Child, ...]

    def service(self, name: str) -> str:
        """Address of a service, http://127.0.0.1:port."""
        return next(child.address for child in self.services if child.name == name)

    @property
    def stop_order(self) -> tuple[tuple[str, ...], ...]:
        """Along the line: the door first, so that everything behind it drains; the engines last, together."""
        workers = tuple(child.name for child in self.services if child.name.startswith("worker-"))
        return (
            ("teams",),
            ("ingest",),
            workers,
            ("sink",),
            ("query",),
            ("alerts",),
            tuple(child.name for child in self.engines),
        )


def make_plan(
    data: Path,
    base: int,
    workers: int,
    secrets: Secrets,
    kafka: str | None = None,
    clickhouse: str | None = None,
    teams: Path | None = None,
) -> Plan:
    """The processes of the instance in `data`. An engine whose address is given is used, not started.

    `teams`: the file of teams, which a process of its own keeps in force.
    """
    ports = ports_of(base, workers)
    engines = []
    if kafka is None:
        kafka = f"127.0.0.1:{ports['kafka']}"
        engines.append(_kafka(data, kafka, ports))
    if clickhouse is None:
        clickhouse = f"http://127.0.0.1:{ports['clickhouse']}/{DATABASE}"
        engines.append(_clickhouse(data, clickhouse, ports))
    log = {"PULSE_KAFKA": kafka}
    tables = {"PULSE_CLICKHOUSE": clickhouse}
    door = {"PULSE_KEY_HASHES": secrets.hashes()}
    environments = {
        "ingest": log
        | tables
        | door
        | {
            "PULSE_INGEST_PORT": str(ports["ingest"]),
            "PULSE_RESPONDENT_SECRET": secrets.respondent_secret,
            "PULSE_DEMO_WIDGET_KEY": secrets.keys["widget"],
        },
        **{
            f"worker-{i}": log
            | {
                "PULSE_WORKER_ID": f"worker-{i}",
                "PULSE_WORKER_METRICS_PORT": str(ports[f"worker-{i}"]),
                "PULSE_STATE_DIR": str(data / "state" / f"worker-{i}"),
                "PULSE_CHECKPOINT_DIR": str(data / "checkpoints"),
            }
            for i in range(workers)
        },
        "sink": log | tables | {"PULSE_SINK_METRICS_PORT": str(ports["sink"])},
        "query": log | tables | door | {"PULSE_QUERY_PORT": str(ports["query"])},
        "alerts": log
        | tables
        | door
        | {"PULSE_ALERTS_PORT": str(ports["alerts"]), "PULSE_ALERTS_DIR": str(data / "alerts")},
    }
    services = tuple(_service(name, ports[name], env) for name, env in environments.items())
    keeping = () if teams is None else (_teams(data, teams),)
    return Plan(base, kafka, clickhouse, tuple(engines), (*services, *keeping))


def _teams(data: Path, file: Path) -> Child:
    command = (sys.executable, "-m", "services.cli", "config", "apply", str(file), "--watch", "--data", str(data))
    # An address or a key for somebody else's instance is not for this one.
    return Child("teams", command, str(file), _at_once, {"PULSE_URL": "", "PULSE_KEY": ""})


async def _at_once() -> bool:
    return True


def _kafka(data: Path, address: str, ports: Mapping[str, int]) -> Child:
    arguments = (
        "--data",
        str(data),
        "--port",
        str(ports["kafka"]),
        "--controller-port",
        str(ports["kafka-controller"]),
    )
    command = (sys.executable, "-m", "deploy.local.kafka", *arguments)
    return Child("kafka", command, address, partial(kafka_answers, address))


def _clickhouse(data: Path, url: str, ports: Mapping[str, int]) -> Child:
    arguments = ("--data", str(data), "--port", str(ports["clickhouse"]))
    command = (*_AFTER_OTHERS, sys.executable, "-m", "deploy.local.clickhouse", *arguments)
    return Child("clickhouse", command, url, partial(clickhouse_answers, url))


def _service(name: str, port: int, env: Mapping[str, str]) -> Child:
    address = f"http://127.0.0.1:{port}"
    priority = _AFTER_OTHERS if name == "sink" else ()
    command = (*priority, sys.executable, "-m", "services.cli", name.partition("-")[0])
    return Child(name, command, address, partial(service_ready, address), env)
