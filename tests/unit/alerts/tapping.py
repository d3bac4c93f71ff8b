"""The alerts app on a free port, with a log that a test plays, for the page of the links and PagerDuty's webhook."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from unittest.mock import Mock

import aiohttp
from fastapi import FastAPI
from msgspec import structs
from pydantic import SecretStr

from schemas.feedback import Act
from schemas.followups import FollowupEvent, State
from services.alerts.app import build_app
from services.alerts.deliveries import Delivery
from services.alerts.ledger import Ledger
from services.alerts.outcomes import Outcomes
from services.alerts.people import Cache, People, Text
from services.alerts.routes_taps import Counter
from services.alerts.store import Store
from services.alerts.taps import Taps
from services.common.problems import Unavailable
from services.common.settings import AlertsSettings
from tests.unit.alerts.builders import FakeTable, now_ms
from tests.unit.alerts.serving import Now, served

KEY = b"a key of the links in these tests"
AFTER: dict[str, State] = {"acknowledge": "acknowledged", "contact": "contacted", "snooze": "snoozed"}


class PlayedLog:
    """Takes acts, and does with each first one what the fold does; `down` takes none, `slow` folds none."""

    def __init__(self, store: Store, outcomes: Outcomes) -> None:
        self._store = store
        self._outcomes = outcomes
        self.acts: list[tuple[str, Act]] = []
        self.down = False
        self.slow = False

    async def publish(self, team: str, act: Act, text: str | None = None) -> None:
        if self.down:
            raise Unavailable("the log does not answer", retry_after_s=1)
        self.acts.append((team, act))
        event = await Ledger(self._store).case(act.case_id)
        if event is None or self.slow:
            return
        case = structs.replace(event.case, state=AFTER[act.kind], n=event.case.n + 1, owner=act.actor)
        told = FollowupEvent(act.command_id, "followup.acknowledged", now_ms(), case, act=act)
        await self._store.add([], now_ms(), [told])
        self._outcomes.note(told)

    async def close(self) -> None:
        """Nothing to give back."""


class TapDoor:
    """The app at work. `link` makes one as a message would."""

    def __init__(self, folder: Path, texts: dict[str, Text], inbound: Mapping[str, Sequence[str]]) -> None:
        self.store = Store(folder)
        self.outcomes = Outcomes()
        self.log = PlayedLog(self.store, self.outcomes)
        self.people = People(Cache(), FakeTable(texts), 0.05)
        self.inbound = inbound
        self.url = ""
        self.taps = Taps(KEY, "")
        self.session: aiohttp.ClientSession

    @property
    def acts(self) -> list[Act]:
        return [act for _, act in self.log.acts]

    async def raise_case(self, *events: FollowupEvent) -> None:
        await self.store.add([Delivery("pager", event) for event in events], now_ms(), events)

    def link(self, event: FollowupEvent, label: str) -> str:
        return next(link.url for link in self.taps.links(event) if link.label.startswith(label))

    async def ask(self, method: str, url: str, **more: object) -> tuple[int, str]:
        async with self.session.request(method, url, **more) as answer:  # type: ignore[arg-type]
            return answer.status, await answer.text()


STORE, LOG, COUNTER, INBOUND = Now(), Now(), Now(), Now()


@cache
def _app() -> FastAPI:
    settings = AlertsSettings(
        kafka="127.0.0.1:1", clickhouse=SecretStr("http://127.0.0.1:1"), alerts_dir=Path(), alerts_port=0
    )
    COUNTER.it = SimpleNamespace(acts=LOG)  # all that is asked for before a test runs
    counter, inbound = cast("Counter", COUNTER), cast("Mapping[str, Sequence[str]]", INBOUND)
    return build_app(settings, cast("Store", STORE), Mock(), Mock(), lambda: None, counter=counter, inbound=inbound)


@asynccontextmanager
async def tap_door(
    folder: Path, texts: dict[str, Text] | None = None, inbound: Mapping[str, Sequence[str]] | None = None
) -> AsyncIterator[TapDoor]:
    """The app, listening until the block ends."""
    app = _app()
    door = TapDoor(folder, texts or {}, inbound or {})
    STORE.it, LOG.it, INBOUND.it = door.store, door.log, door.inbound
    COUNTER.it = Counter(
        door.taps, Ledger(door.store), door.people, door.log, door.outcomes, "https://pulse.example.com/", secure=False
    )
    async with (
        served(app) as door.url,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
    ):
        door.taps = Taps(KEY, door.url)
        door.session = session
        yield door
    door.store.close()
