"""What crosses the ingest door: the body of `POST /v1/responses`, and what it is answered with.

The OpenAPI document of the ingest service is generated from these types, and the service decodes with them.
Unknown fields are refused.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from schemas.feedback import Score

TEAM_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
UUID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
EMAIL_PATTERN = r"^[^@\s]+@[^@\s]+$"
SAFE_INTEGER = 2**53 - 1  # the largest whole number that every JSON reader holds exactly


def whole(pattern: str) -> str:
    """`pattern`, which ends in `$`, for Python's `re`: there, `$` also matches before a trailing newline."""
    return pattern.removesuffix("$") + r"(?!\n)$"


Short = Annotated[str, msgspec.Meta(max_length=200)]
Time = Annotated[str, msgspec.Meta(max_length=40, extra_json_schema={"format": "date-time"})]
Team = Annotated[str, msgspec.Meta(pattern=whole(TEAM_PATTERN))]
ResponseId = Annotated[str, msgspec.Meta(pattern=whole(UUID_PATTERN), extra_json_schema={"format": "uuid"})]
FieldName = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Whole = Annotated[int, msgspec.Meta(ge=-SAFE_INTEGER, le=SAFE_INTEGER)]


class RespondentIn(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """Who answered, as far as the client says. All optional; `callback_at` is when the customer wants to be called."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    name: Short | None = None
    email: Annotated[str, msgspec.Meta(max_length=254, pattern=whole(EMAIL_PATTERN))] | None = None
    phone: Annotated[str, msgspec.Meta(max_length=40)] | None = None
    medium: Annotated[str, msgspec.Meta(max_length=40)] | None = None
    callback_at: Time | None = None
    age_group: Annotated[str, msgspec.Meta(max_length=40)] | None = None


class ResponseIn(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """One answer as a client posts it. `score` is a whole number 0..10, never a string or a fraction.

    `reask_of`: the id of the follow-up case about which the customer was asked again.
    """

    team: Team
    score: Score
    response_id: ResponseId | None = None
    survey: Short | None = None
    comment: Annotated[str, msgspec.Meta(max_length=4000)] | None = None
    answered_at: Time | None = None
    revision: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = None
    respondent: RespondentIn | None = None
    channel: Short | None = None
    locale: Annotated[str, msgspec.Meta(max_length=35)] | None = None
    attributes: (
        Annotated[dict[FieldName, Annotated[str, msgspec.Meta(max_length=256)]], msgspec.Meta(max_length=20)] | None
    ) = None
    answers: (
        Annotated[
            dict[FieldName, Annotated[str, msgspec.Meta(max_length=4000)] | Whole | float | bool | None],
            msgspec.Meta(max_length=50),
        ]
        | None
    ) = None
    test: bool | None = None
    reask_of: ResponseId | None = None


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """Where the answer stands in the log. `partition:offset` is what a read takes as `at_least`."""

    topic: str
    partition: int
    offset: int


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """202: every in-sync replica of the log holds the answer."""

    response_id: str
    receipt: Receipt


class FieldError(msgspec.Struct, frozen=True, gc=False):
    """One bad field: its dotted path (`respondent.email`, `[3].score` in a batch; `$` is the whole body) and why."""

    path: str
    message: str


class BatchItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one item. `retry`: not known to be held, send it again with this `response_id`."""

    index: int
    status: Literal["accepted", "rejected", "retry"]
    response_id: str | None = None
    receipt: Receipt | None = None
    errors: list[FieldError] | None = None


class BatchResult(msgspec.Struct, frozen=True):
    """200: one item for each of the batch's, in its order, and how many have each status."""

    items: list[BatchItem]
    accepted: int
    rejected: int
    retry: int


class ProblemBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem (RFC 9457). `code` is stable; `response_id` stands in a 503: send the answer again with it."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[FieldError] | None = None
    response_id: str | None = None
    items: list[BatchItem] | None = None
