"""Keeps processes running: starts them, starts them again when they die, stops them in order."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from deploy.errors import GaveUp
from deploy.local.home import Home, bound_log, last_lines
from deploy.local.plan import Child
from deploy.local.probes import until
from deploy.local.restarts import Deaths, Policy
from deploy.local.spawn import leashed

log = structlog.get_logger()

STOP_S: Final = 10.0
READY_S: Final = 300.0  # a worker that has lost its disk reads the log first
BOUND_LOGS_EVERY_S: Final = 60.0


@dataclass(slots=True)
class _Kept:
    """One child and its process of the moment."""

    child: Child
    process: subprocess.Popen[bytes]
    started_s: float
    deaths: Deaths
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Supervisor:
    """The processes of one instance. All methods are for one event loop in the main thread.

    `failed` is done, with GaveUp, when a process has died too often.
    """

    def __init__(self, home: Home, policy: Policy | None = None, on_start: Callable[[], None] = lambda: None) -> None:
        self._home = home
        self._policy = policy or Policy()
        self._on_start = on_start
        self._kept: dict[str, _Kept] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._hurry = asyncio.Event()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # One signal for all children, and nothing between it and waitpid.
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)
        self._bounding = asyncio.create_task(self._bound_logs())

    @property
    def pids(self) -> dict[str, int]:
        """Pid of each process as of now, in the order they were first started."""
        return {name: kept.process.pid for name, kept in self._kept.items()}

    def start(self, children: Sequence[Child]) -> None:
        """Start processes and keep them running."""
        for child in children:
            self._kept[child.name] = _Kept(child, self._spawn(child), time.monotonic(), Deaths(self._policy))
            self._keepers[child.name] = asyncio.create_task(self._keep(self._kept[child.name]))
        self._on_start()

    async def ready(self, children: Sequence[Child]) -> None:
        """Wait until every one of them says so. Raises GaveUp when one dies too often, EngineUnavailable when one
        does not become ready."""
        waits = {asyncio.create_task(until(child.ready, child.name, child.address, READY_S)) for child in children}
        pending: set[asyncio.Future[None]] = {*waits}
        try:
            while pending:
                done, pending = await asyncio.wait({*pending, self.failed}, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    each.result()
                pending.discard(self.failed)
        finally:
            for wait in waits:
                wait.cancel()
        log.info("ready", names=[child.name for child in children])

    async def stop(self, order: Sequence[Sequence[str]]) -> None:
        """End all processes, one group of names after the other. Nothing is started again."""
        for keeper in self._keepers.values():
            keeper.cancel()
        for names in order:
            await asyncio.gather(*(self._end(self._kept[name]) for name in names if name in self._kept))
        self._bounding.cancel()
        if not self.failed.done():
            self.failed.cancel()
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)

    def hurry(self) -> None:
        """Do not wait for processes that are being stopped: kill them."""
        self._hurry.set()

    def _spawn(self, child: Child) -> subprocess.Popen[bytes]:
        path = self._home.log_of(child.name)
        bound_log(path)
        environment: Mapping[str, str] = {**os.environ, "PYTHONUNBUFFERED": "1", **child.env}
        with path.open("ab") as output:
            process = leashed(child.command, environment, output)
        log.info("process_started", name=child.name, pid=process.pid)
        return process

    def _reap(self) -> None:
        for kept in self._kept.values():
            if kept.process.poll() is not None:
                kept.ended.set()

    async def _keep(self, kept: _Kept) -> None:
        child = kept.child
        while True:
            await kept.ended.wait()
            now_s, code = time.monotonic(), kept.process.returncode
            wait_s = kept.deaths.wait_s(now_s, now_s - kept.started_s, code)
            log.warning("process_died", name=child.name, pid=kept.process.pid, code=code, again_in_s=wait_s)
            if wait_s is None:
                if not self.failed.done():
                    lines = last_lines(self._home.log_of(child.name))
                    self.failed.set_exception(GaveUp(child.name, kept.deaths.count, self._policy.within_s, lines))
                return
            await asyncio.sleep(wait_s)
            kept.ended.clear()
            kept.process, kept.started_s = self._spawn(child), time.monotonic()
            self._on_start()

    async def _end(self, kept: _Kept) -> None:
        process = kept.process
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            waits = [asyncio.ensure_future(kept.ended.wait()), asyncio.ensure_future(self._hurry.wait())]
            await asyncio.wait(waits, timeout=STOP_S, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        killed = process.poll() is None
        if killed:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.info("process_stopped", name=kept.child.name, code=process.returncode, killed=killed)

    async def _bound_logs(self) -> None:
        while True:
            await asyncio.sleep(BOUND_LOGS_EVERY_S)
            for name in self._kept:
                bound_log(self._home.log_of(name))
