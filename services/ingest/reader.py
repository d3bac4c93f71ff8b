"""From the bytes of one answer to the records that go to the log."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from schemas.feedback import Answer
from schemas.generations import FIRST, Generation
from schemas.people import Person, person_key
from schemas.responses import FieldError, RespondentIn, ResponseIn
from services.ingest import strict
from services.ingest.access import Caller
from services.ingest.identity import content_hash, keyed_id, respondent_key, uuid7
from services.ingest.port import Outgoing
from services.ingest.times import answered_ms, callback_ms

_TYPE: Final = msgspec.inspect.type_info(ResponseIn)
_ANSWER: Final = msgspec.json.Encoder()
_CANONICAL: Final = msgspec.json.Encoder(order="deterministic")
_NOBODY: Final = RespondentIn()


class Reader:
    """Checks answers. Pure but for the bits of chance in a minted id.

    `secret` keys the respondent and content hashes; `region` is that of phone numbers without a country code.
    """

    def __init__(self, secret: bytes, region: str, generation: Generation = FIRST) -> None:
        self._generation = generation
        self._secret = secret
        self._region = region
        self._decode = msgspec.json.Decoder(ResponseIn).decode

    def read(
        self, raw: bytes, caller: Caller, now_ms: int, idempotency_key: str | None = None, index: int | None = None
    ) -> Outgoing:
        """The records of one answer. `index`: its place in a batch, for ids made from the idempotency key.

        Raises:  NotJson, or Invalid with the path of every bad field.
        """
        try:
            found = self._decode(raw)
            canonical = _CANONICAL.encode(found)
            answered = None
            if found.answered_at is not None:
                answered = answered_ms(found.answered_at, now_ms, history=caller.history, widget=caller.widget)
            callback = None
            if found.respondent is not None and found.respondent.callback_at is not None:
                callback = callback_ms(found.respondent.callback_at)
        except (ValueError, RecursionError) as error:  # msgspec's errors and our own of times are ValueErrors
            errors = self._errors(raw, caller, now_ms, keyed=idempotency_key is not None)
            fallback = [FieldError("$", str(error) if isinstance(error, msgspec.MsgspecError) else "is not valid")]
            raise strict.invalid(errors or fallback) from None
        if _doubtful(raw, canonical) or caller.widget or found.revision:
            errors = self._errors(raw, caller, now_ms, keyed=idempotency_key is not None)
            if errors:
                raise strict.invalid(errors)
        response_id = found.response_id
        if response_id is None:
            if idempotency_key is not None:
                response_id = keyed_id(found.team, idempotency_key, index)
            else:
                response_id = uuid7(now_ms, os.urandom(10))
        return self._outgoing(found, response_id, canonical, answered, callback)

    def _outgoing(
        self, found: ResponseIn, response_id: str, canonical: bytes, answered: int | None, callback: int | None
    ) -> Outgoing:
        team = found.team.encode()
        revision = found.revision or 0
        respondent = found.respondent or _NOBODY
        comment = found.comment or None
        answers = _answered(found.answers) if found.answers else {}
        personal = bool(comment or answers or respondent.id or respondent.name or respondent.email or respondent.phone)
        answer = Answer(
            response_id=response_id,
            score=found.score,
            content=content_hash(self._secret, canonical),
            answered_ms=answered,
            revision=revision,
            respondent=respondent_key(self._secret, respondent, self._region) if personal else None,
            test=found.test or False,
            personal=personal,
            survey=found.survey,
            channel=found.channel,
            locale=found.locale,
            medium=respondent.medium,
            callback_ms=callback,
            age_group=respondent.age_group,
            attributes=found.attributes or {},
            reask_of=found.reask_of,
        )
        key = person = None
        # A revision without text must still replace the text of the one before it.
        if personal or revision:
            key = person_key(found.team, response_id)
            person = _ANSWER.encode(
                Person(
                    team=found.team,
                    response_id=response_id,
                    revision=revision,
                    comment=comment,
                    respondent_id=respondent.id,
                    name=respondent.name or None,
                    email=respondent.email,
                    phone=respondent.phone or None,
                    answers=answers,
                )
            )
        return Outgoing(response_id, team, self._generation.partition_of(team), _ANSWER.encode(answer), key, person)

    def _errors(self, raw: bytes, caller: Caller, now_ms: int, *, keyed: bool) -> list[FieldError]:
        """Every bad field of `raw`, each with the first thing that is wrong; none if the caller may post it."""
        value = strict.load(raw)
        errors = [*strict.walk(value, _TYPE)]
        if isinstance(value, strict.Members):
            errors += self._rules(value, caller, now_ms, keyed=keyed)
        return strict.told(errors)

    def _rules(self, value: strict.Members, caller: Caller, now_ms: int, *, keyed: bool) -> Iterable[FieldError]:
        """What the types cannot say."""
        answered = value.get("answered_at")
        if isinstance(answered, str):
            try:
                answered_ms(answered, now_ms, history=caller.history, widget=caller.widget)
            except ValueError as error:
                yield FieldError("answered_at", str(error))
        respondent = value.get("respondent")
        callback = respondent.get("callback_at") if isinstance(respondent, strict.Members) else None
        if isinstance(callback, str):
            try:
                callback_ms(callback)
            except ValueError as error:
                yield FieldError("respondent.callback_at", str(error))
        if caller.widget:
            for name in ("revision", "test", "reask_of"):
                if value.get(name) is not None:
                    yield FieldError(name, "may not be set with a widget key")
        elif value.get("revision") and not keyed and value.get("response_id") is None and answered is None:
            yield FieldError("response_id", "is required with a revision: it names the answer that is replaced")


def _answered(answers: dict[str, Any]) -> dict[str, Any]:
    return {name: reply for name, reply in answers.items() if reply is not None and reply != ""}


def _doubtful(raw: bytes, canonical: bytes) -> bool:
    """Whether `raw` may hold what msgspec lets pass: a name that stands twice, or a NUL character.

    A name is followed by a colon, and `canonical` is the same answer with each name once: with as many colons, none
    stands twice, unless one was written as an escape. Nulls make a difference too; then the slow reading decides.
    """
    return raw.count(b":") != canonical.count(b":") or b"\\u0000" in raw or b"\\u003" in raw
