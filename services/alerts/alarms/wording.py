"""What is said of an alarm. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from services.alerts.alarms.records import DAY_MS, Alarm, Note, NoteKind, note_id
from stream.domain.alarms import BEFORE_DAYS, DAY_MINUTES
from stream.domain.minutes import MINUTE_MS, floor_minute
from stream.domain.scores import Tally, adjusted_wald, difference, display, nps

_EPOCH: Final = date(1970, 1, 1)
_ENDED: Final = {
    "recovered": "has risen again",
    "withdrawn": "had not fallen: answers that said so do not count any more",
    "settled": "has stayed low for 90 days; this is its level now",
}


def day_of(day: int) -> str:
    """A day as people write it: `2026-11-29`."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def moment(at_ms: int) -> str:
    """ISO 8601, UTC, whole seconds."""
    return f"{datetime.fromtimestamp(at_ms // 1_000, UTC):%Y-%m-%dT%H:%M:%S}Z"


def note_of(alarm: Alarm) -> Note:
    """The newest note of an alarm: that it was raised, or that it has ended."""
    over = alarm.ended_ms is not None
    kind: NoteKind = "alarm.ended" if over else "alarm.raised"
    was, fell, now = (display(tally) for tally in (alarm.before, alarm.after, alarm.now))
    span = day_of(alarm.first) if alarm.first == alarm.last else f"{day_of(alarm.first)} … {day_of(alarm.last)}"
    lines = [
        f"Since {day_of(alarm.since)} (between {span}): NPS {fell} of {alarm.after.total} answers",
        f"{BEFORE_DAYS} days before: NPS {was} of {alarm.before.total} answers",
        f"Answers: {explain_path(alarm)}",
    ]
    if over:
        lines.insert(0, f"The score of {alarm.team} {_ENDED[alarm.ending or 'recovered']}; since then NPS {now}")
    headline = f"NPS of {alarm.team} fell from {was} to {fell}" if not over else f"Over: NPS of {alarm.team}"
    return Note(
        note_id=note_id(alarm),
        kind=kind,
        at_ms=alarm.ended_ms if alarm.ended_ms is not None else alarm.raised_ms,
        team=alarm.team,
        headline=headline,
        lines=tuple(lines),
        incident=alarm.alarm_id,
        over=over,
        began_ms=alarm.raised_ms,
        data=data_of(alarm),
    )


def explain_path(alarm: Alarm) -> str:
    """Where the query service shows each answer since the fall, up to the alarm."""
    as_of = floor_minute(alarm.raised_ms)
    length = max(1, as_of - alarm.since * DAY_MINUTES)
    return f"/v1/teams/{alarm.team}/score/explain?window={length}m&as_of={moment(as_of * MINUTE_MS)}"


def data_of(alarm: Alarm) -> dict[str, Any]:
    """An alarm as `GET /v1/alarms` and a webhook give it."""
    apart = difference(alarm.after, alarm.before)
    return {
        "alarm_id": alarm.alarm_id,
        "team": alarm.team,
        "state": "ended" if alarm.ended_ms is not None else "open",
        "ending": alarm.ending,
        "since": day_of(alarm.since),
        "since_first": day_of(alarm.first),
        "since_last": day_of(alarm.last),
        "raised_at": moment(alarm.raised_ms),
        "ended_at": moment(alarm.ended_ms) if alarm.ended_ms is not None else None,
        "before": score_of(alarm.before) | {"from": day_of(alarm.since - BEFORE_DAYS), "to": day_of(alarm.since - 1)},
        "after": score_of(alarm.after) | {"from": day_of(alarm.since), "to": day_of(alarm.raised_ms // DAY_MS)},
        "now": score_of(alarm.now),
        "change": {"points": apart.raw, "low": apart.low, "high": apart.high} if apart else None,
        "explain": explain_path(alarm),
    }


def score_of(tally: Tally) -> dict[str, Any]:
    """Counts, score and margin."""
    margin = adjusted_wald(tally)
    return {
        "n": tally.total,
        "detractors": tally.detractors,
        "passives": tally.passives,
        "promoters": tally.promoters,
        "nps": nps(tally),
        "margin": {"low": margin.low, "high": margin.high} if margin else None,
    }
