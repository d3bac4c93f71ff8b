"""Outputs on the wire: nothing is larger than a broker takes, and nothing is lost by that."""

from __future__ import annotations

import msgspec

from schemas import topics
from schemas.changes import AnswerChange, Correction, PaneChange, PaneDelta, TeamChanges, WindowMove
from schemas.rejects import Reject
from stream.domain.work import Out
from stream.wire import LARGEST, encode


def answer(number: int) -> AnswerChange:
    return AnswerChange(f"id-{number}", number, 1, 2, number, 9, attributes={f"a{i}": "x" * 256 for i in range(20)})


def correction(number: int) -> Correction:
    move = WindowMove(60, "all", (1, 2, 3), (1, 2, 4))
    return Correction(f"c-{number}", number, 1, 2, "late", "id", [PaneDelta(1, "all", 9, 1)] * 4, [move] * 10)


def test_an_ordinary_record_is_one_message() -> None:
    changes = TeamChanges("emea", answers=[answer(1)])
    (message,) = encode([Out(topics.TEAM_CHANGES, b"emea", changes)])
    assert message.topic == topics.TEAM_CHANGES
    assert message.key == b"emea"
    assert msgspec.json.decode(message.value, type=TeamChanges) == changes


def test_changes_too_large_for_a_message_become_several_that_say_the_same() -> None:
    panes = [PaneChange(minute, 1, [0] * 11, [0] * 11) for minute in range(100)]
    changes = TeamChanges("emea", panes, [answer(n) for n in range(500)], [correction(n) for n in range(500)])
    messages = encode([Out(topics.TEAM_CHANGES, b"emea", changes)])
    parts = [msgspec.json.decode(message.value, type=TeamChanges) for message in messages]
    assert len(parts) > 2
    assert all(len(message.value) <= LARGEST and message.key == b"emea" for message in messages)
    assert all(part.team == "emea" for part in parts)
    assert [pane for part in parts for pane in part.panes] == changes.panes
    assert [one for part in parts for one in part.answers] == changes.answers
    assert [one for part in parts for one in part.corrections] == changes.corrections


def test_a_reject_too_large_for_a_message_leaves_its_record_in_the_log() -> None:
    reject = Reject("id", topics.FEEDBACK, 3, 7, 1, "undecodable", record=b"x" * LARGEST)
    (message,) = encode([Out(topics.REJECTS, b"k", reject)])
    assert msgspec.json.decode(message.value, type=Reject) == msgspec.structs.replace(reject, record=None)
