"""What crosses the ingest door besides answers: commands of an operator, and what they are answered with.

The records they become stand in `schemas.feedback`. Unknown fields are refused.
"""

from __future__ import annotations

from typing import Annotated

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


class ErasureIn(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """Exactly one of the two: whom to forget, or the key under which the log knows them."""

    respondent: PersonIn | None = None
    respondent_key: RespondentKey | None = None


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


class KnownAs(msgspec.Struct, frozen=True):
    """200: the keyed hash under which the log knows a person."""

    respondent_key: RespondentKey


class ErasureAccepted(msgspec.Struct, frozen=True):
    """202: every partition of the log holds the erasure, one receipt each, in their order."""

    respondent_key: RespondentKey
    receipts: list[Receipt]
