"""No message is larger than a broker takes, and cutting one up loses nothing."""

from __future__ import annotations

import msgspec

from schemas import topics
from schemas.changes import AnswerChange, Correction, PaneChange, PaneDelta, TeamChanges, WindowMove
from schemas.rejects import Reject
from stream.domain import changes, messages
from stream.domain.messages import LARGEST, Message

BROKERS_LIMIT = 1_048_588


def many(count: int) -> TeamChanges:
    deltas = [PaneDelta(1, "all", 3, 1)] * 2
    moves = [WindowMove(minutes, "all", (1, 2, 3), (4, 5, 6)) for minutes in (60, 1440, 10_080, 43_200, 129_600)] * 2
    return TeamChanges(
        "acme",
        [PaneChange(number, 7, [1] * 11, [2] * 11) for number in range(count)],
        [AnswerChange(f"{number:036}", 7, 1, 2, 3, 4) for number in range(count)],
        [Correction(f"{number:036}", 7, 1, 2, "late", "x" * 36, deltas, moves) for number in range(count)],
    )


def said(record: TeamChanges) -> list[Message]:
    answers = changes.Answers()
    for change in record.answers:
        answers.append(change)
    return list(changes.changes(record.team, record.panes, answers, record.corrections))


def test_what_a_full_batch_of_late_answers_says_fits() -> None:
    record = many(4_000)
    assert len(msgspec.json.encode(record)) > 4 * LARGEST
    found = said(record)
    assert len(found) > 4
    assert max(len(message.value or b"") for message in found) < BROKERS_LIMIT - 1_000
    assert {(message.topic, message.key) for message in found} == {(topics.TEAM_CHANGES, b"acme")}
    parts = [messages.read(message.topic, message.value or b"") for message in found]
    for kind in ("panes", "answers", "corrections"):
        assert [item for part in parts for item in getattr(part, kind)] == getattr(record, kind)


def test_what_fits_is_one_message_and_reads_as_the_schema_says() -> None:
    for record in (many(3), TeamChanges("acme", many(1).panes), TeamChanges("acme", [], many(1).answers)):
        assert said(record) == [Message(topics.TEAM_CHANGES, b"acme", msgspec.json.encode(record))]


def test_no_change_is_no_message() -> None:
    assert said(TeamChanges("acme")) == []


def test_a_reject_that_is_too_large_leaves_the_record_where_it_is() -> None:
    reject = Reject("id", topics.FEEDBACK, 3, 9, 1, "undecodable", record=b"x" * 1_000_000)
    topic, key, value = messages.reject(None, reject)
    assert (topic, key) == (topics.REJECTS, None)
    assert messages.read(topic, value or b"") == msgspec.structs.replace(reject, record=None)
    small = msgspec.structs.replace(reject, record=b"x")
    assert messages.read(topic, messages.reject(None, small).value or b"") == small
