"""A whole instance for a test: the real `pulse up` on free ports, and the real `pulse` to use it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.local.spawn import leashed
from tests.engines import wait_for

REPO = Path(__file__).parents[2]
START_S = 240.0  # the first start on a machine fetches the broker's jars


def environment(**more: str) -> dict[str, str]:
    """This environment without variables of ours, so that a developer's own instance is left alone."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PULSE_")} | more


@dataclass(frozen=True, slots=True)
class Instance:
    """A running instance: what its ready line said, and its supervisor."""

    data: Path
    ready: dict[str, Any]
    process: subprocess.Popen[bytes]

    def pulse(self, *arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """Run `pulse` with this instance's data folder."""
        return pulse(*arguments, "--data", str(self.data), timeout_s=timeout_s)

    def says(self, *arguments: str) -> Any:
        """The JSON document of a command that must end well."""
        done = self.pulse(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def pulse(
    *arguments: str, timeout_s: float = 120, cwd: Path | None = None, more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `pulse` as a user does, in a process of its own, with `more` variables in its environment."""
    return subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        env=environment(PYTHONPATH=str(REPO), **(more or {})),
        cwd=cwd or REPO,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@contextmanager
def running(data: Path, base: int = 0, /, **more: str) -> Iterator[Instance]:
    """An instance on `data` until the block ends, on ports from `base` on, with more variables in its environment."""
    data.mkdir(parents=True, exist_ok=True)
    log = data / "up.log"
    ports = ("--port-base", str(base))
    command = (sys.executable, "-m", "services.cli", "up", "--data", str(data), *ports, "--json")
    with log.open("wb") as output:
        process = leashed(command, environment(PYTHONPATH=str(REPO), **more), output)
    try:
        wait_for(lambda: bool(_ready_line(log)) or process.poll() is not None, START_S, "the instance's start")
        if not _ready_line(log):
            pytest.fail(f"pulse up ended: {log.read_text()[-2000:]}")
        yield Instance(data, json.loads(_ready_line(log)), process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=60)
        finally:
            process.kill()
            process.wait()


def _ready_line(log: Path) -> str:
    return next((line for line in log.read_text().splitlines() if line.startswith('{"ready"')), "")
