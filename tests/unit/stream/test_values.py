"""Stored values and keys: what is written is read back, and what is not known is never guessed at."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.domain import keys, values
from stream.domain.values import Context, Meta, Newest, Resolved, Team
from tests.unit.stream.logs import PROPERTY

NAMES = st.text(alphabet="abc-.09", min_size=1, max_size=12)
MINUTES = st.integers(0, (1 << 63) - 1)


@pytest.mark.parametrize(
    ("codec", "value"),
    [
        (values.META, Meta(7, 70, 60, 5, 2, 1, 9)),
        (values.NEWEST, Newest(1_790_000_040_000, 41, "r", 3, False)),
        (values.TEAM, Team(5, 65, 9, [[0] * 7, [1, 2, 3, 4, 5, 6, 7]])),
        (values.PANE, [*range(22)]),
        (values.RESOLVED, Resolved(1, 2, True, 3, 4, "c", "anna", ("test",), True, "case", "too_old", Context("s"))),
    ],
    ids=["meta", "newest", "team", "pane", "resolved"],
)
def test_a_value_is_read_back_as_it_was_and_one_of_an_unknown_version_is_refused(
    codec: values.Codec[object], value: object
) -> None:
    raw = codec.pack(value)
    assert raw[:1] == b"\x01"
    assert codec.unpack(raw) == value
    for other in (b"", b"\x00" + raw[1:], b"\x02" + raw[1:]):
        with pytest.raises(ValueError, match="unknown version"):
            codec.unpack(other)


@PROPERTY
@given(NAMES, st.integers(0, 1 << 40), NAMES, st.integers(0, 1 << 40))
def test_panes_lie_in_the_order_of_their_minutes_and_apart_from_other_teams(
    team: str, minute: int, other: str, later: int
) -> None:
    one, two = keys.pane(team, minute), keys.pane(other, later)
    assert keys.pane_minute(one) == minute
    if team == other:
        assert (one < two) == (minute < later)
    else:
        assert not two.startswith(keys.prefixes(team).pane)


@PROPERTY
@given(NAMES, MINUTES)
def test_a_due_key_is_split_into_what_it_was_made_of(team: str, minute: int) -> None:
    assert keys.split_due(keys.due(minute, team)) == (minute, team)


@PROPERTY
@given(st.text(max_size=300))
@example("x" * 255)
@example("x" * 256)
def test_a_string_in_a_key_has_its_length_in_front(text: str) -> None:
    raw = text.encode()
    assert keys.text(text) == len(raw).to_bytes(2, "big") + raw


def test_a_string_that_is_too_long_for_a_key_is_refused() -> None:
    assert len(keys.text("x" * 65_535)) == 65_537
    with pytest.raises(OverflowError):
        keys.text("x" * 65_536)


def test_the_answers_of_a_respondent_lie_by_event_time_and_then_by_offset() -> None:
    listed = [
        keys.answer_of(keys.answers_of("t", "anna"), event, offset)
        for event, offset in [(1, 9), (2, 1), (2, 3), (256, 0)]
    ]
    assert listed == sorted(listed)
    assert all(key.startswith(keys.answers_of("t", "anna")) for key in listed)
