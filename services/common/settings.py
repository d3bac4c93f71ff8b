"""Settings of the services. Read once, in `services.cli`, and passed down; no other module reads the environment.

Every variable starts with `PULSE_`; a misspelled one stops the start (`misspelled`). docs/configuration.md lists
them all, held by a test.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.generations import LAST, MOST_PARTITIONS, Generation
from schemas.topics import PARTITIONS

KeyKind = Literal["write", "read", "import", "admin", "widget"]


class KafkaSettings(BaseSettings):
    """Where the log is."""

    model_config = SettingsConfigDict(env_prefix="PULSE_", frozen=True, extra="ignore")

    kafka: str = Field(description="Kafka bootstrap servers, host:port[,host:port]; required")
    generation: int = Field(1, ge=1, le=LAST, description="generation of the log; grows with a repartition")
    partitions: int = Field(
        PARTITIONS,
        ge=1,
        le=MOST_PARTITIONS,
        description="partitions of that generation: fixed for its life",
    )

    @property
    def log(self) -> Generation:
        """The generation of the log that is meant, whole."""
        return Generation(self.generation, self.partitions)


class DoorSettings(BaseSettings):
    """What every HTTP service needs: where to listen and whose keys to honour."""

    model_config = SettingsConfigDict(env_prefix="PULSE_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="address the HTTP services listen on")
    key_hashes: dict[KeyKind, tuple[str, ...]] = Field(
        default_factory=dict, description='SHA-256 hex of the accepted keys, as JSON: {"write": ["…"], …}'
    )
    log_format: Literal["console", "json"] = Field("json", description="how log lines look: console or json")


class IngestSettings(KafkaSettings, DoorSettings):
    """The door that takes answers."""

    ingest_port: int = Field(8600, ge=0, le=65535, description="port of the ingest service")
    respondent_secret: SecretStr = Field(description="key of the respondent hash; never change it; required")
    default_region: str = Field("", description="region of phone numbers without a country code, such as DK")
    widget_origins: tuple[str, ...] = Field(
        (), description='web origins that may post with the widget key, as JSON: ["https://…"]'
    )
    widget_rate: str = Field("60/minute", description="answers one address may post with the widget key")
    demo_widget_key: SecretStr = Field(
        SecretStr(""), description="widget key that the page /demo posts with; empty: the page has no widget"
    )
    ingest_max_in_flight: int = Field(
        2_000, ge=1, description="answers waiting for the log at once; more are refused with 429"
    )
    publish_timeout: timedelta = Field(timedelta(seconds=10), description="wait for the log before answering 503")
    clickhouse: SecretStr = Field(
        SecretStr(""),
        description="ClickHouse, where all that a person to be erased has said is looked for; empty: nowhere",
    )


class QuerySettings(KafkaSettings, DoorSettings):
    """The door that shows scores, answers and follow-ups."""

    query_port: int = Field(8601, ge=0, le=65535, description="port of the query service")
    clickhouse: SecretStr = Field(description="ClickHouse, http://user:password@host:port/database; required")
    min_sample: int = Field(5, ge=1, description="below this many answers a score's state is too_few")


class AlertsSettings(KafkaSettings, DoorSettings):
    """The service that tells people."""

    alerts_port: int = Field(8602, ge=0, le=65535, description="port of the alerts service")
    clickhouse: SecretStr = Field(description="ClickHouse, http://user:password@host:port/database; required")
    alerts_dir: Path = Field(description="folder of the sent ids and pending retries; required")
    alerts_config: str = Field("", description="TOML file of the targets that are told; empty: no file")
    alerts_allow: tuple[str, ...] = Field(
        (), description='addresses, networks and hosts alerts may reach beside public ones, as JSON: ["10.0.0.0/8"]'
    )
    alerts_public_url: str = Field(
        "", description="address people reach the alerts service at; empty: messages have no buttons"
    )
    alerts_board_url: str = Field("", description="address of the board, linked in messages and pages; empty: no link")
    alerts_heartbeat_url: str = Field(
        "", description="address asked each time the whole line has been gone through; empty: none"
    )
    alerts_heartbeat_every: timedelta = Field(
        timedelta(seconds=60), ge=timedelta(seconds=1), description="time between two heartbeats"
    )
    alerts_webhook_url: str = Field("", description="target of the signed webhook; empty: no webhook")
    alerts_webhook_secret: SecretStr = Field(SecretStr(""), description="its secret, whsec_…; required with the URL")
    alarms_false_share: float = Field(
        0.05, ge=0, le=0.5, description="share of score alarms that may be false, on average; 0: no score alarms"
    )
    alarms_every: timedelta = Field(
        timedelta(seconds=60), gt=timedelta(0), description="how often scores are looked at for alarms"
    )


def misspelled(settings: Iterable[type[BaseSettings]], environ: Mapping[str, str]) -> set[str]:
    """Variables with our prefix that no setting reads: pydantic does not see these, and a typo must not pass."""
    known = {
        (model.model_config.get("env_prefix", "") + name).upper() for model in settings for name in model.model_fields
    }
    return {name for name in environ if name.upper().startswith("PULSE_") and name.upper() not in known}
