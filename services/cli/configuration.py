"""Settings from the environment: read, checked together, and explained when they are wrong."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsError

from services.cli import output
from services.cli.codes import Exit, Fail
from services.cli.instance import CLIENT_VARIABLES
from services.common.settings import AlertsSettings, IngestSettings, QuerySettings, misspelled
from stream.settings import SinkSettings, WorkerSettings

SETTINGS: Final[Mapping[str, type[BaseSettings]]] = {
    "ingest": IngestSettings,
    "worker": WorkerSettings,
    "sink": SinkSettings,
    "query": QuerySettings,
    "alerts": AlertsSettings,
}


# Pydantic's words for what people do wrong most.
_PLAIN: Final = {
    "missing": "is not set",
    "time_delta_parsing": "must be a length of time, such as PT15S or 00:00:15",
}


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that is wrong with the environment, and what would be right."""

    variable: str
    problem: str


def variable_of(settings: type[BaseSettings], field: str) -> str:
    """The environment variable that a field is read from."""
    return f"{settings.model_config.get('env_prefix', '')}{field}".upper()


def unknown_variables(environ: Mapping[str, str]) -> list[Wrong]:
    """`PULSE_` variables that nothing reads, with the nearest that something does."""
    known = {variable_of(model, field) for model in SETTINGS.values() for field in model.model_fields}
    known |= CLIENT_VARIABLES
    wrong = []
    for name in sorted(misspelled(SETTINGS.values(), environ) - CLIENT_VARIABLES):
        near = difflib.get_close_matches(name.upper(), sorted(known), n=1)
        hint = f"; did you mean {near[0]}?" if near else "; docs/configuration.md lists them all"
        wrong.append(Wrong(name, f"no such setting{hint}"))
    return wrong


def load(settings: type[BaseSettings]) -> BaseSettings | list[Wrong]:
    """The settings of one service from the environment, or everything that is wrong with them. Quotes no value."""
    try:
        return settings()
    except ValidationError as error:
        return [_wrong(settings, dict(found)) for found in error.errors(include_input=False, include_url=False)]
    except SettingsError as error:
        field = next((name for name in settings.model_fields if f'"{name}"' in str(error)), "")
        return [Wrong(variable_of(settings, field), "must be JSON; docs/configuration.md has an example")]


def _wrong(settings: type[BaseSettings], error: dict[str, Any]) -> Wrong:
    field = str(error["loc"][0]) if error["loc"] else ""
    known = settings.model_fields.get(field)
    about = known.description if known is not None else None
    problem = _PLAIN.get(error["type"]) or str(error["msg"])
    place = ".".join(str(part) for part in error["loc"][1:])
    at = f" (at {place})" if place else ""
    return Wrong(variable_of(settings, field), f"{problem}{at}" + (f": {about}" if about else ""))


def check(names: Sequence[str], *, as_json: bool, environ: Mapping[str, str] = os.environ) -> None:
    """`pulse config check`: print what is wrong for each service; Fails when anything is."""
    for name in names:
        if name not in SETTINGS:
            raise Fail(Exit.USAGE, f"there is no service {name!r}; there are {', '.join(SETTINGS)}")
    chosen = {name: SETTINGS[name] for name in (names or SETTINGS)}
    unknown = unknown_variables(environ)
    found = {name: _with_targets(load(model), environ) for name, model in chosen.items()}
    wrong = {name: result for name, result in found.items() if isinstance(result, list)}
    if as_json:
        output.print_json(
            {
                "ok": not (wrong or unknown),
                "unknown": [{"variable": item.variable, "problem": item.problem} for item in unknown],
                "services": {name: _report(result) for name, result in found.items()},
            }
        )
    else:
        _print(found, unknown, environ)
    if wrong or unknown:
        raise typer_exit(Exit.USAGE)


def _with_targets(result: BaseSettings | list[Wrong], environ: Mapping[str, str]) -> BaseSettings | list[Wrong]:
    """The settings of alerts are right only if its targets are: their file is read as the service reads it."""
    if not isinstance(result, AlertsSettings):
        return result
    from services.alerts.targets.config import BadSettings, heartbeat_of, of_settings

    try:
        of_settings(result, environ)
        heartbeat_of(result)
    except BadSettings as error:
        return [Wrong("PULSE_ALERTS_CONFIG" if result.alerts_config else "PULSE_ALERTS_WEBHOOK_URL", str(error))]
    return result


def typer_exit(code: Exit) -> Exception:
    """Ends the command with a code; everything has been said."""
    import typer

    return typer.Exit(code)


def _report(result: BaseSettings | list[Wrong]) -> dict[str, Any]:
    if isinstance(result, list):
        return {"ok": False, "problems": [{"variable": item.variable, "problem": item.problem} for item in result]}
    return {"ok": True, "settings": {variable_of(type(result), name): shown(result, name) for name in _fields(result)}}


def _fields(settings: BaseSettings) -> list[str]:
    return list(type(settings).model_fields)


def shown(settings: BaseSettings, field: str) -> str:
    """A setting's value for people; secrets are not shown."""
    value = getattr(settings, field)
    if isinstance(value, SecretStr):
        return "(secret)" if value.get_secret_value() else ""
    if field == "key_hashes":
        return ", ".join(f"{kind}: {len(hashes)}" for kind, hashes in value.items())
    return str(value)


def _print(
    found: Mapping[str, BaseSettings | list[Wrong]], unknown: Sequence[Wrong], environ: Mapping[str, str]
) -> None:
    rows = []
    for name, result in found.items():
        if isinstance(result, list):
            rows += [(name, item.variable, "wrong", item.problem) for item in result]
        else:
            set_here = {variable.upper() for variable in environ}
            rows += [
                (name, variable, "set" if variable in set_here else "default", shown(result, field))
                for field in _fields(result)
                for variable in [variable_of(type(result), field)]
            ]
    rows += [("", item.variable, "unknown", item.problem) for item in unknown]
    output.print_table(("service", "variable", "", "value or problem"), rows)
