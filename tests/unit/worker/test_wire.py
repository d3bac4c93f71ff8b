"""No message is larger than a broker takes, and cutting one up loses nothing."""

from __future__ import annotations

import msgspec

from schemas import topics
from schemas.changes import AnswerChange, ChangesRecord, Correction, PaneChange, PaneDelta, TeamChanges, WindowMove
from schemas.rejects import Reject
from stream.domain.work import Out
from stream.wire import LARGEST, encode

BROKERS_LIMIT = 1_048_588


def changes(count: int) -> TeamChanges:
    deltas = [PaneDelta(1, "all", 3, 1)] * 2
    moves = [WindowMove(minutes, "all", (1, 2, 3), (4, 5, 6)) for minutes in (60, 1440, 10_080, 43_200, 129_600)] * 2
    return TeamChanges(
        "acme",
        [PaneChange(number, 7, [1] * 11, [2] * 11) for number in range(count)],
        [AnswerChange(f"{number:036}", 7, 1, 2, 3, 4) for number in range(count)],
        [Correction(f"{number:036}", 7, 1, 2, "late", "x" * 36, deltas, moves) for number in range(count)],
    )


def test_what_a_full_batch_of_late_answers_says_fits() -> None:
    record = changes(4_000)
    assert len(msgspec.json.encode(record)) > 4 * LARGEST
    messages = encode([Out(topics.TEAM_CHANGES, b"acme", record)])
    assert len(messages) > 4
    assert max(len(message.value or b"") for message in messages) < BROKERS_LIMIT - 1_000
    parts = [msgspec.json.decode(message.value or b"", type=ChangesRecord) for message in messages]
    assert {(message.topic, message.key) for message in messages} == {(topics.TEAM_CHANGES, b"acme")}
    for kind in ("panes", "answers", "corrections"):
        assert [item for part in parts for item in getattr(part, kind)] == getattr(record, kind)


def test_what_fits_is_one_message() -> None:
    record = changes(3)
    (message,) = encode([Out(topics.TEAM_CHANGES, b"acme", record)])
    assert msgspec.json.decode(message.value or b"", type=TeamChanges) == record


def test_the_order_of_outputs_stays() -> None:
    outs = [Out(f"t{number}", None, changes(number)) for number in range(4)]
    assert [message.topic for message in encode(outs)] == ["t0", "t1", "t2", "t3"]


def test_a_reject_that_is_too_large_leaves_the_record_where_it_is() -> None:
    reject = Reject("id", topics.FEEDBACK, 3, 9, 1, "undecodable", record=b"x" * 1_000_000)
    (message,) = encode([Out(topics.REJECTS, None, reject)])
    assert msgspec.json.decode(message.value or b"", type=Reject) == msgspec.structs.replace(reject, record=None)


def test_nothing_to_say_is_nothing() -> None:
    assert encode([]) == []
