"""A whole instance under test: `pulse up` in a folder of its own, and where its processes are right now."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from deploy.local.spawn import on_leash

START_S = 240.0  # the very first start on a machine fetches the broker's jars
STOP_S = 60.0
AGAIN_S = 60.0


class Instance:
    """A running `pulse up`."""

    def __init__(self, data: Path, process: subprocess.Popen[bytes], ready: Mapping[str, Any]) -> None:
        self.data = data
        self.process = process
        self.addresses = ready

    @property
    def pids(self) -> dict[str, int]:
        """Pids of this moment, from client.json."""
        found: dict[str, int] = json.loads((self.data / "client.json").read_text())["pids"]
        return found

    def key(self, kind: str) -> str:
        """The instance's key of a kind."""
        return str(self.addresses["keys"][kind])

    def log(self, name: str) -> str:
        """The end of a process's log."""
        return (self.data / "logs" / f"{name}.log").read_text(errors="replace")[-3_000:]

    def kill(self, name: str) -> int:
        """kill -9 one process; the pid it had."""
        pid = self.pids[name]
        os.kill(pid, signal.SIGKILL)
        return pid

    def kill_with_disk(self, name: str) -> int:
        """kill -9 a worker, and take its state away before it is started again; the pid it had."""
        pid = self.kill(name)
        with contextlib.suppress(FileNotFoundError):  # it had no partition yet
            os.rename(self.data / "state" / name, self.data / f"lost-{name}-{pid}")
        return pid

    async def replaced(self, name: str, pid: int) -> float:
        """Wait until the supervisor has started another process in place of `pid`; how many seconds that took."""
        began = time.monotonic()
        while self.pids.get(name) in (None, pid):
            assert self.process.poll() is None, f"the supervisor gave up:\n{self.supervisor_log()}"
            assert time.monotonic() - began < AGAIN_S, f"{name} was not started again:\n{self.supervisor_log()}"
            await asyncio.sleep(0.05)
        return time.monotonic() - began

    def supervisor_log(self) -> str:
        """The end of the supervisor's log."""
        return (self.data / "supervisor.log").read_text(errors="replace")[-3_000:]

    async def done(self, within_s: float) -> float:
        """Wait until everything in the log is folded and can be read; how many seconds that took."""
        began = time.monotonic()
        url = f"{self.addresses['query']}/v1/position"
        headers = {"Authorization": f"Bearer {self.key('read')}"}
        told: Any = None
        while time.monotonic() - began < within_s:
            try:
                async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as reply:
                    told = await reply.json()
                    if reply.status == 200 and all(p["end"] == p["folded"] == p["sunk"] for p in told["partitions"]):
                        return time.monotonic() - began
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                told = repr(error)
            await asyncio.sleep(0.1)
        logs = "\n".join(f"--- {name}\n{self.log(name)}" for name in ("worker-0", "sink", "query"))
        raise AssertionError(f"not everything was worked off within {within_s} s: {told}\n{logs}")


def start(data: Path, workers: int, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start `pulse up` on a folder and free ports, on a leash: it ends when the tests are interrupted."""
    data.mkdir(parents=True, exist_ok=True)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PULSE_")}
    quiet = {"PULSE_ALARMS_FALSE_SHARE": "0"}  # the receivers wait for follow-ups; random answers may well fall
    command = [sys.executable, "-m", "services.cli", "up", "--data", str(data), "--port-base", "0", "--json"]
    command += ["--workers", str(workers)]
    with (data / "supervisor.log").open("ab") as log:
        return subprocess.Popen(
            on_leash(command), stdout=subprocess.PIPE, stderr=log, env={**inherited, **quiet, **variables}
        )


@asynccontextmanager
async def running(data: Path, workers: int = 1, **variables: str) -> AsyncIterator[Instance]:
    """An instance, ended with SIGTERM after the block. Raises AssertionError when one of its processes stays."""
    process = start(data, workers, variables)
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), START_S)
        assert line, f"`pulse up` ended:\n{(data / 'supervisor.log').read_text(errors='replace')[-3_000:]}"
        instance = Instance(data, process, json.loads(line))
        yield instance
        pids = instance.pids
        process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(process.wait, STOP_S)
        assert code == 0, instance.supervisor_log()
        assert not [name for name, pid in pids.items() if psutil.pid_exists(pid)]
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
