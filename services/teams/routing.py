"""Whom to tell of an answer, and when: a team's routes, its escalation levels and its quiet hours. No IO, no clock."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from itertools import chain
from typing import Final

from schemas.followups import Case
from services.teams import words, zones
from services.teams.models import ON_CALL, Band, LetThrough, Quiet, Route, Team, What, week
from services.teams.rota import on_call

NIGHT: Final = (22 * 60, 7 * 60)  # from ten to seven, local
PROMOTER: Final = 9  # the least score of one
QUIET_DAYS: Final = 8  # quiet hours that never end within these never do


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a case and its answer when people are told. `comment`: the text, if it may be known.

    `level`: the escalation level that has been reached, from 1; 0 for anything but an escalation. `score` None: it is
    about no one answer.
    """

    score: int | None
    locale: str | None = None
    survey: str | None = None
    channel: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    comment: str | None = None
    level: int = 0
    what: What = "followup"

    @property
    def band(self) -> Band | None:
        """detractor 0 to 6, passive 7 and 8, promoter 9 and 10; None without a score."""
        if self.score is None:
            return None
        return "detractor" if self.score <= 6 else "passive" if self.score < PROMOTER else "promoter"


ALARM: Final = Facts(None, what="alarm")


@dataclass(frozen=True, slots=True)
class Told:
    """Names of targets, none twice: who is told at once, and who at `later_ms`, when the quiet hours are over."""

    now: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    later_ms: int | None = None


def facts_of(case: Case, *, comment: str | None = None, level: int = 0) -> Facts:
    """What a case itself tells, and what only `people.v1` does."""
    return Facts(case.score, case.locale, case.survey, case.channel, case.attributes, comment, level)


def targets_for(team: Team, facts: Facts, at_ms: int) -> Told:
    """Whom to tell of a case, an alarm or a promoter at a moment, in milliseconds UTC.

    Shape:   an escalation goes to its level's targets, everything else to those of the routes that fit, or to the
             team's targets where none does. `on-call` is whoever is on call when they are told.
    Empty:   nobody, where the team names no targets: then whoever the service tells of every team; and a promoter
             whom no route fits, where one asks for promoters (`asks_for`).
    """
    names = _asked(team, facts)
    ends_ms = quiet_until(team, at_ms)
    if ends_ms is None or _through(team.quiet, facts):
        return Told(_people(team, names, at_ms))
    let = team.quiet.let_through.targets if team.quiet else ()
    now = _people(team, (name for name in names if name in let), at_ms)
    held = _people(team, (name for name in names if name not in let), ends_ms)
    later = tuple(name for name in held if name not in now)
    return Told(now, later, ends_ms if later else None)


def quiet_until(team: Team, at_ms: int) -> int | None:
    """When the quiet hours that hold at a moment are over, in milliseconds UTC; None outside of them."""
    if team.quiet is None:
        return None
    hours = week(team.quiet.hours)
    today = zones.local(team.timezone, at_ms).date()
    ends: int | None = None
    for days in range(-2, QUIET_DAYS):
        day = today + timedelta(days=days)
        for start, end in hours[day.weekday()]:
            begins = zones.instant(team.timezone, words.at_minute(day, start))
            over = zones.instant(team.timezone, words.at_minute(day, end))
            if begins <= (at_ms if ends is None else ends) < over:
                ends = over
    return ends


def looks_for_words(team: Team, what: What = "followup") -> bool:
    """Whether the comment matters to whom a team tells, or when."""
    quiet = team.quiet is not None and bool(team.quiet.let_through.words)
    return quiet or any(route.words for route in team.routes if is_for(route, what))


def is_for(route: Route, what: What) -> bool:
    """Whether a route is for such things. One that does not say so is for promoters if it asks for their scores."""
    if route.kinds:
        return what in route.kinds
    promoters = "promoter" in route.bands or any(score >= PROMOTER for score in route.scores)
    return what == "followup" or (what == "promoter" and promoters)


def asks_for(team: Team, what: What) -> bool:
    """Whether a team has a route for such things."""
    return any(is_for(route, what) for route in team.routes)


def at_night(zone: str, at_ms: int) -> bool:
    """Whether a moment is between ten in the evening and seven in the morning, local."""
    at = zones.local(zone, at_ms)
    begins, ends = NIGHT
    return not ends <= at.hour * 60 + at.minute < begins


def fits(route: Route, facts: Facts) -> bool:
    """Whether all conditions of a route hold; one that is not given does."""
    segment = route.segment
    return (
        is_for(route, facts.what)
        and (not route.bands or facts.band in route.bands)
        and (not route.scores or facts.score in route.scores)
        and (not route.languages or speaks(facts.locale, route.languages))
        and (not segment.survey or facts.survey in segment.survey)
        and (not segment.channel or facts.channel in segment.channel)
        and all(facts.attributes.get(name) in values for name, values in segment.attributes.items())
        and (not route.words or says(facts.comment, route.words))
    )


def speaks(locale: str | None, languages: Iterable[str]) -> bool:
    """Whether a locale is one of the languages: `pt` is also pt-BR, `pt-BR` only that (RFC 4647, basic filtering)."""
    if locale is None:
        return False
    found = _tag(locale)
    return any(found == wanted or found.startswith(wanted + "-") for wanted in map(_tag, languages))


def says(comment: str | None, wanted: tuple[str, ...]) -> bool:
    """Whether a text has one of the words or phrases, whole and in any case; with `*` at an end it may go on there."""
    return comment is not None and any(_pattern(word).search(comment.casefold()) is not None for word in wanted)


def _tag(locale: str) -> str:
    return locale.replace("_", "-").lower()


@lru_cache(maxsize=4_096)
def _pattern(word: str) -> re.Pattern[str]:
    inner = r"\s+".join(re.escape(part) for part in word.strip("*").casefold().split())
    before = "" if word.startswith("*") else r"(?<!\w)"
    after = "" if word.endswith("*") else r"(?!\w)"
    return re.compile(before + inner + after)


def _asked(team: Team, facts: Facts) -> tuple[str, ...]:
    if facts.level:
        return team.escalation[min(facts.level, len(team.escalation)) - 1].to if team.escalation else team.targets
    taken: list[Route] = []
    for route in team.routes:
        if fits(route, facts):
            taken.append(route)
            if not route.go_on:
                break
    if not taken and facts.what == "promoter" and asks_for(team, "promoter"):
        return ()
    return tuple(chain.from_iterable(route.to for route in taken)) if taken else team.targets


def _people(team: Team, names: Iterable[str], at_ms: int) -> tuple[str, ...]:
    """The names with whoever is on call in the place of `on-call`, none twice."""
    found = (on_call(team.on_call, team.timezone, at_ms) if name == ON_CALL else name for name in names)
    return tuple(dict.fromkeys(name for name in found if name is not None))


def _through(quiet: Quiet | None, facts: Facts) -> bool:
    """Whether quiet hours let everything about this through."""
    let = LetThrough() if quiet is None else quiet.let_through
    return (
        (let.escalations and facts.level > 0)
        or facts.score in let.scores
        or (bool(let.words) and says(facts.comment, let.words))
    )
