"""`pulse config check FILE` and `pulse config show TEAM`: what a file of teams says. Nothing is contacted."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from schemas.feedback import Policy
from services.cli import output
from services.cli.codes import Exit, Fail
from services.common.clock import wall_clock_ms
from services.teams import calendars, rota, routing, zones
from services.teams.models import Calendar, Team, day_minutes
from services.teams.policies import policies_in
from services.teams.reading import BadTeams, Configured, read
from services.teams.words import WEEK, Span

SHOWN: Final = 5  # working intervals, and holidays
AHEAD: Final = timedelta(days=366)


def load(file: Path) -> dict[str, Configured]:
    """The teams of a file. Fails when it cannot be read, with every line of it that is wrong."""
    with told(file):
        return read(text_of(file))


def policies(file: Path) -> dict[str, Policy]:
    """The record of each team of a file. Fails as `load` does, and where a calendar makes no record."""
    with told(file):
        return policies_in(text_of(file), wall_clock_ms())


@contextmanager
def told(file: Path) -> Iterator[None]:
    """Makes a failure of everything that is wrong with a file."""
    try:
        yield
    except BadTeams as error:
        lines = [f"{file}:{wrong.line}: {wrong.path} {wrong.message}".replace(":  ", ": ") for wrong in error.wrong]
        text = f"{file} cannot be used: {output.counted(len(lines), 'thing')} to put right"
        raise Fail(Exit.USAGE, "\n".join([text, *lines]), _document(file, error)) from None


def text_of(file: Path) -> str:
    """The text of a file of teams. Fails when it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise Fail(Exit.USAGE, f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise Fail(Exit.USAGE, f"{file} is not UTF-8 at byte {error.start}") from None


def check(files: Sequence[Path], others: Sequence[str], *, as_json: bool) -> None:
    """Say whether a file can be used, or everything that is wrong with it."""
    if len(files) != 1 or others:
        raise Fail(Exit.USAGE, "check one file of teams at a time, or services")
    (file,) = files
    teams = policies(file)
    if as_json:
        output.print_json({"ok": True, "file": str(file), "teams": [*teams]})
    else:
        sys.stdout.write(f"{file} is good: {output.counted(len(teams), 'team')}: {', '.join(teams)}\n")


def show(name: str, file: Path, *, as_json: bool) -> None:
    """What a file says of one team, what comes of it in the next days, and who is on call now."""
    teams = load(file)
    if name not in teams:
        raise Fail(Exit.NOT_FOUND, f"{file} has no team {name!r}; it has {', '.join(teams)}")
    configured, now_ms = teams[name], wall_clock_ms()
    if as_json:
        output.print_json({"team": name, "config": configured.document} | _ahead(configured.team, now_ms))
        return
    told = [("team", f"{name}, {configured.team.name}" if configured.team.name else name)]
    told += [*_promise(configured.team), *_people(configured, now_ms), *_days(configured.team, now_ms)]
    width = max(len(what) for what, _ in told)
    sys.stdout.write("".join(f"{what:<{width}}  {value}\n" for what, value in told))


def length(span: Span, day: int) -> str:
    """A length of working time for people.

    >>> length(Span(3, 0), 480), length(Span(0, 90), 480)
    ('24 h (3 working days)', '1 h 30 min')
    """
    hours, minutes = divmod(span.ms(day) // 60_000, 60)
    text = " ".join(part for part in (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "") if part)
    days = f" ({output.counted(span.days, 'working day')})" if span.days and day < 24 * 60 else ""
    return (text or "0 min") + days


def _document(file: Path, error: BadTeams) -> dict[str, Any]:
    wrong = [{"line": one.line, "path": one.path, "message": one.message} for one in error.wrong]
    return {"ok": False, "file": str(file), "problems": wrong, "exit_code": int(Exit.USAGE)}


def _promise(team: Team) -> Iterator[tuple[str, str]]:
    day, clocks = day_minutes(team.calendar), team.clocks
    yield "time zone", team.timezone
    yield "works", _weekly(team.calendar)
    if team.calendar.holidays:
        yield "holidays of", ", ".join(team.calendar.holidays)
    yield "first contact", f"within {length(clocks.contact, day)} of working time"
    if clocks.reminders:
        yield "reminders", ", ".join(length(one, day) for one in clocks.reminders) + " before"
    for number, level in enumerate(team.escalation, 1):
        yield f"escalation {number}", f"{length(level.after, day)} after: {', '.join(level.to)}"
    yield "resolution", f"within {length(clocks.resolve, day)} of working time"
    yield "followed up", f"answers not older than {clocks.raise_within.ms() / 3_600_000:g} h"
    if clocks.reask_after is not None:
        yield "asked again", f"{clocks.reask_after.ms() / 3_600_000:g} h after a resolution"


def _people(configured: Configured, now_ms: int) -> Iterator[tuple[str, str]]:
    team = configured.team
    for number, (route, written) in enumerate(zip(team.routes, configured.document.get("routes", ()), strict=True), 1):
        when = "; ".join(
            f"{name} {_listed(value)}" for name, value in written.items() if name not in ("to", "continue")
        )
        yield f"route {number}", f"{when or 'every answer'} → {', '.join(route.to)}{' and on' if route.go_on else ''}"
    yield "else", ", ".join(team.targets) or "whoever is told of every team"
    if team.on_call is not None:
        ends = _local(team, rota.next_hand_over(team.on_call, team.timezone, now_ms))
        yield "on call now", f"{rota.on_call(team.on_call, team.timezone, now_ms)}; next hand-over {ends}"
    if team.quiet is not None:
        until = routing.quiet_until(team, now_ms)
        yield "quiet", f"now, until {_local(team, until)}" if until is not None else "not now"
    if team.root_causes:
        yield "root causes", ", ".join(team.root_causes)


def _days(team: Team, now_ms: int) -> Iterator[tuple[str, str]]:
    for number, (opens, closes) in enumerate(_working(team, now_ms)):
        end = zones.local(team.timezone, closes)
        same = end.date() == zones.local(team.timezone, opens).date()
        yield (
            "" if number else "works next",
            f"{_local(team, opens)} – {end:%H:%M}" if same else f"{_local(team, opens)} – {_local(team, closes)}",
        )
    for number, (day, name) in enumerate(_holidays(team, now_ms)):
        yield "" if number else "next holidays", f"{day} {name}"


def _ahead(team: Team, now_ms: int) -> dict[str, Any]:
    """What `show` works out, for scripts."""
    quiet = routing.quiet_until(team, now_ms)
    day = day_minutes(team.calendar)
    return {
        "contact_ms": team.clocks.contact.ms(day),
        "resolve_ms": team.clocks.resolve.ms(day),
        "working": [{"from": _iso(opens), "to": _iso(closes)} for opens, closes in _working(team, now_ms)],
        "holidays": [{"date": day, "name": name} for day, name in _holidays(team, now_ms)],
        "on_call": rota.on_call(team.on_call, team.timezone, now_ms),
        "next_hand_over": _iso(rota.next_hand_over(team.on_call, team.timezone, now_ms)) if team.on_call else None,
        "quiet_until": None if quiet is None else _iso(quiet),
    }


def _working(team: Team, now_ms: int) -> list[calendars.Interval]:
    ahead = round(AHEAD / timedelta(milliseconds=1))
    return list(calendars.working(team.calendar, team.timezone, now_ms, now_ms + ahead) or ())[:SHOWN]


def _holidays(team: Team, now_ms: int) -> list[tuple[str, str]]:
    today = zones.local(team.timezone, now_ms).date()
    found = calendars.named_holidays(team.calendar, today, today + AHEAD)
    return [(day.isoformat(), name) for day, name in found.items()][:SHOWN]


def _weekly(calendar: Calendar) -> str:
    if calendar.hours is None:
        return "around the clock"

    def clock(minute: int) -> str:
        return f"{minute // 60 % 24:02}:{minute % 60:02}" if minute != 24 * 60 else "24:00"

    return ", ".join(
        f"{WEEK[days[0]]}{'-' + WEEK[days[-1]] if len(days) > 1 else ''} "
        + " and ".join(f"{clock(start)}-{clock(end)}" for start, end in ranges)
        for days, ranges in calendar.hours.items()
    )


def _listed(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_listed(one)}" for name, one in value.items())
    return " or ".join(str(one) for one in value) if isinstance(value, list) else str(value)


def _local(team: Team, at_ms: int) -> str:
    return f"{zones.local(team.timezone, at_ms):%a %Y-%m-%d %H:%M}"


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat().replace("+00:00", "Z")
