"""What a message says to a person. Pure; no markup: each channel brings its own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from services.alerts.channels import Message, Told

COMMENT_SHOWN: Final = 1_500
_BEGINS: Final[dict[str, str]] = {
    "followup.raised": "",
    "followup.reopened": "Reopened: ",
    "followup.reminder": "Due soon: ",
    "followup.breached": "Overdue: ",
    "followup.escalated": "Escalated: ",
}
_MANY: Final[dict[str, str]] = {
    "followup.raised": "unhappy answers",
    "followup.reopened": "reopened follow-ups",
    "followup.reminder": "follow-ups due soon",
    "followup.breached": "overdue follow-ups",
    "followup.escalated": "escalated follow-ups",
}


def iso(at_ms: int) -> str:
    """ISO 8601, UTC, milliseconds: `2026-11-20T14:59:00.000Z`."""
    moment = datetime.fromtimestamp(at_ms // 1_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ms % 1_000:03d}Z"


def minute(at_ms: int) -> str:
    """A time for people: `2026-11-20 14:59 UTC`."""
    return f"{datetime.fromtimestamp(at_ms // 1_000, UTC):%Y-%m-%d %H:%M} UTC"


def headline(message: Message) -> str:
    """The message in one line, with nothing personal in it: it stands in subjects and on locked screens."""
    case = message.event.case
    if message.repeated and message.count > 1:
        return f"{message.count} follow-ups still open in {case.team}"
    if message.count > 1:
        return f"{message.count} {_MANY.get(message.event.kind, 'changes of follow-ups')} in {case.team}"
    begun = "Still open: " if message.repeated else _BEGINS.get(message.event.kind, f"{case.state.capitalize()}: ")
    return f"{begun}{case.score} of 10 in {case.team}"


def deadline(told: Told) -> str:
    """By when somebody must have made contact."""
    case = told.event.case
    if case.callback_ms is not None:
        return f"call back at {minute(case.callback_ms)}"
    return f"first contact by {minute(case.contact_due_ms)}"


def comment(told: Told, most: int = COMMENT_SHOWN) -> str | None:
    """What the customer wrote, cut to `most` characters; None: nothing. Says so where it is known to be missing."""
    if told.missing is not None:
        return "(comment and contact could not be found, or were erased)"
    text = told.text.comment if told.text else None
    if not text:
        return None
    return text if len(text) <= most else text[: most - 1] + "…"


def contact(told: Told) -> list[tuple[str, str]]:
    """Who it was and how to reach them, as label and value; empty where nobody is known."""
    text, medium = told.text, told.event.case.medium
    known = (
        ("Name", text.name if text else None),
        ("E-mail", text.email if text else None),
        ("Phone", text.phone if text else None),
        ("Customer", text.respondent_id if text else None),
        ("Prefers", medium),
    )
    return [(label, value) for label, value in known if value]


def one_line(told: Told) -> str:
    """A case in a list: score, deadline and the beginning of the comment."""
    words = " ".join((comment(told, 140) or "").split())
    return f"{told.event.case.score} of 10, {deadline(told)}" + (f": {words}" if words else "")


def rest(message: Message) -> str | None:
    """How many are not shown; None: all are."""
    left = message.count - len(message.told)
    return f"and {left} more" if left > 0 else None
