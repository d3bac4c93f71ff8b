"""From the POST of a detractor's answer to its signed webhook, at a steady rate of answers, on a whole instance.

`run` starts `pulse up` in a folder of its own, with the webhook pointing at a receiver in this process, and posts at
fixed moments whether or not earlier answers are through. The time of an answer runs from the moment it was due to be
posted, so a sender that falls behind makes the figure worse, not better. Every answer is a detractor with a comment
and a contact of its own: each raises a case, and each alert needs its text looked up.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import uvloop
from aiohttp import web
from standardwebhooks import Webhook

from benchmarks.machine import ended, plain_environment

RATE_PER_S: Final = 100
SECONDS: Final = 20
WARM_UP_S: Final = 10  # the broker's JVM compiles its hot paths meanwhile
TEAMS: Final = 20
END_WITHIN_S: Final = 60.0
START_WITHIN_S: Final = 240.0  # the very first start fetches Kafka's jars
ARRIVE_WITHIN_S: Final = 30.0


def run(instance: Path | None = None, rate_per_s: int = RATE_PER_S, seconds: int = SECONDS) -> dict[str, float]:
    """`alert_p50_ms`, `alert_p99_ms`: from POST to webhook. `instance`: data folder to use; default a temporary one.

    Raises:  RuntimeError when the instance does not start or an alert is missing, sent twice or badly signed.
    """
    with tempfile.TemporaryDirectory(prefix="pulse-bench-") as name:
        return uvloop.run(_measure(instance or Path(name), rate_per_s, seconds))


class _Receiver:
    """Notes when the webhook of each answer came; verifies every signature, after the clock was read."""

    def __init__(self) -> None:
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self.came_s: dict[str, list[float]] = {}
        self.without_text = 0
        self._webhook = Webhook(self.secret)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        at_s = time.perf_counter()
        data = self._webhook.verify(body, dict(request.headers))["data"]
        self.without_text += data["comment"] is None
        self.came_s.setdefault(data["response_id"], []).append(at_s)
        return web.Response()


async def _measure(folder: Path, rate_per_s: int, seconds: int) -> dict[str, float]:
    receiver = _Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        with _instance(folder, f"http://127.0.0.1:{runner.addresses[0][1]}/hook", receiver.secret) as process:
            addresses = await asyncio.to_thread(_ready, process, folder)
            await _post_at(addresses, rate_per_s, WARM_UP_S, receiver)
            posted_s = await _post_at(addresses, rate_per_s, seconds, receiver)
    finally:
        await runner.cleanup()
    twice = sum(len(receiver.came_s[response_id]) > 1 for response_id in posted_s)
    if twice or receiver.without_text:
        raise RuntimeError(f"{twice} alerts came twice, {receiver.without_text} without their text")
    took_ms = sorted(1e3 * (receiver.came_s[response_id][0] - at_s) for response_id, at_s in posted_s.items())
    return {
        "alert_p50_ms": round(took_ms[len(took_ms) // 2], 2),
        "alert_p99_ms": round(took_ms[len(took_ms) * 99 // 100], 2),
        "alert_max_ms": round(took_ms[-1], 2),
        "alert_count": len(took_ms),
    }


async def _post_at(addresses: dict[str, Any], rate_per_s: int, seconds: int, receiver: _Receiver) -> dict[str, float]:
    """Post at the rate and wait for every webhook; response_id → the moment its POST was due."""
    due_s: dict[str, float] = {}
    url, headers = f"{addresses['ingest']}/v1/responses", {"Authorization": f"Bearer {addresses['keys']['write']}"}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def post(response_id: str, number: int) -> None:
            body = {
                "response_id": response_id,
                "team": f"team-{number % TEAMS}",
                "score": number % 7,
                "comment": "The delivery was late, and nobody told me.",
                "respondent": {"name": f"Person {number}", "email": f"{response_id}@example.com"},
            }
            async with session.post(
                url, data=msgspec.json.encode(body), headers={"Content-Type": "application/json"}
            ) as answer:
                if answer.status != 202:
                    raise RuntimeError(f"an answer was not taken: {answer.status} {await answer.text()}")

        began_s = time.perf_counter() + 0.1
        async with asyncio.TaskGroup() as posting:
            for number in range(rate_per_s * seconds):
                moment_s = began_s + number / rate_per_s
                await asyncio.sleep(moment_s - time.perf_counter())
                response_id = str(uuid.uuid4())
                due_s[response_id] = moment_s
                posting.create_task(post(response_id, number))
    deadline_s = time.perf_counter() + ARRIVE_WITHIN_S
    while missing := due_s.keys() - receiver.came_s.keys():
        if time.perf_counter() > deadline_s:
            raise RuntimeError(f"{len(missing)} of {len(due_s)} alerts did not come within {ARRIVE_WITHIN_S:.0f} s")
        await asyncio.sleep(0.05)
    return due_s


@contextmanager
def _instance(folder: Path, url: str, secret: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "services.cli", "up", "--data", str(folder), "--port-base", "0", "--json"]
    target = {"PULSE_ALERTS_WEBHOOK_URL": url, "PULSE_ALERTS_WEBHOOK_SECRET": secret}
    env = plain_environment() | target | {"PULSE_ALERTS_ALLOW": '["127.0.0.1"]'}
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=env, text=True)
        with ended(process, END_WITHIN_S):
            yield process


def _ready(process: subprocess.Popen[str], folder: Path) -> dict[str, Any]:
    """The line that `pulse up` prints when everything is ready."""
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    deadline_s = time.monotonic() + START_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline_s:
        if line := process.stdout.readline():
            ready: dict[str, Any] = json.loads(line)
            return ready
        time.sleep(0.1)
    raise RuntimeError(f"pulse up did not get ready: {(folder / 'up.log').read_text()[-1000:]}")


if __name__ == "__main__":
    print(json.dumps(run()))
