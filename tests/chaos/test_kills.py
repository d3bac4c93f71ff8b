"""kill -9 of each process in turn while answers come in: nothing is lost, nothing is counted twice."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.chaos.instance import Instance, running
from tests.chaos.receiver import Receiver
from tests.chaos.sending import Body, Clients, make_answers
from tests.chaos.truth import Figures, figures

pytestmark = pytest.mark.real

TURN = ("ingest", "worker-0", "sink", "query", "alerts", "clickhouse", "kafka", "worker-1")
WORKERS = 2
WIPED = "worker-1"  # loses its disk with its life
SECONDS_A_TURN = 2.0
WORKED_OFF_S = 180.0


async def test_each_process_dies_in_turn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await kills(tmp_path / "instance", 2_000, [(name, name == WIPED) for name in TURN], capsys)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
async def test_thirty_kills_at_random_and_disks_lost_at_random(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(30)
    turns = [(name, name.startswith("worker") and draw.random() < 0.5) for name in draw.choices(TURN, k=30)]
    await kills(tmp_path / "instance", 20_000, turns, capsys)


async def kills(data: Path, count: int, turns: list[tuple[str, bool]], capsys: pytest.CaptureFixture[str]) -> None:
    """The whole run: who dies, and whether its disk does too. Raises AssertionError with what should be 0."""
    began = time.monotonic()
    bodies = make_answers(count, seed=count)
    async with (
        Receiver().listening() as receiver,
        running(
            data,
            WORKERS,
            PULSE_ALERTS_WEBHOOK_URL=receiver.url,
            PULSE_ALERTS_WEBHOOK_SECRET=receiver.secret,
            PULSE_ALERTS_ALLOW='["127.0.0.1"]',
        ) as instance,
    ):
        up_s = time.monotonic() - began
        clients = Clients(instance.addresses["ingest"], instance.key("write"), instance.key("admin"), seed=count)
        again_s: dict[str, float] = {}
        for number, (name, wiped) in enumerate(turns):
            share = bodies[number * count // len(turns) : (number + 1) * count // len(turns)]
            seconds = await turn(instance, clients, share, name, wiped=wiped)
            again_s[name] = max(seconds, again_s.get(name, 0.0))
        assert {body["response_id"] for body in bodies} == clients.acknowledged.keys()
        settled_s = await instance.done(WORKED_OFF_S)
        found = await settled(instance, clients, receiver)
        took = {
            "up": up_s,
            "longest_wait_of_a_client": clients.longest_s,
            "worked_off_after": settled_s,
            "in_all": time.monotonic() - began,
        }
        with capsys.disabled():
            told = {**asdict(found), "sent_again": clients.sent_again, "replies": dict(clients.answers)}
            times = {name: round(value, 1) for name, value in took.items()}
            after = {name: round(value, 1) for name, value in again_s.items()}
            sys.stdout.write(f"\n{len(turns)} kills; seconds {times}\nall taken again after {after}\n{told}\n")
        assert found.wrong() == {}
    replayed = await asyncio.to_thread(verify, data)
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr


def verify(data: Path) -> subprocess.CompletedProcess[str]:
    """The states and all that was said, held against the log folded anew: with the instance stopped."""
    command = [sys.executable, "-m", "services.cli", "replay", "--verify", "--data", str(data)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


async def turn(instance: Instance, clients: Clients, share: list[Body], name: str, *, wiped: bool) -> float:
    """Send a share of the answers, and kill one process when half of them are acknowledged.

    Returns: seconds from the kill until the last of them was acknowledged and another process ran.
    """
    before = len(clients.acknowledged)
    sending = asyncio.create_task(clients.send(share, SECONDS_A_TURN))
    while len(clients.acknowledged) < before + len(share) // 2 and not sending.done():
        await asyncio.sleep(0.01)
    pid, killed = instance.kill_with_disk(name) if wiped else instance.kill(name), time.monotonic()
    await instance.replaced(name, pid)
    await sending
    return time.monotonic() - killed


async def settled(instance: Instance, clients: Clients, receiver: Receiver) -> Figures:
    """The figures, once the last webhooks have come: those have no position to wait for."""
    deadline = time.monotonic() + WORKED_OFF_S
    while True:
        found = await figures(instance.addresses["kafka"], instance.addresses["clickhouse"], clients, receiver)
        if not found.wrong() or time.monotonic() > deadline:
            return found
        if found.wrong().keys() - {"webhooks_missing", "texts_missing"}:
            return found
        await asyncio.sleep(0.5)
