"""An outlet: a channel, and what is told through it. `Route` is the seam: who is to be told is decided in one place.

A route is pure: the case and the time in, the names of outlets out. A policy that says more than `teams` does joins
here, and nothing else changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from schemas.followups import Case
from services.alerts.channels import Channel
from services.alerts.grouping import Grouping, Rate

Route = Callable[[Case, int], frozenset[str]]


@dataclass(frozen=True, slots=True)
class Outlet:
    """One channel at work. `teams` None: it is told of all of them. `grouping` None: it is told each event alone.

    `follows`: it is told how a case goes on, one event after the other. `inbound`: the secrets it signs with when it
    calls back.
    """

    channel: Channel
    teams: frozenset[str] | None = None
    grouping: Grouping | None = None
    rate: Rate | None = None
    follows: bool = False
    inbound: tuple[str, ...] = ()


def by_team(outlets: Sequence[Outlet]) -> Route:
    """The route that `teams` of each outlet makes; the time does not matter to it."""
    everywhere = frozenset(outlet.channel.name for outlet in outlets if outlet.teams is None)
    of_team: dict[str, frozenset[str]] = {}
    for outlet in outlets:
        for team in outlet.teams or ():
            of_team[team] = of_team.get(team, everywhere) | {outlet.channel.name}

    def route(case: Case, at_ms: int) -> frozenset[str]:
        return of_team.get(case.team, everywhere)

    return route
