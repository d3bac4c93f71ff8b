"""One team within one batch: its windows and panes as they change, and what the batch says about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from schemas.changes import AnswerChange, Cause, Correction, PaneChange, PaneDelta, WindowMove
from schemas.scores import Counts, TeamScores, WindowScore
from stream.domain import ids, keys, values, windows
from stream.domain.changes import Answers, changes
from stream.domain.messages import Message
from stream.domain.scores import BANDS
from stream.domain.values import Resolved, Team
from stream.domain.view import UNLIMITED, UNREAD

if TYPE_CHECKING:
    from stream.domain.work import Work

EMPTY_PANE: Final = (0,) * 22


class TeamBatch:
    """See the module. Mutable; made by `Work.of`, one a team and batch."""

    __slots__ = (
        "_closed",
        "_deltas",
        "_stored_due",
        "answers",
        "asked",
        "cause",
        "changed",
        "corrections",
        "live",
        "name",
        "pane_versions",
        "panes",
        "prefixes",
        "work",
    )

    def __init__(self, work: Work, name: str) -> None:
        self.work = work
        self.name = name
        self.prefixes = keys.prefixes(name)
        self.panes: dict[int, list[int]] = {}
        self.pane_versions: dict[int, int] = {}
        self.answers = Answers()
        self.corrections: list[Correction] = []
        self.asked: set[int] = set()  # minutes whose panes the batch reads beforehand
        self.changed = False
        self.live: Team | None = None
        self._stored_due = 0
        self.cause: Cause | None = None
        self._deltas: list[PaneDelta] = []
        self._closed: list[PaneChange] = []  # panes that this batch has changed, and that have left the state since

    # -- counting ------------------------------------------------------------------------------------------------

    def count(self, minute: int, score: int, of_all: int, of_latest: int) -> None:
        """So many answers more or less in a pane, for each policy, and in the windows that the pane is in.

        A pane that is older than the horizon stays as it is.
        """
        work = self.work
        if minute < work.closed:
            return
        pane = self.panes.get(minute) or self.pane(minute)
        pane[score] += of_all
        pane[score + 11] += of_latest
        team = self.live or self.windows()
        team.t = work.minute
        team.version = self.pane_versions[minute] = work.version
        self.changed = True
        if windows.add(team, minute, BANDS[score], of_all, of_latest, work.windows):
            work.due(self, team.due)
        if self.cause is not None:
            if of_all:
                self._deltas.append(PaneDelta(minute, "all", score, of_all))
            if of_latest:
                self._deltas.append(PaneDelta(minute, "latest", score, of_latest))

    def pane(self, minute: int) -> list[int]:
        """The counts of a minute, to be changed."""
        pane = self.panes.get(minute)
        if pane is None:
            raw = self.work.get(self.prefixes.pane + keys.number(minute))
            pane = self.panes[minute] = list(EMPTY_PANE) if raw is None else values.PANE.unpack(raw)
        return pane

    def because(self, cause: Cause) -> None:
        """What the record at hand counts from here on corrects something shown."""
        if self.cause is None:
            self.cause = cause

    def finish(self, response_id: str, kind: str = "correction") -> None:
        """The record at hand has been applied: say what it corrected, if anything.

        `kind` tells corrections of one record apart: only `erase_respondent` makes more than one.
        """
        cause, deltas = self.cause, self._deltas
        if cause is None:
            return
        self.cause, self._deltas = None, []
        if not deltas:
            return
        work = self.work
        place = work.place(self.name)
        correction = Correction(
            id=ids.uuid5(*place[:3], kind),
            version=work.version,
            known_ms=place.at_ms,
            as_of=work.minute,
            cause=cause,
            response_id=response_id,
            deltas=deltas,
            windows=_moves(self.windows(), deltas, work.windows),
        )
        self.corrections.append(correction)

    # -- windows and panes ---------------------------------------------------------------------------------------

    def windows(self) -> Team:
        """The team's live windows. Nothing is due, so their sums hold at the live minute."""
        team = self.live
        if team is None:
            raw = self.work.get(self.prefixes.team)
            team = self.live = (
                windows.fresh(self.work.minute, self.work.windows) if raw is None else values.TEAM.unpack(raw)
            )
            self._stored_due = team.due
            self.work.due(self, team.due)
        return team

    def move_on(self) -> None:
        """Move the windows on to the live minute."""
        team = self.windows()
        windows.advance(team, self.work.minute, self._panes, self.work.windows)
        team.version = self.work.version
        self.changed = True
        self.work.due(self, team.due)

    def sum_anew(self) -> None:
        """Other windows are live from here on."""
        self.windows()  # when they were due until now
        team = self.live = windows.summed(self.work.minute, self.work.windows, self._panes)
        team.version = self.work.version
        self.changed = True
        self.work.due(self, team.due)

    def drop_pane(self, minute: int) -> None:
        """A pane leaves the state. It is older than the horizon (`count`), and every window is younger than that."""
        pane = self.panes.pop(minute, None)
        if pane is not None:
            self._closed.append(_pane_change(minute, self.pane_versions.pop(minute), pane))
        self.work.put(self.prefixes.pane + keys.number(minute), None)

    def leaving_panes(self) -> list[bytes]:
        """Keys of the panes that `move_on` will ask for, where panes follow each other minute by minute."""
        of_pane = self.prefixes.pane
        wanted: list[bytes] = []
        for (oldest, *_), window in zip(self.windows().rings, self.work.windows, strict=True):
            if oldest and oldest <= self.work.minute - window:
                wanted += (of_pane + keys.number(oldest), of_pane + keys.number(oldest + 1))
        return wanted

    def _read_panes(self, lo: int, hi: int) -> Iterator[tuple[int, list[int] | None]]:
        """The panes of minutes lo, lo + 1, …, hi, up to the first one of which nobody has read whether there is any."""
        panes, known, of_pane = self.panes, self.work.known, self.prefixes.pane
        for minute in range(lo, hi + 1):
            pane = panes.get(minute)
            if pane is None:
                raw = known(of_pane + keys.number(minute))
                if raw is UNREAD:
                    return
                pane = None if raw is None else values.PANE.unpack(raw)
            yield minute, pane

    def _panes(self, lo: int, hi: int) -> Iterator[tuple[int, list[int]]]:
        """Panes with lo <= minute <= hi, ascending: this batch's over those of the state."""
        panes = self.panes
        for minute, pane in self._read_panes(lo, hi):
            lo = minute + 1
            if pane is not None:
                yield minute, pane
        if lo > hi:
            return
        own = sorted((minute for minute in panes if lo <= minute <= hi), reverse=True)
        stored = self.work.view.scan(self.prefixes.pane, keys.number(lo), keys.number(hi + 1), UNLIMITED)
        for key, raw in stored:
            minute = keys.pane_minute(key)
            while own and own[-1] < minute:
                yield own[-1], panes[own.pop()]
            if minute not in panes:
                yield minute, values.PANE.unpack(raw)
        for minute in reversed(own):
            yield minute, panes[minute]

    # -- saying --------------------------------------------------------------------------------------------------

    def say(self, response_id: str, resolved: Resolved) -> None:
        """Publish an answer's state as of the record at hand."""
        work = self.work
        context = resolved.context or values.PLAIN
        self.answers.append(
            AnswerChange(
                response_id,
                work.version,
                resolved.event_ms,
                work.known_ms,
                resolved.first_offset,
                resolved.score,
                resolved.revision,
                resolved.respondent,
                () if resolved.erased else resolved.reasons,
                resolved.history,
                resolved.personal,
                context.survey,
                context.channel,
                context.locale,
                context.medium,
                context.callback_ms,
                context.age_group,
                context.attributes,
                resolved.case_id,
                resolved.not_raised,
                resolved.erased,
                values.reask_of(resolved),
            )
        )

    def store(self, changes: dict[bytes, bytes | None]) -> None:
        """Add the changed keys of the windows and panes."""
        if not self.changed or self.live is None:
            return
        of_pane = self.prefixes.pane
        for minute, pane in self.panes.items():
            changes[of_pane + keys.number(minute)] = values.PANE.pack(pane)
        team, stored = self.live, self._stored_due
        changes[self.prefixes.team] = values.TEAM.pack(team)
        if team.due != stored:
            if stored:
                changes[keys.due(stored, self.name)] = None
            if team.due:
                changes[keys.due(team.due, self.name)] = b""

    def changes(self) -> Iterator[Message]:
        """What the batch changed."""
        panes = [
            _pane_change(minute, version, pane)
            for (minute, pane), version in zip(self.panes.items(), self.pane_versions.values(), strict=True)
        ]
        return changes(self.name, self._closed + panes, self.answers, self.corrections)

    def scores(self) -> TeamScores:
        """The windows as they are published."""
        team = self.windows()
        rows = [
            WindowScore(minutes, Counts(*row[:3]), Counts(*row[3:]))
            for minutes, row in zip(self.work.windows, windows.sums(team), strict=True)
        ]
        return TeamScores(self.name, team.t, team.due or None, team.version, rows)


def _pane_change(minute: int, version: int, pane: list[int]) -> PaneChange:
    return PaneChange(minute, version, pane[:11], pane[11:])


def _moves(team: Team, deltas: list[PaneDelta], lengths: windows.Lengths) -> list[WindowMove]:
    """The windows that deltas have moved, before and after."""
    changes = [
        (
            windows.ring_of(team.t, delta.minute, lengths),
            BANDS[delta.score] + (3 if delta.policy == "latest" else 0),
            delta.change,
        )
        for delta in deltas
    ]
    moves = []
    moved = [0] * 6
    for j, (minutes, after) in enumerate(zip(lengths, windows.sums(team), strict=True)):
        for ring, slot, change in changes:
            if ring == j:
                moved[slot] += change
        if moved[0] or moved[1] or moved[2]:
            d, n, p = after[:3]
            moves.append(WindowMove(minutes, "all", (d - moved[0], n - moved[1], p - moved[2]), (d, n, p)))
        if moved[3] or moved[4] or moved[5]:
            d, n, p = after[3:]
            moves.append(WindowMove(minutes, "latest", (d - moved[3], n - moved[4], p - moved[5]), (d, n, p)))
    return moves
