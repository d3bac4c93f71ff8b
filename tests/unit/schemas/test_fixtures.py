"""Old records decode for ever: each fixture is a record as it was once written, and is never edited.

A new version of a record type adds a fixture (`<record>.v<N>.json`) and a line to RECORDED; none is taken away.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from schemas import carries, changes, feedback, followups, people, policies, rejects, scores
from tests.unit.schemas.recorded import RECORDED, RESPONSE

FIXTURES = Path(__file__).with_name("fixtures")
FREE = {"attributes", "answers", "config", "marks"}  # mappings of the clients' own names: nothing in them is a field


def fixture(name: str) -> bytes:
    return (FIXTURES / f"{name}.json").read_bytes()


@pytest.mark.parametrize("name", RECORDED)
def test_a_record_as_it_was_once_written_still_says_the_same(name: str) -> None:
    reader, expected = RECORDED[name]
    assert msgspec.json.decode(fixture(name), type=reader) == expected


@pytest.mark.parametrize("name", RECORDED)
def test_every_field_that_was_once_written_is_written_under_its_name_still(name: str) -> None:
    _, expected = RECORDED[name]
    written = json.loads(msgspec.json.encode(expected))
    recorded = {key: value for key, value in json.loads(fixture(name)).items() if key != "v" or key in written}
    assert written.items() >= recorded.items()


def from_the_future(value: Any) -> Any:
    """The same record as a later version may write it: with fields, and ends of arrays, that nobody knows yet."""
    if isinstance(value, dict):
        grown = {key: inner if key in FREE and isinstance(inner, dict) else from_the_future(inner)
                 for key, inner in value.items()}  # fmt: skip
        return {"a_field_to_come": {"deep": [1, {"deeper": None}]}, **grown, "another": [True]}
    if isinstance(value, list):
        return [from_the_future(inner) if isinstance(inner, dict) else inner for inner in value]
    return value


@pytest.mark.parametrize("name", RECORDED)
def test_a_reader_leaves_aside_fields_it_does_not_know(name: str) -> None:
    reader, expected = RECORDED[name]
    grown = json.dumps(from_the_future(json.loads(fixture(name)))).encode()
    assert b"a_field_to_come" in grown
    assert msgspec.json.decode(grown, type=reader) == expected


def test_a_reader_leaves_aside_the_end_of_an_array_that_has_grown() -> None:
    grown = json.loads(fixture("changes.v1"))
    grown["corrections"][0]["deltas"][0].append("more")
    reader, expected = RECORDED["changes.v1"]
    assert msgspec.json.decode(json.dumps(grown).encode(), type=reader) == expected


def test_a_record_of_a_type_that_is_not_known_is_refused_and_not_guessed_at() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(
            b'{"type":"verdict","response_id":"r","score":3,"content":"c"}', type=feedback.FeedbackRecord
        )


def test_every_record_type_has_a_fixture_and_every_fixture_is_read() -> None:
    unions = (carries.LogEntry, changes.ChangesRecord, followups.FollowupRecord)
    types = {member for union in unions for member in get_args(union)}
    types |= {people.Person, rejects.Reject, scores.TeamScores, policies.TeamPolicy}
    assert {type(expected) for _, expected in RECORDED.values()} == types
    assert {path.name.removesuffix(".json") for path in FIXTURES.iterdir()} == set(RECORDED)


@pytest.mark.parametrize(
    ("name", "path", "known"),
    [
        pytest.param(
            "event.v1",
            ("kind",),
            [
                "raised",
                "answer_joined",
                "answer_edited",
                "rescored",
                "withdrawn",
                "joined",
                "reopened",
                "reminder",
                "breached",
            ],
            id="kinds-of-follow-up-events",
        ),
        pytest.param(
            "event.v1",
            ("case", "state"),
            ["open", "acknowledged", "contacted", "resolved", "snoozed", "rescored", "withdrawn", "joined"],
            id="states-of-a-case",
        ),
        pytest.param("changes.v1", ("corrections", 0, "cause"), ["late", "revision", "newer_answer"], id="causes"),
    ],
)
def test_words_that_were_once_written_are_understood_still(
    name: str, path: tuple[str | int, ...], known: list[str]
) -> None:
    for word in known:
        record: Any = json.loads(fixture(name))
        inner = record
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = f"followup.{word}" if path == ("kind",) else word
        msgspec.json.decode(json.dumps(record).encode(), type=RECORDED[name][0])


@pytest.mark.parametrize(("team", "response"), [("team-9", RESPONSE), ("a", "b|c")])
def test_the_key_of_a_person_is_team_and_response(team: str, response: str) -> None:
    key = people.person_key(team, response)
    assert key == f"{team}|{response}".encode()
    assert people.split_person_key(key) == (team, response)


def test_a_key_that_is_no_persons_is_refused() -> None:
    with pytest.raises(ValueError, match=r"team\|response_id"):
        people.split_person_key(b"team-9")
