"""The targets file: named targets, read once at the start. `PULSE_ALERTS_CONFIG` says where it is.

```toml
allow = ["10.1.0.0/16", "alertmanager.internal"]

[targets.billing-slack]
kind = "slack"
url_file = "/run/secrets/slack"
teams = ["billing"]
```

Every field that is wrong is named, with its line, at once; none of the file is used then.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from schemas.responses import TEAM_PATTERN
from services.alerts.targets.addresses import Allowed
from services.alerts.targets.kinds import KINDS, Kind, Made
from services.alerts.targets.reader import Problem, Reader
from services.alerts.targets.webhook import SECRET_FORM, SignedWebhook, is_secret
from services.common.settings import AlertsSettings
from services.teams.lines import lines_of

WEBHOOK: Final = "webhook"  # the name of the target that two variables make
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class BadSettings(ValueError):
    """The settings of the targets make no sense; the text names each field and what it must be."""


@dataclass(frozen=True, slots=True)
class Target:
    """One target. `teams` None: all of them. `allowed` is what its connections may reach beside public addresses."""

    name: str
    kind: Kind
    made: Made
    allowed: Allowed
    teams: frozenset[str] | None = None


def parse(text: str, environ: Mapping[str, str], folder: Path, allowed: Allowed, board: str = "") -> list[Target]:
    """The targets of a file, in its order. `folder`: where paths in it start; `board`: linked in messages.

    Raises BadSettings with every problem.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadSettings(f"not TOML: {error}") from None
    lines = {".".join(map(str, path)): line for path, line in lines_of(text).items()}
    top = Reader("", document, lines, environ, folder, allowed)
    try:
        allowed = allowed | Allowed.of(top.texts("allow", ()))
    except ValueError as error:
        top.wrong("allow", f"holds {error}")
    tables = top.table.get("targets", {})
    for key in document:
        if key not in ("allow", "targets"):
            top.wrong(key, "is not known here")
    problems = top.problems
    targets: list[Target] = []
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        problems.append(Problem(lines.get("targets", 0), "targets", "must hold one table a target: [targets.NAME]"))
        tables = {}
    for name, table in tables.items():
        given = Reader(f"targets.{name}", table, lines, environ, folder, allowed)
        target = _target(name, given, board)
        problems += given.problems
        if target is not None:
            targets.append(target)
    if problems:
        raise BadSettings("; ".join(map(str, problems)))
    return targets


def _target(name: str, given: Reader, board: str) -> Target | None:
    if not _NAME.fullmatch(name):
        given.wrong("", "must be named with lower-case letters, digits, '.', '_' and '-', at most 64")
    kind: Kind = given.choice("kind", get_args(Kind))
    if any(problem.field.endswith(".kind") for problem in given.problems):
        return None  # which fields it should have, nobody knows
    teams = given.texts("teams", ())
    for team in teams:
        if not re.fullmatch(TEAM_PATTERN, team):
            given.wrong("teams", f"holds {team!r}, which is no team")
    made = KINDS[kind](name, given, board)
    given.rest()
    if given.problems:
        return None
    return Target(name, kind, made, given.allowed, frozenset(teams) or None)


def from_variables(url: str, secret: str, allowed: Allowed) -> list[Target]:
    """The target `webhook` of PULSE_ALERTS_WEBHOOK_URL and …_SECRET; none without them. Raises BadSettings."""
    if not url and not secret:
        return []
    for value, there, missing in ((url, "SECRET", "URL"), (secret, "URL", "SECRET")):
        if not value:
            there, missing = (f"PULSE_ALERTS_WEBHOOK_{word}" for word in (there, missing))
            raise BadSettings(f"{there} is set but {missing} is not: set both or neither")
    given = Reader("", {}, {}, {}, Path(), allowed)
    host = given.address("PULSE_ALERTS_WEBHOOK_URL", url)
    if given.problems:
        raise BadSettings(str(given.problems[0]))
    if not is_secret(secret):
        raise BadSettings(f"PULSE_ALERTS_WEBHOOK_SECRET must be {SECRET_FORM}")
    made = Made(host, lambda _, session: SignedWebhook(session, url, secret))
    return [Target(WEBHOOK, "webhook", made, allowed)]


def heartbeat_of(settings: AlertsSettings) -> tuple[str, Allowed]:
    """The host of the heartbeat's address, empty without one, and what it may reach. Raises BadSettings."""
    try:
        allowed = Allowed.of(settings.alerts_allow)
    except ValueError as error:
        raise BadSettings(f"PULSE_ALERTS_ALLOW holds {error}") from None
    given = Reader("", {}, {}, {}, Path(), allowed)
    host = given.address("PULSE_ALERTS_HEARTBEAT_URL", settings.alerts_heartbeat_url)
    if given.problems:
        raise BadSettings(str(given.problems[0]))
    return host, allowed


def of_settings(settings: AlertsSettings, environ: Mapping[str, str]) -> list[Target]:
    """All targets that the settings ask for. Raises BadSettings."""
    given = Reader("", {}, {}, {}, Path(), Allowed())
    given.link("PULSE_ALERTS_BOARD_URL", settings.alerts_board_url)
    given.link("PULSE_ALERTS_PUBLIC_URL", settings.alerts_public_url)
    if given.problems:
        raise BadSettings("; ".join(map(str, given.problems)))
    return read_targets(
        Path(settings.alerts_config) if settings.alerts_config else None,
        settings.alerts_webhook_url,
        settings.alerts_webhook_secret.get_secret_value(),
        settings.alerts_allow,
        environ,
        settings.alerts_board_url,
    )


def read_targets(
    file: Path | None, url: str, secret: str, allow: Iterable[str], environ: Mapping[str, str], board: str = ""
) -> list[Target]:
    """All targets: those of the file and the one of the variables. Raises BadSettings."""
    try:
        allowed = Allowed.of(allow)
    except ValueError as error:
        raise BadSettings(f"PULSE_ALERTS_ALLOW holds {error}") from None
    targets = from_variables(url, secret, allowed)
    if file is None:
        return targets
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not text"
        raise BadSettings(f"PULSE_ALERTS_CONFIG: {file} cannot be read: {why}") from None
    try:
        named = parse(text, environ, file.parent, allowed, board)
    except BadSettings as error:
        raise BadSettings(f"{file}: {error}") from None
    if targets and any(target.name == WEBHOOK for target in named):
        raise BadSettings(f"{file}: targets.{WEBHOOK} is what PULSE_ALERTS_WEBHOOK_URL makes: give it another name")
    return [*targets, *named]
