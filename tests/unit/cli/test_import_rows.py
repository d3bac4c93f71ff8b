"""From records to answers: ids, ordinals, rejects. No server."""

from __future__ import annotations

import json
import uuid
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.importer.cells import Instants
from services.cli.importer.rows import Item, Options, Ordinals, Parser, Rejected

NOW_MS = 1_795_000_000_000  # 2026-11-18
PLACES = {"team": 0, "score": 1, "answered_at": 2, "comment": 3}


def parser(places: dict[str, int] = PLACES, *, default_team: str | None = None, slugify: bool = True) -> Parser:
    return Parser(
        places, max(places.values()) + 1, Options(Instants(None, ZoneInfo("UTC")), default_team, slugify), NOW_MS
    )


def item(record: list[str], made: Parser | None = None) -> Item:
    found = (made or parser()).parse(1, 2, record)
    assert isinstance(found, Item), found
    return found


def body(found: Item) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(found.body)
    return decoded


def rejected(record: list[str], made: Parser | None = None) -> Rejected:
    found = (made or parser()).parse(1, 2, record)
    assert isinstance(found, Rejected), found
    return found


ROW = ["Team A", "9", "2026-11-01T10:00:00Z", "good"]


def test_a_row_becomes_an_answer() -> None:
    assert body(item(ROW)) == {
        "team": "team-a",
        "score": 9,
        "response_id": "cbfa2d68-9548-584d-b9c1-5d1457ed0f5a",
        "answered_at": "2026-11-01T10:00:00Z",
        "comment": "good",
    }


def test_the_id_of_a_row_never_changes() -> None:
    """Somebody's import of last year must still count once: these ids are for ever."""
    made = parser()
    assert [item(ROW, made).response_id for _ in range(2)] == [
        "cbfa2d68-9548-584d-b9c1-5d1457ed0f5a",
        "99587352-3e5c-5e1a-afbd-47a6307ada97",
    ]
    own = parser(PLACES | {"response_id": 4})
    assert item([*ROW, "R-17"], own).response_id == "51b56f90-99e9-54ac-aea8-028fe0da77a3"


def test_the_id_of_a_row_can_be_made_by_anybody() -> None:
    """As docs/guide/importing.md says."""
    cells = {"team": "Øst", "score": "9", "answered_at": ROW[2], "comment": 'he said "ok"'}
    name = json.dumps({"cells": cells, "ordinal": 0}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    namespace = uuid.UUID("3f0c1b52-6a0e-5d43-9d0c-6d1f0b7f4a21")
    assert item(list(cells.values())).response_id == str(uuid.uuid5(namespace, name))


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (["Team A", "", ROW[2], ""], "score_blank"),
        (["Team A", "6.9", ROW[2], ""], "score_not_whole"),
        (["", "9", ROW[2], ""], "team_blank"),
        (["\u00a0", "9", ROW[2], ""], "team_blank"),
        (["…", "9", ROW[2], ""], "team_invalid"),
        (["Team A", "9", "", ""], "answered_at_blank"),
        (["Team A", "9", "soon", ""], "answered_at_format"),
        (["Team A", "9", "2099-01-01T00:00:00Z", ""], "answered_at_future"),
        (["Team A", "9", "1969-12-31T00:00:00Z", ""], "answered_at_before_1970"),
        (["Team A", "9", ROW[2], "x" * 4001], "comment_invalid"),
        (["Team A", "9", ROW[2], "\udcff"], "encoding"),
        (["Team A", "9", ROW[2], "a\0b"], "encoding"),
        (["Team A", "9", ROW[2]], "wrong_number_of_cells"),
        (["Team A", "9", ROW[2], "a", "b"], "wrong_number_of_cells"),
    ],
)
def test_a_row_that_cannot_be_used_is_a_reject_with_its_reason_and_cells(record: list[str], reason: str) -> None:
    found = rejected(record)
    assert (found.reason, found.row, found.line, found.cells) == (reason, 1, 2, record)
    assert found.detail


def test_a_team_that_is_no_team_name_points_at_slugify() -> None:
    assert "--slugify" in rejected(ROW, parser(slugify=False)).detail


def test_blank_cells_after_the_header_s_width_do_no_harm() -> None:
    assert item([*ROW, "", " "]).score == 9


def test_a_blank_team_is_the_default_team() -> None:
    assert item(["", *ROW[1:]], parser(default_team="none")).team == "none"


def test_blank_optional_cells_are_left_out() -> None:
    places = PLACES | {"respondent.email": 4, "attributes.plan": 5, "test": 6}
    assert set(body(item([*ROW[:3], " ", "", "", ""], parser(places)))) == {
        "team",
        "score",
        "response_id",
        "answered_at",
    }


def test_optional_fields_go_where_the_answer_has_them() -> None:
    places = PLACES | {
        "respondent.id": 4, "respondent.callback_at": 5, "attributes.plan": 6, "answers.why": 7, "test": 8, "survey": 9
    }  # fmt: skip
    found = body(item([*ROW, "c-17", "2026-11-20T10:00:00+01:00", "pro", "speed", "yes", "q4"], parser(places)))
    assert found["respondent"] == {"id": "c-17", "callback_at": "2026-11-20T09:00:00Z"}
    assert (found["attributes"], found["answers"]) == ({"plan": "pro"}, {"why": "speed"})
    assert (found["test"], found["survey"]) == (True, "q4")


def test_an_answer_older_than_400_days_is_history() -> None:
    assert not item(["a", "9", "2025-10-16T00:00:00Z", ""]).history
    assert item(["a", "9", "2025-10-13T00:00:00Z", ""]).history


def test_identical_rows_are_different_answers() -> None:
    made = parser()
    first, second = item(ROW, made), item(ROW, made)
    assert first.response_id != second.response_id
    assert (first.identical, second.identical) == (False, True)


def test_a_row_that_differs_only_in_an_unmapped_column_is_identical() -> None:
    options = Options(Instants(None, ZoneInfo("UTC")), None, slugify=True)
    made = Parser({"team": 0, "score": 1, "answered_at": 2}, 4, options, NOW_MS)
    assert not item([*ROW[:3], "good"], made).identical
    assert item([*ROW[:3], ""], made).identical


def test_the_place_of_a_column_does_not_matter() -> None:
    moved = parser({"comment": 0, "answered_at": 1, "score": 2, "team": 3})
    assert item(ROW[::-1], moved).response_id == item(ROW).response_id


def test_raw_text_is_what_counts_not_what_it_means() -> None:
    assert item(["Team A", "9.0", *ROW[2:]]).response_id != item(ROW).response_id


def test_an_own_id_is_used_as_it_is() -> None:
    places = PLACES | {"response_id": 4}
    own = "01890A5D-AC96-774B-BCCE-B302099A8057"
    assert item([*ROW, own], parser(places)).response_id == own.lower()


def test_an_own_id_that_is_no_uuid_names_one_whatever_else_the_row_says() -> None:
    made = parser(PLACES | {"response_id": 4})
    first, edited = item([*ROW, "R-17"], made), item(["Team A", "3", *ROW[2:], "R-17"], made)
    assert first.response_id == edited.response_id
    assert rejected([*ROW, " "], made).reason == "response_id_blank"


records = st.tuples(
    st.sampled_from("ab"), st.sampled_from(["9", "3", "x"]), st.just(ROW[2]), st.sampled_from(["", "y"])
)


def ids(rows: list[tuple[str, ...]]) -> set[str]:
    made = parser()
    return {found.response_id for row in rows if isinstance(found := made.parse(1, 1, list(row)), Item)}


@given(st.lists(records, max_size=30), st.lists(st.tuples(st.integers(0, 30), records), max_size=10))
def test_a_longer_export_keeps_every_id_and_adds_as_many_as_it_has_new_rows(
    rows: list[tuple[str, ...]], inserted: list[tuple[int, tuple[str, ...]]]
) -> None:
    longer = list(rows)
    for place, record in inserted:
        longer.insert(place, record)
    before, after = ids(rows), ids(longer)
    good = sum(record[1] != "x" for _, record in inserted)
    assert before <= after
    assert len(after - before) == good


def test_ordinals_count_through_the_growth_of_their_table() -> None:
    ordinals = Ordinals()
    for repeat in range(3):
        assert {ordinals.next(b"%d" % number) for number in range(20_000)} == {repeat}
