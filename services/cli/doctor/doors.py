"""The services: ready or why not, keys, lag, clocks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from deploy.local.ports import ports_of
from services.cli.client import problem_text
from services.cli.doctor.findings import Finding, bad, ok, warn
from services.cli.instance import ClientFile

ANSWER_S: Final = 5.0
CLOCK_S: Final = 5.0  # the door refuses answers from further ahead than minutes; seconds are worth a look
_LAG_LOOK_S: Final = 2.0


class _Ready(msgspec.Struct):
    notices: list[str] = []


async def services(client: ClientFile, data: Path) -> list[Finding]:
    """Everything that can be asked of the services of an instance."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        addresses = addresses_of(client, data)
        findings = list(await asyncio.gather(*(_ready(session, name, url, data) for name, url in addresses.items())))
        findings += [await _key(session, client), await _lag(session, client, data)]
        findings.append(await _clock(session, client))
    return findings


def addresses_of(client: ClientFile, data: Path) -> dict[str, str]:
    """Where each service answers `/readyz`."""
    found = {"ingest": client.ingest, "query": client.query, "alerts": client.alerts}
    try:
        base = int((data / "ports").read_text())
    except (OSError, ValueError):
        return found
    workers = sum(name.startswith("worker-") for name in client.pids)
    ports = ports_of(base, workers)
    behind = [name for name in ports if name == "sink" or name.startswith("worker-")]
    return found | {name: f"http://127.0.0.1:{ports[name]}" for name in behind}


async def _ready(session: aiohttp.ClientSession, name: str, url: str, data: Path) -> Finding:
    log = data / "logs" / f"{name}.log"
    try:
        async with session.get(f"{url}/readyz") as answer:
            if answer.status == 200:
                notices = _notices(await answer.read())
                return warn(name, "; ".join(notices), f"see {log}") if notices else ok(name, f"ready at {url}")
            return bad(name, f"not ready: {problem_text(await answer.read())}", f"if it stays so, see {log}")
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return bad(name, f"{url} does not answer ({type(error).__name__})", f"see {log}")


def _notices(body: bytes) -> list[str]:
    """What a ready service wants somebody to look at."""
    try:
        return msgspec.json.decode(body, type=_Ready).notices
    except msgspec.MsgspecError:
        return []


async def _key(session: aiohttp.ClientSession, client: ClientFile) -> Finding:
    """Whether the services know the keys of client.json."""
    try:
        async with session.get(f"{client.query}/v1/position", headers=_bearer(client)) as answer:
            if answer.status in (401, 403):
                return bad(
                    "read key", "the query service does not know it", "restart: pulse up hands out the keys anew"
                )
            return ok("read key", "known to the query service")
    except (aiohttp.ClientError, OSError, TimeoutError):
        return warn("read key", "cannot be tried: the query service does not answer", "see query above")


async def _lag(session: aiohttp.ClientSession, client: ClientFile, data: Path) -> Finding:
    """Whether worker and sink keep up with the log; looked at twice when they are behind."""
    try:
        first = await _behind(session, client)
        if not any(first.values()):
            return ok("lag", "everything in the log is folded and stored")
        await asyncio.sleep(_LAG_LOOK_S)
        second = await _behind(session, client)
    except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError, KeyError) as error:
        return warn("lag", f"cannot be read ({type(error).__name__})", "see query above")
    return judge_lag(first, second, data)


def judge_lag(first: Mapping[str, int], second: Mapping[str, int], data: Path) -> Finding:
    """What two looks at the records behind say: `folded` by the workers, `sunk` by the sink."""
    saw = f"{second['folded']:,} records not folded, {second['sunk']:,} not stored"
    if not any(second.values()):
        return ok("lag", "caught up while we looked")
    for name, who in (("folded", "worker-0"), ("sunk", "sink")):
        if second[name] and second[name] >= first[name]:
            return bad("lag", saw, f"it does not shrink: see {data / 'logs' / f'{who}.log'}")
    return warn("lag", f"{saw}, shrinking", "wait; scores are behind by that much")


async def _behind(session: aiohttp.ClientSession, client: ClientFile) -> dict[str, int]:
    async with session.get(f"{client.query}/v1/position", headers=_bearer(client)) as answer:
        found: dict[str, Any] = msgspec.json.decode(await answer.read())
    places = found["partitions"]
    return {name: sum(place["end"] - place[name] for place in places) for name in ("folded", "sunk")}


async def _clock(session: aiohttp.ClientSession, client: ClientFile) -> Finding:
    """How far this clock is from the services'; the HTTP date has whole seconds."""
    try:
        async with session.get(f"{client.query}/livez") as answer:
            theirs = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (aiohttp.ClientError, OSError, TimeoutError, KeyError, ValueError) as error:
        return warn("clock", f"cannot be compared ({type(error).__name__})", "see query above")
    return judge_clock(time.time() - theirs - 0.5)


def judge_clock(ahead_s: float) -> Finding:
    """What a difference of clocks means."""
    if abs(ahead_s) > CLOCK_S:
        return bad(
            "clock", f"this one is {ahead_s:+.0f} s from the services'", "set both by NTP: timedatectl set-ntp true"
        )
    return ok("clock", f"within {CLOCK_S:g} s of the services'")


def _bearer(client: ClientFile) -> dict[str, str]:
    return {"Authorization": f"Bearer {client.keys.get('read', '')}"}
