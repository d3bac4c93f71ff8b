"""One look at all teams: whose counts have changed, who fell, whose alarm is over.

What is kept in memory only spares work: after a restart every team is looked at once more, with the same result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec
import structlog

from services.alerts import metrics
from services.alerts.alarms.counts import Counts
from services.alerts.alarms.records import DAY_MS, Alarm, Note, alarm_id
from services.alerts.alarms.wording import note_of
from stream.domain.alarms import KNOWN_DAYS, SINCE_DAYS, Days, Ending, Fall, ending, fall, matters, to_raise
from stream.domain.scores import Tally

log = structlog.get_logger()

AT_ONCE: Final = 50  # teams whose counts are read and weighed in one go


class AlarmStore(Protocol):
    """Where alarms are kept."""

    async def newest(self) -> Mapping[str, Alarm]:
        """The newest alarm of each team that ever had one."""
        ...

    async def raised_since(self, day: int) -> int:
        """How many alarms were raised on that day or later."""
        ...

    async def write(self, alarms: Sequence[Alarm], notes: Sequence[Note]) -> None:
        """Keep alarms, and what is to be said, in one transaction. A note that is kept already stays as it is."""
        ...


@dataclass(frozen=True, slots=True)
class Seen:
    """What one team's counts say: a fall worth an alarm, or how its open alarm stands."""

    fall: Fall | None = None
    ending: Ending | None = None
    now: Tally | None = None


def see(days: Days, last: Alarm | None, today: int) -> Seen:
    """Weigh one team's counts. `last` is its newest alarm.

    While an alarm is open nothing else is looked for. After it, a fall has to begin after its end; and what a fall that
    has settled fell from is no measure any more.
    """
    if last is not None and last.ended_ms is None:
        over = ending(days, last.since, last.before, last.raised_day, today)
        now = sum((counts for day, counts in days.items() if last.since <= day <= today), start=Tally())
        return Seen(None, over, now)
    not_before = 0
    if last is not None and last.ended_ms is not None and last.ending != "withdrawn":
        not_before = last.ended_ms // DAY_MS + 1
        if last.ending == "settled":
            days = {day: counts for day, counts in days.items() if day >= last.since}
    found = fall(days, today, not_before)
    return Seen(found if found is not None and found.evidence > 0 and matters(found, days, today) else None)


class Watch:
    """Looks at every team whose counts changed since the last look, and at all of them once a day."""

    def __init__(self, counts: Counts, store: AlarmStore, false_share: float) -> None:
        self._counts = counts
        self._store = store
        self._false_share = false_share
        self._looked: dict[str, tuple[int, int]] = {}  # version of the counts and day of the last look
        self._falls: dict[str, Fall] = {}  # of teams without an alarm

    async def look(self, now_ms: int) -> list[Alarm]:
        """The alarms that changed, which are kept with their notes when this returns. Raises Unreachable.

        1. Counts are read and weighed, team by team; endings are written as they are found.
        2. Alarms are raised over all teams together, with their notes, in one transaction.
        3. A team counts as looked at only when what was found of it is written, so a failure anywhere is a look more.
        """
        today = now_ms // DAY_MS
        oldest = today - KNOWN_DAYS
        alarms = await self._store.newest()
        versions = await self._counts.versions(oldest)
        stale = [team for team in sorted(versions) if self._looked.get(team) != (versions[team], today)]
        changed: list[Alarm] = []
        for teams in _in_parts(stale):
            days = await self._counts.days(teams, oldest)
            found = await asyncio.to_thread(_seen, teams, days, alarms, today)
            changed += await self._follow(found, alarms, now_ms)
            self._looked |= {team: (versions[team], today) for team in teams}
        self._looked = {team: self._looked[team] for team in versions if team in self._looked}
        self._falls = {team: found for team, found in self._falls.items() if team in versions}
        changed += await self._raise(alarms, len(versions), now_ms)
        metrics.ALARMS_LOOKED.set(now_ms / 1_000)
        return changed

    async def _follow(self, found: Mapping[str, Seen], alarms: Mapping[str, Alarm], now_ms: int) -> list[Alarm]:
        """Note falls for later; write how open alarms stand, and those that are over."""
        moved: list[Alarm] = []
        over: list[Alarm] = []
        for team, seen in found.items():
            alarm = alarms.get(team)
            if alarm is not None and alarm.ended_ms is None:
                now = msgspec.structs.replace(alarm, now=seen.now or alarm.now)
                if seen.ending is not None:
                    over.append(msgspec.structs.replace(now, n=alarm.n + 1, ended_ms=now_ms, ending=seen.ending))
                elif now != alarm:
                    moved.append(now)
            elif seen.fall is not None:
                self._falls[team] = seen.fall
            else:
                self._falls.pop(team, None)
        if moved or over:
            await self._store.write([*moved, *over], [note_of(alarm) for alarm in over])
        for alarm in over:
            metrics.ALARMS.labels("ended").inc()
            log.info("alarm_ended", team=alarm.team, alarm_id=alarm.alarm_id, ending=alarm.ending)
        return over

    async def _raise(self, alarms: Mapping[str, Alarm], teams: int, now_ms: int) -> list[Alarm]:
        today = now_ms // DAY_MS
        span = today - today % SINCE_DAYS
        weights = {team: found.evidence for team, found in self._falls.items()}
        if not weights:
            return []
        told = to_raise(weights, teams, await self._store.raised_since(span), self._false_share)
        raised = [_alarm(team, self._falls[team], alarms.get(team), teams, now_ms) for team in told]
        if raised:
            await self._store.write(raised, [note_of(alarm) for alarm in raised])
        for alarm in raised:
            del self._falls[alarm.team]
            metrics.ALARMS.labels("raised").inc()
            log.warning("alarm_raised", team=alarm.team, alarm_id=alarm.alarm_id, evidence=round(alarm.evidence, 2))
        return raised


def _seen(teams: Sequence[str], days: Mapping[str, Days], alarms: Mapping[str, Alarm], today: int) -> dict[str, Seen]:
    return {team: see(days.get(team, {}), alarms.get(team), today) for team in teams}


def _alarm(team: str, found: Fall, last: Alarm | None, teams: int, now_ms: int) -> Alarm:
    name = alarm_id(team, found.since)
    return Alarm(
        alarm_id=name,
        team=team,
        n=last.n + 1 if last is not None and last.alarm_id == name else 1,
        since=found.since,
        first=found.first,
        last=found.last,
        before=found.before,
        after=found.after,
        now=found.after,
        evidence=found.evidence,
        teams=teams,
        raised_ms=now_ms,
    )


def _in_parts(teams: Sequence[str]) -> Iterator[Sequence[str]]:
    return (teams[at : at + AT_ONCE] for at in range(0, len(teams), AT_ONCE))
