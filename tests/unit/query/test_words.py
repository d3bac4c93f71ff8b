"""How the page writes figures and times."""

from __future__ import annotations

import pytest

from services.query.spark import HEIGHT, WIDTH, spark
from services.query.views import numbers
from services.query.words import (
    ago_text,
    answers_text,
    change_text,
    due_text,
    excerpt,
    falling_text,
    headline,
    margin_text,
    rounded,
    signed,
    window_text,
)
from stream.domain.scores import Tally, difference

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("tally", "text"),
    [
        pytest.param(Tally(0, 0, 0), "no answers", id="empty-is-not-zero"),
        pytest.param(Tally(1, 1, 1), "too few answers: 3", id="too-few-is-not-a-score"),
        pytest.param(Tally(5, 0, 5), "0", id="zero-is-a-score"),
        pytest.param(Tally(0, 0, 10), "+100", id="plus"),
        pytest.param(Tally(6, 2, 1), "−56", id="a-true-minus"),
    ],
)
def test_a_headline_is_the_score_or_why_there_is_none(tally: Tally, text: str) -> None:
    assert headline(numbers(tally, 5)) == text


def test_a_margin_is_written_in_whole_points_and_not_invented() -> None:
    assert margin_text(numbers(Tally(10, 20, 70), 5)) == "likely between +45 and +71"
    assert margin_text(numbers(Tally(), 5)) == ""


@pytest.mark.parametrize(("points", "whole"), [(12.5, 13), (-12.5, -13), (0.5, 1), (-0.5, -1), (0.4, 0), (-0.4, 0)])
def test_points_are_rounded_half_away_from_zero(points: float, whole: int) -> None:
    assert rounded(points) == whole
    assert signed(rounded(-0.2)) == "0"


def test_a_change_says_whether_it_could_be_chance() -> None:
    clear = difference(Tally(10, 10, 80), Tally(80, 10, 10))
    vague = difference(Tally(4, 1, 5), Tally(5, 1, 4))
    assert change_text(clear, 10_080) == "▲ 140 on previous 7\u00a0d"
    assert change_text(vague, 60) == "▲ 20 on previous 1\u00a0h, maybe chance"
    assert change_text(difference(Tally(1, 0, 1), Tally(2, 0, 2)), 60) == "same as previous 1\u00a0h"
    assert change_text(None, 1_440) == "previous 24\u00a0h: too few to compare"


@pytest.mark.parametrize(
    ("ahead_ms", "text"),
    [
        (3 * HOUR_MS, "due in 3\u00a0h"),
        (90_000, "due in 1\u00a0min"),
        (1, "due in under a minute"),
        (-1, "overdue by under a minute"),
        (-50 * HOUR_MS, "overdue by 2\u00a0days"),
    ],
)
def test_what_is_due_and_what_is_late(ahead_ms: int, text: str) -> None:
    assert due_text(10**12 + ahead_ms, 10**12) == text


def test_times_and_counts_in_words() -> None:
    assert ago_text(0, 59_000) == "just now"
    assert ago_text(0, 12 * 60_000) == "12\u00a0min ago"
    assert answers_text(1) == "1 answer"
    assert answers_text(12_345) == "12,345 answers"
    assert window_text(90 * 1_440) == "90\u00a0d"


def test_an_excerpt_ends_between_words() -> None:
    assert excerpt("  short\n text ") == "short text"
    long = excerpt("word " * 100, 22)
    assert long == "word word word word …"
    assert len(excerpt("x" * 5_000)) < 240


def test_a_spark_line_has_gaps_where_too_few_answered() -> None:
    good, few = Tally(2, 2, 6), Tally(0, 0, 1)
    drawn = spark([good, good, few, good, good, good], 5)
    assert drawn is not None
    assert len(drawn.lines) == 2
    assert drawn.last is not None


def test_a_spark_line_stays_in_its_box_and_a_steady_score_looks_steady() -> None:
    drawn = spark([Tally(2, 2, 6 + k % 2) for k in range(25)], 5)
    assert drawn is not None
    places = [tuple(map(float, pair.split(","))) for line in drawn.lines for pair in line.split()]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places)
    assert max(y for _, y in places) - min(y for _, y in places) < HEIGHT / 3


def test_there_is_no_spark_line_of_specks() -> None:
    good, few = Tally(2, 2, 6), Tally(0, 0, 1)
    assert spark([few] * 25, 5) is None
    assert spark([few] * 24 + [good], 5) is None
    assert spark([good, good, *[few] * 22, good], 5) is None
    assert spark([good, good, good, *[few] * 22], 5) is not None


def test_a_score_alarm_is_one_line() -> None:
    text = falling_text(20_000, Tally(360, 540, 900), Tally(600, 200, 201))
    assert text == "fallen since 4 Oct: +30 before, −40 since, of 1,001 answers"
