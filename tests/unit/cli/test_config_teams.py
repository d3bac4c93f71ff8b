"""`pulse config check FILE` and `show`: a file that can be used, and one that cannot, for people and for scripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.cli.codes import Exit
from services.cli.teams import command
from services.teams.words import Span
from tests.unit.cli.conftest import Pulse
from tests.unit.teams.configs import ms

EXAMPLE = Path(__file__).parents[3] / "deploy" / "teams.example.toml"
NOW_MS = ms("2026-11-29T23:00+01:00")  # a Sunday evening in Copenhagen

BROKEN = """\
[teams.support]
name = 5
calender = {}
"""


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "wall_clock_ms", lambda: NOW_MS)


@pytest.fixture
def broken(tmp_path: Path) -> str:
    path = tmp_path / "teams.toml"
    path.write_text(BROKEN)
    return str(path)


def test_a_good_file_is_good(pulse: Pulse) -> None:
    result = pulse("config", "check", str(EXAMPLE))
    assert result.exit_code == Exit.OK
    assert result.stdout == f"{EXAMPLE} is good: 4 teams: support, bucharest, shops, operations\n"
    assert json.loads(pulse("config", "check", "--json", str(EXAMPLE)).stdout)["teams"][0] == "support"


def test_everything_that_is_wrong_is_told_with_its_line(pulse: Pulse, broken: str) -> None:
    result = pulse("config", "check", broken)
    assert result.exit_code == Exit.USAGE
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"pulse: {broken} cannot be used: 2 things to put right",
        f"{broken}:2: teams.support.name must be a text",
        f"{broken}:3: teams.support.calender is not a known key; did you mean calendar?",
    ]


def test_what_is_wrong_is_told_to_scripts(pulse: Pulse, broken: str) -> None:
    document = json.loads(pulse("config", "check", "--json", broken).stdout)
    assert not document["ok"]
    assert [(one["line"], one["path"]) for one in document["problems"]] == [
        (2, "teams.support.name"),
        (3, "teams.support.calender"),
    ]


def test_what_is_no_toml_is_told(pulse: Pulse, tmp_path: Path) -> None:
    path = tmp_path / "teams.toml"
    path.write_text("[teams.a]\nname = \n")
    assert f"{path}:2: is not TOML: invalid value\n" in pulse("config", "check", str(path)).stderr


def test_a_file_that_cannot_be_read_is_told(pulse: Pulse, tmp_path: Path) -> None:
    result = pulse("config", "check", "missing.toml")
    assert (result.exit_code, result.stderr) == (2, "pulse: missing.toml cannot be read: No such file or directory\n")
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe6'")
    assert "is not UTF-8 at byte 8" in pulse("config", "check", str(tmp_path / "latin.toml")).stderr


def test_files_and_services_are_not_checked_together(pulse: Pulse) -> None:
    assert pulse("config", "check", str(EXAMPLE), "worker").exit_code == Exit.USAGE


SHOWN = """\
team           support, Customer support
time zone      Europe/Copenhagen
works          mon-fri 09:00-17:00
holidays of    DK
first contact  within 10 h of working time
reminders      4 h, 1 h before
escalation 1   0 min after: team-leads
escalation 2   8 h after: head-of-service
resolution     within 24 h (3 working days) of working time
followed up    answers not older than 168 h
asked again    336 h after a resolution
route 1        words lawyer or advokat or cancel* → on-call, head-of-service
route 2        scores 0 or 1 or 2; segment attributes tier gold or platinum → on-call and on
route 3        bands detractor; languages de → support-german
route 4        segment survey onboarding, channel email or sms → onboarding
route 5        kinds alarm → head-of-service
else           support-mail
on call now    ben; next hand-over Mon 2026-11-30 09:00
quiet          now, until Mon 2026-11-30 08:00
root causes    delivery, billing, product fault, staff, expectations, other
works next     Mon 2026-11-30 09:00 – 17:00
               Tue 2026-12-01 09:00 – 17:00
               Wed 2026-12-02 09:00 – 17:00
               Thu 2026-12-03 09:00 – 17:00
               Fri 2026-12-04 09:00 – 17:00
next holidays  2026-12-25 Christmas Day
               2026-12-26 Second Day of Christmas
               2027-01-01 New Year's Day
"""


def test_a_team_is_shown_with_all_that_holds_for_it(pulse: Pulse) -> None:
    result = pulse("config", "show", "support", "--teams", str(EXAMPLE))
    assert result.exit_code == Exit.OK
    assert result.stdout.startswith(SHOWN)


def test_the_file_may_be_named_in_the_environment(pulse: Pulse) -> None:
    result = pulse("config", "show", "operations", env={"PULSE_TEAMS": str(EXAMPLE)})
    assert "works          around the clock\n" in result.stdout
    assert "works next" not in result.stdout


def test_a_team_is_shown_to_scripts(pulse: Pulse) -> None:
    document = json.loads(pulse("config", "show", "shops", "--json", "--teams", str(EXAMPLE)).stdout)
    assert document["config"]["calendar"]["hours"]["sat"] == "10:00-14:00"
    assert document["working"][:2] == [
        {"from": "2026-11-30T08:00:00Z", "to": "2026-11-30T11:30:00Z"},
        {"from": "2026-11-30T12:00:00Z", "to": "2026-11-30T17:00:00Z"},
    ]
    assert document["holidays"][0] == {"date": "2026-12-25", "name": "Christmas Day"}
    assert (document["contact_ms"], document["on_call"], document["quiet_until"]) == (36_000_000, None, None)


def test_a_team_that_is_not_there_is_told_with_those_that_are(pulse: Pulse) -> None:
    result = pulse("config", "show", "suport", "--teams", str(EXAMPLE))
    assert result.exit_code == Exit.NOT_FOUND
    assert "it has support, bucharest, shops, operations" in result.stderr


@pytest.mark.parametrize(
    ("span", "day", "text"),
    [
        (Span(3, 0), 480, "24 h (3 working days)"),
        (Span(1, 30), 450, "8 h (1 working day)"),
        (Span(0, 90), 480, "1 h 30 min"),
        (Span(0, 0), 480, "0 min"),
        (Span(2, 0), 1440, "48 h"),
    ],
)
def test_a_length_is_told_in_hours(span: Span, day: int, text: str) -> None:
    assert command.length(span, day) == text
