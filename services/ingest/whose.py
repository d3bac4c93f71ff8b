"""Everything that a person may have said: the keys they are known by, and the answers that the fold has forgotten.

An answer is known by its respondent's id, else e-mail address, else phone number. Who is to be forgotten by e-mail may
have given an id as well: those answers are found by the contact that stands with their text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from schemas.commands import Linked, PersonIn, Way
from schemas.responses import RespondentIn
from services.ingest.identity import normalised_phone, respondent_key
from stream.domain.minutes import HORIZON_MS

_EARLY_MS: Final = 86_400_000  # the fold forgets by its own clock; erasing what it still knows is harmless


class Contact(msgspec.Struct, frozen=True):
    """How the respondent of one answer can be reached. An empty text was not given."""

    respondent_id: str
    email: str
    phone: str


class Given(msgspec.Struct, frozen=True):
    """One answer that is not erased, its respondent's key, and when it came (ms)."""

    team: str
    response_id: str
    who: str
    received_ms: int


class Stored(Protocol):
    """What the tables know. Every method raises Unavailable when it cannot be asked."""

    async def contacts(self, way: Way, value: str) -> list[Contact]:
        """Contacts that may hold a value: an id as it is, an e-mail address in lower case, the last digits of a phone
        number. Different ones, each once."""
        ...

    async def given_by(self, keys: Sequence[str]) -> list[Given]:
        """The answers of respondents, by team and id."""
        ...


@dataclass(frozen=True, slots=True)
class Secrets:
    """What a respondent's key is made with, as for answers. `region`: of phone numbers without a country code."""

    respondent: bytes
    region: str

    def key_of(self, contact: RespondentIn) -> str | None:
        """See `respondent_key`."""
        return respondent_key(self.respondent, contact, self.region)


@dataclass(frozen=True, slots=True)
class Whole:
    """What an erasure comes to. `answers`: given under the key that was asked for; `forgotten`: to be erased by id."""

    key: str
    answers: int = 0
    linked: tuple[Linked, ...] = ()
    forgotten: tuple[Given, ...] = ()

    @property
    def keys(self) -> list[str]:
        """Every key, that which was asked for first."""
        return [self.key, *(one.respondent_key for one in self.linked)]


async def whole(stored: Stored, key: str, person: PersonIn | None, secrets: Secrets, now_ms: int) -> Whole:
    """Look for everything that the person of a key has said. `person`: as they were named, to look for other keys.

    One step only: what is found by an e-mail address and has an id is not looked for by the id's other addresses.
    Raises Unavailable.
    """
    known_by: dict[str, Way] = {}
    if person is not None:
        for way, found in await _known_by(stored, person, secrets):
            if found != key:
                known_by.setdefault(found, way)
    given = await stored.given_by([key, *known_by])
    count = dict.fromkeys([key, *known_by], 0)
    for answer in given:
        count[answer.who] += 1
    return Whole(
        key,
        count[key],
        tuple(Linked(way, other, count[other]) for other, way in sorted(known_by.items())),
        tuple(answer for answer in given if answer.received_ms < now_ms - HORIZON_MS + _EARLY_MS),
    )


async def _known_by(stored: Stored, person: PersonIn, secrets: Secrets) -> list[tuple[Way, str]]:
    way, value = next(_ways(person.id, person.email, person.phone))
    wanted = _alike(way, value, secrets.region)
    found = []
    for contact in await stored.contacts(way, wanted):
        ways = list(_ways(contact.respondent_id or None, contact.email or None, contact.phone or None))
        if (way, wanted) not in [(one, _alike(one, text, secrets.region)) for one, text in ways]:
            continue
        named = dict(ways)
        key = secrets.key_of(RespondentIn(id=named.get("id"), email=named.get("email"), phone=named.get("phone")))
        if key is not None:
            found.append((ways[0][0], key))
    return found


def _ways(id_: str | None, email: str | None, phone: str | None) -> Iterator[tuple[Way, str]]:
    """What is given, in the order in which it makes the key."""
    if id_ is not None:
        yield "id", id_
    if email is not None:
        yield "email", email
    if phone is not None:
        yield "phone", phone


def _alike(way: Way, value: str, region: str) -> str:
    """A value as it counts: two that are alike are one person's."""
    if way == "email":
        return value.lower()
    return normalised_phone(value, region) or "" if way == "phone" else value
