"""docs/operations says what the code does: every metric with its labels, every topic, every decision."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Final

import pytest
from prometheus_client.metrics import MetricWrapperBase

from deploy.local.ports import DEFAULT_BASE, OFFSETS, WORKER_OFFSET
from schemas import topics
from schemas.catalog import FLOWS
from schemas.topics import DAY_MS

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
MODULES: Final = ("stream.metrics", "services.ingest.metrics", "services.query.metrics", "services.alerts.metrics")


def rows(text: str) -> list[list[str]]:
    """The cells of every table row of a page; a bar in a cell is written as in the page."""
    lines = [line.strip() for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))] for line in lines]


def metrics() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Name as Prometheus sees it → kind and labels, of every metric of the product."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for name in MODULES:
        for value in vars(importlib.import_module(name)).values():
            # A child that is bound to its labels is part of a metric that stands there too.
            if isinstance(value, MetricWrapperBase) and not value._labelvalues:  # noqa: SLF001  no public way to ask
                family = next(iter(value.describe()))
                full = f"{family.name}_total" if family.type == "counter" else family.name
                found[full] = (family.type, tuple(value._labelnames))  # noqa: SLF001
    return found


def test_every_metric_is_explained_with_its_kind_and_labels() -> None:
    page = (DOCS / "operations" / "metrics.md").read_text(encoding="utf-8")
    said = {
        row[0].strip("`"): (row[1], tuple(re.findall(r"`(\w+)`", row[2]))) for row in rows(page) if "`pulse_" in row[0]
    }
    assert said == metrics()


def test_every_metric_that_the_page_asks_to_watch_exists() -> None:
    page = (DOCS / "operations" / "metrics.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\bpulse_[a-z_]+", page))
    assert named <= metrics().keys()


@pytest.mark.parametrize("topic", topics.TOPICS, ids=lambda topic: topic.name)
def test_every_topic_stands_with_its_key_its_retention_and_its_programs(topic: topics.Topic) -> None:
    page = (DOCS / "operations" / "topics.md").read_text(encoding="utf-8")
    (row,) = (row for row in rows(page) if len(row) == 5 and row[0] == f"`{topic.name}`")
    retention = topic.config.get("retention.ms")
    kept = f"{int(retention) // DAY_MS} days" if retention else "compacted"
    assert row[1].replace("\\", "") == topic.key
    assert row[2] == kept
    for cell, action in ((row[3], "send"), (row[4], "receive")):
        programs = [flow.program for flow in FLOWS if flow.topic == topic.name and flow.action == action]
        assert cell.split(", ") == list(dict.fromkeys(programs))


def test_the_vectors_of_the_page_are_right() -> None:
    page = (DOCS / "operations" / "topics.md").read_text(encoding="utf-8")
    vectors = [row for row in rows(page) if len(row) == 3 and row[1].isdigit()]
    assert vectors
    for key, hashed, partition in vectors:
        raw = key.strip("`").encode()
        assert (str(topics.murmur2(raw)), str(topics.partition_of(raw))) == (hashed, partition)


def test_the_ports_of_the_page_are_right() -> None:
    page = (DOCS / "operations" / "running.md").read_text(encoding="utf-8")
    said = {row[0]: row[2] for row in rows(page) if len(row) == 5}
    for name in ("ingest", "query", "alerts", "kafka", "clickhouse", "sink"):
        assert said[name].startswith(f"base + {OFFSETS[name]}"), name
    assert said["kafka"].endswith(f"controller + {OFFSETS['kafka-controller']}")
    assert said["worker-N"].startswith(f"base + {WORKER_OFFSET} + N")
    assert f"({DEFAULT_BASE})" in page


def test_the_index_lists_every_decision_by_its_title() -> None:
    folder = DOCS / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    records = {int(path.name[:4]): path for path in sorted(folder.glob("*.md")) if path.name != "README.md"}
    assert len(records) == len(list(folder.glob("*.md"))) - 1, "two of one number"
    for number, path in records.items():
        title = path.read_text(encoding="utf-8").splitlines()[0].removeprefix(f"# {number}. ")
        assert f"| [{number}]({path.name}) | {title} |" in index


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.stem)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
