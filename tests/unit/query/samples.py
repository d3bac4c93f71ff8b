"""Rows as the sink writes them, a naive recount to hold the queries against, and the service on a free port."""

from __future__ import annotations

import asyncio
import json
import socket
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
import uvicorn
from clickhouse_connect import get_client
from clickhouse_connect.driver.client import Client
from fastapi import FastAPI
from pydantic import SecretStr

from services.common.keys import key_hash
from services.common.settings import QuerySettings
from services.query.store import Store
from stream.domain.minutes import MINUTE_MS, ceil_minute
from stream.domain.scores import Tally

READ_KEY = "read-key-of-a-test"
WRITE_KEY = "write-key-of-a-test"
ADMIN_KEY = "admin-key-of-a-test"
GENERATION = 1
# A Sunday at noon, a whole minute: day 9 of the rolling scenario.
NOON_MS = 1_793_534_400_000


def settings(clickhouse: str, kafka: str = "127.0.0.1:1", **more: Any) -> QuerySettings:
    """Settings of a query service with the keys above. Port 1 answers nothing: no Kafka."""
    return QuerySettings(
        kafka=kafka,
        clickhouse=SecretStr(clickhouse),
        key_hashes={"read": (key_hash(READ_KEY),), "write": (key_hash(WRITE_KEY),), "admin": (key_hash(ADMIN_KEY),)},
        **more,
    )


def uid(number: int) -> str:
    """A response or case id."""
    return str(uuid.UUID(int=number))


@dataclass(frozen=True, slots=True)
class State:
    """One resolved state of an answer."""

    team: str
    response_id: str
    version: int
    event_ms: int
    known_ms: int
    first_offset: int
    score: int
    respondent: str = ""
    reasons: tuple[str, ...] = ()
    revision: int = 0
    history: bool = False
    case_id: str = ""
    erased: bool = False

    def edited(self, version: int, known_ms: int, **changes: Any) -> State:
        """The state after a further record."""
        return replace(self, version=version, known_ms=known_ms, **changes)

    def erasure(self, version: int, known_ms: int) -> State:
        """The row that is left of the answer once it was erased."""
        return State(
            *(self.team, self.response_id, version, self.event_ms, known_ms, self.first_offset), score=0, erased=True
        )


def standing(states: Iterable[State], known_ms: int | None = None) -> list[State]:
    """The newest state of each answer that was known by then, without the answers that were erased since."""
    newest: dict[tuple[str, str], State] = {}
    every = list(states)
    gone = {(state.team, state.response_id) for state in every if state.erased}
    for state in every:
        key = (state.team, state.response_id)
        known = (known_ms is None or state.known_ms <= known_ms) and key not in gone
        if known and (key not in newest or newest[key].version < state.version):
            newest[key] = state
    return list(newest.values())


def recount(
    states: Iterable[State],
    as_of: int,
    minutes: int | None,
    policy: str = "all",
    team: str | None = None,
    known_ms: int | None = None,
) -> Tally:
    """The counts of a window the slow way, straight from the contract's words."""
    counted = [
        state
        for state in standing(states, known_ms)
        if not state.reasons and (team is None or state.team == team) and ceil_minute(state.event_ms) <= as_of
    ]
    if policy == "latest":
        newest: dict[tuple[str, str, str], State] = {}
        for state in sorted(counted, key=lambda one: (one.event_ms, one.first_offset)):
            newest[(state.team, state.respondent, "" if state.respondent else state.response_id)] = state
        counted = list(newest.values())
    inside = [s for s in counted if minutes is None or ceil_minute(s.event_ms) > as_of - minutes]
    histogram = [sum(1 for state in inside if state.score == score) for score in range(11)]
    return Tally.of_histogram(histogram)


def left_out(
    states: Iterable[State], as_of: int, minutes: int | None, team: str | None = None, known_ms: int | None = None
) -> dict[str, int]:
    """What of a window is not counted, by reason, the slow way."""
    every = [state for state in states if team is None or state.team == team]
    gone = {(state.team, state.response_id): state for state in every if state.erased}
    apart = [(state.event_ms, state.reasons) for state in standing(every, known_ms)]
    apart += [(one.event_ms, ("erased",)) for one in gone.values() if known_ms is None or one.event_ms <= known_ms]
    return dict(
        Counter(
            reason
            for event_ms, reasons in apart
            if ceil_minute(event_ms) <= as_of and (minutes is None or ceil_minute(event_ms) > as_of - minutes)
            for reason in reasons
        )
    )


def panes(states: Iterable[State]) -> list[dict[str, Any]]:
    """The pane rows that belong to answer states: policy all per minute, policy latest as it stands now."""
    every = list(states)
    counted = [state for state in standing(every) if not state.reasons and not state.history]
    newest: dict[tuple[str, str, str], State] = {}
    for state in sorted(counted, key=lambda one: (one.event_ms, one.first_offset)):
        newest[(state.team, state.respondent, "" if state.respondent else state.response_id)] = state
    latest = {(state.team, state.response_id) for state in newest.values()}
    scores: dict[tuple[str, int], Counter[int]] = {}
    lasting: dict[tuple[str, int], Counter[int]] = {}
    for state in counted:
        key = (state.team, ceil_minute(state.event_ms))
        scores.setdefault(key, Counter())[state.score] += 1
        lasting.setdefault(key, Counter())[state.score] += (state.team, state.response_id) in latest
    version = max((state.version for state in every), default=0)
    return [
        {
            "team": team,
            "minute": minute * 60,
            "scores": [counts[score] for score in range(11)],
            "latest": [lasting[team, minute][score] for score in range(11)],
            "version": version,
        }
        for (team, minute), counts in scores.items()
    ]


def answer_rows(states: Iterable[State]) -> list[dict[str, Any]]:
    """Rows of the table answers."""
    return [
        {
            "team": state.team,
            "response_id": state.response_id,
            "version": state.version,
            "event_at": state.event_ms / 1000,
            "known_at": state.known_ms / 1000,
            "first_offset": state.first_offset,
            "score": state.score,
            "revision": state.revision,
            "respondent": state.respondent,
            "reasons": list(state.reasons),
            "history": state.history,
            "case_id": state.case_id,
            "erased": int(state.erased),
        }
        for state in states
    ]


def person_row(team: str, response_id: str, comment: str = "", **more: Any) -> dict[str, Any]:
    """A row of the table people."""
    return {"team": team, "response_id": response_id, "comment": comment, "version": 1, "deleted": 0} | more


def case_row(team: str, number: int, raised_ms: int, **more: Any) -> dict[str, Any]:
    """A row of the table followups: an open case with both clocks running."""
    row = {
        "case_id": uid(number),
        "team": team,
        "response_id": uid(number + 1_000_000),
        "score": 2,
        "state": "open",
        "n": 1,
        "raised_at": raised_ms / 1000,
        "changed_at": raised_ms / 1000,
        "contact_due_at": raised_ms / 1000 + 10 * 3_600,
        "resolve_due_at": raised_ms / 1000 + 3 * 86_400,
        "answers": [uid(number + 1_000_000)],
        "version": 1,
    }
    return row | more


class Tables:
    """Writes rows into a database, as JSON by column name."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client: Client = get_client(dsn=url, autogenerate_session_id=False)

    def insert(self, table: str, rows: Iterable[dict[str, Any]]) -> None:
        """Insert rows; columns that are left out get their defaults."""
        body = "\n".join(json.dumps(row) for row in rows)
        if body:
            settings = {"input_format_skip_unknown_fields": 0, "max_partitions_per_insert_block": 0}
            self._client.raw_insert(table, insert_block=body.encode(), fmt="JSONEachRow", settings=settings)

    def states(self, states: Iterable[State], *, with_panes: bool = True) -> None:
        """Insert answers and, unless told otherwise, the panes that belong to them."""
        every = list(states)
        self.insert("answers", answer_rows(every))
        if with_panes:
            self.insert("panes", panes(every))

    def close(self) -> None:
        """Give the connection back."""
        self._client.close()


@contextmanager
def filled(url: str, states: Iterable[State] = ()) -> Iterator[Tables]:
    """A database with these answers and the panes that belong to them; more may be written."""
    written = Tables(url)
    try:
        written.states(states)
        yield written
    finally:
        written.close()


@asynccontextmanager
async def filled_store(url: str, states: Iterable[State]) -> AsyncIterator[tuple[Tables, Store]]:
    """The same, and a store that queries it."""
    with filled(url, states) as written:
        store = Store(settings(url).clickhouse)
        try:
            yield written, store
        finally:
            await store.close()


class Api:
    """A client of a running query service that signs in with the read key unless told otherwise."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def get(self, path: str, key: str | None = READ_KEY, **params: Any) -> tuple[int, Any, dict[str, str]]:
        """(status, JSON body, headers) of a GET. A list repeats its parameter."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        pairs = [
            (name.rstrip("_"), str(one))
            for name, value in params.items()
            for one in (value if isinstance(value, list) else [value])
        ]
        async with self.session.get(self.url + path, params=pairs, headers=headers) as answer:
            body = await answer.read()
            return answer.status, json.loads(body) if body else None, dict(answer.headers)

    async def ok(self, path: str, **params: Any) -> Any:
        """The JSON body of a GET that must succeed."""
        status, body, _ = await self.get(path, **params)
        assert status == 200, body
        return body


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[Api]:
    """The app behind a real HTTP server on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio does not, for a given socket
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve([listener]))  # noqa: SLF001  serve() would take the test's signals
    try:
        while not server.started:
            assert not running.done(), "the server did not start"
            await asyncio.sleep(0.01)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with aiohttp.ClientSession() as session:
            yield Api(url, session)
    finally:
        app.state.services.feed.close()
        server.should_exit = True
        await running
        listener.close()


def clock(now_ms: int) -> Callable[[], int]:
    """A clock that stands still."""
    return lambda: now_ms


def iso(at_ms: int) -> str:
    """An instant as the API takes it."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat().replace("+00:00", "Z")


def at_minute(minute: int) -> int:
    """Milliseconds of a whole minute."""
    return minute * MINUTE_MS
