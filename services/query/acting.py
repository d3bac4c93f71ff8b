"""What may be asked of a case over HTTP, checked; and the command of the log that it becomes."""

from __future__ import annotations

import re
import uuid
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError
from pydantic_core import PydanticCustomError

from schemas.feedback import Act, ActKind, ContactOutcome
from services.common.problems import Invalid, NotJson
from services.query.params import epoch_ms, invalid, parse_instant
from stream.domain import ids

MOST_BYTES: Final = 64 * 1024  # of a body: a note of 4,000 characters however they are written
MOST_KEY: Final = 255


def _plain(value: object) -> object:
    """A short text without blanks around it. Raises PydanticCustomError for control characters."""
    if not isinstance(value, str):
        return value
    if not value.isprintable():
        raise PydanticCustomError("printable", "must be printable, and in one line")
    return value.strip()


def _moment(value: object) -> object:
    """An instant of JSON. Raises PydanticCustomError for a number: of which unit it would be, nobody can tell."""
    try:
        return parse_instant(value if isinstance(value, str) else "")
    except ValueError as error:
        raise PydanticCustomError("instant", "{reason}", {"reason": str(error)}) from None


def _short(most: int) -> Any:
    return StringConstraints(min_length=1, max_length=most)


Name = Annotated[str, BeforeValidator(_plain), _short(64)]
Medium = Annotated[str, BeforeValidator(_plain), _short(40)]
Cause = Annotated[str, BeforeValidator(_plain), _short(200)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
Note = Annotated[str, StringConstraints(min_length=1, max_length=4_000, strip_whitespace=True)]


class ActIn(BaseModel):
    """What every act says: who acts, and, if there is more to say, a note. Notes are personal text, and erasable."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    actor: Name
    note: Note | None = None


class AcknowledgeIn(ActIn):
    """I've got it."""


class AssignIn(ActIn):
    """`owner` has it from now on; null: nobody."""

    owner: Name | None


class NoteIn(ActIn):
    """Something to remember."""

    note: Note


class ContactIn(ActIn):
    """An attempt to contact the customer, or the customer's reply. `reached`, `message_left` and `replied` count as a
    contact, `no_answer` and `failed` do not."""

    outcome: ContactOutcome
    medium: Medium | None = None


class CallbackIn(ActIn):
    """The customer is to be called back at this time, which was agreed. It takes the place of the first clock."""

    at: Moment
    medium: Medium | None = None


class SnoozeIn(ActIn):
    """Nothing to do until this time."""

    until: Moment


class ResolveIn(ActIn):
    """It is done. `cause`: why the customer was unhappy."""

    cause: Cause


class ReopenIn(ActIn):
    """It was not done."""


BODIES: Final[dict[ActKind, type[ActIn]]] = {
    "acknowledge": AcknowledgeIn,
    "assign": AssignIn,
    "note": NoteIn,
    "contact": ContactIn,
    "callback": CallbackIn,
    "snooze": SnoozeIn,
    "resolve": ResolveIn,
    "reopen": ReopenIn,
}
Body = TypeVar("Body", bound=ActIn)


def parse(raw: bytes, body: type[Body]) -> Body:
    """A request's body. Raises NotJson, or Invalid with the path of every bad field."""
    try:
        return body.model_validate_json(raw)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
    if any(one["type"] == "json_invalid" for one in found):
        raise NotJson("the body is not JSON")
    errors = [{"path": ".".join(map(str, one["loc"])) or "$", "message": one["msg"]} for one in found]
    raise Invalid("see errors", errors=errors)


def command(kind: ActKind, case_id: str, asked: ActIn, expect_n: int | None, key: str | None) -> Act:
    """The record. With an `Idempotency-Key` the same request is the same command, and its note the same text."""
    command_id = str(uuid.uuid4()) if key is None else ids.uuid5("act", case_id, key)
    return Act(
        command_id=command_id,
        case_id=case_id,
        kind=kind,
        actor=asked.actor,
        expect_n=expect_n,
        owner=asked.owner if isinstance(asked, AssignIn) else None,
        medium=asked.medium if isinstance(asked, ContactIn | CallbackIn) else None,
        outcome=asked.outcome if isinstance(asked, ContactIn) else None,
        at_ms=epoch_ms(asked.at) if isinstance(asked, CallbackIn) else None,
        until_ms=epoch_ms(asked.until) if isinstance(asked, SnoozeIn) else None,
        cause=asked.cause if isinstance(asked, ResolveIn) else None,
        note=None if asked.note is None else ids.uuid5("note", command_id),
    )


def parse_match(text: str | None) -> int | None:
    """The event count of an `If-Match`: `"4"`, `4`, or none for `*`. Raises Invalid for anything else."""
    if text is None or text.strip() == "*":
        return None
    found = re.fullmatch(r'\s*(?:"([0-9]{1,9})"|([0-9]{1,9}))\s*', text)
    if found is None:
        raise invalid("If-Match", 'must be the case\'s n, such as "4", or *')
    return int(found[1] or found[2])


def check_key(key: str | None) -> str | None:
    """An `Idempotency-Key`. Raises Invalid for one that is empty, too long or not visible ASCII."""
    if key is not None and not (1 <= len(key) <= MOST_KEY and key.isascii() and key.isprintable()):
        raise invalid("Idempotency-Key", f"must be 1 to {MOST_KEY} ASCII characters")
    return key
