"""What a log comes to, team by team: the fold of one generation held against that of another.

Offsets, versions and the ids made from them are of one generation. All else has to be the same: answers, panes, cases,
and the counts of every window at one moment.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import structs

from schemas.feedback import Tick
from schemas.generations import Generation
from schemas.scores import WindowScore
from stream.domain import keys, values
from stream.domain.fold import fold
from stream.domain.reading import appended_ms
from stream.domain.values import NOT_GIVEN
from stream.domain.view import UNLIMITED, LogRecord
from stream.domain.work import Work
from stream.log import Log
from stream.merging import Command
from stream.replay import fold_log
from stream.state import State, folder_of, shared_memory

_TICK: Final = msgspec.json.encode(Tick())


class Added(NamedTuple):
    """A record that a fold is given beside those of the log."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(slots=True)
class Facts:
    """One team. `content`: a digest of everything else that has to be the same."""

    answers: int = 0
    erased: int = 0
    cases: int = 0
    windows: list[WindowScore] = field(default_factory=list)
    content: str = ""


async def facts_of(
    log: Log,
    generation: Generation,
    at_ms: int,
    scratch: Path,
    added: Callable[[int], Sequence[Command]],
    progressed: Callable[[int, int], None],
) -> dict[str, Facts]:
    """Fold a log from its start to its end, then on to `at_ms`, and sum up each team. Empty: no team.

    `added`: commands that a partition is to be given though they do not stand in it. `scratch`: a folder to fold into;
    one partition's state is there at a time.
    """
    bounds = {number: await log.bounds(number) for number in generation.numbers()}
    total, before = sum(end - first for first, end in bounds.values()), 0
    found: dict[str, Facts] = {}
    for number, (first, end) in bounds.items():
        path = folder_of(scratch, number)

        def done(_: int, records: int, __: int, before: int = before) -> None:
            progressed(before + records, total)

        state = State(path, shared_memory(32))
        try:
            await fold_log(state, number, Completed(log, added(number)), end, generation, lambda _: None, done)
            last = Added(max(state.meta.position, end), at_ms, None, _TICK)
            state.commit(fold(state, [last], number, generation.number, generation.partitions), ())
            found |= _summed(state, number, generation)
        finally:
            state.close()
            shutil.rmtree(path, ignore_errors=True)
        before += end - first
    return found


class Completed:
    """A log in which some commands stand too: each before the first record that was appended later."""

    def __init__(self, log: Log, commands: Sequence[Command]) -> None:
        self._log = log
        self._commands = commands

    async def committed(self, partition: int) -> int:
        """See `Log`."""
        return await self._log.committed(partition)

    async def bounds(self, partition: int) -> tuple[int, int]:
        """See `Log`."""
        return await self._log.bounds(partition)

    async def read(self, partition: int, start: int, stop: int) -> AsyncGenerator[list[LogRecord], None]:
        """See `Log`. What is added has the offset of the record it stands before."""
        missing, known_ms = deque(self._commands), 0
        async with aclosing(self._log.read(partition, start, stop)) as batches:
            async for records in batches:
                completed: list[LogRecord] = []
                for record in records:
                    known_ms = max(known_ms, appended_ms(record))
                    while missing and missing[0].at_ms < known_ms:
                        command = missing.popleft()
                        completed.append(Added(record.offset, command.at_ms, None, command.value))
                    completed.append(record)
                yield completed
        if missing:
            yield [Added(stop, command.at_ms, None, command.value) for command in missing]


def _summed(state: State, partition: int, generation: Generation) -> dict[str, Facts]:
    found: dict[str, Facts] = {}
    digests: dict[str, Any] = {}
    for key, raw in state.scan(b"", b"", b"\xff", UNLIMITED):
        same = _SAME.get(key[:1])
        if same is None:
            continue
        team = keys.team_in(key)
        facts = found.setdefault(team, Facts())
        digest = digests.setdefault(team, hashlib.blake2b(digest_size=16))
        digest.update(b"%d " % len(key) + key + same(raw, facts))
    lengths = values.live_windows(state.get_many((keys.WINDOWS,))[0])
    work = Work(state, state.meta, partition, generation.number, lengths)
    for team, facts in found.items():
        facts.windows = work.of(team).scores().windows
        facts.content = digests[team].hexdigest()
    return found


def _answer(raw: bytes, facts: Facts) -> bytes:
    resolved = values.RESOLVED.unpack(raw)
    given = resolved.first_offset != NOT_GIVEN
    facts.answers += given
    facts.erased += resolved.erased
    return values.RESOLVED.pack(structs.replace(resolved, first_offset=0 if given else NOT_GIVEN))


def _newest(raw: bytes, _: Facts) -> bytes:
    return values.NEWEST.pack(structs.replace(values.NEWEST.unpack(raw), first_offset=0))


def _case(raw: bytes, facts: Facts) -> bytes:
    facts.cases += 1
    # A command for everybody had a time in each partition, and has one now: that of a case it has changed is not held.
    return values.CASE.pack(structs.replace(values.CASE.unpack(raw), version=0, changed_ms=0))


def _policy(raw: bytes, _: Facts) -> bytes:
    return values.POLICY.pack(structs.replace(values.POLICY.unpack(raw), version=0))


# What has to be the same of a value, by the first letter of its key (`stream.domain.keys`). Keys that hold an offset
# are not here (`a`, `h`): they are made from the answers. The list of windows is of a partition, and in the windows.
_SAME: Final[Mapping[bytes, Callable[[bytes, Facts], bytes]]] = {
    b"r": _answer,
    b"l": _newest,
    b"p": lambda raw, _: raw,
    b"c": _case,
    b"q": lambda raw, _: raw,
    b"t": _policy,
    b"k": lambda _, __: b"",
}


@dataclass(frozen=True, slots=True)
class Compared:
    """One team in both generations; None where one has no such team."""

    team: str
    old: Facts | None
    new: Facts | None

    @property
    def equal(self) -> bool:
        """Whether both came to the same."""
        return self.old == self.new


def compared(old: Mapping[str, Facts], new: Mapping[str, Facts]) -> Iterator[Compared]:
    """Every team of either, by name."""
    for team in sorted({*old, *new}):
        yield Compared(team, old.get(team), new.get(team))
