"""Settings of the worker and the sink. Read once, in `services.cli`, and passed down."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.generations import LAST, MOST_PARTITIONS, Generation
from schemas.topics import PARTITIONS


class StreamSettings(BaseSettings):
    """What both Faust apps need."""

    model_config = SettingsConfigDict(env_prefix="PULSE_", frozen=True, extra="ignore")

    kafka: str = Field(description="Kafka bootstrap servers, host:port[,host:port]; required")
    generation: int = Field(1, ge=1, le=LAST, description="generation of the log; grows with a repartition")
    partitions: int = Field(
        PARTITIONS,
        ge=1,
        le=MOST_PARTITIONS,
        description="partitions of that generation: fixed for its life",
    )
    host: str = Field("127.0.0.1", description="address the health and metrics pages listen on")
    session_timeout: timedelta = Field(
        timedelta(seconds=10), description="how long a dead worker keeps its partitions: the failover time"
    )

    @property
    def log(self) -> Generation:
        """The generation of the log that is meant, whole."""
        return Generation(self.generation, self.partitions)


class WorkerSettings(StreamSettings):
    """The fold."""

    worker_id: str = Field(
        "worker-0", description="static group membership; unique for each worker, the same after a restart"
    )
    worker_metrics_port: int = Field(8610, ge=0, le=65535, description="port of the worker's health and metrics")
    state_dir: Path = Field(description="folder of the worker's RocksDB, one database a partition; required")
    checkpoint_dir: str = Field(
        "", description="folder that copies of the state go to, shared by all workers if it can be; empty: no copies"
    )
    checkpoint_every: timedelta = Field(
        timedelta(minutes=10), description="time between two copies of a partition's state"
    )


class SinkSettings(StreamSettings):
    """The writer to ClickHouse."""

    sink_id: str = Field("sink-0", description="static group membership of the sink")
    sink_metrics_port: int = Field(8606, ge=0, le=65535, description="port of the sink's health and metrics")
    clickhouse: SecretStr = Field(description="ClickHouse, http://user:password@host:port/database; required")
    sink_interval: timedelta = Field(timedelta(milliseconds=500), description="longest wait before rows are written")
    sink_rows: int = Field(10_000, ge=1, description="rows of one table that are written at once without waiting")
    sweep_every: timedelta = Field(
        timedelta(minutes=10),
        description="how often what was deleted is helped off the disks: last segments of people.v1, replaced files",
    )
