"""What crosses the ingest door besides answers: commands of an operator, and what they are answered with.

The records they become stand in `schemas.feedback`. Unknown fields are refused.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from schemas.feedback import Reason
from schemas.responses import EMAIL_PATTERN, Receipt, whole

KEY_PATTERN = r"^[0-9a-f]{32}$"

RespondentKey = Annotated[str, msgspec.Meta(pattern=whole(KEY_PATTERN))]


class MarkIn(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Why an answer is not to be counted, or which reason no longer stands."""

    reason: Reason


class PersonIn(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """Exactly one of the three. An answer is known by its respondent's id, else e-mail, else phone."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    email: Annotated[str, msgspec.Meta(max_length=254, pattern=whole(EMAIL_PATTERN))] | None = None
    phone: Annotated[str, msgspec.Meta(max_length=40)] | None = None


class WhoseKey(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Whose key is asked for."""

    respondent: PersonIn


Way = Literal["id", "email", "phone"]


class ErasureIn(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """Exactly one of the two: whom to forget, or the key under which the log knows them.

    `linked`: forget a person too where answers that hold this id, address or number are known by another key.
    `dry_run`: only say what would be erased.
    """

    respondent: PersonIn | None = None
    respondent_key: RespondentKey | None = None
    linked: bool = True
    dry_run: bool = False


class Linked(msgspec.Struct, frozen=True):
    """Another key of the same person, by what it was made of, and how many answers are known by it."""

    known_by: Way
    respondent_key: RespondentKey
    answers: int


WINDOW_PATTERN = r"^[1-9][0-9]{0,7}[mhd]$"


class WindowsIn(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The live windows from now on, each a whole number and m, h or d: ascending, none over 366 days."""

    windows: Annotated[
        list[Annotated[str, msgspec.Meta(pattern=whole(WINDOW_PATTERN))]], msgspec.Meta(min_length=1, max_length=20)
    ]


class WindowsAccepted(msgspec.Struct, frozen=True):
    """202: every partition of the log holds the list, in minutes; one receipt each, in their order."""

    minutes: list[int]
    receipts: list[Receipt]


class PolicyAccepted(msgspec.Struct, frozen=True, omit_defaults=True):
    """202: the log holds what the team promises. `until_ms`: how far its calendar is expanded; not around the clock."""

    team: str
    rev: str
    receipt: Receipt
    until_ms: int | None = None


class KnownAs(msgspec.Struct, frozen=True):
    """200: the keyed hash under which the log knows a person."""

    respondent_key: RespondentKey


class ErasureFound(msgspec.Struct, frozen=True):
    """200, of a dry run: what would be erased. `answers`: known by this key; `by_id`: too old for the fold to know.

    `searched`: false where the door has no tables to look in; then nothing was counted, and nothing linked.
    """

    respondent_key: RespondentKey
    searched: bool
    answers: int
    linked: list[Linked]
    by_id: int


class ErasureAccepted(msgspec.Struct, frozen=True, omit_defaults=True):
    """202: the log holds the erasure: for each key a receipt of every partition, in their order, then one of each
    answer that was erased by its id. The rest as for a dry run, where there is something to say."""

    respondent_key: RespondentKey
    receipts: list[Receipt]
    searched: bool = False
    answers: int = 0
    linked: list[Linked] = []
    by_id: int = 0
