"""Score alarms: has a team's score fallen for real, since when, how far, and has it come back?

All from counts a day, as they stand now: late answers, edits and exclusions change counts and thereby what is found.
Every day of the last 90 may be the one on which the score fell. For each, `evidence` weighs the 180 days before it
against everything since. A team that stays as it is gains nothing by that on average, so the sum over the days exceeds
what a span of 90 days can expect by a factor F with a probability of at most 1/F, however often one looks: within
the span, 180 days are or have been among the last 90. The proof is in docs/decisions/0024-score-alarms.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal

from stream.domain.evidence import evidence
from stream.domain.scores import Tally, nps

DAY_MINUTES: Final = 1_440
BEFORE_DAYS: Final = 180  # what a fall is measured against
SINCE_DAYS: Final = 90  # a fall that began earlier is no news
KNOWN_DAYS: Final = BEFORE_DAYS + SINCE_DAYS
_STARTS: Final = 2 * SINCE_DAYS
LEAST_POINTS: Final = 5.0  # a smaller fall may be real, and raises no alarm
_WEEK: Final = 7
_CLEARLY: Final = 4.0  # standard errors: what the evidence takes, too, among so many days and looks
_NEARLY: Final = 3.0  # nats: days with at least a twentieth of the best day's evidence may as well be the one
_RETURN_ERROR: Final = 0.2

Ending = Literal["recovered", "withdrawn", "settled"]
Days = Mapping[int, Tally]  # day since 1970 (UTC) → its counted answers; days without any may be missing


@dataclass(frozen=True, slots=True)
class Fall:
    """What speaks for a fall. Days are whole days UTC since 1970; `since` is the first day of the lower score.

    `evidence`: nats; whoever bet on a fall has gained e^evidence times what 90 days without one let expect.
    `first`..`last`: the days that are nearly as likely as `since`. `before`: the 180 days until `since`.
    """

    evidence: float
    since: int
    first: int
    last: int
    before: Tally
    after: Tally

    @property
    def points(self) -> float:
        """How far the score fell, positive. Right after an alarm rather too much: that is why it came now."""
        return (nps(self.before) or 0.0) - (nps(self.after) or 0.0)


def fall(days: Days, today: int, not_before: int = 0) -> Fall | None:
    """The likeliest fall of the last 90 days, `today` included, that began on `not_before` or later. None: no sign.

    Shape:   the counts of the last 270 days; others do no harm. Leave out those before the level that is usual now.
    """
    oldest = today - KNOWN_DAYS
    upto = list(accumulate((days.get(day, _NONE) for day in range(oldest, today + 1)), initial=_NONE))

    def between(first: int, end: int) -> Tally:
        return _less(upto[end - oldest], upto[first - oldest])

    starts = range(max(today - SINCE_DAYS + 1, not_before), today + 1)
    found = [(evidence(between(day - BEFORE_DAYS, day), between(day, today + 1)), day) for day in starts]
    found = [(weight, day) for weight, day in found if weight > 0]
    if not found:
        return None
    best = max(weight for weight, _ in found)
    total = best + math.log(math.fsum(math.exp(weight - best) for weight, _ in found))
    # A day without answers may be the one as well, but nobody would see it.
    told = [(weight, day) for weight, day in found if day in days and days[day].total] or found
    strongest, since = max(told)
    near = [day for weight, day in told if weight > strongest - _NEARLY]
    before, after = between(since - BEFORE_DAYS, since), between(since, today + 1)
    return Fall(total - math.log(_STARTS), since, near[0], near[-1], before, after)


def matters(found: Fall, days: Days, today: int) -> bool:
    """Whether a fall is of 5 points or more, and no mere matter of the weekdays.

    Weekends may have a score of their own. So the answers since the fall must also fall short, clearly and by as much,
    of what those of the same weekdays were before. (This takes alarms away and adds none, so it needs no proof.)
    """
    short, error = _short_of_its_weekdays(found, days, today)
    return min(found.points, short) >= LEAST_POINTS and short >= _CLEARLY * error


def _short_of_its_weekdays(found: Fall, days: Days, today: int) -> tuple[float, float]:
    """By how many points the answers since the fall are below those of their weekdays before, and the standard error.

    A weekday without any answers before is compared with all of them.
    """
    both = found.before + found.after
    mean = (both.promoters - both.detractors) / both.total
    variance = (both.promoters + both.detractors) / both.total - mean * mean
    short = unsure = 0.0
    for weekday in range(_WEEK):
        since = _sum(days, found.since, today + 1, weekday)
        if not since.total:
            continue
        before = _sum(days, found.since - BEFORE_DAYS, found.since, weekday)
        before = before if before.total else found.before
        share = since.total / found.after.total
        short += share * ((nps(before) or 0.0) - (nps(since) or 0.0))
        unsure += share * share * variance * (1 / before.total + 1 / since.total)
    return short, 100 * math.sqrt(unsure)


def _sum(days: Days, first: int, end: int, weekday: int) -> Tally:
    alike = range(first + (weekday - first) % _WEEK, end, _WEEK)
    return sum((days[day] for day in alike if day in days), start=_NONE)


def to_raise(falls: Mapping[str, float], teams: int, raised: int, false_share: float) -> list[str]:
    """The teams to raise an alarm for now, so that of all alarms a share of at most `false_share` is false on average.

    Shape:   `falls`: evidence in nats of the teams without an alarm; `teams`: all that are watched; `raised`: alarms
             of this quarter so far. Strongest first.
    Rule:    the greatest k of them that each have gained teams / (false_share · (raised + k)): e-BH, in a form in
             which an alarm once raised stays raised. One team alone needs 1 / false_share.
    Source:  R. Wang and A. Ramdas, "False discovery rate control with e-values", JRSS B 84 (2022); its form over time
             is that of e-LOND, Z. Xu and A. Ramdas (2024).
    """
    ranked = sorted(falls, key=lambda team: (-falls[team], team))
    for k in range(len(ranked), 0, -1):
        needed = math.log(max(1.0, teams / (raised + k)) / false_share)
        if falls[ranked[k - 1]] >= needed:
            return ranked[:k]
    return []


def ending(days: Days, since: int, before: Tally, raised: int, today: int) -> Ending | None:
    """Why an alarm that was raised on day `raised` for a fall since `since` has ended; None while it stands.

    withdrawn: what was known by the day it was raised, as it counts now, speaks of no fall any more. recovered: the
    score has risen. settled: the fall is 90 days old, and its level is what is usual now.
    """
    if not _still_known(days, since, raised):
        return "withdrawn"
    if _is_back(days, since, before, today):
        return "recovered"
    return "settled" if today - since >= SINCE_DAYS else None


def _still_known(days: Days, since: int, raised: int) -> bool:
    """Whether the counts up to the day of the alarm still speak of a fall. Its own day mostly says so alone."""
    before = sum((counts for day, counts in days.items() if since - BEFORE_DAYS <= day < since), start=_NONE)
    after = sum((counts for day, counts in days.items() if since <= day <= raised), start=_NONE)
    if evidence(before, after) > math.log(_STARTS):
        return True
    known = fall({day: counts for day, counts in days.items() if day <= raised}, raised)
    return known is not None and known.evidence > 0


def _is_back(days: Days, since: int, before: Tally, today: int) -> bool:
    """Whether a fallen score has risen: for real, and past the middle between where it was and where it fell to.

    The same bets, the other way round, on the days since the fall; too early with a probability of at most 20 %.
    """
    mirrored = {day: Tally(counts.promoters, counts.passives, counts.detractors) for day, counts in days.items()}
    rise = fall({day: counts for day, counts in mirrored.items() if day >= since}, today, since + 1)
    if rise is None or rise.evidence < math.log(SINCE_DAYS / _STARTS / _RETURN_ERROR):
        return False
    low, now, was = -(nps(rise.before) or 0.0), -(nps(rise.after) or 0.0), nps(before) or 0.0
    return now >= (low + was) / 2


_NONE: Final = Tally()


def _less(a: Tally, b: Tally) -> Tally:
    return Tally(a.detractors - b.detractors, a.passives - b.passives, a.promoters - b.promoters)
