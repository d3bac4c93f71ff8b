"""`pulse config apply`, `--watch` and `history`: what is sent, what is left alone, and what a broken edit does."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.cli import commanding
from services.cli.codes import Exit, Fail
from services.cli.teams import command, watch
from services.cli.teams.apply import Outcome
from services.cli.teams.watch import AGAIN_S, RETRY_S, Watched
from services.teams.policies import policies_in
from tests.unit.cli.conftest import FakeService, Pulse
from tests.unit.cli.test_commanding import position
from tests.unit.teams.configs import ms

NOW_MS = ms("2026-11-29T12:00")
FILE = """\
[defaults]
timezone = "Europe/Copenhagen"
[teams.sales]
clocks = { contact = "2h" }
[teams.support]
calendar = { hours = { mon-fri = "09:00-17:00" } }
"""
REVS = {team: policy.rev for team, policy in policies_in(FILE, NOW_MS).items()}


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "wall_clock_ms", lambda: NOW_MS)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "teams.toml"
    path.write_text(FILE)
    return path


@pytest.fixture
def door(service: FakeService) -> FakeService:
    """An instance where `sales` is in force as it stands in the file, and `support` is not."""

    def in_force(query: dict[str, str]) -> tuple[int, bytes]:
        held = {"sales": REVS["sales"], "support": "another"}
        return 200, json.dumps({"items": [{"team": team, "rev": rev} for team, rev in held.items()]}).encode()

    service.answers["/v1/policies"] = in_force
    service.says("/v1/position", position())
    for team in ("sales", "support"):
        receipt = {"topic": "feedback.v1", "partition": 8, "offset": 17}
        service.says(f"PUT /v1/teams/{team}/policy", {"team": team, "rev": REVS[team], "receipt": receipt}, 202)
    return service


def test_only_what_differs_is_sent_and_waited_for(pulse: Pulse, door: FakeService, data: Path, file: Path) -> None:
    done = pulse("config", "apply", str(file), "--data", str(data))
    assert done.exit_code == Exit.OK
    assert done.stdout == "sales: unchanged\nsupport: in force, log position 8:17\n"
    table = {"timezone": "Europe/Copenhagen", "calendar": {"hours": {"mon-fri": "09:00-17:00"}}}
    assert door.sent == [("PUT /v1/teams/support/policy", "Bearer admin-key", table)]
    assert door.asked[-1][:2] == ("/v1/position", {"at_least": "8:17"})


def test_it_is_told_to_scripts(pulse: Pulse, door: FakeService, data: Path, file: Path) -> None:
    done = pulse("config", "apply", str(file), "--json", "--data", str(data))
    assert json.loads(done.stdout) == {
        "teams": [
            {"team": "sales", "changed": False, "position": None},
            {"team": "support", "changed": True, "position": "8:17"},
        ],
        "seen": True,
        "dry_run": False,
    }


def test_a_dry_run_sends_nothing(pulse: Pulse, door: FakeService, data: Path, file: Path) -> None:
    done = pulse("config", "apply", str(file), "--dry-run", "--data", str(data))
    assert done.stdout == "sales: unchanged\nsupport: would change\n"
    assert door.sent == []


def test_many_teams_are_asked_for_page_by_page(
    pulse: Pulse, door: FakeService, data: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.cli.teams.apply.PAGE", 1)
    held = sorted(REVS.items())

    def page(query: dict[str, str]) -> tuple[int, bytes]:
        items = [{"team": team, "rev": rev} for team, rev in held if team > query.get("after", "")]
        return 200, json.dumps({"items": items[:1]}).encode()

    door.answers["/v1/policies"] = page
    assert pulse("config", "apply", str(file), "--data", str(data)).stdout == "sales: unchanged\nsupport: unchanged\n"
    assert door.sent == []


def test_nothing_of_a_bad_file_is_sent(pulse: Pulse, door: FakeService, data: Path, file: Path) -> None:
    file.write_text(FILE + "[teams.worse]\nname = 5\n")
    done = pulse("config", "apply", str(file), "--data", str(data))
    assert done.exit_code == Exit.USAGE
    assert f"{file}:8: teams.worse.name must be a text" in done.stderr
    assert door.sent == []


def test_what_the_door_refuses_is_told(pulse: Pulse, door: FakeService, data: Path, file: Path) -> None:
    door.says("PUT /v1/teams/support/policy", {"detail": "the log cannot be reached"}, 503)
    done = pulse("config", "apply", str(file), "--data", str(data))
    assert done.exit_code == Exit.NOT_READY
    assert "the log cannot be reached" in done.stderr


def test_a_fold_that_is_behind_is_told(pulse: Pulse, door: FakeService, data: Path, file: Path) -> None:
    door.says("/v1/position", position(folded=17))
    done = pulse("config", "apply", str(file), "--wait", "0.1", "--json", "--data", str(data))
    assert (done.exit_code, json.loads(done.stdout)["seen"]) == (Exit.NOT_READY, False)


def edited(file: Path, text: str) -> None:
    file.write_text(text)


def moved(file: Path, to: Path) -> None:
    file.rename(to)


class Sending:
    """Plays the instance for `Watched`: what it is asked, and how that ends."""

    def __init__(self, *endings: list[Outcome] | Fail) -> None:
        self.endings = [*endings]
        self.times = 0

    async def __call__(self) -> list[Outcome]:
        self.times += 1
        ending = self.endings.pop(0) if self.endings else []
        if isinstance(ending, Fail):
            raise ending
        return ending


async def test_a_file_is_applied_at_first_when_it_changes_and_when_it_is_due(file: Path) -> None:
    watched, send = Watched(file), Sending()
    for now_s, edit, times in (
        (100.0, None, 1),
        (102.0, None, 1),
        (104.0, FILE + "# a comment\n", 2),
        (106.0, None, 2),
        (104.0 + AGAIN_S, None, 3),
    ):
        if edit is not None:
            edited(file, edit)
        await watched.look(now_s, send)
        assert send.times == times


async def test_a_broken_edit_is_told_once_and_a_mended_one_is_applied(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def send() -> list[Outcome]:
        command.policies(file)
        sent.append(1)
        return [Outcome("support", "8:17")]

    sent: list[int] = []
    watched = Watched(file)
    await watched.look(100, send)
    edited(file, "[teams.support]\nname = 5\n")
    await watched.look(102, send)
    await watched.look(104, send)
    edited(file, FILE)
    await watched.look(106, send)
    assert len(sent) == 2
    told = capsys.readouterr().out
    assert told.count("teams_refused") == 1
    assert f"{file}:2: teams.support.name must be a text" in told
    assert told.count("teams_applied") == 2


async def test_a_file_that_is_gone_changes_nothing_until_it_is_back(file: Path) -> None:
    watched = Watched(file)
    sent: list[int] = []

    async def send() -> list[Outcome]:
        command.policies(file)
        sent.append(1)
        return []

    await watched.look(100, send)
    moved(file, file.with_suffix(".away"))
    await watched.look(102, send)
    await watched.look(104, send)
    moved(file.with_suffix(".away"), file)
    await watched.look(106, send)
    assert len(sent) == 2


async def test_an_instance_that_cannot_take_it_is_asked_again(file: Path) -> None:
    watched, send = Watched(file), Sending(Fail(Exit.UNREACHABLE, "nothing answers"))
    await watched.look(100, send)
    await watched.look(100 + RETRY_S - 1, send)
    assert send.times == 1
    await watched.look(100 + RETRY_S, send)
    assert send.times == 2
    await watched.look(100 + 2 * RETRY_S, send)
    assert send.times == 2


async def test_watching_ends_with_a_signal(file: Path, data: Path, door: FakeService) -> None:
    watching = asyncio.create_task(watch.watch(file, lambda: commanding.doors(data, None, None, None)))
    async with asyncio.timeout(20):
        while not door.sent:
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        await watching
    assert [what for what, _, _ in door.sent] == ["PUT /v1/teams/support/policy"]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)


def past(rev: str, config: dict[str, Any], until: str | None = None) -> dict[str, Any]:
    return {"rev": rev * 8, "set_at": "2026-11-29T12:00:00Z", "until": until, "config": config}


@pytest.fixture
def histories(service: FakeService) -> Callable[[list[dict[str, Any]]], None]:
    return lambda items: service.says("/v1/teams/support/policies", {"team": "support", "items": items})


def test_a_history_says_what_each_policy_changed(
    pulse: Pulse, data: Path, histories: Callable[[list[dict[str, Any]]], None]
) -> None:
    histories(
        [
            past("c", {"name": "S", "timezone": "UTC"}, "2029-02-01T00:00:00Z"),
            past("b", {"name": "S", "timezone": "UTC"}, "2028-11-01T00:00:00Z"),
            past("a", {"name": "T"}),
        ]
    )
    done = pulse("config", "history", "support", "--data", str(data))
    cells = [line.split() for line in done.stdout.splitlines()[2:]]
    assert [row[2:] for row in cells] == [
        ["cccccccc", "2029-02-01", "renewed"],
        ["bbbbbbbb", "2028-11-01", "name,", "timezone"],
        ["aaaaaaaa", "for", "ever", "first"],
    ]
    shorter = pulse("config", "history", "support", "--limit", "1", "--data", str(data)).stdout
    assert "renewed" in shorter
    assert "bbbb" not in shorter
    document = json.loads(pulse("config", "history", "support", "--json", "--limit", "2", "--data", str(data)).stdout)
    assert [item["rev"][0] for item in document["items"]] == ["c", "b"]


def test_a_team_without_a_policy_has_no_history(
    pulse: Pulse, data: Path, histories: Callable[[list[dict[str, Any]]], None]
) -> None:
    histories([])
    assert pulse("config", "history", "support", "--data", str(data)).exit_code == Exit.NOT_FOUND
