"""The log as a hand-written fake that can fail, and a tiny ASGI client to knock at the door with."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from schemas.feedback import Answer
from schemas.people import Person
from schemas.responses import Receipt
from schemas.topics import FEEDBACK
from services.common.keys import key_hash
from services.common.settings import IngestSettings
from services.ingest.app import build_app
from services.ingest.door import App, Door
from services.ingest.port import NotHeld, Outgoing

WRITE, IMPORT, ADMIN, READ, WIDGET = "write-key", "import-key", "admin-key", "read-key", "widget-key"
ORIGIN = "https://shop.example"
SECRET = "respondent-secret"


class FakeLog:
    """Keeps what it acknowledged. `refused` refuses all; `losing` names response ids it does not acknowledge."""

    def __init__(self) -> None:
        self.held: list[Outgoing] = []
        self.refused: str | None = None
        self.losing: set[str] = set()
        self.losing_all = False
        self.gate: asyncio.Event | None = None

    def refusal(self) -> str | None:
        return self.refused

    def unready(self) -> str | None:
        return self.refused

    async def publish(self, outgoing: Outgoing) -> Receipt:
        if self.gate is not None:
            await self.gate.wait()
        if self.losing_all or outgoing.response_id in self.losing:
            raise NotHeld("not acknowledged")
        self.held.append(outgoing)
        return Receipt(FEEDBACK, outgoing.partition, len(self.held) - 1)

    async def publish_all(self, outgoing: Sequence[Outgoing]) -> list[Receipt | NotHeld]:
        outcomes: list[Receipt | NotHeld] = []
        for each in outgoing:
            try:
                outcomes.append(await self.publish(each))
            except NotHeld as not_held:
                outcomes.append(not_held)
        return outcomes

    @property
    def answers(self) -> list[Answer]:
        """The records of the log."""
        return [msgspec.json.decode(each.record, type=Answer) for each in self.held]

    @property
    def people(self) -> dict[str, Person]:
        """The newest text of each key."""
        return {
            each.person_key.decode(): msgspec.json.decode(each.person, type=Person)
            for each in self.held
            if each.person is not None and each.person_key is not None
        }


class Reply(msgspec.Struct):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def paths(self) -> list[str]:
        """The paths of the bad fields, sorted."""
        return sorted(error["path"] for error in self.json().get("errors", []))


def settings(**changes: Any) -> IngestSettings:
    """Settings with one key of each kind."""
    keys = {"write": WRITE, "import": IMPORT, "admin": ADMIN, "read": READ, "widget": WIDGET}
    values: dict[str, Any] = {
        "kafka": "127.0.0.1:1",
        "respondent_secret": SECRET,
        "default_region": "DK",
        "widget_origins": (ORIGIN,),
        "key_hashes": {kind: (key_hash(key),) for kind, key in keys.items()},
    }
    return IngestSettings(**{**values, **changes})


def door(log: FakeLog, **changes: Any) -> Door:
    """The service over a fake log."""
    return build_app(settings(**changes), log)


async def ask(
    app: App,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str | None] | None = None,
    chunks: Iterable[bytes] = (b"",),
    query: str = "",
    client: str = "192.0.2.1",
) -> Reply:
    """One request; a header that is None is left out. `chunks` are the pieces the body arrives in."""
    parts = list(chunks)
    waiting = [
        {"type": "http.request", "body": part, "more_body": place < len(parts) - 1} for place, part in enumerate(parts)
    ]
    sent: list[Mapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [
            (name.lower().encode(), value.encode("latin-1"))
            for name, value in (headers or {}).items()
            if value is not None
        ],
        "client": (client, 50_000),
        "server": ("ingest.example", 80),
    }
    await app(scope, receive, send)
    start = sent[0]
    names = {name.decode(): value.decode() for name, value in start["headers"]}
    assert len(names) == len(start["headers"]), f"a header stands twice: {start['headers']}"
    return Reply(start["status"], names, b"".join(message.get("body", b"") for message in sent[1:]))


async def post(
    app: App, body: Any, *, path: str = "/v1/responses", headers: Mapping[str, str | None] | None = None, **more: Any
) -> Reply:
    """POST with the write key. `body`: bytes as they are, anything else as JSON."""
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    usual = {"Authorization": f"Bearer {WRITE}", "Content-Type": "application/json", "Content-Length": str(len(raw))}
    return await ask(app, "POST", path, headers={**usual, **(headers or {})}, **{"chunks": (raw,), **more})
