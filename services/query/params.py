"""Query parameters, typed once. A bad one is a 422 that names it; an unknown one is refused, so that a typo shows."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from fastapi import Path, Query, Request
from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from schemas.changes import Policy
from schemas.responses import TEAM_PATTERN
from services.common.problems import Invalid
from stream.domain.minutes import MINUTE_MS, ceil_minute, floor_minute, parse_window

BandName = Literal["detractor", "passive", "promoter"]
MarginMethod = Literal["adjusted_wald", "score"]

AHEAD_MS: Final = 5 * MINUTE_MS  # how far clocks may differ before an instant counts as the future
MAX_POINTS: Final = 2_000
MAX_LIMIT: Final = 200
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
T = TypeVar("T")


def _checked(check: Callable[[str], Any], code: str) -> Callable[[str], str]:
    """A validator that keeps the text and turns the check's ValueError into a message without a prefix."""

    def validate(text: str) -> str:
        try:
            check(text)
        except ValueError as error:
            raise PydanticCustomError(code, "{reason}", {"reason": str(error)}) from None
        return text

    return validate


def parse_step(text: str) -> int:
    """A step's length in minutes. Raises ValueError for anything but a whole number and m, h or d."""
    minutes = None if text == "all" else parse_window(text.strip())
    if minutes is None:
        raise ValueError("step must be a whole number and m, h or d, such as 15m, 6h or 1d")
    return minutes


def parse_instant(text: str) -> datetime:
    """An ISO 8601 instant as UTC. A time zone is required; a `+` that a URL turned into a space is understood.

    Raises:  ValueError, naming the form and the limits, for anything else.

    >>> parse_instant("2026-11-22T12:00:00Z")
    datetime.datetime(2026, 11, 22, 12, 0, tzinfo=datetime.timezone.utc)
    """
    form = "must be an ISO 8601 time with a time zone, such as 2026-11-22T12:00:00Z"
    mended = re.sub(r" (\d\d:?\d\d)$", r"+\1", text) if "T" in text else text
    if not re.match(r"\d{4}-\d\d-\d\d[T ]", mended):
        raise ValueError(form)
    try:
        at = datetime.fromisoformat(mended)
        if at.tzinfo is None:
            raise ValueError(form)
        at = at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(form) from None
    if not 1970 <= at.year < 2100:
        raise ValueError("must be between the years 1970 and 2100")
    return at


def _instant(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return parse_instant(value)
    except ValueError as error:
        raise PydanticCustomError("instant", "{reason}", {"reason": str(error)}) from None


def split_commas(values: list[str]) -> list[str]:
    """`["a,b", "c"]` as `["a", "b", "c"]`: a list may be repeated parameters, commas, or both."""
    return [part for value in values for part in value.split(",")]


def parse_receipt(text: str) -> tuple[int, int]:
    """(partition, offset) of a receipt written `partition:offset`. Raises ValueError naming the form.

    >>> parse_receipt("3:1017")
    (3, 1017)
    """
    found = re.fullmatch(r"([0-9]{1,5}):([0-9]{1,15})", text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is not a receipt: write partition:offset, such as 3:1017")
    return int(found[1]), int(found[2])


def _receipts(values: object) -> object:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        return values
    receipts = split_commas(values)
    if len(receipts) > 100:
        raise PydanticCustomError("receipts", "at most 100 receipts")
    for receipt in receipts:
        try:
            parse_receipt(receipt)
        except ValueError as error:
            raise PydanticCustomError("receipt", "{reason}", {"reason": str(error)}) from None
    return receipts


Team = Annotated[str, Path(pattern=TEAM_PATTERN, description="the team's name")]
TeamFilter = Annotated[str | None, Query(pattern=TEAM_PATTERN, description="only this team")]
Window = Annotated[
    str,
    AfterValidator(_checked(parse_window, "window")),
    Query(description="length of the window: a whole number and m, h or d, or `all`", examples=["90m", "7d", "all"]),
]
Step = Annotated[
    str,
    AfterValidator(_checked(parse_step, "step")),
    Query(description="distance of two points: a whole number and m, h or d", examples=["15m", "1d"]),
]
Instant = Annotated[datetime | None, BeforeValidator(_instant)]
AsOf = Annotated[
    Instant, Query(description="end of the window, floored to the minute; default: now, the next whole minute")
]
KnownAt = Annotated[
    Instant, Query(description="count what was known at this time: later answers, edits and exclusions are left out")
]
PolicyParam = Annotated[
    Policy, Query(description="`all`: each counted answer; `latest`: each respondent's newest counted answer")
]
Margin = Annotated[MarginMethod, Query(description="how the margin is made: adjusted Wald, or the score interval")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="most items of one page")]
Cursor = Annotated[str | None, Query(max_length=400, description="`next_cursor` of the page before")]
AtLeast = Annotated[
    list[str],
    BeforeValidator(_receipts),
    Query(
        description="wait until the answers of these receipts (`partition:offset`) are in the store: at most 5 s, "
        "then 503. Repeat it, or separate with commas",
        examples=[["3:1017"]],
    ),
]


def minute_of(at: datetime) -> int:
    """The minute an instant is floored to."""
    return floor_minute(epoch_ms(at))


def epoch_ms(at: datetime) -> int:
    """Milliseconds since 1970 of an aware time, floored."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def when(minute: int) -> datetime:
    """A minute as a UTC time."""
    return _EPOCH + timedelta(minutes=minute)


def from_ms(at_ms: int) -> datetime:
    """Milliseconds since 1970 as a UTC time."""
    return _EPOCH + timedelta(milliseconds=at_ms)


@dataclass(frozen=True, slots=True)
class Ask:
    """One question about a window: `as_of` is its last minute; `minutes` its length, None for everything before.

    `team` None means over all teams. `known_ms` None means as known now.
    """

    team: str | None
    window: str
    policy: Policy
    as_of: int
    known_ms: int | None = None

    @property
    def minutes(self) -> int | None:
        return parse_window(self.window)

    @property
    def after(self) -> int | None:
        """The minute the window begins after; None when it has no beginning."""
        return None if self.minutes is None else self.as_of - self.minutes


def ask(
    now_ms: int,
    team: str | None,
    window: str,
    policy: Policy = "all",
    as_of: datetime | None = None,
    known_at: datetime | None = None,
    *,
    path: str = "as_of",
) -> Ask:
    """The question that a request's parameters put. Raises Invalid for a time in the future, naming it by `path`."""
    not_ahead(now_ms, path, as_of)
    not_ahead(now_ms, "known_at", known_at)
    return Ask(
        team,
        window,
        policy,
        ceil_minute(now_ms) if as_of is None else minute_of(as_of),
        None if known_at is None else epoch_ms(known_at),
    )


def not_ahead(now_ms: int, path: str, at: datetime | None) -> None:
    """Refuse an instant more than 5 minutes ahead of our clock."""
    if at is not None and epoch_ms(at) > now_ms + AHEAD_MS:
        raise invalid(path, "must not be in the future")


def invalid(path: str, message: str) -> Invalid:
    """A 422 that names one field."""
    return Invalid("see errors", errors=[{"path": path, "message": message}])


def encode_cursor(place: msgspec.Struct) -> str:
    """An opaque cursor: where the next page begins."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def decode_cursor(cursor: str | None, kind: type[T]) -> T | None:
    """The place a cursor of ours names, None for none. Raises Invalid for anything else."""
    if cursor is None:
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=kind)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise invalid("cursor", "is not a cursor of this list; take next_cursor as it was given") from None


async def refuse_unknown(request: Request) -> None:
    """A dependency: 422 for a query parameter that the route does not have."""
    known: dict[str, frozenset[str]] = request.app.state.parameters
    allowed = known.get(getattr(request.scope.get("route"), "path", ""), frozenset())
    unknown = sorted(set(request.query_params) - allowed)
    if unknown:
        choice = ", ".join(sorted(allowed)) or "none"
        raise Invalid(
            "see errors",
            errors=[
                {"path": name[:64], "message": f"unknown parameter; this route takes: {choice}"} for name in unknown
            ],
        )
