"""What a query parameter may say, and what a wrong one is told."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from services.common.problems import Invalid
from services.query.params import (
    AHEAD_MS,
    ask,
    decode_cursor,
    encode_cursor,
    epoch_ms,
    from_ms,
    minute_of,
    parse_instant,
    parse_receipt,
    parse_step,
    when,
)
from tests.unit.query.samples import NOON_MS


class Place(msgspec.Struct, frozen=True, array_like=True):
    at_ms: int
    name: str


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        pytest.param("2026-11-22T12:00:00Z", datetime(2026, 11, 22, 12, tzinfo=UTC), id="utc"),
        pytest.param("2026-11-22T12:00Z", datetime(2026, 11, 22, 12, tzinfo=UTC), id="without-seconds"),
        pytest.param("2026-11-22T14:00:00+02:00", datetime(2026, 11, 22, 12, tzinfo=UTC), id="zone"),
        pytest.param("2026-11-22T14:00:00 02:00", datetime(2026, 11, 22, 12, tzinfo=UTC), id="plus-lost-in-a-url"),
        pytest.param("2026-11-22 12:00:00Z", datetime(2026, 11, 22, 12, tzinfo=UTC), id="space-for-t"),
    ],
)
def test_an_instant_is_iso_8601_with_a_zone(text: str, instant: datetime) -> None:
    assert parse_instant(text) == instant


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "2026-11-22", "2026-11-22T12:00:00", "1793534400", "2026-13-01T00:00:00Z"),
        *("2026-11-22T25:00:00Z", "1969-12-31T23:59:59Z", "2100-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"),
        "2026-11-22T12:00:00Z\n",
    ],
)
def test_other_instants_are_refused_with_the_form_or_the_limit(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be (an ISO 8601 time with a time zone|between the years)"):
        parse_instant(text)


@pytest.mark.parametrize(
    "text", ["", "3", "3:", ":7", "3:x", "-1:5", "123456:0", "3:7:9", "3: 7", "٣:7", "3:9999999999999999"]
)
def test_a_receipt_is_a_partition_and_an_offset(text: str) -> None:
    with pytest.raises(ValueError, match=r"receipt|partition"):
        parse_receipt(text)


@pytest.mark.parametrize("text", ["all", "0d", "7", "d", "1w", "-1d", "1.5h", "36501d"])
def test_a_step_has_a_length(text: str) -> None:
    with pytest.raises(ValueError, match=r"step|window"):
        parse_step(text)


def test_milliseconds_survive_the_way_to_an_instant_and_back() -> None:
    for at_ms in (NOON_MS + 123, NOON_MS + 999, 1, 1_700_000_000_001):
        assert epoch_ms(from_ms(at_ms)) == at_ms


def test_as_of_is_floored_to_the_minute_and_now_is_the_next_whole_one() -> None:
    now_ms = NOON_MS + 1
    assert when(ask(now_ms, None, "7d").as_of) == from_ms(NOON_MS + 60_000)
    assert when(ask(now_ms, None, "7d", as_of=from_ms(NOON_MS - 1)).as_of) == from_ms(NOON_MS - 60_000)
    assert ask(NOON_MS, None, "7d").as_of == minute_of(from_ms(NOON_MS))


def test_a_window_ends_at_as_of_and_all_has_no_beginning() -> None:
    week = ask(NOON_MS, "alpha", "7d")
    assert week.after is not None
    assert week.as_of - week.after == 7 * 1_440
    assert ask(NOON_MS, "alpha", "all").after is None


def test_the_future_is_refused_by_name() -> None:
    ahead = from_ms(NOON_MS + AHEAD_MS + 1)
    for path in ("as_of", "known_at"):
        with pytest.raises(Invalid) as refused:
            ask(NOON_MS, None, "7d", "all", ahead if path == "as_of" else None, ahead)
        assert refused.value.errors == [{"path": path, "message": "must not be in the future"}]


def test_clocks_may_differ_by_five_minutes() -> None:
    ahead = from_ms(NOON_MS + AHEAD_MS)
    assert ask(NOON_MS, None, "7d", as_of=ahead).as_of == minute_of(ahead)


def test_a_cursor_comes_back_as_it_went() -> None:
    place = Place(NOON_MS, "ålesund|x")
    assert decode_cursor(encode_cursor(place), Place) == place
    assert decode_cursor(None, Place) is None


@pytest.mark.parametrize("cursor", ["", "x", "%%%", "W10", "eyJhIjoxfQ", "ä", "WzEsMl0"])
def test_a_cursor_of_other_make_is_refused_by_name(cursor: str) -> None:
    with pytest.raises(Invalid) as refused:
        decode_cursor(cursor, Place)
    assert refused.value.errors is not None
    assert refused.value.errors[0]["path"] == "cursor"
