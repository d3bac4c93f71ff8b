"""One tap: a signed link in a message, for one thing that may be done with one case. Pure but for its key's file.

A link says which case, which action and which message it stood in, and ends after seven days. Opening it does
nothing; its page acts when its button is pressed. What it does is a command of the log whose id follows from the
link's message, case and action: however often it is pressed, and by however many readers, it is done once.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import uuid
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, get_args

from itsdangerous import BadSignature, SignatureExpired, URLSafeTimedSerializer

from schemas.feedback import Act
from schemas.followups import FollowupEvent
from services.common.clock import wall_clock_ms
from stream.domain.moves import allowed

Action = Literal["acknowledge", "contact", "snooze"]
LABELS: Final[dict[Action, str]] = {"acknowledge": "I’ve got it", "contact": "Contacted", "snooze": "Snooze 1 h"}
LIFE_S: Final = 7 * 86_400
SNOOZE_MS: Final = 3_600_000
FILE: Final = "link.key"
PATH: Final = "/t/"
_KEPT: Final = 4_096  # links that are not signed anew within a minute


@dataclass(frozen=True, slots=True)
class Link:
    """A link as a message shows it."""

    label: str
    url: str


@dataclass(frozen=True, slots=True)
class Tap:
    """What a link stands for. `message` is the id of the event it was told with."""

    case_id: str
    team: str
    action: Action
    message: str

    @property
    def command_id(self) -> str:
        """The same for every press."""
        return str(uuid.uuid5(uuid.UUID(self.case_id), f"tap/{self.message}/{self.action}"))

    def command(self, actor: str, now_ms: int) -> Act:
        """The record of the log."""
        return Act(
            command_id=self.command_id,
            case_id=self.case_id,
            kind=self.action,
            actor=actor,
            outcome="reached" if self.action == "contact" else None,
            until_ms=now_ms + SNOOZE_MS if self.action == "snooze" else None,
        )


class Taps:
    """Makes links and reads them. `address` is where people reach this service; empty: no links are made."""

    def __init__(self, key: bytes, address: str) -> None:
        self._address = address.rstrip("/")
        self._serializer = URLSafeTimedSerializer(
            key, salt="pulse.tap.1", signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256}
        )
        # Signing is a tenth of what telling a case costs, and all channels tell of it at once.
        self._in_minute = lru_cache(maxsize=_KEPT)(lambda tap, _minute: self.token(tap))

    def token(self, tap: Tap) -> str:
        """The signed part of a link."""
        made = self._serializer.dumps([tap.case_id, tap.team, tap.action, tap.message])
        return made if isinstance(made, str) else made.decode()

    def links(self, event: FollowupEvent) -> tuple[Link, ...]:
        """What may be done with a case as it stands in an event."""
        if not self._address:
            return ()
        case, may = event.case, allowed(event.case.state)
        taps = [Tap(case.case_id, case.team, action, event.event_id) for action in LABELS if action in may]
        minute = wall_clock_ms() // 60_000
        return tuple(Link(LABELS[tap.action], self._address + PATH + self._in_minute(tap, minute)) for tap in taps)

    def read(self, token: str) -> Tap | Literal["expired", "forged"]:
        """What a link stands for."""
        try:
            case_id, team, action, message = self._serializer.loads(token, max_age=LIFE_S)
        except SignatureExpired:
            return "expired"
        except (BadSignature, ValueError):
            return "forged"
        return Tap(case_id, team, action, message) if action in get_args(Action) else "forged"


def key_in(folder: Path) -> bytes:
    """The key of the links, minted at the first start; only this user may read it."""
    file = folder / FILE
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return file.read_bytes()
    key = secrets.token_hex(32).encode()
    with os.fdopen(handle, "wb") as opened:
        opened.write(key)
        opened.flush()
        os.fsync(opened.fileno())
    return key
