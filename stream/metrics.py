"""Metrics of the worker and the sink. docs/operations/metrics.md explains each, held by a test."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from schemas import topics
from schemas.rejects import Reject
from stream.domain import messages
from stream.domain.work import Effects

RECORDS = Counter("pulse_worker_records_total", "Log records folded")
REJECTED = Counter("pulse_worker_rejected_total", "Log records that could not be used", ["reason"])
BATCH_RECORDS = Histogram("pulse_worker_batch_records", "Records of one batch", buckets=(1, 10, 100, 500, 1000, 4000))
BATCH_SECONDS = Histogram(
    "pulse_worker_batch_seconds", "Fold and atomic write of one batch", buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2)
)
POSITION = Gauge("pulse_worker_position", "Next offset to fold", ["partition"])
STREAM_TIME = Gauge("pulse_worker_stream_time_seconds", "Greatest append time folded", ["partition"])
OPEN_PARTITIONS = Gauge("pulse_worker_open_partitions", "Partitions this worker holds open")
REBUILT = Counter("pulse_worker_rebuilt_records_total", "Log records folded without output to catch a state up")
CHECKPOINTS = Counter("pulse_worker_checkpoints_total", "Copies of a partition's state", ["outcome"])
CHECKPOINT_SECONDS = Histogram(
    "pulse_worker_checkpoint_seconds", "One copy of a partition's state", buckets=(0.02, 0.1, 0.5, 2, 10, 60)
)
RESTORED = Counter("pulse_worker_restored_total", "Partitions whose rebuild began at a checkpoint")
TICKS = Counter("pulse_worker_ticks_total", "Ticks appended to the log")
CARRIES = Counter("pulse_worker_carries_total", "Records appended to the log that say again what would outlive it")
SEND_FAILURES = Counter("pulse_stream_send_failures_total", "Sends to Kafka that had to be tried again")
SINK_ROWS = Counter("pulse_sink_rows_total", "Rows written to ClickHouse", ["table"])
SINK_FLUSH_SECONDS = Histogram(
    "pulse_sink_flush_seconds", "One flush to ClickHouse", buckets=(0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 2, 10)
)
SINK_RETRIES = Counter("pulse_sink_retries_total", "Writes that ClickHouse refused for now and that were tried again")
SINK_ERASED = Counter("pulse_sink_erased_total", "Erased answers whose rows were deleted from ClickHouse", ["table"])
SINK_REJECTED = Counter("pulse_sink_rejected_total", "Rows that ClickHouse refuses for good", ["table"])


def folded(partition: int, effects: Effects, seconds: float) -> None:
    """Count one batch of the worker."""
    RECORDS.inc(effects.records)
    BATCH_RECORDS.observe(effects.records)
    BATCH_SECONDS.observe(seconds)
    POSITION.labels(partition).set(effects.meta.position)
    STREAM_TIME.labels(partition).set(effects.meta.known_ms / 1000)
    for out in effects.outputs:
        if out.topic == topics.REJECTS and out.value is not None:
            reject = messages.read(out.topic, out.value)
            if isinstance(reject, Reject):
                REJECTED.labels(reject.reason).inc()
