"""The command line: finding an instance, settings, exit codes, what is printed where."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from services.cli import main
from services.cli.codes import Exit, Fail
from services.cli.configuration import SETTINGS
from services.cli.instance import find
from services.common.settings import IngestSettings
from tests.unit.cli.conftest import Pulse

DOCS = Path(__file__).parents[3] / "docs"
KEYS = '{"write": ["' + "0" * 64 + '"]}'
COMPLETE = {
    "PULSE_KAFKA": "k:9092",
    "PULSE_CLICKHOUSE": "http://u:hidden@c:8123/pulse",
    "PULSE_RESPONDENT_SECRET": "hidden",
    "PULSE_STATE_DIR": "/s",
    "PULSE_ALERTS_DIR": "/a",
    "PULSE_KEY_HASHES": KEYS,
}


def test_help_imports_nothing_heavy() -> None:
    """What makes `pulse --help` instant, whatever the machine does meanwhile."""
    code = "import sys, services.cli; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {
        "aiohttp",
        "aiokafka",
        "chdb",
        "clickhouse_connect",
        "deploy",
        "fastapi",
        "faust",
        "pydantic",
        "rich",
        "stream",
    }
    assert not heavy & set(found)


def test_help_names_every_exit_code(pulse: Pulse) -> None:
    text = pulse("--help").stdout
    assert all(re.search(rf"^ +{code.value} +{re.escape(code.about)}$", text, re.MULTILINE) for code in Exit)


def test_the_guide_names_every_exit_code() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+?) \|$", (DOCS / "guide" / "cli.md").read_text(), re.MULTILINE)
    assert rows == [(str(code.value), code.about) for code in Exit]


def test_the_guide_names_every_command() -> None:
    guide = (DOCS / "guide" / "cli.md").read_text()
    names = {
        command.name or (command.callback.__name__ if command.callback else "")
        for command in main.app.registered_commands
    }
    assert [name for name in sorted(names | {"config check"}) if f"`pulse {name}" not in guide] == []


@pytest.mark.parametrize("arguments", [[], ["score", "--help"], ["config", "--help"]])
def test_help_is_help(pulse: Pulse, arguments: list[str]) -> None:
    assert "Usage: " in pulse(*arguments).output


def test_an_unknown_option_is_a_usage_error(pulse: Pulse) -> None:
    result = pulse("score", "--windou", "7d")
    assert result.exit_code == Exit.USAGE
    assert "No such option" in result.stderr
    assert result.stdout == ""


class TestFindingAnInstance:
    def test_it_is_the_data_folder_s(self, data: Path) -> None:
        door = find("query", "read", data, None, None, environ={"PULSE_URL": "http://elsewhere", "PULSE_KEY": ""})
        assert (door.key, door.data) == ("read-key", data)

    def test_an_address_wins_over_a_folder(self, data: Path) -> None:
        door = find("query", "read", data, "http://h:1/", "k", environ={})
        assert (door.url, door.key, door.data) == ("http://h:1", "k", None)

    def test_variables_stand_for_flags(self) -> None:
        door = find("ingest", "import", None, None, None, environ={"PULSE_URL": "https://h", "PULSE_KEY": "k"})
        assert (door.url, door.key) == ("https://h", "k")

    def test_the_folder_may_be_a_variable(self, data: Path) -> None:
        assert find("ingest", "import", None, None, None, environ={"PULSE_DATA": str(data)}).key == "import-key"

    def test_a_key_may_be_given_for_a_folder(self, data: Path) -> None:
        assert find("query", "read", data, None, "own", environ={}).key == "own"

    @pytest.mark.parametrize("url", ["localhost:8601", "ftp://h", "http://"])
    def test_an_address_that_is_none_is_refused(self, url: str) -> None:
        with pytest.raises(Fail, match="must look like http://host:port") as refused:
            find("query", "read", None, url, "k", environ={})
        assert refused.value.code is Exit.USAGE

    def test_an_address_without_a_key_is_refused(self) -> None:
        with pytest.raises(Fail, match="give the read key with --key or PULSE_KEY"):
            find("query", "read", None, "http://h", None, environ={})

    def test_a_damaged_file_is_told(self, data: Path) -> None:
        (data / "client.json").write_text("{")
        with pytest.raises(Fail, match=r"client.json cannot be read"):
            find("query", "read", data, None, None, environ={})

    def test_a_missing_key_is_told(self, data: Path) -> None:
        client = json.loads((data / "client.json").read_text())
        (data / "client.json").write_text(json.dumps(client | {"keys": {}}))
        with pytest.raises(Fail, match="holds no read key"):
            find("query", "read", data, None, None, environ={})


@pytest.mark.parametrize("command", [["score"], ["teams"], ["followups"], ["tail"]])
def test_without_an_instance_every_command_says_how_to_start_one(pulse: Pulse, command: list[str]) -> None:
    result = pulse(*command)
    assert result.exit_code == Exit.UNREACHABLE
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "pulse up --data .pulse" in result.stderr


def test_with_json_a_failure_is_one_document(pulse: Pulse) -> None:
    result = pulse("teams", "--json")
    assert json.loads(result.stdout)["exit_code"] == result.exit_code == Exit.UNREACHABLE


class TestSettings:
    def test_a_complete_environment_is_good(self, pulse: Pulse) -> None:
        result = pulse("config", "check", "--json", env=COMPLETE)
        assert result.exit_code == 0
        document = json.loads(result.stdout)
        assert document["ok"]
        assert document["services"]["worker"]["settings"]["PULSE_STATE_DIR"] == "/s"

    def test_secrets_are_not_shown(self, pulse: Pulse) -> None:
        for arguments in (["--json"], []):
            assert "hidden" not in pulse("config", "check", *arguments, env=COMPLETE).output

    def test_a_misspelled_variable_is_told_with_the_right_one(self, pulse: Pulse) -> None:
        result = pulse("config", "check", "--json", env={**COMPLETE, "PULSE_INGEST_PROT": "1"})
        assert result.exit_code == Exit.USAGE
        [unknown] = json.loads(result.stdout)["unknown"]
        assert unknown == {
            "variable": "PULSE_INGEST_PROT",
            "problem": "no such setting; did you mean PULSE_INGEST_PORT?",
        }

    def test_variables_of_the_client_are_known(self, pulse: Pulse) -> None:
        assert pulse("config", "check", env={**COMPLETE, "PULSE_URL": "http://h", "PULSE_KEY": "k"}).exit_code == 0

    def test_only_the_services_named_are_checked(self, pulse: Pulse) -> None:
        env = {"PULSE_KAFKA": "k:9092", "PULSE_STATE_DIR": "/s"}
        assert pulse("config", "check", "worker", env=env).exit_code == 0
        assert pulse("config", "check", "sink", env=env).exit_code == Exit.USAGE

    def test_an_unknown_service_is_refused(self, pulse: Pulse) -> None:
        assert "there is no service 'wroker'" in pulse("config", "check", "wroker").stderr

    @pytest.mark.parametrize("name", SETTINGS)
    def test_a_service_without_its_settings_says_which_and_does_not_start(self, pulse: Pulse, name: str) -> None:
        result = pulse(name)
        assert result.exit_code == Exit.USAGE
        assert result.stderr.startswith(f"pulse: {name} cannot start: PULSE_KAFKA is not set")
        assert result.stderr.count("\n") == 1

    def test_a_service_with_a_misspelled_variable_does_not_start(self, pulse: Pulse) -> None:
        result = pulse("ingest", env={**COMPLETE, "PULSE_WIDGET_RATES": "1/minute"})
        assert result.exit_code == Exit.USAGE
        assert "PULSE_WIDGET_RATES no such setting; did you mean PULSE_WIDGET_RATE?" in result.stderr

    @pytest.mark.parametrize(
        ("variable", "value", "problem"),
        [
            ("PULSE_KEY_HASHES", "{", "must be JSON"),
            ("PULSE_INGEST_PORT", "hidden", "valid integer"),
            ("PULSE_INGEST_PORT", "70000", "less than or equal to 65535"),
            ("PULSE_PUBLISH_TIMEOUT", "10", "such as PT15S"),
        ],
    )
    def test_a_wrong_value_is_told_and_not_quoted(self, pulse: Pulse, variable: str, value: str, problem: str) -> None:
        result = pulse("ingest", env={**COMPLETE, variable: value})
        assert result.exit_code == Exit.USAGE
        assert variable in result.stderr
        assert problem in result.stderr
        assert "hidden" not in result.stderr

    def test_a_service_is_run_with_its_settings(self, pulse: Pulse, monkeypatch: pytest.MonkeyPatch) -> None:
        ran: list[Any] = []
        fake = types.ModuleType("services.ingest.app")
        fake.run = ran.append  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "services.ingest.app", fake)
        monkeypatch.setattr("services.cli.serving.configure", lambda *_: None)
        assert pulse("ingest", env={**COMPLETE, "PULSE_INGEST_PORT": "1234"}).exit_code == 0
        [settings] = ran
        assert isinstance(settings, IngestSettings)
        assert settings.ingest_port == 1234
