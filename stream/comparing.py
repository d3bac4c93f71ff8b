"""Whether a replay came to the same: the keys of two states, and what a fold says against what stands in the topics."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec
from msgspec import structs

from schemas import topics
from schemas.changes import Position, TeamChanges
from schemas.followups import FollowupEvent, Refused
from schemas.policies import TeamPolicy
from schemas.rejects import Reject
from schemas.scores import TeamScores
from stream.domain import ids, keys, messages, values
from stream.domain.minutes import MINUTE_MS

SHOWN: Final = 5  # differing keys that are named
Pair = tuple[bytes, bytes]

_UNREADABLE: Final = re.compile(r"[^!-~]+")
_WHOLE: Final = 1 << 62
_ENCODE: Final = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Tally:
    """How much was compared, how much of it differs, and what the first differing things are called."""

    compared: int = 0
    different: int = 0
    first: list[str] = field(default_factory=list)

    def differs(self, name: str) -> None:
        """One thing more that differs."""
        self.different += 1
        if len(self.first) < SHOWN:
            self.first.append(name)


# -- states ------------------------------------------------------------------------------------------------------------


def compare_states(held: Iterable[Pair], folded: Iterable[Pair], since_ms: int = 0) -> Tally:
    """Two states key by key; both in key order. The outbox is left out, and of `m` what is local to a disk.

    `since_ms`: what happened before is left out too: the log need not hold it any more. 0 compares everything.
    """
    tally = Tally()
    for key, left, right in _joined(_shared(held), _shared(folded)):
        if not any(raw is not None and _moment(key, raw) >= since_ms for raw in (left, right)):
            continue
        if since_ms and left is None and right is not None and _made_up(key, right):
            continue
        tally.compared += 1
        if left != right:
            tally.differs(named(key))
    return tally


def _made_up(key: bytes, raw: bytes) -> bool:
    """A case that a log without its beginning has raised, until a carry told of the older one that it then joined."""
    return key[:1] == b"c" and values.CASE.unpack(raw).state == "joined"


def named(key: bytes) -> str:
    """A state key for people: its letter and the texts in it."""
    return key[:1].decode("latin-1") + _UNREADABLE.sub("·", key[1:].decode("latin-1"))


def _shared(pairs: Iterable[Pair]) -> Iterator[Pair]:
    for key, raw in pairs:
        if key == keys.META:
            yield key, values.META.pack(structs.replace(values.META.unpack(raw), quiet_until=0))
        elif not key.startswith(keys.OUTBOX):
            yield key, raw


def _joined(left: Iterator[Pair], right: Iterator[Pair]) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
    """Every key of either side with its values; None on the side that does not have it."""
    ours, theirs = next(left, None), next(right, None)
    while ours is not None and theirs is not None:
        in_ours, in_theirs = ours[0] <= theirs[0], theirs[0] <= ours[0]
        yield min(ours[0], theirs[0]), ours[1] if in_ours else None, theirs[1] if in_theirs else None
        ours = next(left, None) if in_ours else ours
        theirs = next(right, None) if in_theirs else theirs
    while ours is not None:
        yield *ours, None
        ours = next(left, None)
    while theirs is not None:
        yield theirs[0], None, theirs[1]
        theirs = next(right, None)


# When what a key is about happened, by its first letter; a letter that is not here is always compared.
_MOMENTS: Final[Mapping[bytes, Callable[[bytes, bytes], int]]] = {
    b"r": lambda _, raw: _given_ms(values.RESOLVED.unpack(raw)),
    b"a": lambda key, _: int.from_bytes(key[-keys.PLACE : -keys.PLACE // 2], "big"),
    b"l": lambda _, raw: values.NEWEST.unpack(raw).event_ms,
    b"p": lambda key, _: keys.pane_minute(key) * MINUTE_MS,
    b"c": lambda _, raw: values.CASE.unpack(raw).raised_ms,
    b"t": lambda _, raw: values.POLICY.unpack(raw).at_ms,
    b"k": lambda _, raw: int.from_bytes(raw, "big"),
    # Says the same as the cases, and the answers.
    b"q": lambda _key, _raw: 0,
    b"h": lambda _key, _raw: 0,
    b"d": lambda _key, _raw: 0,
    # When the log was asked to say something again.
    b"y": lambda _key, _raw: 0,
    # A team whose windows are empty may have answered last before the log begins.
    b"w": lambda _, raw: max(ring[0] for ring in values.TEAM.unpack(raw).rings) * MINUTE_MS,
}


def _given_ms(answer: values.Resolved) -> int:
    """0 for what came before its answer, or after it had left the state: one cannot be told from the other."""
    return 0 if answer.first_offset == values.NOT_GIVEN else answer.event_ms


def _moment(key: bytes, raw: bytes) -> int:
    moment = _MOMENTS.get(key[:1])
    return _WHOLE if moment is None else moment(key, raw)


# -- outputs -----------------------------------------------------------------------------------------------------------


class Outputs:
    """What the fold says up to a position, held against what stands in the topics.

    Everything said has a name, a version and a content. Of one name the fold's last version counts (an event has only
    one), and the same has to stand in its topic. What is newer there than the position is not looked at, and says that
    a compacted topic may have dropped the one that was looked for.
    """

    def __init__(self, generation: int, first: int, position: int, since_ms: int = 0) -> None:
        self._generation = generation
        self._from = ids.version(generation, first)
        self._limit = ids.version(generation, position)
        self._since_ms = since_ms
        self._expected: dict[bytes, bytes] = {}
        self._seen: set[bytes] = set()
        self._newer: set[bytes] = set()
        self._floors: dict[str, int] = {}
        self.tally = Tally()

    def said(self, topic: str, value: bytes | None) -> None:
        """The fold says this. A tombstone is not compared: it leaves its topic after a day."""
        if value is None:
            return
        for name, version, content, at_ms in self._things(topic, messages.read(topic, value)):
            if at_ms >= self._since_ms:
                self._expected[name] = version.to_bytes(8, "big") + _digest(content)

    def truncated(self, topic: str) -> None:
        """The beginning of a topic has gone with retention: what it tells first says from where on it is whole."""
        self._floors[topic] = self._limit

    def stands(self, topic: str, value: bytes | None) -> None:
        """This stands in a topic; all topics are told from their beginning, each in its order."""
        message = None if value is None else messages.read(topic, value)
        if message is None:
            return
        if self._floors.get(topic) == self._limit:
            self._floors[topic] = min(self._limit, self._told_through(message))
        for name, version, content, at_ms in self._things(topic, message):
            if version < self._from or ids.generation_of(version) != self._generation or at_ms < self._since_ms:
                continue
            if version >= self._limit:
                self._newer.add(name)
                continue
            expected = self._expected.get(name)
            if expected is None or version > int.from_bytes(expected[:8], "big"):
                self.tally.differs(f"{_shown(name)} stands in the topic, the fold does not say it")
            elif version == int.from_bytes(expected[:8], "big"):
                if name not in self._seen:
                    self._seen.add(name)
                    self.tally.compared += 1
                if expected[8:] != _digest(content):
                    self.tally.differs(_shown(name))

    def finish(self) -> Tally:
        """The result, after everything that stands has been told."""
        for name, expected in self._expected.items():
            if name in self._seen or name in self._newer:
                continue
            topic = name.split(b" ")[0].decode()
            if int.from_bytes(expected[:8], "big") >= self._floors.get(topic, 0):
                self.tally.compared += 1
                self.tally.differs(f"{_shown(name)} is missing in the topic")
        return self.tally

    def _told_through(self, message: msgspec.Struct) -> int:
        """The version from which on a truncated topic is whole, when `message` is the first that says so."""
        if isinstance(message, Position):
            return ids.version(self._generation, message.through)
        if isinstance(message, Reject) and message.topic == topics.FEEDBACK:
            return ids.version(self._generation, message.offset)
        return self._limit

    def _things(self, topic: str, message: msgspec.Struct) -> Iterator[tuple[bytes, int, msgspec.Struct, int]]:
        """(name, version, content, when what it is about happened) of everything in a message."""
        at = topic.encode() + b" "
        if isinstance(message, TeamScores):
            yield at + message.team.encode(), message.version, message, _WHOLE
        elif isinstance(message, TeamPolicy):
            yield at + message.team.encode(), message.version, message, message.at_ms
        elif isinstance(message, TeamChanges):
            team = message.team.encode() + b" "
            for pane in message.panes:
                yield at + b"pane " + team + b"%d" % pane.minute, pane.version, pane, pane.minute * MINUTE_MS
            for answer in message.answers:
                name = at + b"answer " + team + answer.response_id.encode()
                yield name, answer.version, answer, answer.event_ms
            for item in message.corrections:
                when = min((delta.minute * MINUTE_MS for delta in item.deltas), default=_WHOLE)
                yield at + b"correction " + item.id.encode(), item.version, item, when
        elif isinstance(message, FollowupEvent):
            yield at + message.event_id.encode(), message.case.version, message, message.case.raised_ms
        elif isinstance(message, Refused):
            # Whether a case is known cannot be told from a log without its beginning.
            when = 0 if message.reason == "unknown_case" else message.at_ms
            yield at + message.event_id.encode(), message.version, message, when
        elif isinstance(message, Reject) and message.topic == topics.FEEDBACK:
            # Whether an answer is known cannot be told from a log without its beginning.
            when = 0 if message.reason == "unknown_original" else _WHOLE
            yield at + message.id.encode(), ids.version(self._generation, message.offset), message, when


def _digest(content: msgspec.Struct) -> bytes:
    return hashlib.blake2b(_ENCODE(content), digest_size=12).digest()


def _shown(name: bytes) -> str:
    return name.decode(errors="replace")
