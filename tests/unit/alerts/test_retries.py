"""What an attempt comes to and when the next one is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from services.alerts.retries import (
    HOUR_MS,
    MINUTE_MS,
    SCHEDULE_MS,
    SECOND_MS,
    Outcome,
    Verdict,
    next_wait_ms,
    outcome_of,
    retry_after_ms,
    verdict_of,
)

NOW_MS = 1_770_000_000_000
NOW = datetime.fromtimestamp(NOW_MS / 1_000, UTC)
FAILED = Outcome("retry", "500")


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, "delivered"),
        (201, "delivered"),
        (204, "delivered"),
        (299, "delivered"),
        (100, "refused"),
        (300, "refused"),
        (301, "refused"),
        (302, "refused"),
        (304, "refused"),
        (307, "refused"),
        (308, "refused"),
        (400, "refused"),
        (401, "refused"),
        (403, "refused"),
        (404, "refused"),
        (405, "refused"),
        (408, "retry"),
        (409, "refused"),
        (410, "gone"),
        (413, "refused"),
        (422, "refused"),
        (425, "retry"),
        (429, "retry"),
        (500, "retry"),
        (502, "retry"),
        (503, "retry"),
        (504, "retry"),
        (599, "retry"),
    ],
)
def test_each_status_has_its_verdict(status: int, verdict: Verdict) -> None:
    assert verdict_of(status) == verdict


def test_every_status_has_one_verdict_and_only_2xx_is_delivered() -> None:
    assert {status for status in range(100, 600) if verdict_of(status) == "delivered"} == set(range(200, 300))
    assert [status for status in range(100, 600) if verdict_of(status) == "gone"] == [410]


@pytest.mark.parametrize(
    ("header", "wait_ms"),
    [
        pytest.param(None, 0, id="none"),
        pytest.param("", 0, id="empty"),
        pytest.param("0", 0, id="zero"),
        pytest.param("2", 2_000, id="seconds"),
        pytest.param(" 30 ", 30_000, id="blanks-around"),
        pytest.param("86400", HOUR_MS, id="bounded"),
        pytest.param("9" * 5_000, HOUR_MS, id="absurdly-long"),
        pytest.param("-5", 0, id="negative"),
        pytest.param("1.5", 0, id="fraction"),
        pytest.param("٣", 0, id="other-digits"),
        pytest.param("soon", 0, id="word"),
        pytest.param(format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90_000, id="date"),
        pytest.param(format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0, id="date-past"),
        pytest.param(format_datetime(NOW + timedelta(days=9), usegmt=True), HOUR_MS, id="date-bounded"),
        pytest.param((NOW + timedelta(seconds=90)).strftime("%a %b %d %H:%M:%S %Y"), 90_000, id="asctime"),
        pytest.param("Fri, 31 Feb 2026 25:00:00 GMT", 0, id="impossible-date"),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_bounded(header: str | None, wait_ms: int) -> None:
    assert retry_after_ms(header, NOW_MS) == wait_ms


def test_the_schedule_is_quick_at_first_and_gives_up_after_twelve_attempts() -> None:
    waits = [next_wait_ms(attempts, FAILED, 0.0) for attempts in range(1, 14)]
    assert waits == [*SCHEDULE_MS, None, None]
    assert [wait / SECOND_MS for wait in SCHEDULE_MS[:5]] == [1, 5, 30, 300, 1800]
    assert 75 * HOUR_MS < sum(SCHEDULE_MS) < 76 * HOUR_MS


def test_waits_never_get_shorter() -> None:
    assert list(SCHEDULE_MS) == sorted(SCHEDULE_MS)


def test_jitter_only_lengthens_and_by_at_most_a_tenth() -> None:
    assert next_wait_ms(4, FAILED, 0.5) == 5 * MINUTE_MS * 1.05
    assert next_wait_ms(4, FAILED, 1.0) == 5 * MINUTE_MS * 1.1


@pytest.mark.parametrize(
    ("status", "header", "first_wait_ms", "pause_ms"),
    [
        pytest.param(500, None, 1_000, 0, id="failure"),
        pytest.param(503, None, 1_000, 0, id="unavailable"),
        pytest.param(503, "2", 2_000, 2_000, id="unavailable-and-says-when"),
        pytest.param(429, None, 30_000, 1_000, id="too-many"),
        pytest.param(429, "3", 3_000, 3_000, id="too-many-and-says-when"),
        pytest.param(502, None, 30_000, 1_000, id="bad-gateway"),
        pytest.param(504, None, 30_000, 1_000, id="gateway-time-out"),
        pytest.param(404, None, 300_000, 0, id="refused"),
        pytest.param(302, None, 300_000, 0, id="redirect"),
        pytest.param(400, "1", 300_000, 1_000, id="refused-and-says-when"),
    ],
)
def test_an_answer_sets_the_least_wait_and_the_pause_of_the_channel(
    status: int, header: str | None, first_wait_ms: int, pause_ms: int
) -> None:
    outcome = outcome_of(status, header, NOW_MS)
    assert next_wait_ms(1, outcome, 0.0) == first_wait_ms
    assert outcome.pause_ms == pause_ms


def test_retry_after_never_shortens_the_schedule() -> None:
    assert next_wait_ms(8, outcome_of(503, "1", NOW_MS), 0.0) == SCHEDULE_MS[7]
