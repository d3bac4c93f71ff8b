"""compose.yaml and the Dockerfile cannot run where these tests do: they are held against the code they start."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from pydantic_settings import BaseSettings
from typer.testing import CliRunner

from services.cli.configuration import SETTINGS, load, unknown_variables, variable_of
from services.cli.main import app
from services.common.settings import DoorSettings

DEPLOY = Path(__file__).parents[3] / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(SETTINGS)
# What a person who follows the comment at the top has in the environment.
OPERATOR = {
    "PULSE_KEY_HASHES": json.dumps({"write": ["00" * 32], "read": ["11" * 32]}),
    "PULSE_RESPONDENT_SECRET": "s" * 64,
    "CLICKHOUSE_PASSWORD": "secret",
    "PULSE_ADMIN_KEY": "an admin key",
}


def interpolated(text: str) -> str:
    """`${NAME:?}` and `${NAME:-default}` as compose fills them in."""

    def fill(match: re.Match[str]) -> str:
        name, kind, default = match.groups()
        if kind == "?":
            return OPERATOR[name]
        return OPERATOR.get(name, default)

    return re.sub(r"\$\{(\w+):([?-])([^}]*)\}", fill, text)


def environment(name: str) -> dict[str, str]:
    return {variable: interpolated(str(value)) for variable, value in SERVICES[name].get("environment", {}).items()}


def test_every_service_of_ours_is_there_and_started_by_its_command() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert set(OURS) <= commands.keys()
    for name in OURS:
        assert SERVICES[name]["command"] == [name]
        assert "entrypoint" not in SERVICES[name]


@pytest.mark.parametrize("name", OURS)
def test_a_service_starts_with_the_environment_it_is_given(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = environment(name)
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    assert unknown_variables(given) == []
    settings = load(SETTINGS[name])
    assert isinstance(settings, BaseSettings), settings


@pytest.mark.parametrize("name", OURS)
def test_a_service_is_given_no_variable_that_it_does_not_read(name: str) -> None:
    read = {variable_of(SETTINGS[name], field) for field in SETTINGS[name].model_fields}
    read |= {variable_of(DoorSettings, field) for field in ("log_format",)}
    assert {variable for variable in environment(name) if variable.startswith("PULSE_")} <= read


@pytest.mark.parametrize("name", OURS)
def test_a_service_is_asked_for_its_health_at_the_port_it_listens_on(name: str) -> None:
    ports = [value for variable, value in environment(name).items() if variable.endswith("_PORT")]
    assert len(ports) == 1
    assert SERVICES[name]["healthcheck"]["test"][-1] == f"http://127.0.0.1:{ports[0]}"
    assert environment(name)["PULSE_HOST"] == "0.0.0.0"  # noqa: S104  inside its container
    published = [f"{port}:{port}" for port in ports]
    assert SERVICES[name].get("ports", []) == published or SERVICES[name].get("expose", []) == ports


def test_no_port_is_given_away_twice() -> None:
    ports = [port for service in SERVICES.values() for port in (*service.get("ports", []), *service.get("expose", []))]
    assert len(ports) == len(set(ports))


@pytest.mark.parametrize("name", SERVICES)
def test_modules_that_are_run_exist(name: str) -> None:
    service = SERVICES[name]
    for line in (service.get("entrypoint", []), service.get("healthcheck", {}).get("test", [])):
        if "-m" in line:
            assert importlib.util.find_spec(line[line.index("-m") + 1]), line


def test_services_wait_for_topics_and_tables_and_those_for_the_engines() -> None:
    for name in OURS:
        assert SERVICES[name]["depends_on"] == {"prepare": {"condition": "service_completed_successfully"}}
    assert set(SERVICES["prepare"]["depends_on"]) == {"kafka", "clickhouse"}
    assert SERVICES["prepare"]["restart"] == "no"


def test_every_volume_is_declared_and_used() -> None:
    mounted = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert {source for source in mounted if not source.startswith("${")} == set(COMPOSE["volumes"])


def test_the_file_of_teams_is_kept_in_force_by_the_doors_of_compose(monkeypatch: pytest.MonkeyPatch) -> None:
    service, kept = SERVICES["teams"], []
    monkeypatch.setattr("services.cli.teams.watch.run", lambda file, where: kept.append((file, where())))
    for variable, value in environment("teams").items():
        monkeypatch.setenv(variable, value)
    assert CliRunner().invoke(app, service["command"]).exit_code == 0
    ((file, doors),) = kept
    for door, name in ((doors.ingest, "ingest"), (doors.query, "query")):
        assert (door.url, door.key) == (f"http://{name}:{SERVICES[name]['ports'][0].partition(':')[0]}", "an admin key")
        assert service["depends_on"][name] == {"condition": "service_healthy"}
    (mount,) = service["volumes"]
    source, _, target = interpolated(mount).partition(":")
    assert (source, target) == ("./teams", f"{file.parent}:ro")  # a folder: editors put another file in its place
    assert service["profiles"] == ["teams"]  # without a file it has no work


def test_state_is_kept_on_a_volume() -> None:
    for name, variable in (("worker", "PULSE_STATE_DIR"), ("alerts", "PULSE_ALERTS_DIR")):
        assert volume_of(name, variable)


def volume_of(name: str, variable: str) -> str:
    """The volume that the folder a variable names lies on; empty when it would go with the container."""
    folder = Path(environment(name)[variable])
    mounts = [volume.partition(":")[::2] for volume in SERVICES[name]["volumes"]]
    return next((volume for volume, mount in mounts if folder.is_relative_to(mount)), "")


def test_copies_of_the_state_are_made_and_outlive_the_state() -> None:
    copies = volume_of("worker", "PULSE_CHECKPOINT_DIR")
    assert copies
    assert copies != volume_of("worker", "PULSE_STATE_DIR")


def test_every_mount_is_a_folder_that_the_image_gives_to_its_user() -> None:
    """Docker gives a new volume the owner of the folder it is mounted on, and root where the image has none."""
    (made,) = (line for line in TestDockerfile.LINES if "install --directory --owner pulse" in line)
    mounts = {volume.partition(":")[2] for name in OURS for volume in SERVICES[name].get("volumes", [])}
    assert mounts <= set(made.split())


def test_the_broker_is_the_version_that_is_tested_here() -> None:
    lock = (DEPLOY / "local" / "kafka-jars.lock").read_text()
    assert f"org.apache.kafka:kafka_2.13:{SERVICES['kafka']['image'].partition(':')[2]} " in lock


def test_the_broker_of_compose_makes_no_topics_by_itself() -> None:
    assert environment("kafka")["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_all_services_run_one_image() -> None:
    assert len({SERVICES[name]["image"] for name in (*OURS, "prepare", "teams")}) == 1
    assert (DEPLOY / SERVICES["ingest"]["build"]["context"] / SERVICES["ingest"]["build"]["dockerfile"]).is_file()


class TestDockerfile:
    LINES = (DEPLOY / "Dockerfile").read_text().splitlines()

    def test_what_is_copied_is_let_into_the_build(self) -> None:
        let_in = {
            line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")
        }
        copied = {
            source
            for line in self.LINES
            if line.startswith("COPY ") and "--from" not in line
            for source in line.split()[1:-1]
        }
        assert copied == let_in

    def test_every_package_of_the_wheel_is_copied(self) -> None:
        import tomllib

        project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())
        for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
            assert f"COPY {package} {package}" in self.LINES

    def test_it_runs_pulse_as_nobody_special(self) -> None:
        assert 'ENTRYPOINT ["pulse"]' in self.LINES
        assert "USER pulse" in self.LINES

    def test_it_exposes_what_the_services_listen_on(self) -> None:
        (exposed,) = (line.split()[1:] for line in self.LINES if line.startswith("EXPOSE"))
        ports = {value for name in OURS for key, value in environment(name).items() if key.endswith("_PORT")}
        assert set(exposed) == ports
