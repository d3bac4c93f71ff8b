"""Ids and versions are fixed for ever: another value would double every case and row there is."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.domain import ids
from stream.domain.ids import NAMESPACE, generation_of, offset_of, uuid5, version
from tests.unit.stream.logs import PROPERTY

ANSWER = "00000000-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        pytest.param(("team-9", ANSWER), "828159af-359a-5c32-aa3b-f0a04b7065d8", id="case-of-an-answer"),
        pytest.param(
            ("828159af-359a-5c32-aa3b-f0a04b7065d8", 1),
            "702358ca-82de-56b6-bf4d-2e5fec3bf2c4",
            id="first-event-of-the-case",
        ),
        pytest.param(
            ("828159af-359a-5c32-aa3b-f0a04b7065d8", 12),
            "302d8503-5c2c-52dd-9a09-276d495b82eb",
            id="twelfth-event-of-the-case",
        ),
        pytest.param((1, 3, 41, "reject"), "7e5f83d7-1c24-53c1-9d08-d7c3118989ee", id="reject"),
        pytest.param((1, 3, 41, "correction"), "f02eea69-d194-5ead-89ad-5445d7a33f62", id="correction"),
    ],
)
def test_ids_are_these(parts: tuple[str | int, ...], expected: str) -> None:
    assert uuid5(*parts) == expected


def test_the_namespace_is_this() -> None:
    assert str(uuid.UUID(bytes=NAMESPACE)) == "6f7b6d0e-0d0b-5a54-9d3f-2b8d1c1f6a11"


@PROPERTY
@given(st.lists(st.text(max_size=40) | st.integers(0, 1 << 63), min_size=1, max_size=4))
def test_an_id_is_the_standard_librarys_uuid5_of_the_parts_joined(parts: list[str | int]) -> None:
    joined = "|".join(map(str, parts))
    assert uuid5(*parts) == str(uuid.uuid5(uuid.UUID(bytes=NAMESPACE), joined))


def test_a_version_grows_with_the_log_and_a_later_generation_outdoes_any_offset() -> None:
    assert version(1, 5) == 281_474_976_710_661 == 2**48 + 5
    assert version(1, 5) < version(1, 6) < version(2, 0)
    assert ids.version(32_767, 2**48 - 1) < 2**63


@pytest.mark.parametrize(("generation", "offset"), [(0, 0), (1, 0), (1, 5), (2, 2**48 - 1), (32_767, 41)])
def test_a_version_tells_the_generation_and_the_offset_it_was_made_of(generation: int, offset: int) -> None:
    made = version(generation, offset)
    assert (generation_of(made), offset_of(made)) == (generation, offset)
