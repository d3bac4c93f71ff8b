"""Simulated teams: how often a quiet one gets a score alarm, and how long a fall takes to be found.

    python -m benchmarks.falls

Looks go to `stream.domain.alarms` itself. As it would take hours to send all of them there, most are left out: those
where the gain against one likely score, which is never less than the evidence, is too small for an alarm.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from stream.domain import evidence
from stream.domain.alarms import BEFORE_DAYS, SINCE_DAYS, Fall, fall, matters
from stream.domain.scores import Tally

HISTORY: Final = 180  # days before the first look
WATCHED: Final = 90
FALSE_SHARE: Final = 0.05
USUAL: Final = (0.2, 0.3, 0.5)  # detractors, passives, promoters: 30 points

Numbers = npt.NDArray[np.float64]
Answers = npt.NDArray[np.int8]  # teams × days × answers a day, each 0, 1 or 2: D, N, P


def quiet(rng: np.random.Generator, teams: int, a_day: int, shares: tuple[float, ...], days: int) -> Answers:
    """Answers of teams that stay as they are."""
    edges = np.cumsum(shares)[:2]
    return np.searchsorted(edges, rng.random((teams, days, a_day)), side="right").astype(np.int8)


def with_weekends(rng: np.random.Generator, teams: int, a_day: int, points: float, days: int) -> Answers:
    """Answers of teams that stay as they are, so many points lower on two days of each week."""
    d, n, p = USUAL
    answers = quiet(rng, teams, a_day, USUAL, days)
    weekend = np.arange(days) % 7 >= 5
    answers[:, weekend] = quiet(rng, teams, a_day, (d + points / 200, n, p - points / 200), int(weekend.sum()))
    return answers


def falling(rng: np.random.Generator, teams: int, a_day: int, points: float, watched: int) -> Answers:
    """Answers of teams that fall by so many points on the first watched day: promoters become detractors."""
    d, n, p = USUAL
    moved = points / 200
    before = quiet(rng, teams, a_day, USUAL, HISTORY)
    return np.concatenate([before, quiet(rng, teams, a_day, (d + moved, n, p - moved), watched)], axis=1)


def first_alarms(answers: Answers, needed: float, history: int = HISTORY, every: int = 1) -> Numbers:
    """Days from the first watched one to each team's first alarm; NaN for none.

    `needed`: the gain that an alarm takes, 1 / 0.05 for one team. A look after every `every`th answer of a day.
    """
    daily = np.stack([(answers == band).sum(axis=2) for band in range(3)], axis=2).astype(np.float64)
    upto = np.concatenate([np.zeros((len(answers), 1, 3)), daily.cumsum(axis=1)], axis=1)
    found = np.full(len(answers), np.nan)
    for day in range(history, answers.shape[1]):
        live = np.flatnonzero(np.isnan(found))
        starts = np.arange(max(0, day - SINCE_DAYS + 1), day + 1)
        before = upto[live][:, starts] - upto[live][:, np.maximum(starts - BEFORE_DAYS, 0)]
        since_until_today = upto[live][:, [day]] - upto[live][:, starts]
        for count, today in _looks(answers[live, day], every):
            likely = _may_alarm(before, since_until_today + today[:, None, :], needed)
            for row in np.flatnonzero(likely & np.isnan(found[live])):
                team = live[row]
                if _alarm(daily[team], today[row], day, needed):
                    found[team] = day - history + count / answers.shape[2]
    return found


def _looks(today: Answers, every: int) -> Iterator[tuple[int, Numbers]]:
    """The day's counts after each look's answers."""
    for count in range(every, today.shape[1] + 1, every):
        yield count, np.stack([(today[:, :count] == band).sum(axis=1) for band in range(3)], axis=1).astype(np.float64)


def _alarm(daily: Numbers, today: Numbers, day: int, needed: float) -> Fall | None:
    days = {at: Tally(*map(int, daily[at])) for at in range(max(0, day - SINCE_DAYS - BEFORE_DAYS), day)}
    days[day] = Tally(*map(int, today))
    seen = fall(days, day)
    return seen if seen and seen.evidence >= math.log(needed) and matters(seen, days, day) else None


def _may_alarm(before: Numbers, since: Numbers, needed: float) -> npt.NDArray[np.bool_]:
    n, k = before.sum(axis=2), since.sum(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        was = (before[..., 2] - before[..., 0]) / n
        drop = was - (since[..., 2] - since[..., 0]) / k
        mean = was - drop * k / (n + k)
        spread = (before[..., 2] + before[..., 0] + since[..., 2] + since[..., 0]) / (n + k) - mean * mean
        worth = (drop > 0) & (drop * drop >= 0.999 * evidence.TOO_WEAK * spread * (1 / n + 1 / k))
    gains = np.exp(gain(before[worth], since[worth], mean[worth]))
    sums = np.bincount(np.nonzero(worth)[0], weights=gains, minlength=len(before))
    likely: npt.NDArray[np.bool_] = sums >= 0.999 * needed * 2 * SINCE_DAYS
    return likely


def gain(before: Numbers, since: Numbers, m: Numbers) -> Numbers:
    """The gain against the one score m, as `evidence` has it; its evidence is the least over all m."""
    n = before.sum(axis=1)
    bets = [np.minimum(evidence.MOST, bet / np.sqrt(n)) for bet in evidence.BEFORE]
    earlier = evidence.BEFORE_NONE + evidence.BEFORE_EACH * sum(np.exp(_product(before, bet, m)) for bet in bets)
    later = evidence.SINCE_NONE + evidence.SINCE_EACH * sum(
        np.exp(_product(since, np.full_like(m, -bet), m)) for bet in evidence.SINCE
    )
    gain: Numbers = np.log(earlier) + np.log(later)
    return gain


def _product(counts: Numbers, bet: Numbers, m: Numbers) -> Numbers:
    product: Numbers = (counts * np.log(1 + bet[:, None] * (np.array([-1.0, 0.0, 1.0]) - m[:, None]))).sum(axis=1)
    return product


def upper_bound(hits: int, of: int, error: float = 0.05) -> float:
    """The exact one-sided 95 % upper bound (Clopper-Pearson) of a share of which `hits` were seen."""
    low, high = hits / of, 1.0
    for _ in range(60):
        share = (low + high) / 2
        terms = (
            math.lgamma(of + 1) - math.lgamma(i + 1) - math.lgamma(of - i + 1)
            + i * math.log(share) + (of - i) * math.log1p(-share)
            for i in range(hits + 1)
        )  # fmt: skip
        low, high = (share, high) if math.fsum(map(math.exp, terms)) > error else (low, share)
    return high


def days_to_detect(a_day: int, points: float, teams: int, sample: int = 400) -> tuple[float, float]:
    """Days until half, and nine tenths, of the falls are found, where so many teams are watched; NaN: not in 90.

    Looks at the end of each day, so a real alarm may come some hours earlier.
    """
    rng = np.random.default_rng([a_day, round(points), teams])
    days = first_alarms(falling(rng, sample, a_day, points, WATCHED), teams / FALSE_SHARE, every=a_day)
    half, most = np.quantile(np.where(np.isnan(days), np.inf, days), (0.5, 0.9), method="lower")
    return float(half), float(most)


def main() -> None:
    """Print the tables of docs/guide/alarms.md."""
    for teams in (1, 10, 100):
        print(f"\n{teams} watched: days until half (nine tenths) of the falls are found\n")
        print("| answers a day | 10 points | 20 points | 30 points | 40 points |\n| --- | --- | --- | --- | --- |")
        for a_day in (3, 10, 30, 100):
            cells = [days_to_detect(a_day, points, teams) for points in (10, 20, 30, 40)]
            print(f"| {a_day} | " + " | ".join(" ".join(_cell(cell)) for cell in cells) + " |", flush=True)


def _cell(days: tuple[float, float]) -> tuple[str, str]:
    half, most = (f"{value:.0f}" if math.isfinite(value) else "–" for value in days)
    return half, f"({most})"


if __name__ == "__main__":
    main()
