"""Commands against a whole instance: what a person at a terminal does in the first ten minutes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.cli.codes import Exit
from tests.e2e.instances import REPO, Instance, environment, pulse, running
from tests.engines import wait_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running(tmp_path_factory.mktemp("cli")) as started:
        yield started


def send(instance: Instance, folder: Path, rows: list[str]) -> str:
    """Import rows of team,score,time; the positions to wait for."""
    file = folder / "rows.csv"
    file.write_text("\n".join(["team,score,at", *rows]) + "\n")
    options = ("--map", "team=team,score=score,answered_at=at", "--rejects", str(folder / "rejects.csv"))
    positions = instance.says("import", str(file), *options)["positions"]
    return ",".join(f"{partition}:{offset}" for partition, offset in positions.items())


def test_scores_teams_and_follow_ups_can_be_read(instance: Instance, tmp_path: Path) -> None:
    answers = [f"desk,{score},2026-01-01T10:00:{number:02d}Z" for number, score in enumerate((0, 7, 8, 9, 10, 10))]
    at_least = send(instance, tmp_path, answers)
    score = instance.says("score", "desk", "--window", "3650d", "--at-least", at_least)
    assert (score["n"], score["display"]) == (6, 33)
    assert "NPS 33   margin -27 … 71   n 6" in instance.pulse("score", "desk", "--window", "3650d").stdout
    assert [team["team"] for team in instance.says("teams")["items"]] == ["desk"]
    assert instance.says("followups")["items"] == []


def test_a_follow_up_is_worked_on_until_it_is_resolved(instance: Instance, tmp_path: Path) -> None:
    at_least = send(instance, tmp_path, [f"care,2,{datetime.now(UTC).isoformat()}"])
    instance.says("score", "care", "--at-least", at_least)
    (case,) = instance.says("followups", "--team", "care", "--due-in", "11h")["items"]
    case_id = case["case_id"]
    taken = instance.says("followup", "acknowledge", case_id, "--as", "kim", "--if-n", "1")
    assert (taken["state"], taken["owner"], taken["n"]) == ("acknowledged", "kim", 2)
    again = instance.pulse("followup", "acknowledge", case_id, "--as", "lee")
    assert (again.returncode, again.stdout) == (Exit.USAGE, "")
    assert "allowed: assign, note, contact" in again.stderr
    instance.says("followup", "contact", case_id, "reached", "--as", "lee", "--note", "Wants a refund.")
    done = instance.says("followup", "resolve", case_id, "billing", "--as", "lee")
    assert (done["state"], done["cause"], done["contacts"], done["allowed"]) == (
        *("resolved", "billing", 1, ["note", "reopen"]),
    )
    wait_for(
        lambda: instance.says("followup", "show", case_id)["state"] == "resolved", 30, "the resolved case in the store"
    )
    shown = instance.pulse("followup", "show", case_id).stdout
    assert "Wants a refund." in shown
    assert [line.split()[2:4] for line in shown.splitlines()[-4:]] == [
        ["1", "raised"],
        ["2", "acknowledged"],
        ["3", "contacted"],
        ["4", "resolved"],
    ]


def test_a_team_nobody_heard_of_is_not_found(instance: Instance) -> None:
    done = instance.pulse("score", "nobody")
    assert done.returncode == Exit.NOT_FOUND
    assert "nobody" in done.stderr


def test_a_file_of_teams_is_put_in_force_once_and_rehearsed(instance: Instance, tmp_path: Path) -> None:
    file = tmp_path / "teams.toml"
    file.write_text('[teams.promised]\nclocks = { contact = "1h", resolve = "2h" }\ntargets = ["mail"]\n')
    applied = instance.says("config", "apply", str(file))
    assert [(one["team"], one["changed"]) for one in applied["teams"]] == [("promised", True)]
    wait_for(lambda: instance.pulse("config", "history", "promised").returncode == 0, 30)
    assert not instance.says("config", "apply", str(file))["teams"][0]["changed"]
    now = datetime.now(UTC).isoformat()
    instance.says(
        "score", "promised", "--at-least", send(instance, tmp_path, [f"promised,2,{now}", f"promised,9,{now}"])
    )
    (case,) = instance.says("followups", "--team", "promised")["items"]
    raised, due = (datetime.fromisoformat(case[name]) for name in ("raised_at", "contact_due_at"))
    assert due - raised == timedelta(hours=1)
    file.write_text('[teams.promised]\ntargets = ["mail"]\n')
    told = instance.says("rehearse", "--days", "1", "--teams", str(file))
    assert (told["teams"][0]["cases"], told["teams"][0]["contact_breached"]) == (1, 0)
    assert [(one["target"], one["messages"]) for one in told["targets"]] == [("mail", 1)]


def test_live_events_arrive_as_they_happen(instance: Instance, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "services.cli", "tail", "--json", "--team", "live", "--data", str(instance.data)]
    with subprocess.Popen(
        command, env=environment(PYTHONPATH=str(REPO)), cwd=REPO, stdout=subprocess.PIPE, text=True
    ) as tail:
        try:
            assert tail.stdout is not None
            # Its stream begins at some moment; answers go in until one is seen.
            os.set_blocking(tail.stdout.fileno(), False)
            line = ""
            for number in range(60):
                send(instance, tmp_path, [f"live,9,2026-01-02T10:00:{number:02d}Z"])
                line = tail.stdout.readline()
                if line:
                    break
            event = json.loads(line)
            assert event["event"] in ("score", "correction")
            assert event["data"]["team"] == "live"
        finally:
            tail.send_signal(signal.SIGINT)
            assert tail.wait(timeout=20) == Exit.INTERRUPTED


def test_the_doctor_finds_a_working_instance_well_and_a_stuck_service_sick(instance: Instance) -> None:
    report = instance.says("doctor")
    assert report["ok"]
    assert {finding["what"] for finding in report["findings"]} >= {
        "python", "disk", "keys", "instance", "kafka", "topics", "clickhouse", "tables", "ingest", "query", "alerts",
        "sink", "worker-0", "read key", "lag", "clock",
    }  # fmt: skip
    stuck = instance.ready["pids"]["alerts"]
    os.kill(stuck, signal.SIGSTOP)
    try:
        done = instance.pulse("doctor", "--json")
    finally:
        os.kill(stuck, signal.SIGCONT)
    assert done.returncode == Exit.FAILED
    [finding] = [finding for finding in json.loads(done.stdout)["findings"] if finding["level"] == "bad"]
    assert finding["what"] == "alerts"
    assert "alerts.log" in finding["do"]


def test_a_folder_in_use_is_refused_and_names_the_supervisor(instance: Instance) -> None:
    done = instance.pulse("up")
    assert done.returncode == Exit.USAGE
    assert str(instance.process.pid) in done.stderr


def test_an_address_and_a_key_do_as_well_as_a_folder(instance: Instance) -> None:
    done = pulse("teams", "--json", "--url", instance.ready["query"], "--key", instance.ready["keys"]["read"])
    assert done.returncode == 0
    wrong = pulse("teams", "--url", instance.ready["query"], "--key", instance.ready["keys"]["write"])
    assert wrong.returncode == Exit.USAGE
    assert "refused the key" in wrong.stderr
