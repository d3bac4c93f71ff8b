"""Metrics of the ingest door. Children are bound once, so that counting an answer costs a fraction of a microsecond."""

from __future__ import annotations

from typing import Final, Literal

from prometheus_client import Counter, Gauge, Histogram

Outcome = Literal["accepted", "rejected", "retry"]
Command = Literal["exclude", "include", "erase", "erase_respondent", "windows", "policy"]

ANSWERS: Final = Counter(
    "pulse_ingest_answers_total", "Answers by outcome: accepted, rejected (bad fields) or retry (not held)", ["outcome"]
)
COMMANDS: Final = Counter(
    "pulse_ingest_commands_total", "Commands by outcome: accepted or retry (not held by all)", ["command", "outcome"]
)
PROBLEMS: Final = Counter("pulse_ingest_problems_total", "Requests refused, by problem code", ["code"])
PUBLISH_SECONDS: Final = Histogram(
    "pulse_ingest_publish_seconds",
    "From queueing an answer to its acknowledgement by the log",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
IN_FLIGHT: Final = Gauge("pulse_ingest_in_flight", "Answers waiting for the log to acknowledge them")
READY: Final = Gauge("pulse_ingest_ready", "1 while the log acknowledges, 0 while it does not")
PRODUCERS: Final = Counter(
    "pulse_ingest_producers_total", "Producers made: one at the start, one after each fatal error"
)

ACCEPTED: Final = ANSWERS.labels("accepted")
REJECTED: Final = ANSWERS.labels("rejected")
RETRY: Final = ANSWERS.labels("retry")
