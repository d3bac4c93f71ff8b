"""What the query service measures of itself."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_FAST: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

REQUEST_SECONDS: Final = Histogram(
    "pulse_query_request_seconds",
    "Seconds until an answer begins, by route and status",
    ("route", "status"),
    buckets=_FAST,
)
STORE_SECONDS: Final = Histogram(
    "pulse_query_store_seconds",
    "Seconds a ClickHouse query takes, by query and outcome: ok, unavailable or error",
    ("query", "outcome"),
    buckets=_FAST,
)
LIVE_SUBSCRIBERS: Final = Gauge("pulse_query_live_subscribers", "Open live event streams")
LIVE_EVENTS: Final = Counter("pulse_query_live_events", "Events taken from the topics for live streams", ("event",))
LIVE_RESETS: Final = Counter(
    "pulse_query_live_resets", "Times a stream was told to read everything again because it had fallen behind"
)
LOG_CONNECTED: Final = Gauge("pulse_query_log_connected", "1 while live events flow from Kafka, else 0")
