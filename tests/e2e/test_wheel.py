"""The wheel, installed outside the checkout: it has everything it needs, and nothing of the checkout's."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from deploy.local.ports import free_base
from deploy.local.spawn import on_leash

pytestmark = pytest.mark.real  # building and installing takes longer than `make quick` may

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("services", "stream", "schemas", "deploy")
BUILD_S: Final = 120
UP_WITHIN_S: Final = 300  # the very first start on a machine fetches Kafka's jars
STOP_WITHIN_S: Final = 90

# Run by the installed Python: where the packages are, and every data file as importlib.resources reads it.
LOOK: Final = """
import importlib, json, sys
from importlib.resources import files
found = {"homes": {}, "sizes": {}}
def walk(folder, path):
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            if entry.name != "__pycache__":
                walk(entry, f"{path}/{entry.name}")
        elif not entry.name.endswith((".py", ".pyc")):
            found["sizes"][f"{path}/{entry.name}"] = len(entry.read_bytes())
for name in sys.argv[1:]:
    found["homes"][name] = importlib.import_module(name).__file__
    walk(files(name), name)
print(json.dumps(found))
"""

# Run by the installed Python: are the shipped documents those of the shipped schemas?
COMPARE: Final = """
from schemas.generate import FOLDER, documents
for name, text in documents().items():
    assert (FOLDER / name).read_text(encoding="utf-8") == text, name
"""


@dataclass(frozen=True, slots=True)
class Installed:
    """A virtual environment with the wheel, and a folder to work in. Third-party packages are those of the tests."""

    wheel: Path
    home: Path
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """That of the tests without what leads back to the checkout."""
        return {
            name: value
            for name, value in os.environ.items()
            if not name.upper().startswith("PULSE_") and name not in {"PYTHONPATH", "VIRTUAL_ENV"}
        }

    def command(self, *command: str) -> list[str]:
        return [str(self.home / "bin" / command[0]), *command[1:]]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*command),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=BUILD_S,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Build the wheel and install it, without a network."""
    base = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(base)]
    built = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False, timeout=BUILD_S)
    assert built.returncode == 0, built.stderr
    (wheel,) = base.glob("*.whl")
    home = base / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True, timeout=BUILD_S)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    # A path in a .pth file is searched, but its own .pth files are not read: an editable install stays out of it.
    (home / "lib" / version / "site-packages" / "third-party.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [
        *(sys.executable, "-m", "pip", "--python", str(home), "--disable-pip-version-check", "install"),
        *("--quiet", "--no-deps", "--no-index", str(wheel)),
    ]
    done = subprocess.run(install, cwd=base, capture_output=True, text=True, check=False, timeout=BUILD_S)
    assert done.returncode == 0, done.stderr
    folder = base / "elsewhere"
    folder.mkdir()
    return Installed(wheel, home, folder)


def data_files() -> set[str]:
    """Every file of the packages that is not Python, by its path in the checkout. What was compiled there stays."""
    return {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc", ".so"}
    }


def test_the_wheel_holds_the_packages_and_nothing_else(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_installed_packages_are_not_those_of_the_checkout_and_read_all_their_data(installed: Installed) -> None:
    looked = installed.run("python", "-c", LOOK, *PACKAGES)
    assert looked.returncode == 0, looked.stderr
    found = json.loads(looked.stdout)
    assert all(Path(home).is_relative_to(installed.home) for home in found["homes"].values())
    assert found["sizes"] == {name: (ROOT / name).stat().st_size for name in data_files()}
    for name in (
        *("deploy/clickhouse/0001_views.sql", "deploy/local/kafka-jars.lock", "deploy/local/log4j2.properties"),
        *("services/ingest/static/widget.js", "services/query/pages/templates/base.html"),
        *("schemas/generated/asyncapi.json", "schemas/generated/feedback.v1.schema.json"),
    ):
        assert found["sizes"][name] > 0, name


def test_the_installed_command_explains_itself(installed: Installed) -> None:
    helped = installed.run("pulse", "--help")
    assert helped.returncode == 0, helped.stderr
    for command in ("up", "demo", "import", "score", "teams", "followups", "tail", "doctor", "config", "worker"):
        assert f" {command} " in helped.stdout, command


@pytest.mark.parametrize("module", ["stream.app", "services.ingest.app", "services.query.app", "services.alerts.app"])
def test_every_installed_service_can_be_imported(installed: Installed, module: str) -> None:
    imported = installed.run("python", "-W", "error::SyntaxWarning", "-c", f"import {module}")
    assert imported.returncode == 0, imported.stderr


def test_the_installed_command_names_the_settings_that_are_missing(installed: Installed) -> None:
    checked = installed.run("pulse", "config", "check", "worker", "--json")
    report = json.loads(checked.stdout)
    assert checked.returncode == 2
    missing = {problem["variable"] for problem in report["services"]["worker"]["problems"]}
    assert missing == {"PULSE_KAFKA", "PULSE_STATE_DIR"}


def test_the_installed_generator_gives_the_documents_it_ships(installed: Installed) -> None:
    compared = installed.run("python", "-c", COMPARE)
    assert compared.returncode == 0, compared.stderr


@pytest.mark.timeout(600)
async def test_an_instance_of_the_installed_wheel_counts_an_answer_and_shows_its_pages(installed: Installed) -> None:
    up = installed.command("pulse", "up", "--data", "instance", "--port-base", str(free_base()), "--json")
    with (installed.folder / "up.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *on_leash(up), cwd=installed.folder, env=installed.environment, stdout=asyncio.subprocess.PIPE, stderr=log
        )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), UP_WITHIN_S)
        assert line, (installed.folder / "up.log").read_text()[-2000:]
        ready = json.loads(line)
        async with aiohttp.ClientSession() as session:
            await _count_one(session, ready)
            for page in (f"{ready['ingest']}/demo", f"{ready['ingest']}/widget.js", f"{ready['query']}/openapi.json"):
                async with session.get(page) as answer:
                    assert answer.status == 200, page
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), STOP_WITHIN_S) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _count_one(session: aiohttp.ClientSession, ready: dict[str, Any]) -> None:
    keys = ready["keys"]
    body = {"team": "emea", "score": 9, "comment": "Quick and kind."}
    bearer = {"Authorization": f"Bearer {keys['write']}"}
    async with session.post(f"{ready['ingest']}/v1/responses", json=body, headers=bearer) as answer:
        assert answer.status == 202, await answer.text()
        receipt = (await answer.json())["receipt"]
    at_least = f"{receipt['partition']}:{receipt['offset']}"
    url = f"{ready['query']}/v1/teams/emea/score?window=1h&at_least={at_least}"
    async with session.get(url, headers={"Authorization": f"Bearer {keys['read']}"}) as answer:
        assert answer.status == 200, await answer.text()
        score = await answer.json()
    assert (score["n"], score["promoters"], score["nps"]) == (1, 1, 100)
