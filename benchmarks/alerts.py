"""From the POST of a detractor's answer to the people who are told, at a steady rate of answers, on a whole instance.

`run` starts `pulse up` in a folder of its own, with its targets pointing at receivers in this process, and posts at
fixed moments whether or not earlier answers are through. The time of an answer runs from the moment it was due to be
posted, so a sender that falls behind makes the figure worse, not better. Every answer is a detractor with a comment
and a contact of its own: each raises a case, and each alert needs its text looked up.

Every case is told by a signed webhook and by an e-mail of its own, and to Slack and PagerDuty in groups: a new team
begins every tenth answer, its first case goes at once and is what is timed there; what follows goes in groups, counted.
Forty channels of Slack and ten services of PagerDuty keep to what each takes: one message a second.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import uvloop

from benchmarks.machine import ended, plain_environment
from benchmarks.receivers import Came, Receivers
from deploy.local.spawn import on_leash
from stream.domain.ids import uuid5

RATE_PER_S: Final = 100
SECONDS: Final = 20
WARM_UP_S: Final = 30  # the broker's JVM compiles its hot paths meanwhile, with a fifth of a core
NEW_TEAM_EVERY: Final = 10  # answers
WARM_TEAMS: Final = tuple(f"warm-{number}" for number in range(20))
SLACKS: Final = 40
PAGERS: Final = 10
GROUP_INTERVAL: Final = "10s"
END_WITHIN_S: Final = 60.0
START_WITHIN_S: Final = 240.0  # the very first start fetches Kafka's jars
ARRIVE_WITHIN_S: Final = 40.0


def run(instance: Path | None = None, rate_per_s: int = RATE_PER_S, seconds: int = SECONDS) -> dict[str, float]:
    """p50 and p99 from POST to each channel: `alert_*` webhook, `mail_*`, `slack_*` and `pagerduty_*` of first cases.

    `instance`: data folder to use; default a temporary one.

    Raises:  RuntimeError when the instance does not start, a case is missing on a channel or told twice, or a message
             is not what its vendor documents.
    """
    with tempfile.TemporaryDirectory(prefix="pulse-bench-") as name:
        return uvloop.run(_measure(instance or Path(name), rate_per_s, seconds))


def teams_of(count: int) -> list[str]:
    """The team of each answer: a new one every tenth, those that have begun in turn between."""
    numbers = [
        number // NEW_TEAM_EVERY if number % NEW_TEAM_EVERY == 0 else number * 7 % (number // NEW_TEAM_EVERY + 1)
        for number in range(count)
    ]
    return [f"team-{number}" for number in numbers]


async def _measure(folder: Path, rate_per_s: int, seconds: int) -> dict[str, float]:
    teams = teams_of(rate_per_s * seconds)
    warm = [WARM_TEAMS[number % len(WARM_TEAMS)] for number in range(rate_per_s * WARM_UP_S)]
    receivers = Receivers(SLACKS, PAGERS, GROUP_INTERVAL)
    async with receivers.listening():
        receivers.configure(folder / "targets.toml", [*WARM_TEAMS, *dict.fromkeys(teams)])
        with _instance(folder) as process:
            addresses = await asyncio.to_thread(_ready, process, folder)
            await _post_at(addresses, warm, rate_per_s)
            await _until_told(receivers, {"webhook": len(warm), "e-mail": len(warm)})
            due_s = await _post_at(addresses, teams, rate_per_s)
            await _until_told(receivers, dict.fromkeys(receivers.counts(), len(warm) + len(teams)))
    return figures(due_s, receivers.checked())


def figures(due_s: Mapping[str, float], came: Mapping[str, Sequence[Came]]) -> dict[str, float]:
    """What the messages come to. `due_s`: case → the moment its POST was due; a case not in it is of the warm-up.

    Raises RuntimeError when a case is told twice on a channel, or was not told first and alone where it began a group.
    """
    found: dict[str, float] = {}
    for channel, name in (("webhook", "alert"), ("e-mail", "mail")):
        times = {one.case_id: one.at_s for one in came[channel] if one.case_id in due_s}
        told = Counter(one.case_id for one in came[channel])
        if len(times) < len(due_s) or max(told.values()) > 1:
            raise RuntimeError(f"{channel}: {len(times)} of {len(due_s)} cases, {max(told.values())} times at most")
        found |= _spread(name, [at_s - due_s[case_id] for case_id, at_s in times.items()])
    for channel in ("slack", "pagerduty"):
        first: dict[str, Came] = {}
        for one in came[channel]:
            first.setdefault(one.team, one)
        alone = [one for team, one in first.items() if team not in WARM_TEAMS]
        if strange := [one for one in alone if one.case_id not in due_s]:
            raise RuntimeError(f"{channel}: {len(strange)} groups began with something else than a case")
        found |= _spread(channel, [one.at_s - due_s[one.case_id] for one in alone])
        found[f"{channel}_messages"] = sum(one.team not in WARM_TEAMS for one in came[channel])
    return found


def _spread(name: str, took_s: Sequence[float]) -> dict[str, float]:
    took_ms = sorted(1e3 * one for one in took_s)
    return {
        f"{name}_p50_ms": round(took_ms[len(took_ms) // 2], 2),
        f"{name}_p99_ms": round(took_ms[len(took_ms) * 99 // 100], 2),
        f"{name}_max_ms": round(took_ms[-1], 2),
        f"{name}_count": len(took_ms),
    }


async def _post_at(addresses: dict[str, Any], teams: Sequence[str], rate_per_s: int) -> dict[str, float]:
    """Post an answer of each team at the rate; case → the moment its POST was due."""
    due_s: dict[str, float] = {}
    url, headers = f"{addresses['ingest']}/v1/responses", {"Authorization": f"Bearer {addresses['keys']['write']}"}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def post(response_id: str, team: str, number: int) -> None:
            body = {
                "response_id": response_id,
                "team": team,
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
            for number, team in enumerate(teams):
                moment_s = began_s + number / rate_per_s
                await asyncio.sleep(moment_s - time.perf_counter())
                response_id = str(uuid.uuid4())
                due_s[uuid5(team, response_id)] = moment_s
                posting.create_task(post(response_id, team, number))
    return due_s


async def _until_told(receivers: Receivers, wanted: Mapping[str, int]) -> None:
    deadline_s = time.perf_counter() + ARRIVE_WITHIN_S
    await asyncio.sleep(1.0)  # counting holds the receivers up, and the last messages are on their way
    while True:
        told = receivers.counts()
        missing = {name: count - told[name] for name, count in wanted.items() if told[name] < count}
        if not missing:
            return
        if time.perf_counter() > deadline_s:
            raise RuntimeError(f"not told within {ARRIVE_WITHIN_S:.0f} s: {missing}")
        await asyncio.sleep(0.2)


@contextmanager
def _instance(folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "services.cli", "up", "--data", str(folder), "--port-base", "0", "--json"]
    env = plain_environment() | {
        "PULSE_ALERTS_CONFIG": str(folder / "targets.toml"),
        "PULSE_ALERTS_PUBLIC_URL": "https://alerts.example.com",
        "PULSE_ALERTS_BOARD_URL": "https://pulse.example.com/",
    }
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(on_leash(command), stdout=subprocess.PIPE, stderr=log, env=env, text=True)
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
