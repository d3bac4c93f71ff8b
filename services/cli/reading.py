"""The commands that read: `score`, `explain`, `teams`, `followups`, `tail`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from services.cli import output
from services.cli.client import Client
from services.cli.codes import Exit, Fail
from services.cli.instance import Door, find
from stream.domain.minutes import parse_window

_PAGE: Final = 200  # most items of one page
_RECONNECT_S: Final = 2.0
Params = Mapping[str, str | None]


def _given(params: Params) -> dict[str, str]:
    return {name: value for name, value in params.items() if value is not None}


def fetched(door: Door, path: str, params: Params) -> Any:
    """What a service answers to a GET, with those of the parameters that are given."""

    async def get() -> Any:
        async with Client(door) as client:
            return await client.get(path, _given(params))

    return asyncio.run(get())


def _pages(door: Door, path: str, params: Params, limit: int | None) -> dict[str, Any]:
    """The first page with the items of all pages, up to `limit`; `next_cursor` tells whether there are more."""

    async def get() -> dict[str, Any]:
        async with Client(door) as client:
            first: dict[str, Any] | None = None
            asked = _given(params)
            while True:
                wanted = _PAGE if limit is None else limit - (0 if first is None else len(first["items"]))
                page = await client.get(path, asked | {"limit": str(min(_PAGE, wanted))})
                if first is None:
                    first = page
                else:
                    first["items"] += page["items"]
                    first["next_cursor"] = page["next_cursor"]
                if page["next_cursor"] is None or (limit is not None and len(first["items"]) >= limit):
                    return first
                asked["cursor"] = page["next_cursor"]

    return asyncio.run(get())


def score(
    team: str | None, params: Params, data: Path | None, url: str | None, key: str | None, *, as_json: bool
) -> None:
    """Print one score."""
    door = find("query", "read", data, url, key)
    found = fetched(door, f"/v1/teams/{team}/score" if team else "/v1/score", params)
    if as_json:
        output.print_json(found)
        return
    lines = [
        f"{found['team'] or 'all teams'}, {found['window']} to {minute_text(found['as_of'])}, policy {found['policy']}"
    ]
    if found["n"] == 0:
        lines.append("no answers in this window")
    else:
        share = found["shares"]
        lines += [
            f"NPS {nps_text(found)}   margin {_margin(found)}   n {found['n']:,}" + _hint(found),
            f"promoters {found['promoters']:,} ({share['promoters']} %)   passives {found['passives']:,} "
            f"({share['passives']} %)   detractors {found['detractors']:,} ({share['detractors']} %)",
        ]
    if excluded := _excluded(found):
        lines.append(excluded)
    sys.stdout.write("\n".join(lines) + "\n")


def explain(
    team: str, params: Params, limit: int, data: Path | None, url: str | None, key: str | None, *, as_json: bool
) -> None:
    """Print where a score comes from. Raises Fail when all answers are there and do not recount to it."""
    found = _pages(find("query", "read", data, url, key), f"/v1/teams/{team}/score/explain", params, limit)
    told = (found["promoters"], found["passives"], found["detractors"])
    bands = [item["band"] for item in found["items"]]
    counted = tuple(bands.count(band) for band in ("promoter", "passive", "detractor"))
    whole = found["next_cursor"] is None
    differs = whole and counted != told
    if not as_json:
        _show_explanation(found, recounted=whole and not differs)
    elif not differs:
        output.print_json(found)
    if differs:
        raise Fail(Exit.FAILED, f"the answers recount to {counted} promoters, passives, detractors, not to {told}")


def _show_explanation(found: Mapping[str, Any], *, recounted: bool) -> None:
    log = found["log"]
    up_to = f"record {log['record']}" if log["record"] else "no record yet"
    known = "no time yet" if found["known_at"] is None else _second(found["known_at"])
    lines = [
        f"{found['team']}, {found['window']} to {minute_text(found['as_of'])}, policy {found['policy']}",
        f"known at {known}: {up_to}, everything below {log['partition']}:{log['through']} was stored",
        f"NPS {nps_text(found)} = 100 · (promoters {found['promoters']:,} - detractors {found['detractors']:,}) / "
        f"{found['n']:,}   passives {found['passives']:,}"
        if found["n"]
        else "no answers in this window",
    ]
    if excluded := _excluded(found):
        lines.append(excluded)
    if recounted and found["n"]:
        lines.append("the answers below recount to it")
    sys.stdout.write("\n".join(lines) + "\n")
    if found["items"]:
        output.print_table(
            ("given", "score", "band", "known", "revision", "record", "answer"),
            [
                (
                    _second(item["event_at"]),
                    str(item["score"]),
                    item["band"],
                    _second(item["known_at"]),
                    str(item["revision"]),
                    item["record"],
                    item["response_id"],
                )
                for item in found["items"]
            ],
            right=("score", "revision"),
        )
    if found["next_cursor"] is not None:
        output.note(f"there are more answers behind it; --limit {found['n']} shows all and recounts them")


def teams(params: Params, data: Path | None, url: str | None, key: str | None, *, as_json: bool) -> None:
    """Print all teams."""
    found = _pages(find("query", "read", data, url, key), "/v1/teams", params, None)
    if as_json:
        output.print_json(found)
        return
    if not found["items"]:
        output.note("no team has an answer yet; post one, or `pulse import` some")
        return
    output.print_table(
        ("team", "NPS", "margin", "n", "open", "overdue", "next due"),
        [
            (
                item["team"],
                nps_text(item["score"]),
                _margin(item["score"]),
                f"{item['score']['n']:,}",
                f"{item['open_followups']:,}",
                f"{item['overdue_followups']:,}",
                minute_text(item["next_due_at"]),
            )
            for item in found["items"]
        ],
        right=("NPS", "margin", "n", "open", "overdue"),
    )


def followups(
    params: Params, limit: int, data: Path | None, url: str | None, key: str | None, *, as_json: bool
) -> None:
    """Print follow-up cases."""
    found = _pages(find("query", "read", data, url, key), "/v1/followups", params, limit)
    if as_json:
        output.print_json(found)
        return
    output.print_table(
        ("raised", "team", "score", "state", "due", "owner", "comment", "case"),
        [
            (
                minute_text(item["raised_at"]),
                item["team"],
                str(item["score"]),
                item["state"] + (" late" if any(item["overdue"].values()) else ""),
                minute_text(item["due_at"]),
                item["owner"] or "",
                printable(item["comment"] or "", 40),
                item["case_id"],
            )
            for item in found["items"]
        ],
        right=("score",),
    )
    if found["next_cursor"] is not None:
        output.note(f"there are more; --limit {2 * limit} shows them")


def tail(
    params: Params, count: int | None, data: Path | None, url: str | None, key: str | None, *, as_json: bool
) -> None:
    """Print live events until `count` have come or Ctrl-C. A broken stream is taken up where it was."""
    door = find("query", "read", data, url, key)

    async def follow() -> None:
        left, last_id, connected = count, None, False
        while True:
            try:
                async with Client(door) as client:
                    async for event in client.events("/v1/live", _given(params), last_id):
                        connected = True
                        last_id = event.id or last_id
                        if event.name == "status":
                            continue
                        if as_json:
                            output.print_json({"event": event.name, "data": event.data})
                        else:
                            sys.stdout.write(live_line(event.name, event.data) + "\n")
                            sys.stdout.flush()
                        left = None if left is None else left - 1
                        if left == 0:
                            return
            except Fail as fail:
                if not connected or fail.code not in (Exit.UNREACHABLE, Exit.NOT_READY):
                    raise
            await asyncio.sleep(_RECONNECT_S)

    asyncio.run(follow())


def live_line(name: str, data: Mapping[str, Any]) -> str:
    """One live event as one line."""
    if name == "score":
        windows = "   ".join(
            f"{window['window']} {nps_text(window['all'])} (n {window['all']['n']:,})" for window in data["windows"]
        )
        return f"{minute_text(data['as_of'])}  score       {data['team']}  {windows}"
    if name == "followup":
        kind = data["kind"].removeprefix("followup.")
        return f"{minute_text(data['at'])}  {kind:<11} {data['team']}  score {data['score']}, case {data['case_id']}"
    if name == "correction":
        moved = "   ".join(
            f"{move['window']} {nps_text(move['before'])} → {nps_text(move['after'])}"
            for move in data["windows"]
            if move["policy"] == "all"
        )
        return f"{minute_text(data['known_at'])}  correction  {data['team']}  {data['cause']}  {moved}"
    return f"{name}  {printable(str(data), 120)}"


def printable(text: str, width: int) -> str:
    """Text of a stranger for a terminal: one line, no control characters, cut to `width`."""
    line = "".join(char if char.isprintable() else " " for char in text)
    return line if len(line) <= width else line[: width - 1] + "…"


def nps_text(numbers: Mapping[str, Any]) -> str:
    """The score as people read it; a dash for no answers."""
    return "–" if numbers["display"] is None else str(numbers["display"])


def _margin(numbers: Mapping[str, Any]) -> str:
    margin = numbers["margin"]
    return "" if margin is None else f"{margin['low']:.0f} … {margin['high']:.0f}"


def _hint(numbers: Mapping[str, Any]) -> str:
    return "   (too few answers to trust)" if numbers["state"] == "too_few" else ""


def _excluded(found: Mapping[str, Any]) -> str:
    """What is not counted, in one line; empty for nothing."""
    told = ", ".join(f"{reason} {count:,}" for reason, count in sorted(found["excluded"].items()) if count)
    return f"not counted: {told}" if told else ""


def _second(at: str) -> str:
    """A time to the second, UTC."""
    return at[:19].replace("T", " ")


def within(length: str | None) -> Params:
    """The parameters that ask for what is due so soon, the most urgent first; none for None. Raises Fail."""
    if length is None:
        return {}
    try:
        minutes = parse_window(length)
    except ValueError:
        minutes = None
    if minutes is None:
        raise Fail(Exit.USAGE, "--due-in takes a whole number and m, h or d, such as 90m, 2h, 1d")
    until = datetime.now(UTC) + timedelta(minutes=minutes)
    return {"due_before": until.isoformat(timespec="milliseconds"), "order": "due"}


def minute_text(at: str | None) -> str:
    """A time to the minute, UTC; empty for none."""
    return "" if at is None else at[:16].replace("T", " ")
