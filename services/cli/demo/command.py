"""`pulse demo`: starts an instance, plays the sample, shows what comes out, and proves it with a recount."""

from __future__ import annotations

import asyncio
import re
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from rich.progress import Progress

from services.cli import output
from services.cli.client import Client
from services.cli.codes import Exit, Fail
from services.cli.demo.launch import instance
from services.cli.demo.play import positions, post_all, post_steadily
from services.cli.demo.receiver import Inbox, receiver
from services.cli.demo.sample import DIPPING, Sample, draw
from services.cli.demo.verdict import Verdict, judge
from services.cli.instance import ClientFile, Door
from services.cli.reading import printable
from services.common.clock import wall_clock_ms

LIVE_PER_S: Final = 12.0
LIVE_PER_S_ONCE: Final = 40.0
_ALERTS_SHOWN: Final = 5  # of a burst; each one is shown once the sample has been played


class Screen:
    """What the demo tells a person, on stderr; silent with `--json`."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._progress: Progress | None = None
        self._alerts = 0
        self.chatty = False

    def say(self, text: str) -> None:
        if self._quiet:
            return
        if self._progress is not None and not self._progress.disable:
            self._progress.console.print(text, markup=False, highlight=False)
        else:
            output.note(text)

    def alert(self, body: dict[str, Any]) -> None:
        if body["type"] == "alarm.raised":
            data = body["data"]
            was, now = (round(data[name]["nps"]) for name in ("before", "after"))
            self.say(f"  alarm  {data['team']}: the score fell from {was} to {now}, since {data['since']}")
        if body["type"] != "followup.raised":
            return
        self._alerts += 1
        if self.chatty or self._alerts <= _ALERTS_SHOWN:
            data = body["data"]
            who = (data["respondent"] or {}).get("name") or "somebody"
            comment = printable(data["comment"] or "no comment", 60)
            self.say(f"  alert  {data['team']}: {who} gave {data['score']}: {comment}")
        elif self._alerts == _ALERTS_SHOWN + 1:
            self.say("  alert  … and more, counted below")

    @contextmanager
    def steps(self) -> Iterator[Progress]:
        with output.progress(quiet=self._quiet) as progress:
            self._progress = progress
            try:
                yield progress
            finally:
                self._progress = None


def run_demo(data: Path, port_base: int | None, *, once: bool, as_json: bool) -> None:
    """Run the demo. Raises Fail."""
    asyncio.run(_demo(data, port_base, once=once, as_json=as_json))


async def _demo(data: Path, port_base: int | None, *, once: bool, as_json: bool) -> None:
    screen = Screen(quiet=as_json)
    began_s = time.monotonic()
    first = not (data / "client.json").exists()
    async with receiver(screen.alert) as inbox, AsyncExitStack() as stack:
        target = {
            "PULSE_ALERTS_WEBHOOK_URL": inbox.url,
            "PULSE_ALERTS_WEBHOOK_SECRET": inbox.secret,
            "PULSE_ALERTS_ALLOW": '["127.0.0.1"]',
        }
        with screen.steps() as progress:
            task = progress.add_task("starting Kafka, ClickHouse and the services", total=None, detail="")
            screen.say(f"Starting an instance in {data}." + (" Kafka is fetched once, 54 MB." if first else ""))
            running = instance(data, port_base, target, lambda line: progress.update(task, detail=_briefly(line)))
            client = await stack.enter_async_context(running)
            progress.update(task, total=1, completed=1, detail="ready")
        stack.callback(screen.say, "Stopping …")
        ready_s = time.monotonic() - began_s
        screen.say(f"Ready after {ready_s:.1f} s.")
        await _play(client, inbox, screen, ready_s, once=once, as_json=as_json)


def _briefly(line: str) -> str:
    """A log line of the supervisor beside a progress bar: without its time and level."""
    return printable(" ".join(re.sub(r"^\S+ \[\w+ *\] ", "", line).split()), 40)


async def _play(client: ClientFile, inbox: Inbox, screen: Screen, ready_s: float, *, once: bool, as_json: bool) -> None:
    since_ms = wall_clock_ms()
    sample = draw(secrets.token_hex(4), since_ms)
    at_least = await _send(client, sample, screen, LIVE_PER_S_ONCE if once else LIVE_PER_S)
    sent = [*sample.history, *sample.edits, *sample.live]
    async with Client(Door(client.query, client.keys["read"]), connections=8) as query:
        verdict = await judge(query, client.kafka, sample.teams, sent, at_least, inbox, since_ms)
        teams = [await _team(query, team) for team in sample.teams]
        cases = (await query.get("/v1/followups", {"limit": "5"}))["items"]
    page = f"{client.query}/#key={client.keys['read']}"
    document = {
        "ok": verdict.good,
        "ready_s": round(ready_s, 2),
        "answers": len(sent),
        "compared": verdict.compared,
        "differences": verdict.differences,
        "missing": verdict.missing,
        "followups_raised": verdict.raised,
        "followups_delivered": verdict.delivered,
        "bad_signatures": verdict.forged,
        "teams": teams,
        "page": page,
        "widget": f"{client.ingest}/demo?team={DIPPING}",
    }
    if not as_json:
        _show(teams, cases, verdict, len(sent))
        output.note(f"page      {page}\nwidget    {document['widget']}\nAPI       {client.query}/docs")
    if not verdict.good:
        raise Fail(Exit.FAILED, _complaint(verdict), document)
    if as_json:
        output.print_json(document)
    if not once:
        screen.chatty = True
        screen.say("\nGive 0 to 6 points on the widget's page and see the score move and an alert arrive. Ctrl-C ends.")
        await _until_stopped()


async def _send(client: ClientFile, sample: Sample, screen: Screen, per_s: float) -> str:
    """Send the sample; the positions it reached."""
    async with Client(Door(client.ingest, client.keys["write"]), connections=32) as door:
        with screen.steps() as progress:
            week = progress.add_task(
                "answers of the last 7 days", total=len(sample.history) + len(sample.edits), detail=""
            )
            receipts = await post_all(door, sample.history, lambda: progress.advance(week))
            receipts += await post_all(door, sample.edits, lambda: progress.advance(week))
            now = progress.add_task(f"answers of right now, {DIPPING} has a bad day", total=len(sample.live), detail="")
            receipts += await post_steadily(door, sample.live, per_s, lambda: progress.advance(now))
    return positions(receipts)


async def _team(query: Client, team: str) -> dict[str, Any]:
    """One line of the table at the end."""
    windows = {window: await query.get(f"/v1/teams/{team}/score", {"window": window}) for window in ("1h", "24h", "7d")}
    week = windows["7d"]
    return {
        "team": team,
        **{window: score["display"] for window, score in windows.items()},
        "n": week["n"],
        "margin": [week["margin"]["low"], week["margin"]["high"]] if week["margin"] else None,
        "tests": week["excluded"].get("test", 0),
    }


def _show(teams: list[dict[str, Any]], cases: list[dict[str, Any]], verdict: Verdict, sent: int) -> None:
    def points(value: int | None) -> str:
        return "–" if value is None else str(value)

    output.print_table(
        ("team", "1 h", "24 h", "7 d", "95 % margin", "n"),
        [
            (
                team["team"],
                points(team["1h"]),
                points(team["24h"]),
                points(team["7d"]),
                "" if team["margin"] is None else f"{team['margin'][0]:.0f} … {team['margin'][1]:.0f}",
                f"{team['n']:,}",
            )
            for team in teams
        ],
        right=("1 h", "24 h", "7 d", "n"),
    )
    sys.stdout.write("\n")
    output.print_table(
        ("newest follow-ups", "score", "first contact due", "comment"),
        [
            (
                case["team"],
                str(case["score"]),
                (case["due_at"] or "")[:16].replace("T", " "),
                printable(case["comment"] or "", 50),
            )
            for case in cases
        ],
        right=("score",),
    )
    output.note(
        f"\n{sent:,} answers sent, {len(verdict.missing)} missing in the log; "
        f"{verdict.compared} scores compared with a recount of the log, {len(verdict.differences)} differ; "
        f"{verdict.raised:,} follow-ups raised, "
        f"{verdict.delivered:,} delivered with a valid signature."
    )


def _complaint(verdict: Verdict) -> str:
    if verdict.differences:
        return (
            f"{len(verdict.differences)} of {verdict.compared} scores differ from the recount: {verdict.differences[0]}"
        )
    if verdict.missing:
        return f"{len(verdict.missing)} acknowledged answers are not in the log, such as {verdict.missing[0]}"
    if verdict.forged:
        return f"{verdict.forged} webhooks came with a wrong signature"
    return f"{len(verdict.undelivered)} of {verdict.raised} follow-ups were not delivered"


async def _until_stopped() -> None:
    """Until Ctrl-C or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
