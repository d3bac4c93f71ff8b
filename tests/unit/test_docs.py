"""The docs say what the code does: settings, routes, commands, examples, links. Metrics and topics: contract tests."""

from __future__ import annotations

import json
import re
import shlex
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final
from unittest.mock import Mock

import msgspec
import pytest
import typer
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from schemas.responses import ResponseIn
from services.alerts import app as alerts
from services.cli import app
from services.cli.configuration import SETTINGS, variable_of
from services.cli.importer.mapping import ALIASES, FIELDS
from services.cli.instance import CLIENT_VARIABLES
from services.common.settings import AlertsSettings, QuerySettings
from services.ingest import openapi, pages
from services.query import routes_pages
from services.query.app import build_app as build_query
from services.teams.reading import read as read_teams

REPO: Final = Path(__file__).parents[2]
DOCS: Final = REPO / "docs"
PAGES: Final = [REPO / "README.md", REPO / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]


def rows(page: Path) -> list[list[str]]:
    """The cells of every table row of a page."""
    return [
        [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("|") and not line.startswith("| ---")
    ]


def default_of(field: FieldInfo) -> str:
    """A setting's default as the page has it."""
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g} s"
    return "empty" if value in ("", (), {}) else f"`{value}`"


def test_every_setting_stands_with_its_default_and_meaning_and_no_other_does() -> None:
    wanted: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for model in SETTINGS.values():
        for name, field in model.model_fields.items():
            wanted[variable_of(model, name)].add((default_of(field), field.description or ""))
    said = {
        row[0].strip("`"): (row[1], row[2])
        for row in rows(DOCS / "configuration.md")
        if len(row) == 3 and row[0].startswith("`PULSE_")
    }
    assert said.keys() == wanted.keys()
    assert {name: row for name, row in said.items() if row not in wanted[name]} == {}


def test_every_variable_of_the_client_stands() -> None:
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert [name for name in CLIENT_VARIABLES if f"| `{name}` |" not in page] == []


def described(document: dict[str, Any]) -> Iterator[str]:
    for path, operations in document["paths"].items():
        for method in operations:
            yield f"{method.upper()} {path}"


def routes() -> dict[str, set[str]]:
    """Every route of each service."""
    door = FastAPI()
    door.include_router(pages.router(""))
    query = build_query(QuerySettings(kafka="k:9092", clickhouse=SecretStr("http://c:8123/pulse")))
    told = AlertsSettings(kafka="k:9092", clickhouse=SecretStr("http://c:8123/pulse"), alerts_dir=Path("alerts"))
    seen = {
        f"{method} {route.path}"
        for route in routes_pages.router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    return {
        "Ingest": set(described(openapi.document(door))),
        "Query": {*described(query.openapi()), *seen, "GET /openapi.json"},
        "Alerts": set(described(alerts.build_app(told, Mock(), Mock(), Mock(), lambda: None).openapi())),
    }


def test_every_route_of_every_service_is_documented_and_no_other_is() -> None:
    page = (DOCS / "guide" / "http.md").read_text(encoding="utf-8")
    parts = re.split(r"^## ", page, flags=re.MULTILINE)
    said = {part.split()[0]: set(re.findall(r"`((?:GET|POST|PUT|DELETE) /[^`?]*)`", part)) for part in parts[1:]}
    health = said.pop("All")
    assert health == {"GET /livez", "GET /readyz", "GET /metrics"}
    assert {name: there | health for name, there in said.items()} == {
        name: there | health for name, there in routes().items()
    }


def test_every_field_an_import_can_map_is_documented() -> None:
    page = (DOCS / "guide" / "importing.md").read_text(encoding="utf-8")
    short = {field: alias for alias, field in ALIASES.items()}
    assert [field for field in FIELDS if f"`{short.get(field, field)}`" not in page] == []


@cache
def pulse() -> typer.core.TyperGroup:
    """The whole command line, made once."""
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    return group


def commands() -> list[tuple[str, str]]:
    """Every `pulse …` of a code block, with its continuation lines, and the page it stands on."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                asked = re.match(r"\$ (?:\.venv/bin/)?pulse (.*)", line)
                if asked:
                    found.append((page.name, asked[1]))
    return found


@pytest.mark.parametrize(("page", "line"), commands())
def test_every_command_in_the_docs_is_one_that_can_be_given(page: str, line: str) -> None:
    group = pulse()
    arguments = shlex.split(line, comments=True)
    context = group.make_context("pulse", arguments)
    while isinstance(context.command, typer.core.TyperGroup):
        name, command, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])  # noqa: SLF001
        assert command is not None, name
        context = command.make_context(name, rest, parent=context)


def test_there_are_commands_in_the_docs() -> None:
    assert len(commands()) > 8


def test_every_answer_in_the_docs_is_one_the_door_takes() -> None:
    page = (DOCS / "guide" / "posting.md").read_text(encoding="utf-8") + (REPO / "README.md").read_text(
        encoding="utf-8"
    )
    bodies = re.findall(r"-d '(\{.*?\})'", page, re.DOTALL)
    assert len(bodies) == 2
    for body in bodies:
        msgspec.convert(json.loads(body), ResponseIn)


def test_every_piece_of_a_file_of_teams_in_the_docs_can_be_used() -> None:
    page = (DOCS / "guide" / "teams.md").read_text(encoding="utf-8")
    pieces = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert len(pieces) > 4
    assert all(read_teams(piece.replace('"on-call", ', "").replace('"on-call"', '"ada"')) for piece in pieces)


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        if re.match(r"https?://", link):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_make_target_in_the_docs_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):.*## ", (REPO / "Makefile").read_text(), re.MULTILINE))
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = set(re.findall(r"(?:^\$ |`)make ([a-z]+)", text, re.MULTILINE))
    assert named <= targets
