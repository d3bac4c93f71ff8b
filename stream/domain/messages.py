"""What the fold says as it goes over the wire: JSON, in messages that a broker takes with its settings untouched.

It is encoded as soon as it is said, while it is in the processor's cache: at the end of a batch that costs five times
as much.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from schemas import topics
from schemas.changes import AnswerChange, ChangesRecord, Correction, PaneChange, TeamChanges
from schemas.followups import FollowupRecord
from schemas.policies import TeamPolicy
from schemas.rejects import Reject
from schemas.scores import TeamScores


class Message(NamedTuple):
    """One message to send: it goes to the partition of the number the log record came from. No value: a tombstone."""

    topic: str
    key: bytes | None
    value: bytes | None


# A broker takes 1 MiB a batch of records (`message.max.bytes`); a thousandth stays for what stands around the value.
LARGEST: Final = 1_000_000

_AROUND: Final = 1_000  # the team, and the names of the fields
_JSON: Final = msgspec.json.Encoder()
_APPEND: Final = _JSON.encode_into
_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_END: Final = -1  # of a buffer
_DECODERS: Final[Mapping[str, msgspec.json.Decoder[msgspec.Struct]]] = {
    topics.TEAM_SCORES: msgspec.json.Decoder(TeamScores),
    topics.TEAM_CHANGES: msgspec.json.Decoder(ChangesRecord),
    topics.TEAM_POLICIES: msgspec.json.Decoder(TeamPolicy),
    topics.FOLLOWUPS: msgspec.json.Decoder(FollowupRecord),
    topics.REJECTS: msgspec.json.Decoder(Reject),
}
TOPICS: Final = tuple(_DECODERS)  # of everything that the fold says, but for tombstones


def message(topic: str, key: bytes | None, record: msgspec.Struct) -> Message:
    """The message that says `record`."""
    return Message(topic, key, _JSON.encode(record))


def reject(key: bytes | None, record: Reject) -> Message:
    """The message of a reject. One that would be too large leaves the record where it stands: in the log."""
    value = _JSON.encode(record)
    if len(value) > LARGEST:
        value = _JSON.encode(msgspec.structs.replace(record, record=None))
    return Message(topics.REJECTS, key, value)


def read(topic: str, value: bytes) -> msgspec.Struct:
    """What a message of a topic of ours says."""
    return _DECODERS[topic].decode(value)


class Answers:
    """The answers that a batch says of one team, as the inside of a JSON list."""

    __slots__ = ("_json",)

    def __init__(self) -> None:
        self._json = bytearray()

    def __bool__(self) -> bool:
        return bool(self._json)

    def append(self, change: AnswerChange) -> None:
        """One more."""
        json = self._json
        _APPEND(change, json, _END)
        json += b","

    def raw(self) -> msgspec.Raw:
        """All of them, as a JSON list."""
        return msgspec.Raw(b"".join((b"[", memoryview(self._json)[:-1], b"]")))


def changes(
    team: str, panes: Sequence[PaneChange], answers: Answers, corrections: Sequence[Correction]
) -> Iterator[Message]:
    """What a batch has changed for one team, if anything.

    What does not fit a message is several: all of it is absolute, so nothing is lost.
    """
    if not (panes or answers or corrections):
        return
    of_team = team.encode()
    whole = message(topics.TEAM_CHANGES, of_team, _changes(team, panes, answers.raw() if answers else [], corrections))
    if len(whole.value or b"") <= LARGEST:
        yield whole
        return
    part: dict[str, list[Any]] = {}
    size = 0
    for kind, items in (
        ("panes", [msgspec.Raw(_JSON.encode(pane)) for pane in panes]),
        ("answers", _ITEMS.decode(answers.raw()) if answers else []),
        ("corrections", [msgspec.Raw(_JSON.encode(correction)) for correction in corrections]),
    ):
        for item in items:
            more = len(memoryview(item)) + 1
            if size and size + more > LARGEST - _AROUND:
                yield message(topics.TEAM_CHANGES, of_team, _changes(team, **part))
                part, size = {}, 0
            part.setdefault(kind, []).append(item)
            size += more
    yield message(topics.TEAM_CHANGES, of_team, _changes(team, **part))


def _changes(team: str, panes: Any = (), answers: Any = (), corrections: Any = ()) -> TeamChanges:
    """Of what is encoded already, in part: a struct's types are checked where it is read."""
    return TeamChanges(team, panes or [], answers or [], corrections or [])
