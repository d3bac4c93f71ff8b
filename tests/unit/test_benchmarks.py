"""The benchmarks' own arithmetic: a wrong figure would be believed."""

from __future__ import annotations

import json

import msgspec
import pytest

from benchmarks import report
from benchmarks.__main__ import NAMES
from benchmarks.engine import Measured
from benchmarks.filling import LATEST_BY_MS, SPAN_MS, TEAMS, answers
from benchmarks.profiling import shares
from schemas.feedback import Answer


def test_the_json_line_has_every_figure_and_null_for_what_was_not_run() -> None:
    assert json.loads(report.json_line({"engine_per_s": 12.34567, "engine_cpu_us": 3.0})) == {
        "ingest_ratio": None,
        "ingest_per_s": None,
        "alert_p50_ms": None,
        "alert_p99_ms": None,
        "engine_per_s": 12.346,
        "aiokafka_per_s": None,
    }


def test_every_figure_of_the_json_line_has_a_row_in_the_table() -> None:
    assert set(report.JSON_KEYS) <= {figure.name for figure in report.FIGURES}
    assert NAMES == ("ingest", "alerts", "engine")


def test_the_table_shows_what_was_measured_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    report.print_table({"engine_per_s": 98_765.4}, "two cores")
    shown = capsys.readouterr().out
    assert "98,765/s" in shown
    assert "two cores" in shown
    assert "alert_p50_ms" not in shown


def test_rates_and_processor_time_are_of_one_answer() -> None:
    measured = Measured(records=1_000, seconds=0.5, cpu_seconds=0.02)
    assert measured.per_s == 2_000
    assert measured.cpu_us == pytest.approx(20)


def test_a_sample_counts_for_the_first_part_that_its_stack_names() -> None:
    stacks = [
        "main;_emit (stream/partitions.py:1);fold (stream/domain/fold.py:2);scan (stream/state.py:3) 6",
        "main;_emit (stream/partitions.py:1);commit (stream/state.py:3) 2",
        "thread;getmany (aiokafka/consumer/fetcher.py:9) 1",
        "main;sleep 1",
    ]
    assert shares(stacks) == {"fold": 0.6, "write state": 0.2, "fetch": 0.1, "everything else": 0.1}
    assert shares([]) == {}


def test_the_log_that_is_filled_is_what_the_pages_say_it_is() -> None:
    count = 5_000
    found = list(answers(count))
    appended = [appended_ms for _, _, appended_ms in found]
    decoded = [msgspec.json.decode(value, type=Answer) for _, value, _ in found]
    assert len(found) == count
    assert appended == sorted(appended)
    assert SPAN_MS * 0.99 < appended[-1] - appended[0] <= SPAN_MS
    assert len({key for key, _, _ in found}) == TEAMS
    assert len({answer.response_id for answer in decoded}) == count
    assert 0.27 < sum(answer.respondent is not None for answer in decoded) / count < 0.33
    assert 0.08 < sum(answer.score <= 6 for answer in decoded) / count < 0.12
    for answer, appended_ms in zip(decoded, appended, strict=True):
        assert answer.answered_ms is not None
        assert 0 <= appended_ms - answer.answered_ms < LATEST_BY_MS
