"""The bodies of `pulse followup …`: sent, waited for, and said."""

from __future__ import annotations

import asyncio
import getpass
import sys
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from services.cli import output
from services.cli.client import Client
from services.cli.codes import Exit, Fail
from services.cli.instance import find
from services.cli.reading import minute_text, printable
from stream.domain.minutes import parse_window

POLL_S: Final = 0.2
_TIMES: Final = ("at", "until")
_DONE: Final = {
    "acknowledge": "acknowledged",
    "assign": "assigned",
    "note": "noted",
    "contact": "contact noted",
    "callback": "callback agreed",
    "snooze": "snoozed",
    "resolve": "resolved",
    "reopen": "reopened",
}


@dataclass(frozen=True, slots=True)
class Options:
    """What every command takes."""

    actor: str | None
    note: str | None
    if_n: int | None
    wait: float
    data: Path | None
    url: str | None
    key: str | None
    as_json: bool


def act(kind: str, case: str, fields: dict[str, Any], options: Options) -> None:
    """Do something with a case, and say how it stands then. Raises Fail when that is not to be."""
    body = {"actor": options.actor or _user(), "note": options.note} | fields
    if kind != "assign":
        body = {name: value for name, value in body.items() if value is not None}
    elif body["note"] is None:
        del body["note"]
    for name in _TIMES:
        if name in body:
            body[name] = moment(body[name], datetime.now(UTC))
    found = asyncio.run(_done(kind, case, body, options))
    if options.as_json:
        output.print_json(found)
        return
    sys.stdout.write(f"{_DONE[kind]}: {line_of(found)}\n")


def line_of(case: dict[str, Any]) -> str:
    """A case in one line."""
    owner = f"owner {printable(case['owner'], 64)}" if case["owner"] else "nobody's"
    parts = [f"{case['case_id']} of {case['team']} is {case['state']}", owner]
    if case["snoozed_until"]:
        parts.append(f"until {minute_text(case['snoozed_until'])}")
    if case["due_at"]:
        parts.append(f"due {minute_text(case['due_at'])}")
    if case["cause"]:
        parts.append(f"cause {printable(case['cause'], 100)}")
    if case.get("reask"):  # a service of an earlier version does not say
        parts.append(f"asked again: {case['score']} → {case['reask']['score']}")
    elif case.get("reask_due_at"):
        parts.append(f"asked again {minute_text(case['reask_due_at'])}")
    return ", ".join(parts)


def moment(text: str, now: datetime) -> str:
    """A time as the service takes it: `2h` from now, or as it was given. Raises Fail for `all`."""
    try:
        minutes = parse_window(text)
    except ValueError:
        return text  # the service says what is wrong with it
    if minutes is None:
        raise Fail(Exit.USAGE, "give a time, or how long from now: 90m, 2h, 1d")
    return (now + timedelta(minutes=minutes)).isoformat(timespec="milliseconds")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise Fail(Exit.USAGE, "say who does it with --as") from None


async def _done(kind: str, case: str, body: dict[str, Any], options: Options) -> Any:
    """The case as it stands after an act."""
    door = find("query", "read", options.data, options.url, options.key)
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    if options.if_n is not None:
        headers["If-Match"] = f'"{options.if_n}"'
    path = f"/v1/followups/{quote(case, safe='')}"
    clock = asyncio.get_running_loop().time
    deadline = clock() + options.wait
    async with Client(door) as query:
        found = await query.send("POST", f"{path}/{kind}", body, headers)
        if "status_url" not in found:
            return found
        address = found["status_url"]
        while (await query.get(address))["status"] == "pending":
            if clock() > deadline:
                raise Fail(
                    Exit.NOT_READY,
                    f"the log holds it, but nothing came of it within {options.wait:g} s; "
                    f"{door.url}{address} will tell",
                    found,
                )
            await asyncio.sleep(POLL_S)
        # With the same key it is the same command, so this asks for its outcome.
        return await query.send("POST", f"{path}/{kind}", body, headers)


def show(case: str, data: Path | None, url: str | None, key: str | None, *, as_json: bool) -> None:
    """Print one case with its answers and history."""

    async def run() -> Any:
        async with Client(find("query", "read", data, url, key)) as query:
            return await query.get(f"/v1/followups/{quote(case, safe='')}")

    found = asyncio.run(run())
    if as_json:
        output.print_json(found)
        return
    write = sys.stdout.write
    write(line_of(found) + "\n")
    contact = {name: value for name, value in (found["contact"] or {}).items() if value}
    if contact:
        write("customer: " + ", ".join(printable(str(value), 100) for value in contact.values()) + "\n")
    for answer in found["answers"]:
        given = "?" if answer["score"] is None else str(answer["score"])
        write(f"answered {given}: {printable(answer['comment'] or '', 4_000)}".rstrip(": ") + "\n")
    write(f"contacts: {found['contacts']} of {output.counted(found['attempts'], 'attempt')}\n")
    if found["allowed"]:
        write(f"may be done: {', '.join(found['allowed'])}\n")
    output.print_table(
        ("when", "n", "what", "who", "more"),
        [
            (
                minute_text(event["at"]),
                str(event["n"]),
                event["kind"].removeprefix("followup.").replace("_", " "),
                printable(event["actor"] or "", 64),
                _more(event),
            )
            for event in found["history"]
        ],
        right=("n",),
    )


def _more(event: dict[str, Any]) -> str:
    said = [event["outcome"], event["medium"], event["cause"], event["note"]]
    if event["until"]:
        said.insert(0, minute_text(event["until"]))
    if event["clock"]:
        said.insert(0, f"level {event['level']}" if event["level"] else None)
        said.insert(0, {"contact": "first contact", "resolve": "resolution"}[event["clock"]])
    if event["kind"] == "followup.assigned":
        said.insert(0, f"to {event['owner'] or 'nobody'}")
    return ", ".join(printable(one, 200) for one in said if one)
