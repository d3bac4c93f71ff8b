"""The commands that write to the log: `exclude`, `include`, `windows`, `erase`. Each is sent, then seen to be done."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import typer

from services.cli import certificate, output, planned
from services.cli.certificate import Erasure, Held
from services.cli.client import Client
from services.cli.codes import Exit, Fail
from services.cli.instance import Door, find

POLL_S: Final = 0.2
ALERTS_S: Final = 3.0  # alerts follow the same topic as the read side; nothing is lost when they are behind


@dataclass(frozen=True, slots=True)
class Doors:
    """The services a command needs. `alerts` is None where only addresses were given."""

    ingest: Door
    query: Door
    alerts: Door | None


@dataclass(frozen=True, slots=True)
class Whom:
    """What to erase: one answer, or persons by `id`, `email` or `phone`. `linked`: by their other keys too."""

    team: str | None = None
    response_id: str | None = None
    people: tuple[tuple[str, str], ...] = ()
    linked: bool = True


def doors(data: Path | None, url: str | None, query_url: str | None, key: str | None) -> Doors:
    """Where to send and where to look. Raises Fail."""
    ingest = find("ingest", "admin", data, url, key)
    if ingest.data is not None:
        rest = (find(name, "admin", ingest.data, None, ingest.key, {}) for name in ("query", "alerts"))
        return Doors(ingest, *rest)
    if query_url is None:
        raise Fail(Exit.USAGE, "--url is the ingest service's; give the address of the query service with --query-url")
    return Doors(ingest, find("query", "admin", None, query_url, ingest.key, {}), None)


def mark(kind: str, team: str, response_id: str, reason: str, where: Doors, wait_s: float, *, as_json: bool) -> None:
    """Exclude or include one answer, and wait until the read side knows."""

    async def run() -> tuple[str, bool]:
        async with Client(where.ingest) as ingest, Client(where.query) as query:
            path = f"{_path(team, response_id)}/{kind}"
            receipt = position_of((await ingest.send("POST", path, {"reason": reason}))["receipt"])
            return receipt, await was_seen(query, [receipt], deadline_in(wait_s))

    receipt, seen = asyncio.run(run())
    document = {"team": team, "response_id": response_id, kind: reason, "position": receipt, "seen": seen}
    _tell(document, f"{kind}d for {reason}: {response_id} of {team}, log position {receipt}", wait_s, as_json=as_json)


def show_windows(where: Doors, *, as_json: bool) -> None:
    """Say which windows are live."""

    async def run() -> list[str]:
        async with Client(where.query) as query:
            found: list[str] = (await query.get("/v1/windows"))["windows"]
            return found

    windows = asyncio.run(run())
    if as_json:
        output.print_json({"windows": windows})
    else:
        sys.stdout.write(_live(windows) + "\n")


def set_windows(windows: list[str], where: Doors, wait_s: float, *, as_json: bool) -> None:
    """Say which windows are live, and wait until every partition has been folded up to that."""

    async def run() -> tuple[list[str], bool]:
        async with Client(where.ingest) as ingest, Client(where.query) as query:
            told = await ingest.send("POST", "/v1/windows", {"windows": windows})
            positions = [position_of(receipt) for receipt in told["receipts"]]
            return positions, await was_seen(query, positions, deadline_in(wait_s))

    positions, seen = asyncio.run(run())
    document = {"windows": windows, "positions": positions, "seen": seen}
    _tell(document, _live(windows), wait_s, as_json=as_json)


def _live(windows: list[str]) -> str:
    return f"live windows: {', '.join(windows)}"


def _tell(document: dict[str, Any], line: str, wait_s: float, *, as_json: bool) -> None:
    """Say that a command has been seen to be done. Raises Fail when it has not."""
    if not document["seen"]:
        raise behind(wait_s, document)
    if as_json:
        output.print_json(document)
    else:
        sys.stdout.write(line + "\n")


def erase(whom: Whom, where: Doors, wait_s: float, *, dry_run: bool, sure: bool, as_json: bool) -> None:
    """Say what is to be erased; erase it, wait until it is seen to be done, and print a certificate.

    `sure`: ask nobody. A terminal is asked where a person is known by other keys than the one that was given.
    """
    if (whom.response_id is None) == (not whom.people) or (whom.response_id is None) != (whom.team is None):
        raise Fail(Exit.USAGE, "give either --team and --response, or one or more of --respondent-id, -email, -phone")
    known = asyncio.run(_all_known(whom, where))
    if dry_run:
        planned.show(known, as_json=as_json)
        return
    if not as_json:
        planned.tell(known)
    if not sure and not as_json and any(one.linked_by for one in known) and on_a_terminal():
        typer.confirm("Erase all of it?", abort=True)
    erasures = asyncio.run(_erased(known, where, wait_s))
    document = certificate.document(erasures, datetime.now(UTC))
    if not document["complete"]:
        if not as_json:
            certificate.show(document)
        raise behind(wait_s, document)
    if as_json:
        output.print_json(document)
    else:
        certificate.show(document)


def on_a_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()


async def _all_known(whom: Whom, where: Doors) -> list[Erasure]:
    """What there is to erase, one erasure a key, counted before anything is sent."""
    async with Client(where.ingest) as ingest, Client(where.query) as query:
        if whom.response_id is not None:
            subject = {"kind": "response", "team": whom.team, "response_id": whom.response_id}
            return [await _counted(subject, (f"{whom.team}|{whom.response_id}",), None, query, where.alerts)]
        subjects: dict[str, dict[str, Any]] = {}
        for way, value in whom.people:
            asked = {"respondent": {way: value}, "linked": whom.linked, "dry_run": True}
            told = await ingest.send("POST", "/v1/erasures", asked)
            found = [(way, told["respondent_key"], None), *_linked(told, way)]
            for known_by, key, linked_by in found:
                subject = {"kind": "respondent", "known_by": known_by, "respondent_key": key, "linked_by": linked_by}
                if key not in subjects or (linked_by is None and subjects[key]["linked_by"]):
                    subjects[key] = subject
        return [await _person(subject, query, where.alerts) for subject in subjects.values()]


def _linked(told: dict[str, Any], way: str) -> list[tuple[str, str, str]]:
    return [(one["known_by"], one["respondent_key"], way) for one in told["linked"]]


async def _person(subject: dict[str, Any], query: Client, alerts: Door | None) -> Erasure:
    found = await query.get("/v1/stored", {"respondent_key": subject["respondent_key"]})
    answers = tuple(f"{one['team']}|{one['response_id']}" for one in found["answers"])
    return await _counted(subject, answers, found, query, alerts)


async def _counted(
    subject: dict[str, Any], answers: tuple[str, ...], found: dict[str, Any] | None, query: Client, alerts: Door | None
) -> Erasure:
    before = await _held(answers, query)
    if found is not None:
        counts = {name: found[name] for name in ("note_rows", "rejects")}
        before = replace(before, cases=tuple(found["cases"]), **counts)
    before = replace(before, pending=await _pending(before.cases, alerts))
    return Erasure(subject, answers, more=found is not None and found["more"], before=before)


async def _erased(known: Sequence[Erasure], where: Doors, wait_s: float) -> list[Erasure]:
    async with Client(where.ingest) as ingest, Client(where.query) as query:
        sent = [await _send(erasure, ingest) for erasure in known]
        deadline = deadline_in(wait_s)
        return [await _done(erasure, query, where.alerts, deadline) for erasure in sent]


async def _send(erasure: Erasure, ingest: Client) -> Erasure:
    subject = erasure.subject
    if subject["kind"] == "response":
        receipts = [(await ingest.send("DELETE", _path(subject["team"], subject["response_id"])))["receipt"]]
    else:
        body = {"respondent_key": subject["respondent_key"]}
        receipts = (await ingest.send("POST", "/v1/erasures", body))["receipts"]
    return replace(erasure, positions=tuple(position_of(receipt) for receipt in receipts))


async def _done(erasure: Erasure, query: Client, alerts: Door | None, deadline: float) -> Erasure:
    """Wait until the fold and the read side are past it and no text is left; what there is then."""
    clock = asyncio.get_running_loop().time
    if not await was_seen(query, erasure.positions, deadline):
        return erasure
    while True:
        now = await _held(erasure.answers, query, erasure.before.cases)
        gone = not now.people_rows and not now.note_rows and now.answer_rows <= len(erasure.answers)
        if gone or clock() > deadline:
            break
        await asyncio.sleep(POLL_S)
    until = min(deadline, clock() + ALERTS_S)
    pending = await _pending(erasure.before.cases, alerts)
    while pending and clock() < until:
        await asyncio.sleep(POLL_S)
        pending = await _pending(erasure.before.cases, alerts)
    now = replace(now, cases=erasure.before.cases, rejects=erasure.before.rejects, pending=pending)
    return replace(erasure, now=now, gone=gone)


async def _held(answers: Sequence[str], query: Client, cases: Sequence[str] = ()) -> Held:
    """What is stored of some answers; notes on `cases` count too."""
    if not answers:
        return Held()
    asked = [*(("answer", answer) for answer in answers), *(("case", case) for case in cases)]
    found = await query.get("/v1/stored", asked)
    rows = {name: found[name] for name in ("answer_rows", "people_rows", "note_rows", "rejects")}
    return Held(cases=tuple(found["cases"]), **rows)


async def _pending(cases: Sequence[str], alerts: Door | None) -> int | None:
    """Deliveries of these cases that wait to be told; None when that cannot be asked."""
    if alerts is None:
        return None
    try:
        async with Client(alerts) as client:
            return sum(
                [
                    len((await client.get("/v1/deliveries", {"case_id": case, "state": "pending"}))["deliveries"])
                    for case in cases
                ]
            )
    except Fail:
        return None


async def was_seen(query: Client, positions: Sequence[str], deadline: float) -> bool:
    """Whether the fold has committed, and the read side shows, everything up to these positions in time."""
    wanted = {int(partition): int(offset) for partition, _, offset in (one.partition(":") for one in positions)}
    while True:
        try:
            found = await query.get("/v1/position", {"at_least": ",".join(positions)})
        except Fail as fail:
            if fail.code is not Exit.NOT_READY:
                raise
        else:
            if all(row["folded"] > wanted.get(row["partition"], -1) for row in found["partitions"]):
                return True
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(POLL_S)


def _path(team: str, response_id: str) -> str:
    """The address of an answer; what is neither a team nor an id, the door refuses."""
    return f"/v1/teams/{quote(team, safe='')}/responses/{quote(response_id, safe='')}"


def deadline_in(wait_s: float) -> float:
    """The loop's time in so many seconds."""
    return asyncio.get_running_loop().time() + wait_s


def position_of(receipt: dict[str, Any]) -> str:
    """A receipt as `partition:offset`."""
    return f"{receipt['partition']}:{receipt['offset']}"


def behind(wait_s: float, document: dict[str, Any]) -> Fail:
    """The failure of a command that the log holds and nobody has seen to be done."""
    text = f"the log holds the command, but within {wait_s:g} s it was not seen to be done everywhere; run it again"
    return Fail(Exit.NOT_READY, text, document | {"error": text, "exit_code": int(Exit.NOT_READY)})
