"""What a cell means: scores, times, flags and team names."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.responses import TEAM_PATTERN, whole
from services.cli.importer.cells import BadCell, Instants, flag, iso, score, slug, trimmed

COPENHAGEN = ZoneInfo("Europe/Copenhagen")
UTC = ZoneInfo("UTC")


@pytest.mark.parametrize("score_", range(11))
@pytest.mark.parametrize(
    "form", ["{}", "{}.0", " {} ", "{},0", "{}.", "{}.000", "0{}", "\u00a0{}\u00a0", "\u202f{}", "\ufeff{}\u200b"]
)
def test_a_whole_number_is_its_score_however_a_spreadsheet_wrote_it(score_: int, form: str) -> None:
    assert score(form.format(score_)) == score_


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("", "score_blank"),
        ("   ", "score_blank"),
        ("\u00a0", "score_blank"),
        ("n/a", "score_not_a_number"),
        ("N/A", "score_not_a_number"),
        ("ten", "score_not_a_number"),
        ("9 of 10", "score_not_a_number"),
        ("1e1", "score_not_a_number"),
        ("1_0", "score_not_a_number"),
        ("NaN", "score_not_a_number"),
        ("٩", "score_not_a_number"),
        ("true", "score_not_a_number"),
        ("9/10", "score_not_a_number"),
        ("6.9", "score_not_whole"),
        ("6,5", "score_not_whole"),
        ("9.99999999999999999", "score_not_whole"),
        (".5", "score_not_whole"),
        ("11", "score_out_of_range"),
        ("100", "score_out_of_range"),
        ("-1", "score_out_of_range"),
        ("+5", "score_out_of_range"),
        ("-0.5", "score_out_of_range"),
    ],
)
def test_any_other_score_is_a_reject_with_its_reason(cell: str, reason: str) -> None:
    with pytest.raises(BadCell) as bad:
        score(cell)
    assert bad.value.reason == reason


def test_invisible_characters_and_every_kind_of_space_are_trimmed() -> None:
    assert trimmed("\ufeff\u00a0 a\u00a0b \u2007\t") == "a\u00a0b"


@pytest.mark.parametrize(("cell", "expected"), [("TRUE", True), ("yes", True), ("1", True), ("no", False), ("", False)])
def test_a_flag_is_read_as_people_write_it(cell: str, expected: bool) -> None:
    assert flag(cell) is expected


def test_a_flag_that_is_neither_is_refused() -> None:
    with pytest.raises(BadCell, match="test_not_a_flag"):
        flag("maybe")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-07-01T12:00:00Z", "2026-07-01T12:00:00Z"),
        ("2026-07-01T12:00:00+02:00", "2026-07-01T10:00:00Z"),
        ("2026-07-01 12:00", "2026-07-01T10:00:00Z"),
        ("2026-01-01 12:00:00.250", "2026-01-01T11:00:00.250Z"),
        ("2026-01-01", "2025-12-31T23:00:00Z"),
    ],
)
def test_iso_times_are_read_and_get_the_zone_only_when_they_carry_none(text: str, expected: str) -> None:
    assert iso(Instants(None, COPENHAGEN).read(text).at_ms) == expected


def test_a_format_is_followed() -> None:
    assert iso(Instants("%m/%d/%y %H:%M", UTC).read("\u00a09/8/18 15:29 ").at_ms) == "2018-09-08T15:29:00Z"


def test_a_format_with_an_offset_wins_over_the_zone() -> None:
    assert iso(Instants("%Y-%m-%d %H:%M %z", COPENHAGEN).read("2026-07-01 12:00 -0500").at_ms) == "2026-07-01T17:00:00Z"


def test_a_local_time_the_clock_showed_twice_is_its_first_showing() -> None:
    twice = Instants(None, COPENHAGEN).read("2026-10-25 02:30")
    assert (iso(twice.at_ms), twice.clock) == ("2026-10-25T00:30:00Z", "ambiguous")


def test_a_local_time_the_clock_skipped_is_read_with_the_offset_from_before() -> None:
    skipped = Instants(None, COPENHAGEN).read("2026-03-29 02:30")
    assert (iso(skipped.at_ms), skipped.clock) == ("2026-03-29T01:30:00Z", "nonexistent")


@pytest.mark.parametrize("text", ["2026-03-29 01:59", "2026-03-29 03:00", "2026-10-25 01:59", "2026-10-25 03:00"])
def test_times_beside_a_change_of_clocks_are_not_marked(text: str) -> None:
    assert Instants(None, COPENHAGEN).read(text).clock is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "answered_at_blank"),
        ("yesterday", "answered_at_format"),
        ("13/13/18 10:00", "answered_at_format"),
        ("0001-01-01T00:00:00+14:00", "answered_at_format"),
    ],
)
def test_a_time_that_is_none_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(BadCell, match=reason):
        Instants(None, COPENHAGEN).read(text)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SEPT 6 & 7 (CarpentryConnect)", "sept-6-7-carpentryconnect"),
        ("Online\u00a0– 2018-08-16", "online-2018-08-16"),
        ("  Kundeservice Øst  ", "kundeservice-ost"),
        ("Straße", "strasse"),
        ("Łódź", "lodz"),
        ("Crème Brûlée", "creme-brulee"),
        ("checkout", "checkout"),
        ("v1.2_beta", "v1.2_beta"),
        ("ﬁnance", "finance"),
        ("---", ""),
        ("…", ""),
    ],
)
def test_a_slug_is_readable(name: str, expected: str) -> None:
    assert slug(name) == expected


def test_names_that_differ_in_case_spaces_or_punctuation_are_one_team() -> None:
    assert len({slug(name) for name in ("Team A", "team\u00a0a", "TEAM - A", "team a ")}) == 1


def test_names_in_other_scripts_stay_apart() -> None:
    names = ("客服", "客服部", "Поддержка", "Поддержка 2", "team 客", "team 服")
    assert len({slug(name) for name in names}) == len(names)


def test_names_too_long_stay_apart() -> None:
    first, second = slug("x" * 80 + "a"), slug("x" * 80 + "b")
    assert first != second
    assert len(first) == len(second) == 64


@given(st.text(max_size=100))
def test_every_slug_is_a_valid_team_or_empty(name: str) -> None:
    made = slug(name)
    assert made == "" or re.search(whole(TEAM_PATTERN), made)


@given(st.from_regex(r"\A[a-z0-9]([a-z0-9]|-(?=[a-z0-9]))*\Z").filter(lambda text: len(text) <= 64))
def test_a_plain_team_name_is_its_own_slug(name: str) -> None:
    assert slug(name) == name
