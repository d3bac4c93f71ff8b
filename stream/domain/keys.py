"""Keys of a partition's state. Strings are length-prefixed, numbers 8-byte big-endian, so byte order is key order.

r·team·response_id              the winning revision of an answer                 values.Resolved
a·team·respondent·event·offset  response_id: all answers of a respondent          utf-8
l·team·respondent               the newest counted one of them                    values.Newest
p·team·minute                   a minute pane: 11 counts per policy               22 integers
w·team                          the live windows of a team                        values.Team
x·minute·team                   when a team's windows next move without an answer empty
c·team·case                     a follow-up case                                  schemas.followups.Case
q·team·respondent               the open case of a respondent                     utf-8
t·team                          what the team promises                            schemas.policies.TeamPolicy
d·due·case·team                 what is to be said of a case next                 values.Point, several
k·team·command                  a person's command that has been decided on       when, milliseconds
v                               the live windows, when the log has set any          minutes
h·minute·block                  what leaves the state at a minute                `stream.domain.expiry`
y·entry of an h list            what is to be said again in the log              empty (`stream.domain.carrying`)
m                               position, stream time, identity                   values.Meta
o·seq                           outbox (stream.state alone)
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final, NamedTuple

META: Final = b"m"
WINDOWS: Final = b"v"
TEAM: Final = b"w"
ANSWERS_OF: Final = b"a"
DUE: Final = b"x"
POLICY: Final = b"t"
DEADLINE: Final = b"d"
LEAVING: Final = b"h"
CARRY: Final = b"y"
ERASED: Final = b"e"  # in lists alone: an erased id, and an open case
OPEN_CASE: Final = b"o"
OUTBOX: Final = b"o"
UUID_BYTES: Final = 36
NO_ID: Final = "0" * UUID_BYTES  # in a list: of what has none
AFTER_ALL: Final = b"\xff\xff"  # no string is as long as this length would say

PLACE: Final = 16
_TWO_NUMBERS: Final = struct.Struct(">QQ").pack
_LENGTHS: Final = tuple(length.to_bytes(2, "big") for length in range(256))


def text(value: str) -> bytes:
    """A length-prefixed string. Raises OverflowError over 65,535 bytes."""
    raw = value.encode()
    length = len(raw)
    return (_LENGTHS[length] if length < 256 else length.to_bytes(2, "big")) + raw


def number(value: int) -> bytes:
    """8 bytes, big-endian. Raises OverflowError below 0."""
    return value.to_bytes(8, "big")


class Prefixes(NamedTuple):
    """How the keys of one team begin; `team` is a whole key, and `answer`, `case` and `command` lack only a UUID."""

    answer: bytes
    pane: bytes
    newest: bytes
    answers_of: bytes
    open_case: bytes
    case: bytes
    command: bytes
    team: bytes


@lru_cache(maxsize=16_384)
def prefixes(team: str) -> Prefixes:
    """The beginnings of a team's keys: the hot path makes millions of keys of them."""
    name = text(team)
    uuid_to_come = name + _LENGTHS[UUID_BYTES]
    return Prefixes(
        answer=b"r" + uuid_to_come,
        pane=b"p" + name,
        newest=b"l" + name,
        answers_of=b"a" + name,
        open_case=b"q" + name,
        case=b"c" + uuid_to_come,
        command=b"k" + uuid_to_come,
        team=b"w" + name,
    )


def answer(team: str, response_id: str) -> bytes:
    """Raises nothing: that a response id has 36 bytes is checked before (`stream.domain.reading`)."""
    return prefixes(team).answer + response_id.encode()


def pane(team: str, minute: int) -> bytes:
    return prefixes(team).pane + number(minute)


def answers_of(team: str, respondent: str) -> bytes:
    """Prefix of all answers of a respondent."""
    return prefixes(team).answers_of + text(respondent)


def answer_of(prefix: bytes, event_ms: int, offset: int) -> bytes:
    """`prefix`: `answers_of` a respondent, and again the beginning of the key, `PLACE` bytes before its end."""
    return prefix + _TWO_NUMBERS(event_ms, offset)


def open_case(team: str, respondent: str) -> bytes:
    return prefixes(team).open_case + text(respondent)


def case(team: str, case_id: str) -> bytes:
    return prefixes(team).case + case_id.encode()


def command(team: str, command_id: str) -> bytes:
    return prefixes(team).command + command_id.encode()


def team(name: str) -> bytes:
    return prefixes(name).team


def policy(team: str) -> bytes:
    return POLICY + text(team)


def due(minute: int, name: str) -> bytes:
    return DUE + number(minute) + text(name)


def deadline(due_ms: int, case_id: str, team: str) -> bytes:
    return DEADLINE + number(due_ms) + case_id.encode() + team.encode()


def due_of(key: bytes) -> int:
    """The due time of a `d` key, milliseconds."""
    return int.from_bytes(key[1:9], "big")


def split_deadline(key: bytes) -> tuple[int, str, str]:
    """(due time, case, team) of a `d` key."""
    return due_of(key), key[9 : 9 + UUID_BYTES].decode(), key[9 + UUID_BYTES :].decode()


def entry(letter: bytes, team: str, name: str) -> bytes:
    """An entry of an `h` list; of answers and cases it is their key."""
    return letter + text(team) + _LENGTHS[UUID_BYTES] + name.encode()


def leaving(minute: int, block: int) -> bytes:
    return LEAVING + _TWO_NUMBERS(minute, block)


def split_leaving(key: bytes) -> tuple[int, int]:
    """(minute, block) of an `h` key."""
    return int.from_bytes(key[1:9], "big"), int.from_bytes(key[9:], "big")


def of_respondents(team: str) -> bytes:
    """Prefix of the answers of all respondents of a team."""
    return prefixes(team).answers_of


def team_in(key: bytes) -> str:
    """The team of a key that begins with one: `r`, `a`, `l`, `p`, `w`, `c`, `q`, `k`, `t`."""
    return key[3 : 3 + int.from_bytes(key[1:3], "big")].decode()


def split_due(key: bytes) -> tuple[int, str]:
    """(minute, team) of an `x` key."""
    return int.from_bytes(key[1:9], "big"), key[11:].decode()


def split_id(key: bytes) -> tuple[str, str]:
    """(team, id) of an `r` or `c` key."""
    return key[3 : -UUID_BYTES - 2].decode(), key[-UUID_BYTES:].decode()


def pane_minute(key: bytes) -> int:
    """The minute of a `p` key."""
    return int.from_bytes(key[-8:], "big")
