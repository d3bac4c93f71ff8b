"""One Kafka producer, made as the door needs it, and the clock that it has to find."""

from __future__ import annotations

from typing import Any, Final

from aiokafka import AIOKafkaProducer

from schemas.topics import FEEDBACK
from services.common.producing import WrongTopic

CONNECT_S: Final = 3.0  # for connecting, a producer id and a first tick
REQUEST_TIMEOUT_MS: Final = 5_000
MAX_BATCH_BYTES: Final = 256 * 1024  # of one partition; a full one makes senders wait
LOG_APPEND_TIME: Final = 1


def make_producer(brokers: str) -> AIOKafkaProducer:
    """A producer that is not started yet. Linger 0: what arrives while a request is under way makes the next batch."""
    return AIOKafkaProducer(
        bootstrap_servers=brokers,
        client_id="pulse-ingest",
        acks="all",
        enable_idempotence=True,
        linger_ms=0,
        max_batch_size=MAX_BATCH_BYTES,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
    )


def check_clock(held: Any) -> None:
    """Raises WrongTopic unless the broker stamps the log's records itself: that is the one clock everything uses."""
    if held.offset >= 0 and held.timestamp_type != LOG_APPEND_TIME:
        raise WrongTopic(f"topic {FEEDBACK} must have message.timestamp.type=LogAppendTime")
