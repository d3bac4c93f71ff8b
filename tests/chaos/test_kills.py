"""kill -9 of each process in turn while answers are sent: nothing acknowledged is lost, nothing is counted twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from services.cli.demo.receiver import receiver
from tests.chaos.senders import Sending, answers
from tests.chaos.verdict import Verdict, judge
from tests.e2e.instances import Instance, running

VICTIMS = ("ingest", "worker-0", "sink", "query", "alerts", "clickhouse", "kafka")
BACK_WITHIN_S = 120.0

pytestmark = pytest.mark.real


async def _kill_in_turn(instance: Instance, sending: Sending, total: int) -> list[str]:
    """Kill a process each time another part of the answers is acknowledged, and see it come back."""
    killed = []
    for turn, name in enumerate(VICTIMS, start=1):
        while len(sending.acknowledged) < total * turn // (len(VICTIMS) + 1):
            await asyncio.sleep(0.01)
        pid = _pids(instance)[name]
        os.kill(pid, signal.SIGKILL)
        killed.append(name)
        async with asyncio.timeout(BACK_WITHIN_S):
            while _pids(instance).get(name) in (None, pid):
                await asyncio.sleep(0.05)
    return killed


def _pids(instance: Instance) -> dict[str, int]:
    found: dict[str, int] = json.loads((instance.data / "client.json").read_text())["pids"]
    return found


async def _storm(data: Path, total: int) -> tuple[Verdict, Sending, list[str]]:
    async with receiver(lambda _: None) as inbox:
        more = {"PULSE_ALERTS_WEBHOOK_URL": inbox.url, "PULSE_ALERTS_WEBHOOK_SECRET": inbox.secret}
        with running(data, **more) as instance:
            ready: dict[str, Any] = instance.ready
            sending = Sending(ready["ingest"], ready["keys"]["write"])
            async with asyncio.TaskGroup() as work:
                work.create_task(sending.send_all(answers(total, seed=7)))
                killing = work.create_task(_kill_in_turn(instance, sending, total))
            return await judge(ready, sending, inbox), sending, killing.result()


async def _prove(data: Path, total: int) -> None:
    verdict, sending, killed = await _storm(data, total)
    sys.stderr.write(f"\nkilled {killed}, refusals {sending.refusals}\n{verdict}\n")
    assert killed == list(VICTIMS)
    assert verdict.acknowledged == total
    assert verdict.cases > total // 10
    assert verdict.faults == {}


@pytest.mark.timeout(600)
async def test_kill_9_of_each_process_loses_nothing_and_counts_nothing_twice(tmp_path: Path) -> None:
    await _prove(tmp_path / "instance", 2_000)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
async def test_twenty_thousand_answers_survive_kill_9_of_each_process(tmp_path: Path) -> None:
    await _prove(tmp_path / "instance", 20_000)
