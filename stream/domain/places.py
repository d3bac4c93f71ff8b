"""Where a record of a copied log stood in the log it was first appended to: what it causes is named after that place.

So a correction or a reject has one id in all generations of the log, and is one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from schemas import topics

Header = tuple[str, bytes]


class Place(NamedTuple):
    """A place in a generation of the log. `at_ms`: the append time there."""

    generation: int
    partition: int
    offset: int
    at_ms: int


class _One(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Of a record with a key, or of one that only its partition concerns."""

    generation: int
    partition: int
    offset: int


class _Everywhere(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Of a command for everybody: offset and append time in each partition; None where it did not stand."""

    generation: int
    copies: list[tuple[int, int] | None]


_ONE: Final = msgspec.json.Decoder(_One)
_EVERYWHERE: Final = msgspec.json.Decoder(_Everywhere)


def one(generation: int, partition: int, offset: int) -> Header:
    """The header of a record's copy."""
    return topics.PLACE_HEADER, msgspec.json.encode(_One(generation, partition, offset))


def everywhere(generation: int, copies: Sequence[tuple[int, int] | None]) -> Header:
    """The header of a command's copy. `copies`: (offset, append time) by partition, None where it did not stand."""
    return topics.PLACE_HEADER, msgspec.json.encode(_Everywhere(generation, list(copies)))


def given(headers: Sequence[Header]) -> bytes | None:
    """What a record's header says; None: this is the log it was first appended to."""
    return next((value for name, value in headers or () if name == topics.PLACE_HEADER), None)


def first_place(headers: Sequence[Header], here: Place, team: str | None) -> Place:
    """The place after which a record's effects on a team are named: `here`, unless a readable header says another."""
    raw = given(headers)
    if raw is None:
        return here
    try:
        stood = _ONE.decode(raw)
        return Place(stood.generation, stood.partition, stood.offset, here.at_ms)
    except msgspec.DecodeError:
        pass
    try:
        stood_in = _EVERYWHERE.decode(raw)
    except msgspec.DecodeError:
        return here
    if team is None or not stood_in.copies:
        return here
    partition = topics.partition_of(team.encode(), len(stood_in.copies))
    copy = stood_in.copies[partition]
    return here if copy is None else Place(stood_in.generation, partition, *copy)
