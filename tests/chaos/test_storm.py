"""A storm of detractors and broken promises through the whole line, while alerts and workers are killed.

Door → Kafka → worker → Kafka → alerts → the far ends of four channels, which check what each vendor documents.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import sys
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from benchmarks import documented
from benchmarks.receivers import Came, Receivers
from deploy.local.ports import ports_of
from services.alerts.store_file import FILE
from stream.domain.ids import uuid5
from tests.chaos.instance import Instance, running
from tests.chaos.sending import Body, Clients
from tests.unit.alerts.builders import until

pytestmark = pytest.mark.real

TEAMS = 5
TOLD_S = 90.0  # the third retry of what was refused comes after half a minute
Told = Mapping[str, Sequence[Came]]


async def test_a_small_storm_and_deadlines_while_processes_are_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    receivers = Receivers(1, 1, "2s", "2s")
    async with receivers.listening(), whole_line(tmp_path, receivers, 1) as instance:
        # On a machine that is busy with other tests: the soak size holds them to a second.
        told = await storm(instance, receivers, 100, 3.0, ["alerts", "worker-0"], first_within_s=5.0)
        late = await deadlines(instance, receivers)
    with capsys.disabled():
        sys.stdout.write(f"\n{told}\nseconds from due, or from being back, to escalation at the receiver: {late}\n")


@pytest.mark.soak
async def test_1200_detractors_in_a_minute_with_20_kills_reach_every_channel_and_the_board(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A supervisor gives up on a process that dies eight times in two minutes.
    names = ["alerts"] * 7 + ["worker-0"] * 7 + ["worker-1"] * 6
    random.Random(20).shuffle(names)
    receivers = Receivers(1, 1, "15s", "15s")
    async with receivers.listening(), whole_line(tmp_path, receivers, 2) as instance:
        told = await storm(instance, receivers, 1_200, 60.0, names, first_within_s=1.0)
    with capsys.disabled():
        sys.stdout.write(f"\n{told}\n")


def whole_line(folder: Path, receivers: Receivers, workers: int) -> Any:
    """`pulse up` with its targets pointing at the receivers."""
    receivers.configure(folder / "targets.toml", [*(f"team-{number}" for number in range(TEAMS)), *PROMISED, "warm"])
    return running(
        folder / "instance",
        workers,
        PULSE_ALERTS_CONFIG=str(folder / "targets.toml"),
        PULSE_ALERTS_PUBLIC_URL="https://alerts.example.com",
        PULSE_ALERTS_BOARD_URL="https://pulse.example.com/",
    )


def detractor(team: str, **respondent: str) -> Body:
    """An answer that raises a case of its own, and is told with a comment."""
    response_id = str(uuid.uuid4())
    who = {"name": "Ane Holm", "email": f"{response_id}@example.com", **respondent}
    return {
        "response_id": response_id,
        "team": team,
        "score": 3,
        "comment": "Nobody called me back.",
        "respondent": who,
    }


async def storm(
    instance: Instance,
    receivers: Receivers,
    count: int,
    seconds: float,
    kills: Sequence[str],
    *,
    first_within_s: float,
) -> dict[str, Any]:
    """`count` detractors over `seconds`; `kills` name who dies, one after the other; the receivers are away a while.

    Every case must be told on every channel under one id that stays the same, and stand on the board once.
    Returns: what there is to report.
    """
    clients = Clients(instance.addresses["ingest"], instance.key("write"), instance.key("admin"), seed=count)
    bodies = [detractor(f"team-{number % TEAMS}") for number in range(count)]
    warm = [detractor("warm")]  # the first answer of an instance loads what the others find loaded
    await clients.send(warm, 0)
    await until(lambda: min(receivers.counts().values()) == 1, 30)
    cases = {uuid5(body["team"], body["response_id"]): body for body in [*warm, *bodies]}
    began_s = time.perf_counter()
    sending = asyncio.create_task(clients.send(bodies, seconds))
    await until(lambda: min(receivers.counts().values()) > TEAMS, 20)
    first_s = first_delays(receivers.checked(), bodies, began_s, seconds / count)
    assert max(first_s.values()) <= first_within_s, first_s

    away = asyncio.create_task(gone(receivers, began_s + 0.4 * seconds, 0.1 * seconds))
    draw = random.Random(count)
    dead: dict[str, int] = {}
    for name in kills:
        await asyncio.sleep(draw.uniform(0.5, 1.2) * 0.8 * seconds / len(kills))
        if name in dead:
            await instance.replaced(name, dead[name])
        dead[name] = instance.kill(name)
    await asyncio.gather(sending, away)
    for name, pid in dead.items():
        await instance.replaced(name, pid)
    await instance.done(180)
    store = instance.data / "alerts" / FILE
    await until(lambda: states(store) == {"delivered": 4 * len(cases)}, TOLD_S)
    took_s = time.perf_counter() - began_s

    assert clients.acknowledged.keys() == {body["response_id"] for body in cases.values()}
    board = await listed(instance)
    assert Counter(board) == Counter([*cases])  # all of them, and none twice
    told = receivers.checked(texts=False)  # alerts that were killed look it up in tables that may be behind
    assert told_wrongly(told, messages(store), cases.keys()) == []
    sent = {channel: len({one.id for one in came}) for channel, came in told.items()}
    groups = (TEAMS + 1) * (took_s / interval_s(store) + 2)
    assert all(messages <= groups for channel, messages in sent.items() if channel != "webhook"), (sent, groups)
    return {
        "cases": len(cases),
        "on the board": len(board),
        "kills": dict(Counter(kills)),
        "messages": sent,
        "repeated": {channel: len(came) - sent[channel] for channel, came in told.items()},
        "first alert of the slowest team, seconds": first_s,
        "all told after, seconds": round(took_s, 1),
    }


def first_delays(told: Told, bodies: Sequence[Body], began_s: float, apart_s: float) -> dict[str, float]:
    """A channel → seconds from the POST of a team's first answer to the first message about the team, the longest."""
    posted_s = {body["team"]: began_s + number * apart_s for number, body in enumerate(bodies[:TEAMS])}
    found: dict[str, float] = {}
    for channel, came in told.items():
        first: dict[str, float] = {}
        for one in came:
            first.setdefault(one.team, one.at_s)
        found[channel] = round(max(first[team] - at_s for team, at_s in posted_s.items()), 3)
    return found


async def gone(receivers: Receivers, at_s: float, for_s: float) -> None:
    """Nobody answers for a while."""
    await asyncio.sleep(max(at_s - time.perf_counter(), 0))
    await receivers.stop()
    await asyncio.sleep(for_s)
    await receivers.start()


def states(store: Path) -> dict[str, int]:
    """Deliveries by state, read from the file: works while no process runs."""
    with closing(sqlite3.connect(store)) as file:
        return dict(file.execute("SELECT state, count(*) FROM deliveries GROUP BY state").fetchall())


def messages(store: Path) -> dict[str, dict[str, list[str]]]:
    """Channel → message → the cases it told."""
    with closing(sqlite3.connect(store)) as file:
        rows = file.execute("SELECT channel, message_id, case_id FROM deliveries").fetchall()
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for channel, message_id, case_id in rows:
        found[channel][message_id].append(case_id)
    return found


def interval_s(store: Path) -> float:
    """Seconds between two messages of a group, as the targets file has it."""
    text = (store.parents[2] / "targets.toml").read_text()
    return float(text.partition('group_interval = "')[2].partition('s"')[0])


def told_wrongly(told: Told, stored: Mapping[str, Mapping[str, list[str]]], cases: Any) -> list[str]:
    """What is wrong between the messages that came and the cases there are; each case in one message a channel."""
    wrong: list[str] = []
    for channel, name in (("webhook", "hooks"), ("e-mail", "mail"), ("slack", "slack-0"), ("pagerduty", "pager-0")):
        by_message = stored[name]
        of_case = Counter(case_id for those in by_message.values() for case_id in those)
        wrong += [f"{channel}: {case_id} is missing" for case_id in cases - of_case.keys()]
        wrong += [f"{channel}: {case_id} in {count} messages" for case_id, count in of_case.items() if count > 1]
        # PagerDuty's id of a message about one case is the case's.
        known = {
            those[0] if channel == "pagerduty" and len(those) == 1 else message_id: those
            for message_id, those in by_message.items()
        }
        came = {one.id: one for one in told[channel]}
        wrong += [f"{channel}: message {message_id} never came" for message_id in known.keys() - came.keys()]
        wrong += [f"{channel}: message {message_id} is nobody's" for message_id in came.keys() - known.keys()]
        # A repeated message is the same message: the same cases under the same id.
        wrong += [
            f"{channel}: {one.id} told {one.cases} cases of {len(known[one.id])}"
            for one in told[channel]
            if one.id in known and one.cases != len(known[one.id])
        ]
        wrong += [
            f"{channel}: {one.id} told {one.case_id}"
            for one in told[channel]
            if one.cases == 1 and one.id in known and [one.case_id] != known[one.id]
        ]
    return wrong


async def listed(instance: Instance) -> list[str]:
    """Every case that the board lists, page by page."""
    found: list[str] = []
    headers = {"Authorization": f"Bearer {instance.key('read')}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        cursor = ""
        while True:
            url = f"{instance.addresses['query']}/v1/followups?limit=200{cursor}"
            async with session.get(url) as reply:
                assert reply.status == 200, await reply.text()
                page = await reply.json()
            found += [case["case_id"] for case in page["items"]]
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"


PROMISED = ("undisturbed", "alerts", "worker-0")  # a team each, named after whom its deadline is to miss
AHEAD_S = 2.5
BEFORE_S = 0.3  # so long before the deadline the process is killed


async def deadlines(instance: Instance, receivers: Receivers) -> dict[str, float]:
    """A promise is broken, and escalated, at its due second; with nobody there, right after the process is back.

    Returns: team → seconds from the due time, or from the moment the process was ready again, to the receiver.
    """
    found: dict[str, float] = {}
    base = urlsplit(instance.addresses["ingest"]).port
    assert base is not None
    for team in PROMISED:
        await promise(instance, team)
        due_ms = round((time.time() + AHEAD_S) * 1_000)
        due = datetime.fromtimestamp(due_ms / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = detractor(team, callback_at=due)
        clients = Clients(instance.addresses["ingest"], instance.key("write"), instance.key("admin"), seed=1)
        await clients.send([body], 0)
        case_id = uuid5(team, body["response_id"])
        ready_s = due_ms / 1_000
        if team != "undisturbed":
            await asyncio.sleep(due_ms / 1_000 - BEFORE_S - time.time())
            pid = instance.kill(team)
            await instance.replaced(team, pid)
            await ready(f"http://127.0.0.1:{ports_of(base, 1)[team]}/readyz")
            ready_s = max(ready_s, time.time())
        await until(lambda case_id=case_id: escalated(receivers, case_id), 30)  # type: ignore[misc]
        (at_s,) = escalated(receivers, case_id)
        assert at_s >= due_ms / 1_000, "before it was due"
        assert at_s - ready_s <= 1.0, (team, at_s - ready_s)
        found[team] = round(at_s - ready_s, 3)
    return found


async def promise(instance: Instance, team: str) -> None:
    """A promise that is escalated the moment it is broken. The callback agreed with the customer says when that is."""
    headers = {"Authorization": f"Bearer {instance.key('admin')}"}
    table = {"clocks": {"contact": "1h"}, "targets": ["mail"], "escalation": [{"after": "0m", "to": ["mail"]}]}
    url = f"{instance.addresses['ingest']}/v1/teams/{team}/policy"
    async with aiohttp.ClientSession(headers=headers) as session, session.put(url, json=table) as reply:
        assert reply.status == 202, await reply.text()


async def ready(url: str) -> None:
    """Return once a process says that it is."""

    async def says_so() -> bool:
        try:
            async with aiohttp.ClientSession() as session, session.get(url) as reply:
                return reply.status == 200
        except aiohttp.ClientError:
            return False

    await until(says_so, 60)


def escalated(receivers: Receivers, case_id: str) -> list[float]:
    """When an e-mail said that the case is escalated: seconds since 1970, once for each message of its own."""
    ahead_s = time.time() - time.perf_counter()
    came: dict[str, float] = {}
    for at_s, content in receivers.mails:
        if case_id.encode() in content and b"Escalated: " in content:
            came.setdefault(str(documented.mail_of(content)["X-Pulse-Message"]), at_s + ahead_s)
    return [*came.values()]
