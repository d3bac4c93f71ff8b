"""`people.v1`, personal text. Key: `team|response_id`. Compacted: a tombstone (null value) deletes the text.

A note on a follow-up case stands here under an id of its own (`schemas.feedback.Act`), which the case names.

This topic, and the ClickHouse table fed from it, are the only places where such text lives.
"""

from __future__ import annotations

import msgspec


class Person(msgspec.Struct, omit_defaults=True, frozen=True):
    """What an answer says about and in the words of a person. The newest record of a key is the whole truth.

    `revision` is the answer's: a later record with a lower one is an old retry and must not replace a newer text.
    `answers` are the free replies to the survey's other questions. Of a note only `comment` is set, with the case it is
    about and when it was sent (`noted_ms`, milliseconds UTC, by its sender's clock).
    """

    team: str
    response_id: str
    v: int = 1
    revision: int = 0
    comment: str | None = None
    respondent_id: str | None = None
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    answers: dict[str, str | int | float | bool | None] = {}
    case_id: str | None = None
    noted_ms: int | None = None


def person_key(team: str, response_id: str) -> bytes:
    """The record's key."""
    return f"{team}|{response_id}".encode()


def split_person_key(key: bytes) -> tuple[str, str]:
    """(team, response_id) of a record's key; a tombstone has nothing else. Raises ValueError for any other key."""
    team, separator, response_id = key.decode().partition("|")
    if not separator:
        raise ValueError("a people.v1 key is team|response_id")
    return team, response_id


def roll_key(after_ms: int) -> bytes:
    """The key of a record without a value that only ends a segment (`stream.rolling`). No team is named by it.

    `after_ms`: the time of the last record before it that says something, milliseconds UTC.
    """
    return b"|%d" % after_ms


def rolled_after(key: bytes) -> int | None:
    """`after_ms` of such a key; None for any other."""
    number = key[1:]
    return int(number) if key[:1] == b"|" and number.isdigit() else None
