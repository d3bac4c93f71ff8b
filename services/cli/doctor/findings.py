"""What the doctor finds: one line each, with what to do when it is not good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `do` is empty when nothing has to be done."""

    level: Level
    what: str
    saw: str
    do: str = ""


def ok(what: str, saw: str) -> Finding:
    """All is well."""
    return Finding("ok", what, saw)


def warn(what: str, saw: str, do: str) -> Finding:
    """It works, but look at it."""
    return Finding("warn", what, saw, do)


def bad(what: str, saw: str, do: str) -> Finding:
    """It does not work until something is done."""
    return Finding("bad", what, saw, do)
