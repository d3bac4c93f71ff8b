"""After which place a record's effects are named: its own, or the one it had in the log it was first appended to."""

from __future__ import annotations

import pytest

from schemas import topics
from stream.domain import places
from stream.domain.places import Place, first_place

HERE = Place(2, 1, 77, 5_000)


def test_a_record_of_the_log_itself_is_named_after_its_place() -> None:
    assert first_place((), HERE, "team") == HERE
    assert first_place([("trace", b"[1,2,3]")], HERE, "team") == HERE


def test_a_copy_is_named_after_the_place_it_says_and_keeps_its_time() -> None:
    assert first_place([places.one(1, 8, 15)], HERE, "team") == Place(1, 8, 15, HERE.at_ms)
    assert first_place([places.one(1, 8, 15)], HERE, None) == Place(1, 8, 15, HERE.at_ms)


def test_a_copy_of_a_command_for_everybody_is_named_after_where_it_stood_for_the_team() -> None:
    team = next(f"team-{number}" for number in range(99) if topics.partition_of(b"team-%d" % number, 3) == 2)
    assert first_place([places.everywhere(1, [(4, 100), None, (9, 300)])], HERE, team) == Place(1, 2, 9, 300)
    assert first_place([places.everywhere(1, [(4, 100), (7, 200), None])], HERE, team) == HERE
    assert first_place([places.everywhere(1, [(4, 100), (7, 200), (9, 300)])], HERE, None) == HERE


@pytest.mark.parametrize("raw", [b"", b"[]", b"[1]", b"[1,2,3,4]", b"[1,[]]", b'["1",2,3]', b"[1,[[1]]]", b"null"])
def test_a_header_that_cannot_be_read_says_nothing(raw: bytes) -> None:
    assert first_place([(topics.PLACE_HEADER, raw)], HERE, "team") == HERE
