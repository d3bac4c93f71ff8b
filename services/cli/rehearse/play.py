"""The log played through the fold with other promises than those it holds, and what comes of it gathered."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import msgspec

from schemas.feedback import Policy, Tick
from schemas.followups import Case, Clock, FollowupEvent, Kind
from schemas.policies import TeamPolicy
from schemas.topics import FOLLOWUPS
from services.teams.models import Team
from stream.domain import keys, messages, values
from stream.domain.values import Meta
from stream.domain.view import LogRecord
from stream.domain.work import Effects
from stream.log import Log

_TICK: Final = msgspec.json.encode(Tick())
# What people are told of.
TOLD: Final[frozenset[Kind]] = frozenset(
    {"followup.raised", "followup.reopened", "followup.reminder", "followup.breached", "followup.escalated"}
)


class _Kind(msgspec.Struct):
    type: str = ""


_kind_of: Final = msgspec.json.Decoder(_Kind).decode


@dataclass(frozen=True, slots=True)
class Record:
    """A record that stands for one of the log."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Instead:
    """The log without the policies of some teams, and a moment longer: up to `now_ms`, when a last tick comes."""

    def __init__(self, log: Log, teams: Iterable[str], now_ms: int) -> None:
        self._log = log
        self._teams = frozenset(team.encode() for team in teams)
        self._now_ms = now_ms

    async def committed(self, partition: int) -> int:
        """See `stream.log.Log`."""
        return await self._log.committed(partition)

    async def bounds(self, partition: int) -> tuple[int, int]:
        """See `stream.log.Log`. Nothing where the log holds nothing."""
        first, end = await self._log.bounds(partition)
        return first, end if first == end else end + 1

    async def read(self, partition: int, start: int, stop: int) -> AsyncGenerator[list[LogRecord], None]:
        """See `stream.log.Log`."""
        end = stop - 1
        async with aclosing(self._log.read(partition, start, end)) as batches:
            async for records in batches:
                yield [self._instead(record) for record in records]
        yield [Record(end, self._now_ms, None, _TICK)]

    def _instead(self, record: LogRecord) -> LogRecord:
        value = record.value
        if record.key not in self._teams or value is None or b"policy" not in value or not _sets_policy(value):
            return record
        return Record(record.offset, record.timestamp, None, _TICK, record.headers)


def _sets_policy(value: bytes) -> bool:
    try:
        return _kind_of(value).type == "policy"
    except msgspec.DecodeError:
        return False  # the fold says what is wrong with it


def begin(teams: Mapping[str, Policy], generation: int) -> Effects:
    """The changes that make an empty state hold these promises before its first record."""
    held = {keys.policy(team): values.POLICY.pack(TeamPolicy(team, 0, 0, policy)) for team, policy in teams.items()}
    meta = Meta(generation=generation)
    return Effects({**held, keys.META: values.META.pack(meta)}, [], meta)


@dataclass(frozen=True, slots=True)
class Telling:
    """Something that would have been told of a case. `case`: as it stood then."""

    at_ms: int
    kind: Kind
    case: Case
    clock: Clock | None = None
    level: int = 0


class Gathered:
    """What the fold has said of some teams from `since_ms` to `until_ms`: listens to its effects."""

    def __init__(self, teams: Mapping[str, Team], since_ms: int, until_ms: int) -> None:
        self.tellings: list[Telling] = []
        self._teams = teams
        self._since_ms = since_ms
        self._until_ms = until_ms

    def listen(self, effects: Effects) -> None:
        """Take what a batch has said."""
        for out in effects.outputs:
            if out.topic == FOLLOWUPS and out.value is not None:
                record = messages.read(FOLLOWUPS, out.value)
                if isinstance(record, FollowupEvent):
                    self._event(record)

    def _event(self, event: FollowupEvent) -> None:
        case = event.case
        if case.team not in self._teams or not self._since_ms <= event.at_ms <= self._until_ms:
            return
        if event.kind in TOLD:
            self.tellings.append(Telling(event.at_ms, event.kind, case, event.clock, event.level or 0))
