"""Stand-ins for the outside of the fold: its state as a dict, a log built in memory, a runner that folds it in cuts."""

from __future__ import annotations

import bisect
import hashlib
import itertools
import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec

from schemas import topics
from schemas.changes import AnswerChange, Correction, PaneChange, TeamChanges
from schemas.followups import FollowupEvent, Refused
from schemas.policies import TeamPolicy
from schemas.rejects import Reject
from schemas.scores import TeamScores
from stream.domain import carrying, ids, keys, values
from stream.domain.fold import fold
from stream.domain.messages import Message
from stream.domain.values import Meta
from stream.domain.view import UNLIMITED
from stream.domain.work import Effects
from tests.unit.stream.said import Out, read

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
START_MS: Final = 1_790_000_040_000  # 2026-09-21 14:14 UTC, a whole minute

PARTITION: Final = 3
TEAMS: Final = tuple(
    name for name in (f"team-{i}" for i in range(100)) if topics.partition_of(name.encode()) == PARTITION
)

TOLD_BY_TIME: Final = frozenset({"followup.woke", "followup.reask", "followup.reask_withheld"})  # of no clock

S = TypeVar("S", bound=msgspec.Struct)


class FakeState:
    """What `stream.state.State` promises, over a dict and its sorted keys."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}
        self._order: list[bytes] = []

    def get_many(self, wanted: Sequence[bytes]) -> list[bytes | None]:
        return [self.data.get(key) for key in wanted]

    def scan(self, prefix: bytes, start: bytes, stop: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]:
        lo, hi = (bisect.bisect_left(self._order, prefix + edge) for edge in (start, stop))
        for key in self._order[lo : min(hi, lo + limit)]:
            yield key, self.data[key]

    def scan_back(self, prefix: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]:
        lo = bisect.bisect_left(self._order, prefix)
        found = itertools.takewhile(lambda key: key.startswith(prefix), itertools.islice(self._order, lo, None))
        for key in list(found)[::-1][:limit]:
            yield key, self.data[key]

    @property
    def meta(self) -> Meta:
        raw = self.data.get(keys.META)
        return Meta() if raw is None else values.META.unpack(raw)

    def commit(self, effects: Effects, messages: Sequence[Message]) -> None:
        for key, value in effects.changes.items():
            self.put(key, value)
        if messages:
            self.put(keys.OUTBOX + keys.number(effects.meta.position), msgspec.msgpack.encode(messages))

    def put(self, key: bytes, value: bytes | None) -> None:
        """Set a key; None deletes it."""
        if value is None:
            if self.data.pop(key, None) is not None:
                del self._order[bisect.bisect_left(self._order, key)]
            return
        if key not in self.data:
            bisect.insort(self._order, key)
        self.data[key] = value

    def set_meta(self, meta: Meta) -> None:
        self.put(keys.META, values.META.pack(meta))

    def outbox(self) -> Iterator[tuple[int, list[Message]]]:
        for key, raw in self.scan(keys.OUTBOX, keys.number(0), b"\xff" * 9, UNLIMITED):
            yield int.from_bytes(key[1:], "big"), msgspec.msgpack.decode(raw, type=list[Message])

    def clear_outbox(self, position: int) -> None:
        self.put(keys.OUTBOX + keys.number(position), None)

    def close(self) -> None:
        """A dict has no files."""

    def clear(self) -> None:
        self.data.clear()
        self._order = []

    def copy(self) -> FakeState:
        """The same keys, to be changed apart."""
        other = FakeState()
        other.data, other._order = dict(self.data), list(self._order)
        return other


@dataclass(frozen=True)
class Record:
    """A `stream.domain.view.LogRecord`."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def response_id(number: int) -> str:
    """The same UUID for the same number."""
    return str(uuid.UUID(int=number + (7 << 76)))


def content_hash(fields: dict[str, Any]) -> str:
    """As the door makes it: of what the client sent, whatever the order."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]


def answer_value(number: int, score: int, **fields: Any) -> bytes:
    """An `answer` record's value. `content` is made of the other fields unless it is given."""
    body = {"response_id": response_id(number), "score": score, **fields}
    return json.dumps({"type": "answer", "content": content_hash(body), **body}).encode()


def command_value(kind: str, number: int, **fields: str) -> bytes:
    """The value of a record about one answer: `exclude` or `include` with a reason, `erase`."""
    return json.dumps({"type": kind, "response_id": response_id(number), **fields}).encode()


def erase_respondent_value(respondent: str) -> bytes:
    """An `erase_respondent` record's value."""
    return json.dumps({"type": "erase_respondent", "respondent": respondent}).encode()


def case_id(number: int, team: str = TEAMS[0]) -> str:
    """Of the case that an answer opens."""
    return ids.uuid5(team, response_id(number))


def act_value(number: int, kind: str, command: int, *, team: str = TEAMS[0], **fields: Any) -> bytes:
    """An `act` record's value: kim does this with the case that answer `number` has opened.

    `command`: of the same command the same number. What the kind cannot do without is filled in.
    """
    needed = {"contact": {"outcome": "reached"}, "resolve": {"cause": "price"}, "note": {"note": note_id(command)}}
    body = {"command_id": response_id(command + (1 << 40)), "case_id": case_id(number, team), "kind": kind}
    given = {"actor": "kim"} | needed.get(kind, {}) | fields
    return json.dumps({"type": "act", **body, **given}).encode()


def note_id(number: int) -> str:
    """The id of a note's text."""
    return response_id(number + (1 << 50))


def windows_value(*minutes: int) -> bytes:
    """A `windows` record's value."""
    return json.dumps({"type": "windows", "minutes": minutes}).encode()


def policy_value(**fields: Any) -> bytes:
    """A `policy` record's value. `rev` is made of the other fields unless it is given."""
    return json.dumps({"type": "policy", "rev": content_hash(fields), **fields}).encode()


def office_hours(days: int, first_ms: int = START_MS - 3 * DAY) -> tuple[int, ...]:
    """Working intervals of so many days on end, 09:00 to 12:30 and 13:00 to 17:00 UTC."""
    midnight = first_ms - first_ms % DAY
    hours = (9 * HOUR, 12 * HOUR + HOUR // 2, 13 * HOUR, 17 * HOUR)
    return tuple(midnight + day * DAY + at for day in range(days) for at in hours)


def carries(state: FakeState, most: int = 100) -> list[tuple[bytes | None, bytes]]:
    """Keys and values of the records that say again what the fold says is to be carried."""
    return [(key, msgspec.json.encode(carry)) for key, carry in carrying.due(state, state.meta, most)]


TICK: Final = b'{"type":"tick"}'


class LogBuilder:
    """A log of one partition, record by record. `now_ms` is the append time of the next record."""

    def __init__(self, now_ms: int = START_MS, first_offset: int = 0) -> None:
        self.now_ms = now_ms
        self.next_offset = first_offset
        self.records: list[Record] = []

    def append(
        self, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]] = (), skip: int = 0
    ) -> Record:
        """Any record. `skip` offsets are left out before it, as a transaction marker leaves them out."""
        record = Record(self.next_offset + skip, self.now_ms, key, value, headers)
        self.records.append(record)
        self.next_offset = record.offset + 1
        return record

    def answer(self, number: int, score: int, *, team: str = TEAMS[0], **fields: Any) -> Record:
        """One answer, appended now."""
        return self.append(team.encode(), answer_value(number, score, **fields))

    def policy(self, *, team: str = TEAMS[0], **fields: Any) -> Record:
        """A team's policy holds from now on."""
        return self.append(team.encode(), policy_value(**fields))

    def act(self, number: int, kind: str, *, team: str = TEAMS[0], command: int | None = None, **fields: Any) -> Record:
        """Kim does something with the case that an answer has opened. A command of its own unless one is given."""
        command = self.next_offset if command is None else command
        return self.append(team.encode(), act_value(number, kind, command, team=team, **fields))

    def tick(self, after_ms: int = 0) -> Record:
        """Time passes."""
        self.now_ms += after_ms
        return self.append(None, TICK)


@dataclass
class Run:
    """A state and everything that was said while it came about."""

    state: FakeState = field(default_factory=FakeState)
    outputs: list[Out] = field(default_factory=list)

    def fold(self, records: Sequence[Record]) -> Effects:
        """One batch."""
        effects = fold(self.state, records, PARTITION)
        self.state.commit(effects, ())
        self.outputs.extend(read(effects.outputs))
        return effects

    def messages(self, kind: type[S]) -> list[S]:
        """All messages of one type, in order."""
        return [out.message for out in self.outputs if isinstance(out.message, kind)]

    @property
    def events(self) -> list[FollowupEvent]:
        return self.messages(FollowupEvent)

    @property
    def caused(self) -> list[FollowupEvent]:
        """Events that records caused, not time."""
        return [event for event in self.events if event.clock is None and event.kind not in TOLD_BY_TIME]

    @property
    def refused(self) -> list[Refused]:
        return self.messages(Refused)

    @property
    def rejects(self) -> list[Reject]:
        return self.messages(Reject)

    @property
    def corrections(self) -> list[tuple[str, Correction]]:
        """(team, correction)."""
        return [(change.team, item) for change in self.messages(TeamChanges) for item in change.corrections]

    @property
    def policies(self) -> list[TeamPolicy]:
        return self.messages(TeamPolicy)

    @property
    def tombstones(self) -> list[bytes | None]:
        """Keys of `people.v1` whose text goes, in order."""
        return [out.key for out in self.outputs if out.topic == topics.PEOPLE and out.message is None]

    @property
    def answers(self) -> list[tuple[str, AnswerChange]]:
        """(team, answer as it stood)."""
        return [(change.team, item) for change in self.messages(TeamChanges) for item in change.answers]

    @property
    def scores(self) -> dict[str, TeamScores]:
        """The last published scores of each team."""
        return {scores.team: scores for scores in self.messages(TeamScores)}

    @property
    def panes(self) -> dict[tuple[str, int], PaneChange]:
        """The pane of greatest version of each (team, minute)."""
        newest: dict[tuple[str, int], PaneChange] = {}
        for change in self.messages(TeamChanges):
            for pane in change.panes:
                at = change.team, pane.minute
                if at not in newest or newest[at].version <= pane.version:
                    newest[at] = pane
        return newest


def play(log: Sequence[Record], cuts: Sequence[int] = ()) -> Run:
    """Fold a log in batches that end before the indexes in `cuts`."""
    run = Run()
    edges = [0, *sorted(cuts), len(log)]
    for lo, hi in itertools.pairwise(edges):
        if lo < hi:
            run.fold(log[lo:hi])
    return run


def one_by_one(log: Sequence[Record]) -> Iterator[tuple[Run, Record]]:
    """Fold a log one record a batch; gives the run so far after each."""
    run = Run()
    for record in log:
        run.fold([record])
        yield run, record
