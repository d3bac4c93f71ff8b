"""Keys of a partition's state. Strings are length-prefixed, numbers 8-byte big-endian, so byte order is key order.

r·team·response_id              the winning revision of an answer                 values.Resolved
a·team·respondent·event·offset  response_id: all answers of a respondent          utf-8
l·team·respondent               the newest counted one of them                    values.Newest
p·team·minute                   a minute pane: 11 counts per policy               22 integers
w·team                          the live windows of a team                        values.Team
x·minute·team                   when a team's windows next move without an answer empty
c·team·case                     a follow-up case                                  schemas.followups.Case
q·team·respondent               the open case of a respondent                     utf-8
m                               position, stream time, identity                   values.Meta
o·seq                           outbox (stream.state alone)
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

META: Final = b"m"
DUE: Final = b"x"
OUTBOX: Final = b"o"


def text(value: str) -> bytes:
    """A length-prefixed string. Raises OverflowError over 65,535 bytes."""
    raw = value.encode()
    return len(raw).to_bytes(2, "big") + raw


def number(value: int) -> bytes:
    """8 bytes, big-endian. Raises OverflowError below 0."""
    return value.to_bytes(8, "big")


@lru_cache(maxsize=65_536)
def prefixes(team: str) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """The beginnings `r·team`, `p·team`, `l·team`, `a·team`, `q·team`: the hot path makes millions of keys of them."""
    name = text(team)
    return b"r" + name, b"p" + name, b"l" + name, b"a" + name, b"q" + name


def answer(team: str, response_id: str) -> bytes:
    return prefixes(team)[0] + text(response_id)


def pane(team: str, minute: int) -> bytes:
    return prefixes(team)[1] + number(minute)


def newest(team: str, respondent: str) -> bytes:
    return prefixes(team)[2] + text(respondent)


def answers_of(team: str, respondent: str) -> bytes:
    """Prefix of all answers of a respondent."""
    return prefixes(team)[3] + text(respondent)


def answer_of(team: str, respondent: str, event_ms: int, offset: int) -> bytes:
    return answers_of(team, respondent) + number(event_ms) + number(offset)


def open_case(team: str, respondent: str) -> bytes:
    return prefixes(team)[4] + text(respondent)


def case(team: str, case_id: str) -> bytes:
    return b"c" + text(team) + text(case_id)


def team(name: str) -> bytes:
    return b"w" + text(name)


def due(minute: int, name: str) -> bytes:
    return DUE + number(minute) + text(name)


def split_due(key: bytes) -> tuple[int, str]:
    """(minute, team) of an `x` key."""
    return int.from_bytes(key[1:9], "big"), key[11:].decode()


def pane_minute(key: bytes) -> int:
    """The minute of a `p` key."""
    return int.from_bytes(key[-8:], "big")
