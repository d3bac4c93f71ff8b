"""Every error that bringing Pulse up raises on purpose.

DeployError
├── JarMismatch            a jar is not the one the lock file names; nothing is started with it
├── JarUnavailable         a jar could not be fetched
├── EngineUnavailable      Kafka or ClickHouse did not answer in time
├── DataInUse              another `pulse up` runs on this data directory
├── PortTaken              somebody else listens on a port we were told to use
├── TopicMismatch          a topic exists with another partition count
├── TopicRefused           the cluster refused to create or change a topic
├── LogMoved               a later generation of the log is there, or being made
├── GenerationMissing      a generation was asked for that nobody has made
├── MigrationRefused       a migration file is misnamed, has changed since it was applied, or failed
└── GaveUp                 a process died too often
"""

from __future__ import annotations

from pathlib import Path

from schemas.generations import Generation


class DeployError(Exception):
    """Base class. `code` is stable; the message names the thing and what to do."""

    code = "deploy_error"


class JarMismatch(DeployError):
    code = "jar_mismatch"

    def __init__(self, coordinate: str, path: Path, expected: str, found: str) -> None:
        super().__init__(
            f"{coordinate}: {path} has sha256 {found}, the lock file says {expected}. "
            "Not started. Delete the file to fetch it again."
        )
        self.coordinate = coordinate
        self.path = path


class JarUnavailable(DeployError):
    code = "jar_unavailable"

    def __init__(self, coordinate: str, reason: str) -> None:
        super().__init__(f"{coordinate} could not be fetched: {reason}")
        self.coordinate = coordinate


class EngineUnavailable(DeployError):
    code = "engine_unavailable"

    def __init__(self, engine: str, address: str, waited_s: float) -> None:
        super().__init__(f"{engine} at {address} did not answer within {waited_s:.0f} s")
        self.engine = engine
        self.address = address


class DataInUse(DeployError):
    code = "data_in_use"

    def __init__(self, data: Path, pid: int | None) -> None:
        super().__init__(f"{data} is in use by pid {pid if pid is not None else 'unknown'}")
        self.data = data
        self.pid = pid


class PortTaken(DeployError):
    code = "port_taken"

    def __init__(self, name: str, port: int) -> None:
        super().__init__(
            f"port {port} ({name}) is taken by another process. "
            "Choose others with --port-base N, or let free ones be chosen with --port-base 0."
        )
        self.name = name
        self.port = port


class TopicMismatch(DeployError):
    code = "topic_mismatch"

    def __init__(self, topic: str, expected: int, found: int) -> None:
        super().__init__(
            f"topic {topic} has {found} partitions, {expected} are asked for. "
            "The count is fixed for the life of a log: keep it, or copy the log with `pulse repartition`."
        )
        self.topic = topic
        self.expected = expected
        self.found = found


class TopicRefused(DeployError):
    code = "topic_refused"

    def __init__(self, topic: str, error: str) -> None:
        super().__init__(f"topic {topic}: the cluster answered {error}")
        self.topic = topic


class LogMoved(DeployError):
    code = "log_moved"

    def __init__(self, asked: Generation, later: Generation, *, whole: bool) -> None:
        now = (
            f"the log goes on as generation {later.number}: set PULSE_GENERATION={later.number} and "
            f"PULSE_PARTITIONS={later.partitions}"
            if whole
            else f"generation {later.number} is being made: run `pulse repartition` to its end, or `--undo` it"
        )
        super().__init__(f"generation {asked.number} of the log is closed; {now}")
        self.later = later


class GenerationMissing(DeployError):
    code = "generation_missing"

    def __init__(self, asked: Generation) -> None:
        super().__init__(
            f"there is no generation {asked.number} of the log: `pulse repartition` makes it out of the one before"
        )


class MigrationRefused(DeployError):
    code = "migration_refused"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"migration {name}: {reason}")
        self.name = name


class GaveUp(DeployError):
    code = "gave_up"

    def __init__(self, child: str, deaths: int, within_s: float, last_lines: str) -> None:
        super().__init__(f"{child} died {deaths} times within {within_s:.0f} s; its last lines:\n{last_lines}")
        self.child = child
