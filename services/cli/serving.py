"""The service commands: settings from the environment, logs, then the service until it ends."""

from __future__ import annotations

import importlib
import os
from typing import Final

from services.cli.codes import Exit, Fail
from services.cli.configuration import SETTINGS, load, unknown_variables
from services.common.logs import configure
from services.common.settings import DoorSettings

# Where each service runs; imported only when it does.
_RUNS: Final = {
    "ingest": ("services.ingest.app", "run"),
    "worker": ("stream.app", "run_worker"),
    "sink": ("stream.app", "run_sink"),
    "query": ("services.query.app", "run"),
    "alerts": ("services.alerts.app", "run"),
}


def serve(name: str) -> None:
    """Run one service in this process. Fails, naming every variable that is wrong, before anything is started."""
    wrong = unknown_variables(os.environ)
    settings = load(SETTINGS[name])
    if isinstance(settings, list):
        wrong = [*settings, *wrong]
    if wrong or isinstance(settings, list):
        lines = "; ".join(f"{item.variable} {item.problem}" for item in wrong)
        raise Fail(Exit.USAGE, f"{name} cannot start: {lines}")
    log_format = load(DoorSettings)
    configure(name, log_format.log_format if isinstance(log_format, DoorSettings) else "json")
    module, function = _RUNS[name]
    getattr(importlib.import_module(module), function)(settings)
