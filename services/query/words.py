"""How figures and times are written on pages. English, short, never a bare zero for what nobody answered."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Final

from services.query.views import Numbers
from stream.domain.minutes import parse_window, window_name
from stream.domain.scores import Difference, Tally, display

_MINUTE_S: Final = 60
_HOUR_S: Final = 3_600
_DAY_S: Final = 86_400
_SPACE: Final = "\u00a0"  # between a number and its unit, where no line may break
CHANCE: Final = 0.05  # p-value from which a difference is called one that could be chance


def signed(points: int) -> str:
    """Whole points with their sign: +25, −25, 0.

    >>> signed(25), signed(-25), signed(0)
    ('+25', '−25', '0')
    """
    if points == 0:
        return "0"
    return f"+{points}" if points > 0 else f"−{-points}"


def rounded(points: float) -> int:
    """Half away from zero, as the score itself is shown."""
    whole = int(abs(points) + 0.5)
    return whole if points > 0 else -whole


def headline(figures: Numbers) -> str:
    """The score, or why there is none to show."""
    if figures.state == "empty":
        return "no answers"
    if figures.state == "too_few":
        return f"too few answers: {figures.n}"
    return signed(figures.display or 0)


def margin_text(figures: Numbers) -> str:
    """The margin in words; empty when there is none."""
    if figures.margin is None:
        return ""
    return f"likely between {signed(rounded(figures.margin.low))} and {signed(rounded(figures.margin.high))}"


def answers_text(n: int) -> str:
    """How many answers.

    >>> answers_text(1), answers_text(1200)
    ('1 answer', '1,200 answers')
    """
    return "1 answer" if n == 1 else f"{n:,} answers"


def window_text(minutes: int) -> str:
    """A window as it is called.

    >>> window_text(60), window_text(1440), window_text(10080)
    ('1\xa0h', '24\xa0h', '7\xa0d')
    """
    name = window_name(minutes)
    return f"{name[:-1]}{_SPACE}{name[-1]}"


def named_window_text(window: str) -> str:
    """A window by the name that a question gives it.

    >>> named_window_text("7d"), named_window_text("90m"), named_window_text("all")
    ('7\xa0d', '90\xa0m', 'whole past')
    """
    minutes = parse_window(window)
    return "whole past" if minutes is None else window_text(minutes)


def change_text(found: Difference | None, minutes: int) -> str:
    """How the score moved against the window of the same length before; None: they cannot be compared."""
    before = f"previous {window_text(minutes)}"
    if found is None:
        return f"{before}: too few to compare"
    points = rounded(found.raw)
    if points == 0:
        return f"same as {before}"
    arrow = "▲" if points > 0 else "▼"
    chance = "" if found.p_value < CHANCE else ", maybe chance"
    return f"{arrow} {abs(points)} on {before}{chance}"


def falling_text(since: int, was: Tally, fell_to: Tally) -> str:
    """A score alarm in one line; `since` is a day since 1970.

    >>> falling_text(20_000, Tally(2, 3, 5), Tally(4, 2, 4))
    'fallen since 4 Oct: +30 before, 0 since, of 10 answers'
    """
    day = date(1970, 1, 1) + timedelta(days=since)
    return (
        f"fallen since {day.day} {day:%b}: {signed(display(was) or 0)} before,"
        f" {signed(display(fell_to) or 0)} since, of {answers_text(fell_to.total)}"
    )


def span_text(seconds: float) -> str:
    """A length of time, in one unit.

    >>> span_text(59), span_text(5400), span_text(200000)
    ('under a minute', '2\xa0h', '2\xa0days')
    """
    if seconds < _MINUTE_S:
        return "under a minute"
    if seconds < _HOUR_S:
        return f"{int(seconds // _MINUTE_S)}{_SPACE}min"
    if seconds < 2 * _DAY_S:
        return f"{int((seconds + _HOUR_S / 2) // _HOUR_S)}{_SPACE}h"
    return f"{int((seconds + _DAY_S / 2) // _DAY_S)}{_SPACE}days"


def ago_text(at_ms: int, now_ms: int) -> str:
    """How long ago."""
    seconds = (now_ms - at_ms) / 1000
    return "just now" if seconds < _MINUTE_S else f"{span_text(seconds)} ago"


def due_text(due_ms: int, now_ms: int) -> str:
    """When something is due, or how late it is."""
    seconds = (due_ms - now_ms) / 1000
    if seconds < 0:
        return f"overdue by {span_text(-seconds)}"
    return f"due in {span_text(seconds)}"


def state_text(state: str, snoozed_until_ms: int | None, now_ms: int) -> str:
    """How a case stands, and of a snoozed one until when.

    >>> state_text("open", None, 0), state_text("snoozed", 3_600_000, 0)
    ('open', 'snoozed, wakes in 1\xa0h')
    """
    if snoozed_until_ms is None:
        return state
    return f"{state}, wakes in {span_text(max(0, snoozed_until_ms - now_ms) / 1000)}"


def closed_text(state: str, closed_ms: int, cause: str, now_ms: int) -> str:
    """How a case ended, and when.

    >>> closed_text("resolved", 0, "price", 3_600_000), closed_text("withdrawn", 0, "", 0)
    ('resolved 1\xa0h ago: price', 'withdrawn just now')
    """
    return f"{state} {ago_text(closed_ms, now_ms)}" + (f": {cause}" if cause else "")


def contacts_text(contacts: int, attempts: int) -> str:
    """How it went so far to contact the customer; empty while nobody has tried.

    >>> contacts_text(0, 0), contacts_text(0, 2), contacts_text(1, 1), contacts_text(2, 3)
    ('', 'tried 2 times, not reached', 'contacted once', 'contacted 2 times in 3 attempts')
    """

    def times(n: int) -> str:
        return "once" if n == 1 else f"{n} times"

    if contacts == 0:
        return f"tried {times(attempts)}, not reached" if attempts else ""
    return f"contacted {times(contacts)}" + (f" in {attempts} attempts" if attempts > contacts else "")


def again_text(score: int | None, reask_of: str) -> str:
    """Of a case whose customer was asked again: what they say now, or that this is what came of an earlier case.

    >>> again_text(None, ""), again_text(9, "")
    ('', 'asked again: 9')
    >>> again_text(3, "fd1a")
    'unhappy again, after an earlier case; asked again: 3'
    """
    parts = ["unhappy again, after an earlier case"] if reask_of else []
    return "; ".join(parts if score is None else [*parts, f"asked again: {score}"])


def excerpt(comment: str, longest: int = 220) -> str:
    """The beginning of a comment, cut between words."""
    text = " ".join(comment.split())
    if len(text) <= longest:
        return text
    cut = text[:longest].rsplit(" ", 1)[0]
    return f"{cut} …"


def clock_text(at: datetime) -> str:
    """A UTC time of day."""
    return f"{at:%H:%M}{_SPACE}UTC"
