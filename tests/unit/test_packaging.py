"""The distribution declares what it imports, pins what it declares, and ships what it reads."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT: Final = Path(__file__).resolve().parents[2]
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES: Final[list[str]] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]

# Declared and never imported by name, and why.
UNSEEN: Final = {
    "httptools": "uvicorn's fast parser",
    "uvloop": "uvicorn's fast loop",
    "lz4": "clickhouse-connect compresses with it",
    "zstandard": "clickhouse-connect compresses with it",
    "jinja2": "the templates of the pages",
    "tzdata": "zoneinfo reads it where the system has none",
}
# Imported, but part of what is declared.
PART_OF: Final = {
    "chdb-core": "chdb",
    "markupsafe": "jinja2",
    "mode-streaming": "faust-streaming",
    "pydantic": "pydantic-settings",
    "pydantic-core": "pydantic-settings",
    "starlette": "fastapi",
}

# Imported by nothing but the module that compiles the fold.
EXTRA: Final = {"mypy", "setuptools"}
COMPILE: Final = [Requirement(line) for line in PROJECT["dependency-groups"]["compile"]]


def declared() -> dict[str, Requirement]:
    """Run-time requirements by name."""
    found = map(Requirement, PROJECT["project"]["dependencies"])
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def locked(name: str) -> dict[str, Version]:
    """Pinned versions of a lock file, by name."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", (ROOT / name).read_text(), re.MULTILINE)
    return {canonicalize_name(project): Version(version) for project, version in pins}


@cache
def imported() -> frozenset[str]:
    """Names of the distributions that the product imports."""
    homes = packages_distributions()
    tops = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    tops |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    tops.add(node.module.split(".")[0])
    tops -= {*sys.stdlib_module_names, *PACKAGES}
    names = {canonicalize_name(homes[top][0]) for top in tops}
    return frozenset(PART_OF.get(name, name) for name in names)


def test_everything_imported_is_declared() -> None:
    assert imported() - EXTRA <= declared().keys()
    assert {canonicalize_name(requirement.name) for requirement in COMPILE} == EXTRA


def test_everything_declared_is_used() -> None:
    assert declared().keys() - imported() <= UNSEEN.keys()


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_pins_every_requirement_with_hashes(lock: str) -> None:
    pins = locked(lock)
    for name, requirement in declared().items():
        assert name in pins, name
        assert requirement.specifier.contains(pins[name], prereleases=True), name
    text = (ROOT / lock).read_text()
    entries = [entry for entry in re.split(r"\n(?=\S)", text) if "==" in entry.split("\n")[0]]
    assert all("--hash=sha256:" in entry for entry in entries)


def test_the_lock_for_development_holds_the_one_for_running() -> None:
    running, developing = locked("requirements.lock"), locked("requirements-dev.lock")
    assert running.items() <= developing.items()


def test_what_develops_is_pinned() -> None:
    pins = locked("requirements-dev.lock")
    for requirement in map(Requirement, PROJECT["project"]["optional-dependencies"]["dev"]):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)], prereleases=True)


def test_what_compiles_is_pinned_as_for_development() -> None:
    pins = locked("requirements-compile.lock")
    assert pins.items() <= locked("requirements-dev.lock").items()
    for requirement in COMPILE:
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)], prereleases=True)


def test_the_command_is_there() -> None:
    module, _, name = PROJECT["project"]["scripts"]["pulse"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_with_python_is_a_package(package: str) -> None:
    folders = {path.parent for path in (ROOT / package).rglob("*.py")}
    assert not [str(folder) for folder in folders if not (folder / "__init__.py").exists()]
