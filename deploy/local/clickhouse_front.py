"""ClickHouse's HTTP protocol in front of the engine: what clickhouse-connect, sync and async, and `curl` need.

No sessions are kept and no password is asked for: it listens on loopback only. A row that was acknowledged is with
the kernel, so it survives kill -9.
"""

from __future__ import annotations

import asyncio
import json
import signal
import uuid
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web

from deploy.local.clickhouse_engine import SYNTAX_ERROR, Answer, Engine, QueryFailed
from deploy.local.clickhouse_request import Request, read_request
from deploy.local.encodings import BadEncoding, TooLarge, decode

log = structlog.get_logger()

MAX_BODY: Final = 64 * 1024 * 1024  # as sent
MAX_DATA: Final = 256 * 1024 * 1024  # unpacked
MAX_ADDRESS: Final = 1024 * 1024  # statements and parameters may stand in the URL
MAX_WAITING: Final = 200
# Longer than any client keeps an idle connection, so that it is never the server who closes one in mid-request.
KEEP_ALIVE_S: Final = 3_600
STOP_S: Final = 8.0
INCORRECT_DATA, TOO_MANY_QUERIES = 117, 202


class Front:
    """The HTTP side of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting = 0

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_get("/ping", self._ping)
        app.router.add_route("*", "/", self._query)
        return app

    async def _ping(self, _: web.Request) -> web.Response:
        return web.Response(text="Ok.\n")

    async def _query(self, http: web.Request) -> web.Response:
        if http.method in ("GET", "HEAD") and "query" not in http.query:
            return web.Response(text="Ok.\n")
        if self._waiting >= MAX_WAITING:
            return _error(TOO_MANY_QUERIES, f"more than {MAX_WAITING} queries wait. (TOO_MANY_SIMULTANEOUS_QUERIES)")
        query_id = http.query.get("query_id") or str(uuid.uuid4())
        self._waiting += 1
        try:
            request = await _read(http)
            answer = await self._engine.run(request)
        except (BadEncoding, TooLarge) as error:
            return _error(
                INCORRECT_DATA, f"{error}. (INCORRECT_DATA)", status=413 if isinstance(error, TooLarge) else 400
            )
        except ValueError as error:
            return _error(SYNTAX_ERROR, f"{error}. (SYNTAX_ERROR)", status=400)
        except QueryFailed as error:
            return _error(error.code, error.text)
        finally:
            self._waiting -= 1
        return _answer(request, answer, query_id)


async def _read(http: web.Request) -> Request:
    """The request with its body unpacked. A form (large parameters come as one) counts as part of the URL."""
    url = dict(http.query)
    if "X-ClickHouse-Database" in http.headers:
        url.setdefault("database", http.headers["X-ClickHouse-Database"])
    if http.content_type == "multipart/form-data":
        for name, value in (await http.post()).items():
            if not isinstance(value, str):
                raise ValueError(f"external data ({name}) is not supported here")
            url[name] = value
        return read_request(url, b"")
    body = await http.read()
    encoding = http.headers.get("Content-Encoding", "")
    if encoding:
        body = await asyncio.to_thread(decode, encoding, body, MAX_DATA)
    return read_request(url, body)


def _answer(request: Request, answer: Answer, query_id: str) -> web.Response:
    summary = {
        "read_rows": str(answer.read_rows),
        "read_bytes": str(answer.read_bytes),
        "written_rows": str(answer.written_rows),
        "written_bytes": str(answer.written_bytes),
    }
    headers = {
        "Content-Type": "text/plain; charset=UTF-8",
        "X-ClickHouse-Query-Id": query_id,
        "X-ClickHouse-Summary": json.dumps(summary),
        "X-ClickHouse-Timezone": "UTC",
    }
    if request.answers:
        headers["X-ClickHouse-Format"] = request.format
    # One write of headers and body, and the connection sends without delay: two would cost 40 ms a query.
    return web.Response(body=answer.body, headers=headers)


def _error(code: int, text: str, status: int = 500) -> web.Response:
    message = text if text.startswith("Code:") else f"Code: {code}. DB::Exception: {text}"
    return web.Response(status=status, text=f"{message}\n", headers={"X-ClickHouse-Exception-Code": str(code)})


async def serve(data: Path, port: int) -> None:
    """Serve the engine on DIR/clickhouse until SIGTERM or SIGINT."""
    path = data / "clickhouse"
    path.mkdir(parents=True, exist_ok=True)
    engine = Engine(path)
    await engine.run(Request("SELECT 1"))  # opens the folder: a second process on it fails here, not at a query
    runner = web.AppRunner(
        Front(engine).app(),
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=KEEP_ALIVE_S,
        max_line_size=MAX_ADDRESS,
        shutdown_timeout=STOP_S,
    )
    await runner.setup()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await web.TCPSite(runner, "127.0.0.1", port).start()
    log.info("clickhouse_started", port=port, path=str(path))
    await stop.wait()
    await runner.cleanup()
    await asyncio.to_thread(engine.close)
    log.info("clickhouse_stopped")
