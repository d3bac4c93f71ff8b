"""Notes, as each kind of target wants them. A note is about a team and no case; nothing of it is grouped."""

from __future__ import annotations

import html
from datetime import datetime
from typing import Any, Final

import msgspec

from services.alerts.alarms.records import Note
from services.alerts.targets import wording
from services.alerts.targets.mime import composed

ALERT_NAME: Final = "PulseScore"
_SUMMARY_MAX: Final = 1_024
_OPEN_MS: Final = 91 * 86_400_000  # an alarm ends by itself after 90 days


def pagerduty(note: Note, routing_key: str, severity: str, board: str) -> bytes:
    """An event of Events API v2: an alarm is one incident."""
    body: dict[str, Any] = {"routing_key": routing_key, "dedup_key": note.incident}
    if note.over:
        return msgspec.json.encode(body | {"event_action": "resolve"})
    body |= {
        "event_action": "trigger",
        "payload": {
            "summary": note.headline[:_SUMMARY_MAX],
            "source": note.team,
            "severity": severity,
            "timestamp": wording.iso(note.at_ms),
            "component": "nps",
            "group": note.team,
            "class": "score",
            "custom_details": {"team": note.team, "lines": list(note.lines)},
        },
        "client": "Pulse",
    }
    if board:
        body |= {"client_url": board, "links": [{"href": board, "text": "The board"}]}
    return msgspec.json.encode(body)


def alertmanager(note: Note, labels: dict[str, str], board: str) -> bytes:
    """A list of one alert, `PulseScore`, that fires until the alarm is over."""
    ends_ms = note.at_ms if note.over else note.began_ms + _OPEN_MS
    alert: dict[str, Any] = {
        "labels": {**labels, "alertname": ALERT_NAME, "team": note.team, "alarm": note.incident},
        "annotations": {"summary": note.headline, "description": "\n".join(note.lines)},
        "startsAt": wording.iso(note.began_ms),
        "endsAt": wording.iso(ends_ms),
    }
    if board:
        alert["generatorURL"] = board
    return msgspec.json.encode([alert])


def mail(note: Note, sender: str, to: tuple[str, ...], board: str, now: datetime) -> bytes:
    """Text and HTML. All notes of one alarm are one thread."""
    domain = sender.rpartition("@")[2]
    thread = f"<{note.incident}@{domain}>"
    more = {"In-Reply-To": thread, "References": thread, "X-Pulse-Message": note.note_id}
    lines = [note.headline, "", *note.lines, *(["", f"The board: {board}"] if board else [])]
    shown = "<br>".join(html.escape(line) for line in note.lines)
    link = f"<p><a href='{html.escape(board)}'>Open the board</a></p>" if board else ""
    page = (
        "<!doctype html><html lang='en'><meta charset='utf-8'><body>"
        f"<h2>{html.escape(note.headline)}</h2><p style='white-space:pre-wrap'>{shown}</p>{link}</body></html>\n"
    )
    text = "\n".join(lines) + "\n"
    return composed(f"{note.note_id}@{domain}", note.headline, sender, to, now, more, text, page)
