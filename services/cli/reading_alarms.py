"""`pulse alarms` and `pulse promoters`: asked of the query and the alerts service, and what they answered."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.cli import output
from services.cli.instance import find
from services.cli.reading import Params, fetched, minute_text, nps_text


def alarms(
    params: Params,
    limit: int,
    data: Path | None,
    url: str | None,
    key: str | None,
    *,
    as_json: bool,
) -> None:
    """Print score alarms."""
    found = fetched(find("query", "read", data, url, key), "/v1/alarms", {**params, "limit": str(limit)})
    if as_json:
        output.print_json(found)
        return
    if not found["items"]:
        output.note("no alarm; `pulse teams` shows how the scores stand")
        return
    output.print_table(
        ("raised", "team", "since", "before", "fell to", "now", "n since", "change", "state"),
        [
            (
                minute_text(one["raised_at"]),
                one["team"],
                one["since"],
                nps_text(one["before"]),
                nps_text(one["after"]),
                nps_text(one["now"]),
                f"{one['now']['n']:,}",
                _change(one["change"]),
                one["ending"] or one["state"],
            )
            for one in found["items"]
        ],
        right=("before", "fell to", "now", "n since", "change"),
    )


def promoters(
    params: Params,
    limit: int,
    data: Path | None,
    url: str | None,
    key: str | None,
    *,
    as_json: bool,
) -> None:
    """Print promoters who may be asked."""
    found = fetched(find("alerts", "read", data, url, key), "/v1/promoters", {**params, "limit": str(limit)})
    if as_json:
        output.print_json(found)
        return
    if not found["promoters"]:
        output.note("nobody has agreed to be asked yet")
        return
    output.print_table(
        ("since", "team", "state", "told", "answer"),
        [
            (minute_text(one["at"]), one["team"], one["state"], _told(one["told"]), one["response_id"])
            for one in found["promoters"]
        ],
    )


def _change(change: Mapping[str, float] | None) -> str:
    return "–" if change is None else f"{change['points']:.0f} ({change['low']:.0f} … {change['high']:.0f})"


def _told(said: list[Mapping[str, Any]]) -> str:
    """The channels that were told, those still to be told in brackets."""
    done = {one["channel"] for one in said if one["state"] == "delivered"}
    waits = {one["channel"] for one in said if one["state"] == "pending"} - done
    return ", ".join([*sorted(done), *(f"({name})" for name in sorted(waits))])
