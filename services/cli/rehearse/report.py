"""What a rehearsal comes to: each team's cases and broken promises, and what each target would have been sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.cli.rehearse.play import Telling
from services.teams.models import Team
from services.teams.routing import at_night, facts_of, targets_for

EVERYBODY = "(every team's)"  # whom the alerts service tells where a team names nobody


@dataclass(slots=True)
class OfTeam:
    """Counts of one team: cases raised or reopened, promises broken, reminders and escalations that fell due."""

    cases: int = 0
    contact_breached: int = 0
    resolve_breached: int = 0
    reminders: int = 0
    escalations: int = 0


@dataclass(slots=True)
class OfTarget:
    """Messages to one target of a team: in all, by what they say, those of the night, those that had to wait."""

    messages: int = 0
    cases: int = 0
    reminders: int = 0
    breaches: int = 0
    escalations: int = 0
    at_night: int = 0
    waited: int = 0


@dataclass(frozen=True, slots=True)
class Counted:
    """By team, and by team and target. Every team stands there, a target only if it would have been sent something."""

    teams: dict[str, OfTeam]
    targets: dict[tuple[str, str], OfTarget]


def count(teams: Mapping[str, Team], tellings: Iterable[Telling], comments: Mapping[tuple[str, str], str]) -> Counted:
    """Route everything that would have been told. `comments`: by team and answer, as far as they are known."""
    found = Counted({name: OfTeam() for name in teams}, {})
    for telling in sorted(tellings, key=lambda telling: (telling.at_ms, telling.case.case_id)):
        case = telling.case
        of_team = found.teams[case.team]
        _add(of_team, telling)
        for name, at_ms, waited in _told(teams[case.team], telling, comments):
            target = found.targets.setdefault((case.team, name), OfTarget())
            _add(target, telling)
            target.messages += 1
            target.waited += waited
            target.at_night += at_night(teams[case.team].timezone, at_ms)
    return Counted(found.teams, dict(sorted(found.targets.items())))


def _told(team: Team, telling: Telling, comments: Mapping[tuple[str, str], str]) -> Iterable[tuple[str, int, bool]]:
    case = telling.case
    facts = facts_of(case, comment=comments.get((case.team, case.response_id)), level=telling.level)
    told = targets_for(team, facts, telling.at_ms)
    for name in told.now:
        yield name, telling.at_ms, False
    for name in told.later:
        yield name, told.later_ms or telling.at_ms, True
    if not told.now and not told.later:
        yield EVERYBODY, telling.at_ms, False


def _add(counts: OfTeam | OfTarget, telling: Telling) -> None:
    if telling.kind == "followup.breached":
        if isinstance(counts, OfTarget):
            counts.breaches += 1
        elif telling.clock == "contact":
            counts.contact_breached += 1
        else:
            counts.resolve_breached += 1
    elif telling.kind == "followup.reminder":
        counts.reminders += 1
    elif telling.kind == "followup.escalated":
        counts.escalations += 1
    else:
        counts.cases += 1
