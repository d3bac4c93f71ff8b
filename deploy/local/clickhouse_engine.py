"""The ClickHouse engine in this process (chDB): queries run in threads, each with an engine session of its own.

Of its own because parameters of a shared session reach the wrong query: with one session for eight threads, 12 %
of 480 concurrent queries failed.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, cast

from chdb.session import Session as ChdbSession

from deploy.local.clickhouse_request import Request

THREADS: Final = 8
# How every query starts out. An INSERT is written before it is acknowledged, and `1 + 1` alone is no statement,
# both as on a server.
BASE_SETTINGS: Final = {"async_insert": "0", "implicit_select": "0"}
UNKNOWN_EXCEPTION: Final = 1002
_SETTINGS: Final = re.compile(r"\bSETTINGS\s[^()`]*$", re.IGNORECASE)  # at the end of an INSERT
SUPPORT_IS_DISABLED: Final = 344
SYNTAX_ERROR: Final = 62


class QueryFailed(Exception):
    """The engine, or this front, refused a query. `code` is ClickHouse's error code, `text` the engine's words."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query gave: the body in the format asked for, and how much was read and written."""

    body: bytes
    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0


class Session(Protocol):
    """The part of chDB's session that is used here; chDB's own signatures are untyped."""

    def query(self, sql: str, fmt: str = ..., *, params: Mapping[str, str] | None = ...) -> Any: ...
    def close(self) -> None: ...


class _Desk(threading.local):
    """A thread's session and what it is set to."""

    session: Session | None = None
    database: str = "default"
    settings: Mapping[str, str] = {}


class Engine:
    """The engine on one folder. Only one process may have it open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="query")
        self._desk = _Desk()
        self._sessions: list[Session] = []

    async def run(self, request: Request) -> Answer:
        """Run one query in a thread of the pool. Raises QueryFailed."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, request)

    def close(self) -> None:
        """Wait for running queries, then close every session."""
        self._pool.shutdown()
        for session in self._sessions:
            session.close()

    def _run(self, request: Request) -> Answer:
        if request.refusal is not None:
            raise QueryFailed(SUPPORT_IS_DISABLED, f"{request.refusal}. (SUPPORT_IS_DISABLED)")
        if not request.sql.strip():
            raise QueryFailed(SYNTAX_ERROR, "Empty query. (SYNTAX_ERROR)")  # chDB itself takes it for a success
        try:
            session = self._session_for(request)
            if request.data is not None:
                return _insert(session, request.sql, request.format, request.data)
            result = session.query(request.sql, request.format, params=dict(request.params))
            return Answer(
                result.bytes() or b"",
                result.storage_rows_read(),
                result.storage_bytes_read(),
                result.rows_written(),
                result.bytes_written(),
            )
        except (RuntimeError, ValueError) as error:  # chDB's own errors are RuntimeErrors
            raise _failed(str(error)) from error

    def _session_for(self, request: Request) -> Session:
        """This thread's session, set to the request's database and settings. Costs nothing when they are the last's."""
        desk = self._desk
        if desk.session is None:
            desk.session, desk.database, desk.settings = _open(self._path), "default", {}
            self._sessions.append(desk.session)
        wanted = {**BASE_SETTINGS, **request.settings}
        changes = [f"{name} = {_quoted(value)}" for name, value in wanted.items() if desk.settings.get(name) != value]
        changes += [f"{name} = DEFAULT" for name in desk.settings.keys() - wanted.keys()]
        try:
            if changes:
                desk.session.query(f"SET {', '.join(changes)}")
                desk.settings = wanted
            if request.database != desk.database:
                desk.session.query(f"USE {_identifier(request.database)}")
                desk.database = request.database
        except RuntimeError:
            # Which of the settings took is unknown: the next query of this thread gets a fresh session.
            self._sessions.remove(desk.session)
            desk.session.close()
            desk.session = None
            raise
        return desk.session


def _open(path: Path) -> Session:
    return cast(Session, ChdbSession(str(path)))  # type: ignore[no-untyped-call]


def _insert(session: Session, sql: str, form: str, data: bytes) -> Answer:
    """Through a file: chDB's streamed insert tells the rows as written even when the engine refuses their block."""
    with tempfile.NamedTemporaryFile(prefix="pulse-insert-") as file:
        file.write(data)
        file.flush()
        settings = _SETTINGS.search(sql)
        into, after = (sql[: settings.start()], settings[0]) if settings else (sql, "")
        done = session.query(f"{into} FROM INFILE {_quoted(file.name)} {after} FORMAT {form}")
    return Answer(b"", written_rows=done.rows_written(), written_bytes=done.bytes_written())


def _failed(message: str) -> QueryFailed:
    found = re.search(r"Code: (\d+)\.", message)
    if found is None:
        return QueryFailed(UNKNOWN_EXCEPTION, message)
    return QueryFailed(int(found[1]), message[found.start() :])


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _identifier(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"
