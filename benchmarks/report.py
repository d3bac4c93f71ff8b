"""What the benchmarks found, as one table for people and one JSON line for machines."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping
from typing import Final, NamedTuple

import psutil
from rich import box
from rich.console import Console
from rich.table import Table


class Figure(NamedTuple):
    """One row: how a figure is called, how it is shown, and what it should be."""

    name: str
    about: str
    shape: str
    aim: str = ""


FIGURES: Final = (
    Figure("ingest_per_s", "single POST acknowledged by Kafka, one process, 64 connections", "{:,.0f}/s"),
    Figure("empty_per_s", "an empty FastAPI POST, in the same run", "{:,.0f}/s"),
    Figure("ingest_ratio", "the first to the second", "{:.2f}", "at least 0.5"),
    Figure("alert_p50_ms", "POST to signed webhook at 100 detractors/s, half of them within", "{:.1f} ms", "15 ms"),
    Figure("alert_p99_ms", "99 of 100 within", "{:.1f} ms", "100 ms"),
    Figure("mail_p50_ms", "the same answers to an e-mail each, at an SMTP server", "{:.1f} ms"),
    Figure("mail_p99_ms", "99 of 100 within", "{:.1f} ms", "100 ms"),
    Figure("slack_p50_ms", "the same to Slack, of the first case of each group", "{:.1f} ms"),
    Figure("slack_p99_ms", "99 of 100 within", "{:.1f} ms", "100 ms"),
    Figure("slack_messages", "messages that told Slack of all cases", "{:,.0f}"),
    Figure("pagerduty_p50_ms", "the same to PagerDuty, of the first case of each group", "{:.1f} ms"),
    Figure("pagerduty_p99_ms", "99 of 100 within", "{:.1f} ms", "100 ms"),
    Figure("pagerduty_messages", "messages that told PagerDuty of all cases", "{:,.0f}"),
    Figure("output_p50_ms", "record to output at 200 answers/s, half of them within", "{:.1f} ms"),
    Figure("output_p99_ms", "99 of 100 within", "{:.1f} ms", "15 ms"),
    Figure(
        "others_p99_ms", "the same while one partition gets 50,000/s, of the other partitions", "{:.0f} ms", "250 ms"
    ),
    Figure("hot_per_s", "what that partition really got", "{:,.0f}/s", "50,000/s"),
    Figure("failover_s", "from kill -9 of one of two workers to outputs of every partition", "{:.1f} s"),
    Figure("rebuild_per_s", "records of a lost state folded again, on one core", "{:,.0f}/s", "150,000/s"),
    Figure(
        "many_teams_rss_mb",
        "most resident memory of a worker with 100,000 teams, 5 million answers",
        "{:,.0f} MB",
        "800 MB",
    ),
    Figure("many_teams_per_s", "answers through it, on one core", "{:,.0f}/s"),
    Figure("engine_per_s", "answers through one worker, everything on", "{:,.0f}/s", "100,000/s"),
    Figure("aiokafka_per_s", "the same topic read by aiokafka and decoded, nothing else", "{:,.0f}/s"),
    Figure("kafka_streams_per_s", "Kafka Streams on it: three hopping windows and nothing else", "{:,.0f}/s"),
    Figure("faust_tables_per_s", "Faust tables, the same", "{:,.0f}/s"),
    Figure("quix_per_s", "Quix Streams, the same", "{:,.0f}/s"),
    Figure("bytewax_per_s", "Bytewax, the same", "{:,.0f}/s"),
    Figure("engine_cpu_us", "processor time of an answer in the worker", "{:.2f} us"),
    Figure("aiokafka_cpu_us", "the same in the plain reader", "{:.2f} us"),
)
# The JSON line has exactly these, null where not run.
JSON_KEYS: Final = (
    *("ingest_ratio", "ingest_per_s", "alert_p50_ms", "alert_p99_ms", "engine_per_s", "aiokafka_per_s"),
    *("kafka_streams_per_s", "faust_tables_per_s", "quix_per_s", "bytewax_per_s"),
    *("mail_p99_ms", "slack_p99_ms", "pagerduty_p99_ms"),
)


def print_table(found: Mapping[str, float], title: str) -> None:
    """Every figure above that was measured, in a fixed order."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    table.add_column("figure")
    table.add_column("what")
    table.add_column("measured", justify="right")
    table.add_column("aim", justify="right")
    for figure in FIGURES:
        if figure.name in found:
            table.add_row(figure.name, figure.about, figure.shape.format(found[figure.name]), figure.aim)
    Console(highlight=False, width=None if os.isatty(1) else 140).print(table)


def json_line(found: Mapping[str, float]) -> str:
    """The last line of a run with `--json`."""
    return json.dumps({key: round(found[key], 3) if key in found else None for key in JSON_KEYS})


def machine() -> str:
    """What the figures were measured on."""
    cores = len(os.sched_getaffinity(0))
    memory_gib = psutil.virtual_memory().total / 2**30
    load = os.getloadavg()[0]
    python = f"Python {platform.python_version()} of {sys.base_prefix}"
    return f"{cores} cores, {memory_gib:.0f} GiB, {python}, load before {load:.1f}"
