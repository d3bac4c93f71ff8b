"""The body of `POST /v1/responses`: what a client may say. Unknown fields are refused."""

from __future__ import annotations

from typing import Annotated

import msgspec

from schemas.feedback import Score

Short = Annotated[str, msgspec.Meta(max_length=200)]
TEAM_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"


class RespondentIn(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """Who answered, as far as the client says. All optional; `callback_at` is when the customer wants to be called."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    name: Short | None = None
    email: Annotated[str, msgspec.Meta(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    phone: Annotated[str, msgspec.Meta(max_length=40)] | None = None
    medium: Annotated[str, msgspec.Meta(max_length=40)] | None = None
    callback_at: str | None = None
    age_group: Annotated[str, msgspec.Meta(max_length=40)] | None = None


class ResponseIn(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """One answer as a client posts it. `score` is a whole number 0..10, never a string or a fraction."""

    team: Annotated[str, msgspec.Meta(pattern=TEAM_PATTERN)]
    score: Score
    response_id: str | None = None
    survey: Short | None = None
    comment: Annotated[str, msgspec.Meta(max_length=4000)] | None = None
    answered_at: str | None = None
    revision: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = None
    respondent: RespondentIn | None = None
    channel: Short | None = None
    locale: Annotated[str, msgspec.Meta(max_length=35)] | None = None
    attributes: (
        Annotated[
            dict[
                Annotated[str, msgspec.Meta(min_length=1, max_length=64)],
                Annotated[str, msgspec.Meta(max_length=256)],
            ],
            msgspec.Meta(max_length=20),
        ]
        | None
    ) = None
    answers: (
        Annotated[
            dict[
                Annotated[str, msgspec.Meta(min_length=1, max_length=64)],
                Annotated[str, msgspec.Meta(max_length=4000)] | int | float | bool | None,
            ],
            msgspec.Meta(max_length=50),
        ]
        | None
    ) = None
    test: bool | None = None
