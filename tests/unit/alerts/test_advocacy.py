"""Promoters who agreed to be asked: told once a person and team, and taken back when the answer is."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.changes import AnswerChange, Position, TeamChanges
from services.alerts.advocacy.asks import Asks, Change, allows
from services.alerts.advocacy.reader import Advocacy
from services.alerts.alarms.store import AlarmsFile
from services.alerts.alarms.work import Alarms
from services.alerts.people import Cache, People, Text
from services.alerts.retries import LAST_WITHIN_MS, Outcome
from tests.unit.alerts.builders import FakeTable, now_ms
from tests.unit.alerts.test_alarms import TIMEOUT, FakeSpeaker

YES = {"consent": "testimonial"}
ADA = "a" * 32


def given(number: int = 0, version: int = 1, **fields: Any) -> AnswerChange:
    """An answer that allows the question, unless `fields` say other."""
    usual: dict[str, Any] = {"known_ms": now_ms(), "event_ms": 1, "first_offset": 1, "score": 9, "attributes": YES}
    return AnswerChange(str(uuid.UUID(int=number)), version, **(usual | fields))


def records(*answers: AnswerChange, team: str = "support") -> list[bytes]:
    return [msgspec.json.encode(TeamChanges(team, answers=[answer])) for answer in answers]


class Place:
    """The reader, the file, and two channels."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.table = FakeTable()
        self.speakers = [FakeSpeaker("webhook"), FakeSpeaker("log")]
        self.clock_ms = now_ms()
        self.start()

    def start(self) -> None:
        self.file = AlarmsFile(self.folder, lambda *_: dict.fromkeys((speaker.name for speaker in self.speakers), 0))
        people = People(Cache(), self.table, wait_s=0.01)
        self.work = Alarms(None, self.file, list(self.speakers), 1, lambda: self.clock_ms, lambda: 0.0, people)
        self.advocacy = Advocacy("unused:9092", Asks(self.file), self.work, self.told)

    async def told(self, answers: Sequence[tuple[str, Change]]) -> list[dict[str, int]]:
        return [dict.fromkeys((speaker.name for speaker in self.speakers), 0) for _ in answers]

    async def read(self, *values: bytes | None) -> list[list[str]]:
        """What each channel has said in all, by kind, after some records."""
        await self.advocacy.take(values)
        self.clock_ms = max(self.clock_ms, now_ms())
        await self.work.say_due()
        return [[note.kind for note in speaker.said] for speaker in self.speakers]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    place = Place(tmp_path)
    yield place
    place.file.close()


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        pytest.param({}, True, id="nine"),
        pytest.param({"score": 10, "attributes": {"consent": "Callback, Testimonial"}}, True, id="one-word-of-some"),
        pytest.param({"score": 8}, False, id="passive"),
        pytest.param({"attributes": {}}, False, id="not-asked"),
        pytest.param({"attributes": {"consent": "no testimonials"}}, False, id="another-word"),
        pytest.param({"reasons": ("test",)}, False, id="not-counted"),
        pytest.param({"history": True}, False, id="history"),
        pytest.param({"erased": True}, False, id="erased"),
    ],
)
def test_who_may_be_asked(fields: dict[str, Any], allowed: bool) -> None:
    answer = msgspec.json.decode(msgspec.json.encode(given(**fields)), type=Change)
    assert allows(answer) == allowed


async def test_a_promoter_is_told_once_however_often_the_record_comes(place: Place) -> None:
    once = records(given(respondent=ADA))
    assert await place.read(*once, *once) == [["advocacy.raised"], ["advocacy.raised"]]
    place.file.close()
    place.start()
    assert await place.read(*once) == [["advocacy.raised"], ["advocacy.raised"]]


async def test_a_person_is_asked_once_a_team_and_nobody_knows_whom_once_an_answer(place: Place) -> None:
    await place.read(*records(given(1, respondent=ADA), given(2, 2, respondent=ADA)))
    await place.read(*records(given(3, respondent=ADA), team="sales"))
    await place.read(*records(given(4), given(5)))
    said = [(note.team, note.data["response_id"][-1]) for note in place.speakers[0].said]
    assert said == [("support", "1"), ("sales", "3"), ("support", "4"), ("support", "5")]
    assert len({note.note_id for note in place.speakers[0].said}) == 4


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"score": 8}, id="edited-below-nine"),
        pytest.param({"attributes": {}}, id="consent-taken-back"),
        pytest.param({"reasons": ("bot",)}, id="excluded"),
        pytest.param({"score": 0, "attributes": {}, "erased": True}, id="erased"),
    ],
)
async def test_it_is_taken_back_once_when_the_answer_is(place: Place, changed: dict[str, Any]) -> None:
    first, second = records(given(respondent=ADA), given(version=2, respondent=ADA, **changed))
    await place.read(first)
    both = ["advocacy.raised", "advocacy.withdrawn"]
    assert await place.read(second, first, second) == [both, both]
    assert place.speakers[0].said[1].data.keys() == {"ask_id", "team", "response_id"}
    assert await place.read(*records(given(version=3, respondent=ADA), given(7, 4, respondent=ADA))) == [both, both]


async def test_who_was_told_nothing_is_not_told_that_it_is_over(place: Place) -> None:
    first, second = records(given(), given(version=2, score=3))
    place.speakers[0].outcomes = [TIMEOUT]  # it may have arrived
    place.speakers[1].outcomes = [Outcome("gone", "410")]
    await place.advocacy.take([first])
    await place.advocacy.take([second])
    await place.work.say_due()
    assert [speaker.said for speaker in place.speakers] == [[], []]
    third, fourth = records(given(1), given(1, 2, score=3))
    await place.read(third)
    assert (await place.read(fourth))[0] == ["advocacy.raised", "advocacy.withdrawn"]


async def test_an_older_version_that_comes_late_changes_nothing(place: Place) -> None:
    newer, older = records(given(version=5), given(version=4, score=2))
    assert (await place.read(newer, older))[0] == ["advocacy.raised"]


async def test_old_answers_ask_nobody(place: Place) -> None:
    old = records(given(known_ms=now_ms() - LAST_WITHIN_MS - 1_000, respondent=ADA))
    assert (await place.read(*old))[0] == []
    assert (await place.read(*records(given(1, respondent=ADA))))[0] == ["advocacy.raised"]


async def test_where_nobody_is_told_the_question_is_not_used_up(place: Place) -> None:
    channels, place.speakers = place.speakers, []
    await place.read(*records(given(respondent=ADA)))
    place.speakers = channels
    assert (await place.read(*records(given(1, respondent=ADA))))[0] == ["advocacy.raised"]


async def test_comment_and_contact_are_looked_up_at_the_last_moment_and_kept_nowhere(place: Place) -> None:
    answer = given(personal=True)
    place.table.texts[answer.response_id] = Text(0, "Best shop in town.", "cust-7", "Ada Berg", "ada@example.com")
    await place.read(*records(answer, given(1, personal=True)))
    found, missing = place.speakers[0].said
    assert found.data["comment"] == "Best shop in town."
    assert found.data["respondent"] == {"id": "cust-7", "name": "Ada Berg", "email": "ada@example.com", "phone": None}
    assert "Email: ada@example.com" in found.lines
    assert missing.data["text_missing"] is True
    assert "Ada" not in repr(found)
    place.file.close()
    kept = b"".join(path.read_bytes() for path in place.folder.iterdir())
    assert b"advocacy.raised" in kept or b"asks" in kept
    assert b"Ada" not in kept
    assert b"Best shop" not in kept


async def test_what_is_no_change_of_an_answer_is_passed_over(place: Place) -> None:
    position = msgspec.json.encode(Position(partition=0, through=9))
    assert await place.read(position, None, b"junk", b"[]", *records(given())) == [["advocacy.raised"]] * 2
