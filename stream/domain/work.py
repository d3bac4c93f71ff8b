"""The working set of one batch: what the fold has read, what it has changed, what it says about it.

Everything is read through `View` once, changed in memory, and handed back as `Effects`: so a batch sees its own
changes, and the state changes in one atomic write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from schemas import topics
from schemas.changes import AnswerChange, Correction, PaneChange, Position, TeamChanges
from schemas.followups import Case, FollowupEvent
from schemas.rejects import Reject
from schemas.scores import Counts, TeamScores, WindowScore
from stream.domain import ids, keys, values, windows
from stream.domain.minutes import WINDOWS
from stream.domain.values import Meta, Newest, Resolved, Team
from stream.domain.view import View

EMPTY_PANE: Final = (0,) * 22


class Out(NamedTuple):
    """One message to send: it goes to the partition of the number the log record came from."""

    topic: str
    key: bytes | None
    message: msgspec.Struct


@dataclass(frozen=True, slots=True)
class Effects:
    """What a batch does. `changes`: state keys to their new values, None deletes; they include `m`."""

    changes: dict[bytes, bytes | None]
    outputs: list[Out]
    meta: Meta


class Work:
    """See the module. Mutable, one a batch, never shared."""

    def __init__(self, view: View, meta: Meta, partition: int, generation: int) -> None:
        self.view = view
        self.partition = partition
        self.generation = generation
        self.meta = meta
        self.known_ms = meta.known_ms
        self.minute = -(-meta.known_ms // 60_000)
        self.offset = meta.position
        self.version = 0
        self.seen: dict[bytes, bytes | None] = {}
        self.puts: dict[bytes, bytes | None] = {}
        self._answers: dict[bytes, Resolved | None] = {}
        self._changed_answers: set[bytes] = set()
        self._newest: dict[bytes, Newest | None] = {}
        self._changed_newest: set[bytes] = set()
        self._panes: dict[str, dict[int, list[int]]] = {}
        self._pane_versions: dict[tuple[str, int], int] = {}
        self._teams: dict[str, Team] = {}
        self._stored_due: dict[str, int] = {}
        self._changed_teams: dict[str, None] = {}
        self.answer_changes: dict[str, list[AnswerChange]] = {}
        self.corrections: dict[str, list[Correction]] = {}
        self.events: list[FollowupEvent] = []
        self.rejects: list[tuple[bytes | None, Reject]] = []

    # -- reading -------------------------------------------------------------------------------------------------

    def prefetch(self, wanted: Sequence[bytes]) -> None:
        """Read many keys in one go. Only speed depends on it: a key that is missed here is read when it is needed."""
        self.seen.update(zip(wanted, self.view.get_many(wanted), strict=True))

    def get(self, key: bytes) -> bytes | None:
        """The raw value of a key, with this batch's own puts."""
        if key in self.puts:
            return self.puts[key]
        if key not in self.seen:
            self.seen[key] = self.view.get_many((key,))[0]
        return self.seen[key]

    def answer(self, key: bytes) -> Resolved | None:
        """The answer stored under an `r` key."""
        try:
            return self._answers[key]
        except KeyError:
            raw = self.get(key)
            found = self._answers[key] = None if raw is None else values.RESOLVED.unpack(raw)
            return found

    def newest(self, key: bytes) -> Newest | None:
        """The newest counted answer stored under an `l` key."""
        try:
            return self._newest[key]
        except KeyError:
            raw = self.get(key)
            found = self._newest[key] = None if raw is None else values.NEWEST.unpack(raw)
            return found

    def team(self, name: str) -> Team:
        """A team's live windows, to look at; nothing is due, so their counts hold at the live minute."""
        team = self._teams.get(name)
        if team is None:
            raw = self.get(keys.team(name))
            team = windows.fresh(self.minute) if raw is None else values.TEAM.unpack(raw)
            self._teams[name] = team
            self._stored_due[name] = team.due
        return team

    def team_now(self, name: str) -> Team:
        """A team's live windows, to change: they stand at the live minute. Call `team_changed` after."""
        team = self.team(name)
        team.t = self.minute
        return team

    def pane(self, name: str, minute: int) -> list[int]:
        """A pane to change; call `pane_changed` after."""
        of_team = self._panes.setdefault(name, {})
        pane = of_team.get(minute)
        if pane is None:
            raw = self.get(keys.pane(name, minute))
            pane = of_team[minute] = list(EMPTY_PANE) if raw is None else values.PANE.unpack(raw)
        return pane

    def panes(self, name: str, lo: int, hi: int, limit: int) -> Iterator[tuple[int, list[int]]]:
        """The team's panes with lo <= minute <= hi, ascending: this batch's over those of the state."""
        if hi < lo:
            return
        own = self._panes.get(name, {})
        merged = {
            keys.pane_minute(key): raw
            for key, raw in self.view.scan(keys.prefixes(name)[1], keys.number(max(0, lo)), keys.number(hi + 1), limit)
        }
        minutes = sorted(merged.keys() | {minute for minute in own if lo <= minute <= hi})
        for minute in minutes[:limit]:
            yield minute, own[minute] if minute in own else values.PANE.unpack(merged[minute])

    def team_panes(self, name: str) -> windows.Panes:
        """`panes` of one team, as `windows.advance` takes it."""

        def panes(lo: int, hi: int, limit: int) -> Iterable[tuple[int, list[int]]]:
            return self.panes(name, lo, hi, limit)

        return panes

    def answers_of(self, team: str, respondent: str) -> list[tuple[bytes, bytes]]:
        """(key, response_id) of all answers of a respondent, newest first."""
        prefix = keys.answers_of(team, respondent)
        stored = dict(self.view.scan_back(prefix, windows.UNLIMITED))
        stored.update({key: raw or b"" for key, raw in self.puts.items() if key.startswith(prefix)})
        return sorted(((key, raw) for key, raw in stored.items() if raw), reverse=True)

    # -- changing ------------------------------------------------------------------------------------------------

    def put(self, key: bytes, raw: bytes | None) -> None:
        """Set a raw value; None deletes."""
        self.puts[key] = raw

    def put_answer(self, key: bytes, resolved: Resolved) -> None:
        """Store an answer under its `r` key."""
        self._answers[key] = resolved
        self._changed_answers.add(key)

    def restate(self, team: str, response_id: str) -> None:
        """Publish an answer's state again: another answer's record changed the case it belongs to."""
        resolved = self.answer(keys.answer(team, response_id))
        if resolved is not None:
            self.say_answer(team, response_id, resolved)

    def say_answer(self, team: str, response_id: str, resolved: Resolved) -> None:
        """Publish an answer's resolved state as of the record at hand."""
        context = resolved.context or values.PLAIN
        change = AnswerChange(
            response_id=response_id,
            version=self.version,
            event_ms=resolved.event_ms,
            known_ms=self.known_ms,
            first_offset=resolved.first_offset,
            score=resolved.score,
            revision=resolved.revision,
            respondent=resolved.respondent,
            reasons=resolved.reasons,
            history=resolved.history,
            personal=resolved.personal,
            survey=context.survey,
            channel=context.channel,
            locale=context.locale,
            medium=context.medium,
            callback_ms=context.callback_ms,
            age_group=context.age_group,
            attributes=context.attributes,
            case_id=resolved.case_id,
            not_raised=resolved.not_raised,
        )
        self.answer_changes.setdefault(team, []).append(change)

    def put_newest(self, key: bytes, newest: Newest | None) -> None:
        """Store, or forget, a respondent's newest counted answer."""
        self._newest[key] = newest
        self._changed_newest.add(key)

    def pane_changed(self, name: str, minute: int) -> None:
        """A pane, and with it the team, was changed by the record at hand."""
        self._pane_versions[name, minute] = self.version
        self.team_changed(name)

    def team_changed(self, name: str) -> None:
        """A team's windows were changed by the record at hand."""
        self._teams[name].version = self.version
        self._changed_teams[name] = None

    def case(self, team: str, case_id: str) -> Case | None:
        """A follow-up case, None when there is none of that id."""
        raw = self.get(keys.case(team, case_id))
        return None if raw is None else values.CASE.unpack(raw)

    def put_case(self, case: Case) -> None:
        """Store a case."""
        self.put(keys.case(case.team, case.case_id), values.CASE.pack(case))

    # -- time ----------------------------------------------------------------------------------------------------

    def at(self, offset: int, appended_ms: int) -> None:
        """Come to a record: everything due at or before its stream time fires first, in (due, team) order."""
        self.offset = offset
        self.version = ids.version(self.generation, offset)
        if appended_ms <= self.known_ms:
            return
        self.known_ms = appended_ms
        minute = -(-appended_ms // 60_000)
        if minute > self.minute:
            self.minute = minute
            self._fire()

    def _fire(self) -> None:
        stored = [
            keys.split_due(key)
            for key, _ in self.view.scan(keys.DUE, keys.number(0), keys.number(self.minute + 1), windows.UNLIMITED)
        ]
        loaded = self._teams
        due = {(minute, name) for minute, name in stored if name not in loaded}
        due |= {(team.due, name) for name, team in loaded.items() if 0 < team.due <= self.minute}
        if len(due) > 1:
            self.prefetch([keys.team(name) for _, name in due if name not in loaded])
        for _, name in sorted(due):
            team = loaded.get(name)
            if team is None:
                raw = self.get(keys.team(name))
                if raw is None:
                    raise ValueError("state has a due minute of a team it does not hold")
                team = loaded[name] = values.TEAM.unpack(raw)
                self._stored_due[name] = team.due
            windows.advance(team, self.minute, self.team_panes(name))
            self.team_changed(name)

    # -- giving back ---------------------------------------------------------------------------------------------

    def effects(self, meta: Meta) -> Effects:
        """Everything this batch changed and says."""
        changes = self.puts
        changes.update((key, _packed(self._answers[key])) for key in self._changed_answers)
        for key in self._changed_newest:
            newest = self._newest[key]
            changes[key] = None if newest is None else values.NEWEST.pack(newest)
        for name, minute in self._pane_versions:
            changes[keys.pane(name, minute)] = values.PANE.pack(self._panes[name][minute])
        for name in self._changed_teams:
            team, stored = self._teams[name], self._stored_due[name]
            changes[keys.team(name)] = values.TEAM.pack(team)
            if team.due != stored:
                if stored:
                    changes[keys.due(stored, name)] = None
                if team.due:
                    changes[keys.due(team.due, name)] = b""
        changes[keys.META] = values.META.pack(meta)
        return Effects(changes, [*self._outputs(), *self._positions(meta.position)], meta)

    def _outputs(self) -> Iterator[Out]:
        for event in self.events:
            yield Out(topics.FOLLOWUPS, event.case.team.encode(), event)
        panes: dict[str, list[PaneChange]] = {}
        for (name, minute), version in self._pane_versions.items():
            pane = self._panes[name][minute]
            panes.setdefault(name, []).append(PaneChange(minute, version, pane[:11], pane[11:]))
        for name in dict.fromkeys((*panes, *self.answer_changes, *self.corrections)):
            yield Out(
                topics.TEAM_CHANGES,
                name.encode(),
                TeamChanges(
                    name,
                    panes.get(name, []),
                    self.answer_changes.get(name, []),
                    self.corrections.get(name, []),
                ),
            )
        for name in self._changed_teams:
            yield Out(topics.TEAM_SCORES, name.encode(), team_scores(name, self._teams[name]))
        for key, reject in self.rejects:
            yield Out(topics.REJECTS, key, reject)

    def _positions(self, through: int) -> Iterator[Out]:
        position = Position(self.partition, through)
        yield Out(topics.TEAM_CHANGES, None, position)
        yield Out(topics.FOLLOWUPS, None, position)


def _packed(resolved: Resolved | None) -> bytes:
    if resolved is None:
        raise ValueError("an answer is never deleted from the state by a batch")
    return values.RESOLVED.pack(resolved)


def team_scores(name: str, team: Team) -> TeamScores:
    """A team's windows as they are published."""
    return TeamScores(
        team=name,
        as_of=team.t,
        valid_until=team.due or None,
        version=team.version,
        windows=[
            WindowScore(minutes, Counts(*row[:3]), Counts(*row[3:]))
            for minutes, row in zip(WINDOWS, windows.sums(team), strict=True)
        ],
    )
