"""The query service: reads ClickHouse, follows Kafka, answers over HTTP. `build_app` wires it, `run` serves it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import structlog
import uvicorn
import uvloop
from fastapi import FastAPI

from services.common import http, logs
from services.common.acts import Acts, KafkaActs
from services.common.clock import wall_clock_ms
from services.common.keys import Keyring
from services.common.problems import Unavailable
from services.common.settings import QuerySettings
from services.query import (
    openapi,
    routes_acts,
    routes_alarms,
    routes_answers,
    routes_explain,
    routes_followups,
    routes_live,
    routes_pages,
    routes_policies,
    routes_recovery,
    routes_scores,
    routes_stored,
)
from services.query.deps import Services
from services.query.feed import Feed
from services.query.live import Follower
from services.query.log import Log
from services.query.middleware import Finish
from services.query.outcomes import Outcomes
from services.query.position import Sunk
from services.query.sessions import Sessions
from services.query.store import Store, StoreError

log = structlog.get_logger()

_PING_S: Final = 2.0
_STALE_S: Final = 10.0
_DRAIN_S: Final = 10

_ROUTES: Final = (
    *(routes_scores, routes_explain, routes_answers, routes_stored),
    *(routes_followups, routes_acts, routes_recovery, routes_policies, routes_alarms, routes_live, routes_pages),
)


def build_app(
    settings: QuerySettings,
    *,
    store: Store | None = None,
    broker: Log | None = None,
    feed: Feed | None = None,
    acts: Acts | None = None,
    now_ms: Callable[[], int] = wall_clock_ms,
) -> FastAPI:
    """The app with its adapters. It starts whether or not Kafka and ClickHouse are there; /readyz tells."""
    store = store or Store(settings.clickhouse)
    own = Services(
        settings=settings,
        store=store,
        log=broker or Log(settings.kafka, generation=settings.log),
        acts=acts or KafkaActs(settings.kafka, settings.log),
        outcomes=Outcomes(),
        sunk=Sunk(store, settings.log),
        feed=feed or Feed(),
        keyring=Keyring(settings.key_hashes),
        sessions=Sessions(settings.key_hashes),
        now_ms=now_ms,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        follower = Follower(settings.kafka, own.feed, own.outcomes, settings.min_sample, settings.log)
        tasks = [asyncio.create_task(follower.run()), asyncio.create_task(_keep_asking(own.store))]
        try:
            yield
        finally:
            own.feed.close()
            await _end(tasks)
            await own.acts.close()
            await own.log.close()
            await own.store.close()

    app = FastAPI(
        title="Pulse query",
        version=_version(),
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        lifespan=lifespan,
    )
    app.state.services = own
    http.install(app, ready=lambda: _not_ready(own.store))
    for routes in _ROUTES:
        app.include_router(routes.router)
    openapi.install(app)
    app.add_middleware(Finish)
    return app


def run(settings: QuerySettings) -> None:
    """Serve until SIGTERM or SIGINT; then end live streams, finish what runs, and return."""
    logs.configure("query", settings.log_format)
    # aiokafka tells each retry of an outage; the follower and the log tell what matters, once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    uvloop.run(_serve(settings))


class _Server(uvicorn.Server):
    """Uvicorn would raise the signal again after it has drained, and the process would not exit with 0."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def _serve(settings: QuerySettings) -> None:
    feed = Feed()
    config = uvicorn.Config(
        build_app(settings, feed=feed),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_DRAIN_S,
    )
    server = _Server(config)

    def stop() -> None:
        feed.close()  # streams would keep the server waiting
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.create_server((settings.host, settings.query_port), family=family, backlog=config.backlog)
    log.info("listening", host=settings.host, port=listener.getsockname()[1])
    await server.serve([listener])
    log.info("stopped")


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel until it took: `asyncio.wait_for`, which aiokafka uses within, can lose a cancellation (bpo-37658)."""
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=0.5)


async def _keep_asking(store: Store) -> None:
    """Ask ClickHouse something small when nobody else does, so that readiness is known."""
    while True:
        if store.answered_s_ago() > _PING_S:
            with contextlib.suppress(Unavailable, StoreError):
                await store.ping()
        await asyncio.sleep(_PING_S)


def _not_ready(store: Store) -> str | None:
    ago = store.answered_s_ago()
    return None if ago < _STALE_S else "ClickHouse has not answered lately"


def _version() -> str:
    try:
        return version("nps-pulse")
    except PackageNotFoundError:
        return "0"
