"""Exit codes, and the one way a command fails on purpose."""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """What a command's exit code means; the table in docs/guide/cli.md is held to this by a test."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_READY = 4
    NOT_FOUND = 5
    INTERRUPTED = 130

    @property
    def about(self) -> str:
        """One line for `--help`."""
        return _ABOUT[self]


_ABOUT = {
    Exit.OK: "done",
    Exit.FAILED: "ran, and the result is bad: doctor found something, a recount or replay differs, nothing accepted",
    Exit.USAGE: "wrong option, setting, key or file; nothing was done",
    Exit.UNREACHABLE: "no instance in the data folder, or nothing answers at the address",
    Exit.NOT_READY: "the instance is there but could not do it in time; run the command again",
    Exit.NOT_FOUND: "no such team or follow-up",
    Exit.INTERRUPTED: "stopped by Ctrl-C; an import goes on where it was when it is run again",
}


class Fail(Exception):
    """An expected failure: one line on stderr that says what happened and what to do, and an exit code.

    `document` is what `--json` prints; by default the message and the code.
    """

    def __init__(self, code: Exit, message: str, document: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.document = document or {"error": message, "exit_code": int(code)}
