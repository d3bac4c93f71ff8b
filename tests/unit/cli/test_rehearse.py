"""A rehearsal: the promises of the log are put aside, those of a file are played, and what would be told is counted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from schemas.followups import Case
from schemas.generations import FIRST
from services.cli.codes import Exit
from services.cli.rehearse.command import BEFORE_MS
from services.cli.rehearse.play import Gathered, Instead, Telling, begin
from services.cli.rehearse.report import EVERYBODY, count
from services.teams.models import Team
from services.teams.policies import over
from services.teams.reading import Configured, read
from stream.replay import fold_log
from tests.unit.cli.conftest import Pulse
from tests.unit.stream.fakes import DAY, HOUR, PARTITION, START_MS, TEAMS, LogBuilder
from tests.unit.teams.configs import ms, team
from tests.unit.worker.fakes import FakeLog, JournalState

NAME, OTHER = TEAMS[:2]
TOML = f"""
[teams.{NAME}]
timezone = "UTC"
targets = ["mail"]
calendar = {{ hours = {{ mon-fri = "09:00-17:00" }} }}
clocks = {{ contact = "2h", resolve = "1d", reminders = ["1h"] }}
escalation = [{{ after = "0m", to = ["lead"] }}, {{ after = "1h", to = ["head"] }}]
[[teams.{NAME}.routes]]
segment = {{ attributes = {{ tier = ["gold"] }} }}
to = ["gold"]
"""
NOW_MS = START_MS + 27 * HOUR  # Tuesday 17:14; the case came on Monday at 14:14


async def rehearsed(log: LogBuilder, since_ms: int, text: str = TOML) -> Gathered:
    """What a log would have said with the promises of a file."""
    teams: Mapping[str, Configured] = read(text)
    gathered = Gathered({name: one.team for name, one in teams.items()}, since_ms, NOW_MS)
    instead = Instead(FakeLog(log.records), teams, NOW_MS)
    state = JournalState().as_state()
    span = (since_ms - BEFORE_MS, NOW_MS + 800 * DAY)
    state.commit(begin({name: over(one.team, one.document, span) for name, one in teams.items()}, 1), ())
    _, end = await instead.bounds(PARTITION)
    done, _ = await fold_log(state, PARTITION, instead, end, FIRST, gathered.listen, lambda *_: None)
    assert done == len(log.records) + 1
    return gathered


def a_log() -> LogBuilder:
    """One unhappy answer, under a promise of the log that is far shorter, and one of a team that is in no file."""
    log = LogBuilder()
    log.policy(team=NAME, contact_ms=60_000, resolve_ms=60_000, remind_ms=[1_000, 2_000])
    log.answer(1, 2, team=NAME, attributes={"tier": "gold"})
    log.answer(2, 2, team=OTHER)
    log.answer(3, 9, team=NAME)
    return log


async def test_the_promises_of_the_file_are_played_and_not_those_of_the_log() -> None:
    gathered = await rehearsed(a_log(), START_MS)
    told = [(telling.at_ms - START_MS, telling.kind.partition(".")[2], telling.level) for telling in gathered.tellings]
    assert told == [
        (0, "raised", 0),
        (1 * HOUR, "reminder", 0),
        (2 * HOUR, "breached", 0),
        (2 * HOUR, "escalated", 1),
        (19 * HOUR, "escalated", 2),  # an hour of work later is Tuesday 09:14
        (23 * HOUR, "reminder", 0),
        (24 * HOUR, "breached", 0),
        (24 * HOUR, "escalated", 1),
        (25 * HOUR, "escalated", 2),
    ]
    assert {telling.case.team for telling in gathered.tellings} == {NAME}


async def test_only_what_falls_into_the_days_asked_for_is_told() -> None:
    gathered = await rehearsed(a_log(), START_MS + 20 * HOUR)
    counted = count({NAME: read(TOML)[NAME].team}, gathered.tellings, {})
    assert asdict(counted.teams[NAME]) == {
        "cases": 0,
        "contact_breached": 0,
        "resolve_breached": 1,
        "reminders": 1,
        "escalations": 2,
    }


async def test_what_would_be_told_is_routed_with_the_answer_s_attributes() -> None:
    gathered = await rehearsed(a_log(), START_MS)
    counted = count({NAME: read(TOML)[NAME].team}, gathered.tellings, {})
    assert {name: asdict(counts)["messages"] for name, counts in counted.targets.items()} == {
        (NAME, "gold"): 5,
        (NAME, "head"): 2,
        (NAME, "lead"): 2,
    }


async def test_a_team_without_a_calendar_is_played_around_the_clock() -> None:
    gathered = await rehearsed(a_log(), START_MS, f"[teams.{NAME}]\nclocks = {{ contact = '5h', resolve = '1d' }}")
    due = [telling.at_ms - START_MS for telling in gathered.tellings if telling.kind == "followup.breached"]
    assert due == [5 * HOUR, 24 * HOUR]


async def test_an_empty_partition_says_nothing() -> None:
    instead = Instead(FakeLog(), [NAME], NOW_MS)
    assert await instead.bounds(PARTITION) == (0, 0)


async def test_only_policies_of_the_teams_are_put_aside() -> None:
    log = LogBuilder()
    log.policy(team=NAME)
    log.policy(team=OTHER)
    log.answer(1, 2, team=NAME, survey="policy")
    log.append(NAME.encode(), b"not JSON, policy")
    log.append(NAME.encode(), None)
    found = [record async for batch in Instead(FakeLog(log.records), [NAME], NOW_MS).read(3, 0, 6) for record in batch]
    kept = [(record.key, record.value) for record in found[1:5]]
    assert kept == [(record.key, record.value) for record in log.records[1:]]
    assert (found[0].offset, found[0].key, found[0].value) == (0, None, b'{"type":"tick"}')
    assert (found[5].offset, found[5].timestamp, found[5].value) == (5, NOW_MS, b'{"type":"tick"}')


def case(score: int = 3, **more: Any) -> Case:
    times = dict.fromkeys(("raised_ms", "changed_ms", "contact_due_ms", "resolve_due_ms"), 0)
    known = {"case_id": "c", "team": "t", "response_id": "r", "state": "open", "n": 1, "answers": ("r",), "version": 1}
    return Case(score=score, **{**times, **known, **more})


QUIET = team(
    """
timezone = "Europe/Copenhagen"
targets = ["mail"]
[[teams.t.routes]]
words = ["lawyer"]
to = ["head"]
[teams.t.quiet]
hours = { mon-fri = "20:00-08:00" }
let_through = { scores = [0] }
"""
)


@pytest.mark.parametrize(
    ("telling", "comment", "target", "night", "waited"),
    [
        pytest.param(Telling(ms("2026-11-04T12:00"), "followup.raised", case()), "", "mail", 0, 0, id="by-day"),
        pytest.param(Telling(ms("2026-11-04T23:00"), "followup.raised", case()), "", "mail", 0, 1, id="waits"),
        pytest.param(Telling(ms("2026-11-04T23:00"), "followup.raised", case(0)), "", "mail", 1, 0, id="let-through"),
        pytest.param(
            Telling(ms("2026-11-04T12:00"), "followup.raised", case()), "my Lawyer", "head", 0, 0, id="by-its-comment"
        ),
    ],
)
def test_a_message_counts_where_and_when_it_is_told(
    telling: Telling, comment: str, target: str, night: int, waited: int
) -> None:
    counted = count({"t": QUIET}, [telling], {("t", "r"): comment})
    ((key, counts),) = counted.targets.items()
    assert (key, counts.messages, counts.at_night, counts.waited) == (("t", target), 1, night, waited)


def test_a_team_that_names_nobody_is_told_of_as_every_team_is() -> None:
    counted = count({"t": Team(), "u": Team()}, [Telling(0, "followup.raised", case())], {})
    assert [*counted.targets] == [("t", EVERYBODY)]
    assert [*counted.teams] == ["t", "u"]


def test_a_broken_promise_is_counted_by_its_clock_and_told() -> None:
    tellings = [Telling(0, "followup.breached", case(), clock) for clock in ("contact", "resolve", "resolve")]
    counted = count({"t": Team()}, tellings, {})
    assert (counted.teams["t"].contact_breached, counted.teams["t"].resolve_breached) == (1, 2)
    assert asdict(counted.targets["t", EVERYBODY])["breaches"] == 3


def test_a_bad_file_is_told_before_anything_is_looked_for(pulse: Pulse, tmp_path: Path) -> None:
    file = tmp_path / "teams.toml"
    file.write_text("[teams.a]\nname = 5\n")
    refused = pulse("rehearse", "--teams", str(file), "--json")
    assert refused.exit_code == Exit.USAGE
    assert json.loads(refused.stdout)["problems"][0]["line"] == 2


def test_without_an_instance_it_says_how_to_start_one(pulse: Pulse, tmp_path: Path) -> None:
    file = tmp_path / "teams.toml"
    file.write_text("[teams.a]\n")
    assert pulse("rehearse", "--teams", str(file)).exit_code == Exit.UNREACHABLE
