"""A quiet partition's last segment is ended, once, when its time has passed."""

from __future__ import annotations

import pytest

from schemas.people import person_key, roll_key, rolled_after, split_person_key
from schemas.topics import PEOPLE
from stream.domain.messages import Message
from stream.rolling import MARGIN_MS, Rolling, to_append
from stream.rows import people_rows
from tests.unit.stream.fakes import Record
from tests.unit.worker.copies import Partitions
from tests.unit.worker.fakes import FakeOutbox

SEGMENT = 43_200_000
SAID = 1_790_000_000_000
KEY = person_key("team", "00000000-0000-4000-8000-000000000001")


def text(at_ms: int) -> Record:
    return Record(7, at_ms, KEY, b"{}")


def rolled(at_ms: int, after_ms: int) -> Record:
    return Record(8, at_ms, roll_key(after_ms), None)


@pytest.mark.parametrize(
    ("last", "after_ms", "expected"),
    [
        pytest.param(None, 9 * SEGMENT, None, id="an-empty-partition"),
        pytest.param(text(SAID), SEGMENT, None, id="the-time-has-not-passed"),
        pytest.param(text(SAID), SEGMENT + MARGIN_MS, None, id="clocks-may-differ"),
        pytest.param(text(SAID), SEGMENT + MARGIN_MS + 1, roll_key(SAID), id="a-text"),
        pytest.param(Record(7, SAID, KEY, None), SEGMENT + MARGIN_MS + 1, roll_key(SAID), id="a-tombstone"),
        pytest.param(Record(7, SAID, None, None), SEGMENT + MARGIN_MS + 1, roll_key(SAID), id="what-nobody-knows"),
        pytest.param(rolled(SAID + SEGMENT + 1, SAID), 9 * SEGMENT, None, id="all-is-ended"),
        pytest.param(rolled(SAID + SEGMENT, SAID), 9 * SEGMENT, roll_key(SAID), id="appended-too-early-to-end-it"),
        pytest.param(rolled(SAID + 5, SAID), SEGMENT, None, id="appended-too-early-and-not-time-yet"),
    ],
)
def test_one_record_more_ends_what_was_said(last: Record | None, after_ms: int, expected: bytes | None) -> None:
    assert to_append(last, SAID + after_ms, SEGMENT) == expected


async def test_each_partition_is_looked_at_and_what_is_ended_is_left_alone() -> None:
    logs = {0: [text(SAID)], 1: [text(SAID + SEGMENT)], 3: [text(SAID), rolled(SAID + SEGMENT + 1, SAID)]}
    outbox = FakeOutbox()

    async def segment_ms() -> int:
        return SEGMENT

    rolling = Rolling(Partitions(logs, 4), outbox, segment_ms)
    assert await rolling.look(range(4), SAID + SEGMENT + MARGIN_MS + 1) == [0]
    assert outbox.sent == [Message(PEOPLE, roll_key(SAID), None)]


def test_it_is_nobody_s_text_and_makes_no_row() -> None:
    assert rolled_after(roll_key(SAID)) == SAID
    assert split_person_key(roll_key(SAID))[0] == ""  # which is no team
    assert list(people_rows(roll_key(SAID), None, 9, 1)) == []


@pytest.mark.parametrize("key", [KEY, b"", b"|", b"|x", b"|-1", "|٣".encode(), b"roll|1", b"|1|2"])
def test_no_other_key_is_taken_for_one(key: bytes) -> None:
    assert rolled_after(key) is None
