"""The alerts service: its HTTP app, its parts put together, and the process."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import structlog
import uvicorn
import uvloop
from fastapi import FastAPI

from services.alerts import routes, routes_pagerduty, routes_people, routes_taps
from services.alerts.advocacy import routes as advocacy_routes
from services.alerts.advocacy.asks import Asks
from services.alerts.advocacy.reader import Advocacy
from services.alerts.alarms import routes as alarms_routes
from services.alerts.alarms.made import made_of
from services.alerts.alarms.whom import Whom
from services.alerts.alarms.work import Alarms
from services.alerts.deliveries import silent_until
from services.alerts.flow import Flow
from services.alerts.heartbeat import Heartbeat, asking
from services.alerts.lanes import Lane
from services.alerts.ledger import Ledger
from services.alerts.log_writer import LogWriter
from services.alerts.outlets import Outlet, by_team
from services.alerts.people import Cache, People
from services.alerts.people_table import ClickHouseTable
from services.alerts.people_tail import PeopleTail
from services.alerts.promises import Book, PolicyTail, Telling
from services.alerts.routes_taps import Counter
from services.alerts.store import Store
from services.alerts.store_file import DirInUse, NotOurFile
from services.alerts.store_sweep import STEP_ROWS
from services.alerts.taps import Taps, key_in
from services.alerts.targets.config import BadSettings, heartbeat_of, of_settings
from services.alerts.targets.guard import Guard
from services.alerts.targets.mail import Mail
from services.common import http, logs
from services.common.acts import KafkaActs
from services.common.clock import wall_clock_ms
from services.common.http import Ready
from services.common.keys import Keyring
from services.common.settings import AlertsSettings

log = structlog.get_logger()

DRAIN_S: Final = 5.0
_SWEEP_EVERY_S: Final = 10.0
_UNKNOWN_MS: Final = 1_000  # until quiet hours are asked for again, when what teams want has not been read
# SQLite lets go of the interpreter at each statement, and its thread waits as long as this to have it back from a busy
# loop. Of the usual 5 ms, a transaction of some statements took most of its time.
_SWITCH_S: Final = 0.0003

MakeOutlets = Callable[[AlertsSettings, contextlib.AsyncExitStack], Awaitable[Sequence[Outlet]]]


def build_app(
    settings: AlertsSettings,
    store: Store,
    alarms: alarms_routes.Listed,
    promoters: advocacy_routes.Promoters,
    ready: Ready,
    look: Callable[[], None] = lambda: None,
    counter: Counter | None = None,
    inbound: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> FastAPI:
    """The HTTP side: health, metrics, deliveries, silences, alarms, promoters, the page of the links.

    Someone else keeps the service at work.

    `look` has the lanes look for what is due. Without a `counter` nothing can be done with a case here.
    """
    app = FastAPI(
        title="Pulse alerts",
        summary="Who was told about which follow-up, and what is still to be told.",
        description="Every error is a problem body (RFC 9457) with a stable `code`.",
        version="1",
        redoc_url=None,
    )
    http.install(app, ready, lambda: _untold(store.dead))
    keyring = Keyring(settings.key_hashes)
    app.include_router(routes.router(store, keyring))
    ledger = Ledger(store)
    app.include_router(alarms_routes.router(alarms, keyring))
    app.include_router(advocacy_routes.router(promoters, keyring))
    app.include_router(routes_people.router(ledger, keyring, look))
    app.include_router(routes_pagerduty.router(ledger, counter.acts if counter else None, inbound))
    if counter is not None:
        app.include_router(routes_taps.router(counter))
    return app


def _untold(dead: Mapping[str, int]) -> list[str]:
    """What stands in /readyz of messages that were given up. No reason not to be ready: the page of the links works."""
    return [
        f"{channel}: {count} given up and not told; once it is mended, pulse resend --channel {channel}"
        for channel, count in sorted(dead.items())
    ]


async def configured(settings: AlertsSettings, stack: contextlib.AsyncExitStack) -> Sequence[Outlet]:
    """The outlets the settings ask for; none is a way to run. `stack` closes their connections. Raises BadSettings."""
    outlets: list[Outlet] = []
    for target in of_settings(settings, os.environ):
        made = target.made
        guard = Guard(made.host, target.allowed)
        session = await stack.enter_async_context(guard.session())
        channel = made.make(guard, session)
        if isinstance(channel, Mail):
            stack.push_async_callback(channel.close)
        outlets.append(Outlet(channel, target.teams, made.grouping, made.rate, made.follows, made.inbound))
    return outlets


Tail = PeopleTail | PolicyTail


class Alerts:
    """All parts at work. `work` ends only by cancellation or by what nobody foresaw."""

    def __init__(
        self,
        store: Store,
        flow: Flow,
        tails: Sequence[Tail],
        lanes: Sequence[Lane],
        alarms: Alarms,
        asks: Asks,
        advocacy: Advocacy,
        counter: Counter,
        inbound: Mapping[str, Sequence[str]],
    ) -> None:
        self.counter = counter
        self.inbound = inbound
        self.heartbeat: Heartbeat | None = None
        self.store = store
        self.asks = asks
        self.advocacy = advocacy
        self.alarms = alarms
        self._flow = flow
        self.tails = tails
        self._lanes = lanes

    def ready(self) -> str | None:
        """None: events are read and can be stored."""
        if self.store.trouble:
            return f"SQLite refuses writes: {self.store.trouble}"
        if trouble := self._flow.trouble():
            return trouble
        return next((f"{tail.topic} is still being read" for tail in self.tails if not tail.read.is_set()), None)

    def look(self) -> None:
        """Have every lane look for what is due, and the alarms for what is silenced no more."""
        for lane in self._lanes:
            lane.look()
        self.alarms.look()

    async def work(self) -> None:
        """Run everything; on cancellation stop reading, then finish within 5 s what is on its way."""
        async with asyncio.TaskGroup() as carrying:
            sending = [carrying.create_task(lane.run(), name=f"lane-{lane.channel.name}") for lane in self._lanes]
            try:
                async with asyncio.TaskGroup() as taking:
                    for tail in self.tails:
                        taking.create_task(tail.run(), name=type(tail).__name__)
                    taking.create_task(self._flow.run(), name="flow")
                    taking.create_task(self._sweep(), name="sweep")
                    taking.create_task(self.alarms.run(), name="alarms")
                    taking.create_task(self.advocacy.run(), name="advocacy")
                    if self.heartbeat is not None:
                        taking.create_task(self.heartbeat.run(), name="heartbeat")
            finally:
                await asyncio.gather(*(lane.drain(DRAIN_S) for lane in self._lanes))
                for task in sending:
                    task.cancel()

    async def _sweep(self) -> None:
        while True:
            live = [lane.channel.name for lane in self._lanes if not lane.disabled]
            touched = await self.store.sweep(wall_clock_ms(), live)
            await asyncio.sleep(_SWEEP_EVERY_S if touched < STEP_ROWS else 0.1)


@contextlib.asynccontextmanager
async def opened(settings: AlertsSettings, make_outlets: MakeOutlets = configured) -> AsyncIterator[Alerts]:
    """The parts, put together from the settings. Raises BadSettings, DirInUse, NotOurFile."""
    async with contextlib.AsyncExitStack() as stack:
        outlets = await make_outlets(settings, stack)
        if not outlets:
            log.warning("no_channel_configured", set="PULSE_ALERTS_CONFIG, or PULSE_ALERTS_WEBHOOK_URL and …_SECRET")
        store = Store(settings.alerts_dir)
        stack.callback(store.close)
        table = ClickHouseTable(settings.clickhouse.get_secret_value())
        stack.push_async_callback(table.close)
        cache = Cache()
        texts = PeopleTail(settings.kafka, cache, settings.log)
        people = People(cache, table, read=texts.read)
        store.groupings |= {outlet.channel.name: outlet.grouping for outlet in outlets if outlet.grouping}
        taps = Taps(key_in(settings.alerts_dir), settings.alerts_public_url)
        lanes = [
            Lane(outlet.channel, store, people, rate=outlet.rate, follows=outlet.follows, links=taps.links)
            for outlet in outlets
        ]
        usual, book = by_team(outlets), Book()
        names = [outlet.channel.name for outlet in outlets]
        telling = Telling(book, people, store, usual, names)
        flow = Flow(settings.kafka, store, lanes, settings.log, usual, telling)
        whom = Whom(book, people, outlets)

        def quiet(team: str, channel: str, now_ms: int) -> int:
            return whom.when(team, channel, now_ms) if book.read.is_set() else now_ms + _UNKNOWN_MS

        store.quiet = quiet

        def silenced(team: str, channel: str, now_ms: int) -> int:
            return silent_until(store.silences, team, channel, now_ms)

        alarms = made_of(settings, outlets, people, whom, silenced, stack)
        asks = Asks(alarms.file)
        advocacy = Advocacy(settings.kafka, asks, alarms, whom.of_promoters, settings.log)
        acts = KafkaActs(settings.kafka, settings.log)
        stack.push_async_callback(acts.close)
        secure = settings.alerts_public_url.startswith("https://")
        counter = Counter(taps, Ledger(store), people, acts, flow.outcomes, settings.alerts_board_url, secure)
        inbound = {outlet.channel.name: outlet.inbound for outlet in outlets if outlet.inbound}
        tails: list[Tail] = [texts, PolicyTail(settings.kafka, book, settings.log)]
        alerts = Alerts(store, flow, tails, lanes, alarms, asks, advocacy, counter, inbound)
        if settings.alerts_heartbeat_url:
            host, allowed = heartbeat_of(settings)
            session = await stack.enter_async_context(Guard(host, allowed).session())
            writer = LogWriter(settings.kafka, settings.log)
            stack.push_async_callback(writer.close)
            ping = asking(session, settings.alerts_heartbeat_url)
            every_s = settings.alerts_heartbeat_every.total_seconds()
            alerts.heartbeat = Heartbeat(writer, flow, settings.partitions, alerts.ready, ping, every_s)
        yield alerts


class _Server(uvicorn.Server):
    """uvicorn, with its signals left to us: its own way ends the process by the signal, not with status 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(settings: AlertsSettings, make_outlets: MakeOutlets = configured) -> int:
    """Serve until SIGTERM or SIGINT; the exit status: 0 then, 1 when a part of it failed.

    Raises: BadSettings, DirInUse, NotOurFile; OSError when the port cannot be listened on.
    """
    async with opened(settings, make_outlets) as alerts:
        app = build_app(
            *(settings, alerts.store, alerts.alarms.file, alerts.asks),
            *(alerts.ready, alerts.look, alerts.counter, alerts.inbound),
        )
        listener = socket.create_server(
            (settings.host, settings.alerts_port),
            family=socket.AF_INET6 if ":" in settings.host else socket.AF_INET,
        )
        server = _Server(
            uvicorn.Config(
                app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=round(DRAIN_S)
            )
        )
        # What stands now stands until the end: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        log.info("listening", host=settings.host, port=listener.getsockname()[1])
        serving = asyncio.create_task(server.serve([listener]), name="http")
        working = asyncio.create_task(alerts.work(), name="alerts")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        await asyncio.wait({serving, working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        asked = stopping.done()
        if working.done():
            log.error("alerts_failed", error=repr(_causes(working.exception())))
        stopping.cancel()
        working.cancel()
        server.should_exit = True
        await asyncio.gather(serving, working, return_exceptions=True)
        log.info("stopped", asked=asked)
        return 0 if asked else 1


def _causes(error: BaseException | None) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        return [name for inner in error.exceptions for name in _causes(inner)]
    return [type(error).__name__]


def run(settings: AlertsSettings) -> None:
    """The process. Exits 0 after a drain, 1 when something failed that should not, 2 when it cannot start like this."""
    logs.configure("alerts", settings.log_format)
    sys.setswitchinterval(_SWITCH_S)
    # aiokafka tells each retry in hundreds of lines a second; the flow tells what matters, once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            status = runner.run(serve(settings))
    except (BadSettings, DirInUse, NotOurFile) as error:
        log.error("cannot_start", reason=str(error))
        status = 2
    except OSError as error:  # the port is taken, the folder cannot be made
        log.error("cannot_start", reason=str(error))
        status = 1
    sys.exit(status)
