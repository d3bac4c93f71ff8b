"""Reading `teams.toml`: every team with its defaults, or everything that is wrong, each with its line.

    [defaults]            what holds for every team that says nothing else
    [teams.NAME]          one table a team

A team's table is laid over the defaults: tables are merged, key by key; anything else, lists and the weekly hours
too, is replaced as a whole. Hours and around the clock replace each other.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter, ValidationError

from services.teams import models, rules
from services.teams.lines import Path, line_of, lines_of
from services.teams.models import Team, TeamName

DEFAULTS: Final = "defaults"
TEAMS: Final = "teams"
WHOLE: Final = frozenset({"hours"})  # tables that are replaced, not merged
_EACH_OTHER: Final = (("around_the_clock", ("hours", "holidays", "closed", "open")), ("hours", ("around_the_clock",)))

# Pydantic's words for what people do wrong most.
_PLAIN: Final = {
    "missing": "is required",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "tuple_type": "must be a list",
    "too_long": "has too many entries",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
    "greater_than_equal": "must be 0 to 10",
    "less_than_equal": "must be 0 to 10",
}
_A_NAME: Final = "1 to 64 of a-z, 0-9, dot, underscore, hyphen, beginning with a letter or digit"


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that is wrong with the file: the line, the dotted path, and what would be right."""

    line: int
    path: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.path} {self.message}" if self.path else f"line {self.line}: {self.message}"


@dataclass(frozen=True, slots=True)
class Configured:
    """A team as it is set: its values, and the same as plain JSON, by which it is known whether it changed."""

    team: Team
    document: Mapping[str, Any]


class BadTeams(ValueError):
    """The file cannot be used. `wrong`: all that is wrong with it, by line; never empty."""

    def __init__(self, wrong: list[Wrong]) -> None:
        super().__init__("; ".join(map(str, wrong)))
        self.wrong = wrong


def read(text: str) -> dict[str, Configured]:
    """The teams of a file by name, in its order. Raises BadTeams."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadTeams([_not_toml(text, error)]) from None
    lines = lines_of(text)
    found: dict[Path, str] = dict(_outside(document))
    teams: dict[str, Configured] = {}
    defaults = document.get(DEFAULTS, {})
    named = document.get(TEAMS, {})
    if isinstance(defaults, dict) and isinstance(named, dict):
        for name, table in named.items():
            if not isinstance(table, dict):
                found[TEAMS, name] = "must be a table"
                continue
            whole = merged(defaults, table)
            result = team_of(whole)
            if isinstance(result, Team):
                teams[name] = Configured(result, plain(whole))
                continue
            for path, message in result:
                found.setdefault(_where(table, defaults, name, path), message)
    if found:
        wrong = [Wrong(line_of(lines, path), dotted(path), message) for path, message in found.items()]
        raise BadTeams(sorted(wrong, key=lambda one: (one.line, one.path)))
    return teams


def team_of(table: Mapping[str, Any]) -> Team | list[rules.Broken]:
    """A team out of its whole table, or every path that is wrong with what would be right."""
    try:
        team = Team.model_validate(table)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        inside = {one["loc"][:-1] for one in found}  # a list whose entries are wrong is told to be empty besides
        return [_plainly(dict(one)) for one in found if one["type"] != "too_short" or one["loc"] not in inside]
    return list(rules.broken(team)) or team


def merged(defaults: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """A table laid over its defaults."""
    dropped = {name for given, names in _EACH_OTHER if table.get(given) for name in names if name not in table}
    found = {name: value for name, value in defaults.items() if name not in dropped}
    for name, value in table.items():
        below = found.get(name)
        mergeable = isinstance(value, dict) and isinstance(below, dict) and name not in WHOLE
        found[name] = merged(below, value) if mergeable else value  # type: ignore[arg-type]
    return found


def plain(value: Any) -> Any:
    """A value of TOML as JSON has it: dates and times are texts."""
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, date | datetime):
        return value.isoformat()
    return value


def dotted(path: Path) -> str:
    """A path for people: `teams.support.routes[0].to`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        shown = part if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", part) else f'"{part[:64]}"'
        text += f".{shown}" if text else shown
    return text


def _outside(document: Mapping[str, Any]) -> Iterator[rules.Broken]:
    """What is wrong outside the teams' own tables."""
    for name, value in document.items():
        if name not in (DEFAULTS, TEAMS):
            yield (name,), f"is not a known key{_near(name, (DEFAULTS, TEAMS))}"
        elif not isinstance(value, dict):
            yield (name,), "must be a table"
    teams = document.get(TEAMS)
    if teams is None or teams == {}:
        yield (TEAMS,), "names no team: begin one with [teams.NAME]"
    for name in teams if isinstance(teams, dict) else ():
        try:
            _NAME.validate_python(name)
        except ValidationError:
            yield (TEAMS, name), f"is no name of a team: {_A_NAME}"


_NAME: Final = TypeAdapter[str](TeamName)


def _not_toml(text: str, error: tomllib.TOMLDecodeError) -> Wrong:
    message, _, _ = str(error).partition(" (at ")
    place = re.search(r"at line (\d+), column \d+", str(error))
    line = int(place[1]) if place else text.rstrip("\n").count("\n") + 1
    return Wrong(line, "", f"is not TOML: {message[:1].lower()}{message[1:]}")


def _plainly(error: Mapping[str, Any]) -> rules.Broken:
    # The key of a table that is itself wrong has its place marked so.
    path = tuple(part for part in error["loc"] if part != "[key]")
    kind = error["type"]
    if kind == "value_error":
        return path, str(error["ctx"]["error"])
    if kind == "extra_forbidden":
        return path, f"is not a known key{_near(str(path[-1]), _keys())}"
    if kind == "literal_error":
        return path, f"must be {error['ctx']['expected']}"
    if kind == "string_too_long":
        return path, f"must be at most {error['ctx']['max_length']} characters"
    if kind == "string_pattern_mismatch":
        return path, _pattern(path)
    return path, _PLAIN.get(kind, error["msg"])


def _pattern(path: Path) -> str:
    if "languages" in path:
        return "must be a language, such as da or pt-BR"
    if "holidays" in path:
        return "must be a country, such as DK, or a part of one, such as DE-BY"
    return f"must be {_A_NAME}"


@cache
def _keys() -> tuple[str, ...]:
    tables = [value for value in vars(models).values() if isinstance(value, type) and issubclass(value, BaseModel)]
    return tuple(field.alias or name for table in tables for name, field in table.model_fields.items())


def _near(name: str, known: tuple[str, ...]) -> str:
    found = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {found[0]}?" if found else ""


def _where(table: Mapping[str, Any], defaults: Mapping[str, Any], name: str, path: Path) -> Path:
    """Where in the file a path of a team stands: in its own table, else in the defaults."""
    own: Any = table
    inherited: Any = defaults
    for part in path:
        if not isinstance(own, dict) or part in own:
            own = own[part] if isinstance(own, dict) and part not in WHOLE else None
            inherited = inherited.get(part) if isinstance(inherited, dict) else None
        elif isinstance(inherited, dict) and part in inherited:
            return DEFAULTS, *path
        else:
            break
    return TEAMS, name, *path
