"""Anything unexpected ends the process before a commit; being cancelled or revoked does not."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stream.errors import (
    EXIT_FATAL,
    Fenced,
    LogMismatch,
    Revoked,
    StateInUse,
    StateNotOfThisLog,
    StreamError,
    fatal_on_error,
)

ROOT = Path(__file__).parents[3]


def run(body: str) -> subprocess.CompletedProcess[str]:
    """Run a few lines of Python in a process of their own."""
    imports = "import asyncio\nfrom stream.errors import StateNotOfThisLog, fatal_on_error\n"
    program = f"{imports}{body}\nprint('went on')\n"
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("error", ["ValueError('x')", "KeyboardInterrupt()", "SystemExit(0)", "MemoryError()"])
def test_an_error_ends_the_process_with_exit_code_70(error: str) -> None:
    done = run(f"with fatal_on_error():\n    raise {error}")
    assert done.returncode == EXIT_FATAL == 70
    assert "went on" not in done.stdout
    assert "fatal" in done.stdout + done.stderr


def test_it_ends_even_where_somebody_would_swallow_the_error() -> None:
    done = run(
        "async def body():\n    with fatal_on_error():\n        raise OSError\n"
        "async def main():\n    await asyncio.gather(body(), return_exceptions=True)\nasyncio.run(main())"
    )
    assert done.returncode == 70


def test_our_own_errors_leave_their_code_in_the_log() -> None:
    done = run("with fatal_on_error():\n    raise StateNotOfThisLog(3, 9, 'why')")
    assert done.returncode == 70
    assert "state_not_of_this_log" in done.stdout + done.stderr
    assert "move the state folder away" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), Revoked(), GeneratorExit()], ids=lambda e: type(e).__name__
)
def test_being_called_off_is_no_error(error: BaseException) -> None:
    with pytest.raises(type(error)), fatal_on_error():
        raise error


def test_all_errors_hang_in_one_tree_with_codes_of_their_own() -> None:
    leaves: list[type[StreamError]] = [StateNotOfThisLog, StateInUse, Fenced, LogMismatch, Revoked]
    assert set(leaves) == set(StreamError.__subclasses__())
    assert len({leaf.code for leaf in leaves}) == len(leaves)
