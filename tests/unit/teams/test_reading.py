"""Reading the file: defaults, and every mistake with its line, all at once."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from services.teams.reading import BadTeams, read
from services.teams.words import Span

EXAMPLE = Path(__file__).parents[3] / "deploy" / "teams.example.toml"

BROKEN = """\
[defaults]
timezone = "Europe/Nowhere"
[defaults.calendar]
hours = { mon-fri = "09:00-17:0" }
[teams.a]
name = 3
[teams.a.clocks]
contact = "10 hours"
remindres = ["1h"]
[[teams.a.routes]]
bands = ["sad"]
to = ["x"]
[[teams.a.routes]]
scores = [
  11,
  "3",
]
[teams.B]
[teams.c]
timezone = "UTC"
calendar = { hours = { mon = "09:00-17:00", mon-tue = "08:00-09:00" }, holidays = ["XX", "dk"] }
root_causes = ["a", "a"]
[teams.d]
timezone = "UTC"
calendar = { around_the_clock = true, closed = ["12-24"] }
targets = ["on-call"]
clocks = { contact = "2h", resolve = "1h", reminders = ["1h", "2h"] }
escalation = [{ after = "1h", to = ["x"] }, { after = "30m", to = [] }, { after = "soon", to = ["x"] }]
[teams.e]
timezone = "UTC"
calendar.holidays = ["DK-ZZ"]
calendar.hours.mon = "09:00-17:00"
calendar.open = [2026-12-27]
on_call = { start = 2026-12-24, people = ["Ada"], overrides = [{ person = "x", start = "2026-12-24 09:00", end = 1 }] }
quiet = { hours = {} }
[extra]
"""


def wrong(text: str) -> list[str]:
    with pytest.raises(BadTeams) as raised:
        read(text)
    return [str(one) for one in raised.value.wrong]


def test_every_mistake_is_told_at_once_with_its_line() -> None:
    name = "1 to 64 of a-z, 0-9, dot, underscore, hyphen, beginning with a letter or digit"
    assert wrong(BROKEN) == [
        "line 2: defaults.timezone must be a time zone, such as Europe/Copenhagen, or UTC",
        'line 4: defaults.calendar.hours.mon-fri must be hours, such as "09:00-17:00"',
        "line 6: teams.a.name must be a text",
        'line 8: teams.a.clocks.contact must be a length of time, such as "10h", "90m", "3d" or "1d 4h"',
        "line 9: teams.a.clocks.remindres is not a known key; did you mean reminders?",
        "line 11: teams.a.routes[0].bands[0] must be 'detractor', 'passive' or 'promoter'",
        "line 13: teams.a.routes[1].to is required",
        "line 15: teams.a.routes[1].scores[0] must be 0 to 10",
        "line 16: teams.a.routes[1].scores[1] must be a whole number",
        f"line 18: teams.B is no name of a team: {name}",
        "line 21: teams.c.calendar.holidays[1] must be a country, such as DK, or a part of one, such as DE-BY",
        "line 28: teams.d.escalation[1].to must not be empty",
        'line 28: teams.d.escalation[2].after must be a length of time, such as "10h", "90m", "3d" or "1d 4h"',
        "line 34: teams.e.on_call.overrides[0].end must be a date and a time in the team's time zone, "
        'such as "2026-12-24 09:00"',
        f"line 34: teams.e.on_call.people[0] must be {name}",
        "line 35: teams.e.quiet.hours must not be empty",
        "line 36: extra is not a known key",
    ]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ('calendar = { holidays = ["DK"] }', "calendar needs hours, or around_the_clock = true"),
        ("calendar = {}", "calendar needs hours, or around_the_clock = true"),
        (
            'calendar = { around_the_clock = true, closed = ["12-24"] }',
            "calendar.closed has no meaning around the clock; leave one of the two out",
        ),
        (
            'calendar = { hours = { mon = "09:00-17:00" }, holidays = ["DK-ZZ"] }',
            "calendar.holidays[0] is no country, or part of one, whose holidays are known",
        ),
        (
            'calendar = { hours = { mon = "09:00-17:00" }, open = [2026-12-27] }',
            "calendar.open[0] is on a weekday without hours; give it some, such as 10:00-14:00",
        ),
        (
            'calendar = { hours = { mon = "09:00-17:00", sun-tue = "08:00-09:00" } }',
            "calendar.hours gives mon more than once",
        ),
        ('targets = ["on-call"]', "targets[0] names on-call, and the team has no on_call"),
        ('routes = [{ to = ["on-call"] }]', "routes[0].to[0] names on-call, and the team has no on_call"),
        (
            'clocks = { contact = "2h", resolve = "1h" }',
            "clocks.resolve must not be shorter than contact; a working day here is 24 h",
        ),
        (
            'clocks = { contact = "2h", reminders = ["2h"] }',
            "clocks.reminders[0] must be shorter than contact: it is how long before",
        ),
        ('clocks = { reminders = ["1h", "60m"] }', "clocks.reminders[1] stands twice"),
        (
            'escalation = [{ after = "1h", to = ["x"] }, { after = "1h", to = ["y"] }]',
            "escalation[1].after must be longer than that of the level before",
        ),
        (
            'on_call = { start = 2026-12-24, people = ["ada"] }',
            "on_call.start must be a mon, the day of the hand-over",
        ),
        (
            'on_call = { start = 2026-12-21, people = ["ada"], overrides = '
            '[{ person = "x", start = "2026-12-24 09:00", end = "2026-12-24 09:00" }] }',
            "on_call.overrides[0].end must be after start",
        ),
        (
            'routes = [{ kinds = ["alarm", "promoter"], scores = [9], to = ["x"] }]',
            "routes[0].kinds has alarm beside what only an answer has; give alarms a route of their own",
        ),
        ('quiet = { hours = { mon-sun = "00:00-24:00" } }', "quiet.hours never end; leave some of the week"),
        ('root_causes = ["a", "b", "a"]', "root_causes[2] stands twice"),
    ],
)
def test_what_one_key_cannot_know_of_another_is_checked_too(table: str, told: str) -> None:
    assert [one.partition(": teams.t.")[2] for one in wrong(f"[teams.t]\n{table}")] == [told]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1: teams names no team: begin one with [teams.NAME]"),
        ("[defaults]\ntimezone = 5\n", "line 1: teams names no team: begin one with [teams.NAME]"),
        ("teams = 5", "line 1: teams must be a table"),
        ("defaults = 5\n[teams.a]", "line 1: defaults must be a table"),
        ("[teams]\na = 5", "line 2: teams.a must be a table"),
        ("[teams.a]\n\nname = ", "line 3: is not TOML: invalid value"),
        ("[teams.a]\nname = 'x'\nname = 'y'", "line 3: is not TOML: cannot overwrite a value"),
        ('[teams.a]\nname = "x', "line 2: is not TOML: unterminated string"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole(text: str, told: str) -> None:
    assert wrong(text) == [told]


def test_a_mistake_in_the_defaults_is_told_once_for_all_teams() -> None:
    assert len(wrong("[defaults]\ntimezone = 5\n[teams.a]\n[teams.b]\n")) == 1


def test_a_teams_own_mistake_is_not_looked_for_in_the_defaults() -> None:
    text = '[defaults]\nroutes = [{ to = ["x"] }]\n[teams.a]\nroutes = [{ bands = ["passive"] }]\n'
    assert wrong(text) == ["line 4: teams.a.routes[0].to is required"]


DEFAULTS = """
[defaults]
timezone = "Europe/Copenhagen"
root_causes = ["delivery", "billing"]
clocks = { contact = "8h", reminders = ["1h"] }
calendar = { hours = { mon-fri = "09:00-17:00" }, holidays = ["DK"] }
"""


def test_a_team_is_laid_over_the_defaults() -> None:
    teams = read(
        DEFAULTS
        + """
[teams.plain]
[teams.own]
timezone = "UTC"
root_causes = ["other"]
clocks = { contact = "4h" }
calendar = { hours = { sat = "10:00-12:00" } }
"""
    )
    plain, own = teams["plain"].team, teams["own"].team
    assert (plain.timezone, plain.root_causes) == ("Europe/Copenhagen", ("delivery", "billing"))
    assert (own.timezone, own.root_causes) == ("UTC", ("other",))
    assert own.clocks.contact == Span(0, 240)
    assert own.clocks.reminders == plain.clocks.reminders
    assert own.calendar.hours == {(5,): ((600, 720),)}
    assert own.calendar.holidays == ("DK",)


def test_hours_and_around_the_clock_replace_each_other() -> None:
    text = DEFAULTS + "[teams.a]\ncalendar = { around_the_clock = true }\n"
    assert read(text)["a"].document["calendar"] == {"around_the_clock": True}
    text = "[defaults.calendar]\naround_the_clock = true\n[teams.a.calendar]\nhours.mon = '09:00-17:00'\n"
    assert read(text)["a"].document["calendar"] == {"hours": {"mon": "09:00-17:00"}}


def test_the_document_of_a_team_is_plain_json() -> None:
    for configured in read(EXAMPLE.read_text(encoding="utf-8")).values():
        assert msgspec.json.decode(msgspec.json.encode(configured.document)) == configured.document


def test_the_example_says_what_it_says() -> None:
    teams = read(EXAMPLE.read_text(encoding="utf-8"))
    assert [*teams] == ["support", "bucharest", "shops", "operations"]
    assert teams["operations"].team.calendar.around_the_clock
    assert teams["bucharest"].team.calendar.hours == teams["support"].team.calendar.hours
