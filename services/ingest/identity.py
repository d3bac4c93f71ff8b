"""Who and which: ids of answers, the hash of their content, the key of their respondent."""

from __future__ import annotations

import hmac
from typing import Final
from uuid import UUID, uuid5

import phonenumbers

from schemas.responses import RespondentIn

IDEMPOTENCY_NAMESPACE: Final = UUID("6f1d3a52-9c0b-5e8e-8a35-2f0c2b7d9e41")
HASH_HEX: Final = 32  # 128 bits


def uuid7(now_ms: int, random: bytes) -> str:
    """A UUIDv7 (RFC 9562): 48 bits of time, then chance. `random` holds 10 bytes."""
    value = now_ms << 80 | int.from_bytes(random, "big")
    value = value & ~(0xF000 << 64) | 0x7000 << 64
    value = value & ~(0xC000 << 48) | 0x8000 << 48
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def keyed_id(team: str, key: str, index: int | None = None) -> str:
    """The id an `Idempotency-Key` stands for: UUIDv5 of team, place in a batch (None outside one) and key.

    A team holds no `|`, so two different triples never make the same name.
    """
    return str(uuid5(IDEMPOTENCY_NAMESPACE, f"{team}|{'' if index is None else index}|{key}"))


def content_hash(secret: bytes, canonical: bytes) -> str:
    """Hash of what a client sent, 32 hex characters of HMAC-SHA256.

    Keyed, because it stands in the log for as long as the log: whoever reads it must not be able to try phone
    numbers or comments until one fits.
    """
    return hmac.digest(secret, b"content:" + canonical, "sha256").hex()[:HASH_HEX]


def respondent_key(secret: bytes, respondent: RespondentIn, region: str) -> str | None:
    """A respondent's key: 32 hex characters of HMAC-SHA256 over the id, else the e-mail, else the phone number.

    The e-mail counts in lower case, the phone number as E.164. None when there is none of them, or only a phone
    number that cannot be read. State keys carry the team, so the key itself does not.
    """
    if respondent.id is not None:
        name = f"id:{respondent.id}"
    elif respondent.email is not None:
        name = f"email:{respondent.email.lower()}"
    elif respondent.phone is not None and (e164 := normalised_phone(respondent.phone, region)) is not None:
        name = f"phone:{e164}"
    else:
        return None
    return hmac.digest(secret, name.encode(), "sha256").hex()[:HASH_HEX]


def normalised_phone(text: str, region: str) -> str | None:
    """A phone number as E.164; None when it is none. `region`: of numbers without a country code, such as `DK`.

    >>> normalised_phone("(0045) 33 12 34 56", "DK"), normalised_phone("ask reception", "DK")
    ('+4533123456', None)
    """
    try:
        number = phonenumbers.parse(text, region or None)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
