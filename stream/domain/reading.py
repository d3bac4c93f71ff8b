"""From a record of the log to what it says: an answer, a tick, or why it cannot be used. Never raises."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from schemas import topics
from schemas.carries import Carry, LogEntry
from schemas.feedback import Act, Answer, CarryWindows, EraseRespondent, Policy, Tick, Windows
from stream.domain import carried, policies
from stream.domain.keys import UUID_BYTES
from stream.domain.minutes import are_windows
from stream.domain.view import LogRecord

MOST_BYTES: Final = 65_536  # of a record: what the door lets in is well below, and what comes of it fits a message
MOST_REVISIONS: Final = 1 << 53

_TEAM: Final = re.compile(rb"[a-z0-9][a-z0-9._-]{0,63}")
_APPENDED_DIGITS: Final = 15  # milliseconds until the year 33658
_DECODER: Final[msgspec.json.Decoder[LogEntry]] = msgspec.json.Decoder(LogEntry)


class Unusable(NamedTuple):
    """Why a record cannot be used: a stable code, and what would have been right."""

    reason: str
    detail: str


def read(value: bytes | None) -> LogEntry | Unusable:
    """What a record's value says."""
    if value is None:
        return Unusable("no_value", "a record of the log has a value")
    if len(value) > MOST_BYTES:
        return Unusable("too_large", f"a record has at most {MOST_BYTES} bytes")
    try:
        message = _DECODER.decode(value)
    except msgspec.DecodeError as error:
        return Unusable("undecodable", str(error)[:200])
    except UnicodeDecodeError:
        return Unusable("undecodable", "not UTF-8")
    except RecursionError:
        return Unusable("undecodable", "nested too deep")
    return _checked(message)


def read_all(values: Sequence[bytes | None]) -> list[LogEntry | Unusable]:
    """What each of several values says. Ordinary answers are told by one look, which costs less than a call each."""
    decode = _DECODER.decode
    try:
        messages = [decode(value) for value in values]  # type: ignore[arg-type]  # of None it raises TypeError
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError):
        return [read(value) for value in values]
    if max(map(len, values), default=0) > MOST_BYTES:  # type: ignore[arg-type]  # none is None, or it was raised
        return [read(value) for value in values]
    return [
        message
        if type(message) is Answer
        and not message.revision
        and len(message.response_id) == UUID_BYTES
        and message.response_id.isascii()
        else _checked(message)
        for message in messages
    ]


def _checked(message: LogEntry) -> LogEntry | Unusable:
    if isinstance(message, Answer):
        if not 0 <= message.revision <= MOST_REVISIONS:
            return Unusable("bad_field", f"revision is 0 to {MOST_REVISIONS}")
    elif isinstance(message, Tick | EraseRespondent | Windows | CarryWindows):
        if isinstance(message, Windows | CarryWindows) and not are_windows(message.minutes):
            return Unusable("bad_field", "minutes are 1 to 20 lengths, ascending, none over 366 days")
        return message
    elif isinstance(message, Policy | Carry):
        flaw = policies.flaw(message) if isinstance(message, Policy) else carried.flaw(message)
        return message if flaw is None else Unusable("bad_field", flaw)
    elif isinstance(message, Act):
        return _flaw(message) or message
    if len(message.response_id) != UUID_BYTES or not message.response_id.isascii():
        return Unusable("bad_field", "response_id is a UUID")
    return message


_NEEDED: Final = {"contact": "outcome", "callback": "at_ms", "snooze": "until_ms", "resolve": "cause", "note": "note"}


def _flaw(act: Act) -> Unusable | None:
    """What an act lacks that its kind cannot do without; None for one that can be decided on."""
    for name in ("command_id", "case_id", "note"):
        value = getattr(act, name)
        if value is not None and (len(value) != UUID_BYTES or not value.isascii()):
            return Unusable("bad_field", f"{name} is a UUID")
    needed = _NEEDED.get(act.kind)
    if needed is not None and getattr(act, needed) is None:
        return Unusable("bad_field", f"{act.kind} needs {needed}")
    return None


def team_of(key: bytes | None, partition: int, partitions: int) -> str | Unusable:
    """The team of an answer, which its record's key names, if its place is in this partition."""
    if not key:
        return Unusable("no_key", "the key of an answer is its team")
    if not _TEAM.fullmatch(key):
        return Unusable("bad_key", "a team is 1 to 64 of a-z 0-9 . _ -, and begins with one of a-z 0-9")
    right = topics.partition_of(key, partitions)
    if right != partition:
        return Unusable("wrong_partition", f"murmur2 puts this key in partition {right}")
    return key.decode()


def appended_ms(record: LogRecord) -> int:
    """When a record was appended, milliseconds UTC: a copied log carries the original time in a header, which wins."""
    for name, value in record.headers:
        if name == topics.APPENDED_HEADER and len(value) <= _APPENDED_DIGITS and value.isdigit():
            return int(value)
    return record.timestamp
