"""Who is told of a score alarm or a promoter, and when: a team's routes for them, its quiet hours, its targets.

An alarm goes to the first route that is for alarms, a promoter to those that ask for promoters; where a team has no
such route, to its targets, and where it names none, to whatever is for it. Of those only what can say such a note.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from services.alerts.alarms.records import NoteKind, Speaker
from services.alerts.outlets import Outlet
from services.alerts.people import Asked, People
from services.alerts.promises import Book, Due, comments_of, due_of
from services.teams.routing import ALARM, Facts, asks_for, looks_for_words, quiet_until, targets_for

_RAISED: Final[NoteKind] = "alarm.raised"
_MAY_BE_ASKED: Final[NoteKind] = "advocacy.raised"
Silenced = Callable[[str, str, int], int]  # team, channel, now: until when nothing is told; 0: it is


class Promoter(Protocol):
    """What of an answer matters to whom it is told."""

    @property
    def response_id(self) -> str: ...
    @property
    def known_ms(self) -> int: ...
    @property
    def score(self) -> int: ...
    @property
    def locale(self) -> str | None: ...
    @property
    def survey(self) -> str | None: ...
    @property
    def channel(self) -> str | None: ...
    @property
    def attributes(self) -> Mapping[str, str]: ...
    @property
    def personal(self) -> bool: ...


class Whom:
    """Says of notes which channels say them, and when. `read` first: until then nobody knows what teams want."""

    def __init__(self, book: Book, people: People, outlets: Sequence[Outlet]) -> None:
        self._book = book
        self._people = people
        self._outlets = frozenset(outlet.channel.name for outlet in outlets)
        self._speaking = [(outlet.channel, outlet.teams) for outlet in outlets if isinstance(outlet.channel, Speaker)]

    async def read(self) -> None:
        """Return when what teams want has been read."""
        await self._book.read.wait()

    def of_alarm(self, team: str, at_ms: int) -> Due:
        """The channels that are told of a score alarm of a team."""
        return self._routed(team, ALARM, at_ms, _RAISED)

    async def of_promoters(self, answers: Sequence[tuple[str, Promoter]]) -> list[Due]:
        """The channels that are told of each of these promoters, (team, answer); none: nobody asks for them."""
        await self.read()
        wordy = {team for team, _ in answers if (set_ := self._book.of(team)) and looks_for_words(set_, "promoter")}
        asked = [Asked(team, one.response_id, one.personal) for team, one in answers if team in wordy]
        comments = await comments_of(self._people, asked)
        return [
            self._routed(team, _facts(one, comments.get((team, one.response_id))), one.known_ms, _MAY_BE_ASKED)
            for team, one in answers
        ]

    def when(self, team: str, channel: str, at_ms: int) -> int:
        """When a channel may be told what a team's earlier note has come to, milliseconds UTC; 0: at once."""
        set_ = self._book.of(team)
        if set_ is None or (set_.quiet is not None and channel in set_.quiet.let_through.targets):
            return 0
        return quiet_until(set_, at_ms) or 0

    def _routed(self, name: str, facts: Facts, at_ms: int, kind: NoteKind) -> Due:
        team = self._book.of(name)
        can = {channel.name for channel, _ in self._speaking if channel.says(kind)}
        usual = [channel.name for channel, teams in self._speaking if teams is None or name in teams]
        if team is None:
            due: Due = dict.fromkeys(usual, 0)
        else:
            told = targets_for(team, facts, at_ms)
            if not told.now and not told.later and facts.what == "promoter" and asks_for(team, "promoter"):
                return {}
            due = due_of(told, name, self._outlets, usual)
        return {channel: at for channel, at in due.items() if channel in can}


def _facts(answer: Promoter, comment: str | None) -> Facts:
    came_with = (answer.locale, answer.survey, answer.channel, answer.attributes)
    return Facts(answer.score, *came_with, comment=comment, what="promoter")
