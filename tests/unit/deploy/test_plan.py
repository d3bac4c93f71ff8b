"""What an instance consists of, held against the settings that its services read."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from deploy.local.home import Home, Secrets
from deploy.local.plan import Plan, make_plan
from deploy.local.up import announcement, with_database
from services.cli.configuration import SETTINGS, load, unknown_variables

SECRETS = Secrets(
    {kind: f"key-{kind}" for kind in ("write", "read", "import", "admin", "widget")}, respondent_secret="s" * 32
)


def plan(tmp_path: Path, workers: int = 2, kafka: str | None = None, clickhouse: str | None = None) -> Plan:
    return make_plan(tmp_path, 8600, workers, SECRETS, kafka, clickhouse)


@pytest.mark.parametrize("name", SETTINGS)
def test_each_service_starts_with_the_environment_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    child = next(child for child in plan(tmp_path).services if child.name.partition("-")[0] == name)
    for variable, value in child.env.items():
        monkeypatch.setenv(variable, value)
    settings = load(SETTINGS[name])
    assert isinstance(settings, BaseSettings), settings
    assert unknown_variables(child.env) == []


def test_no_service_is_given_a_key_but_the_public_one(tmp_path: Path) -> None:
    secret = [key for kind, key in SECRETS.keys.items() if kind != "widget"]
    values = [value for child in plan(tmp_path).services for value in child.env.values()]
    assert not [value for value in values for key in secret if key in value]


def test_only_the_door_is_given_the_respondent_secret(tmp_path: Path) -> None:
    holders = {child.name for child in plan(tmp_path).services if SECRETS.respondent_secret in child.env.values()}
    assert holders == {"ingest"}


def test_each_worker_has_its_own_identity_state_and_port(tmp_path: Path) -> None:
    workers = [child for child in plan(tmp_path, workers=3).services if child.name.startswith("worker-")]
    assert len(workers) == 3
    for variable in ("PULSE_WORKER_ID", "PULSE_STATE_DIR", "PULSE_WORKER_METRICS_PORT"):
        assert len({worker.env[variable] for worker in workers}) == 3


def test_the_tables_and_what_fills_them_come_after_what_somebody_waits_for(tmp_path: Path) -> None:
    made = plan(tmp_path)
    after = {child.name for child in (*made.engines, *made.services) if child.command[:3] == ("nice", "-n", "10")}
    assert after == {"clickhouse", "sink"}


def test_everything_that_is_started_is_stopped_along_the_line(tmp_path: Path) -> None:
    made = plan(tmp_path)
    names = [child.name for child in (*made.engines, *made.services)]
    order = [name for group in made.stop_order for name in group]
    assert sorted(order) == sorted([*names, "teams"])
    assert order[:2] == ["teams", "ingest"]
    assert set(order[-2:]) == {"kafka", "clickhouse"}


def test_a_file_of_teams_has_a_process_that_keeps_it_in_force(tmp_path: Path) -> None:
    file = tmp_path / "teams.toml"
    made = make_plan(tmp_path, 8600, 1, SECRETS, teams=file)
    child = made.services[-1]
    assert child.name == "teams"
    assert child.command[1:] == (
        *("-m", "services.cli", "config", "apply", str(file), "--watch", "--data", str(tmp_path)),
    )
    assert made.stop_order[0] == ("teams",)
    assert "teams" not in [each.name for each in plan(tmp_path).services]


def test_a_cluster_whose_address_is_given_is_used_and_not_started(tmp_path: Path) -> None:
    made = plan(tmp_path, kafka="k1:9092,k2:9092", clickhouse="http://ch:8123/nps")
    assert made.engines == ()
    assert {child.env["PULSE_KAFKA"] for child in made.services} == {"k1:9092,k2:9092"}
    assert (
        next(child for child in made.services if child.name == "sink").env["PULSE_CLICKHOUSE"] == "http://ch:8123/nps"
    )


def test_a_clickhouse_address_without_a_database_gets_ours() -> None:
    assert with_database("http://u:p@ch:8123/") == "http://u:p@ch:8123/pulse"
    assert with_database("http://ch:8123/nps") == "http://ch:8123/nps"
    assert with_database(None) is None


def test_the_page_s_address_signs_a_person_in_and_no_key_stands_where_output_is_kept(tmp_path: Path) -> None:
    home, made = Home(tmp_path / "data"), plan(tmp_path)
    shown = announcement(home, made, SECRETS, to_person=True)
    assert "  page             http://127.0.0.1:8601/#key=key-read\n" in shown
    kept = announcement(home, made, SECRETS, to_person=False)
    assert "  page             http://127.0.0.1:8601/\n" in kept
    assert str(home.client_file) in kept
    secret = [SECRETS.respondent_secret, *SECRETS.keys.values()]
    assert not [key for key in secret if key in kept]
    assert [key for key in secret if key in shown] == [SECRETS.keys["read"]]
