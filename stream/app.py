"""The only wiring of Faust: a worker that folds, a sink that writes. Each runs until SIGTERM or SIGINT, then returns.

The apps run embedded in our own loop, not under Faust's worker: that one takes seconds to stop and owns the logging.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import faust
import structlog
import uvloop
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from schemas import topics
from schemas.generations import FIRST, Generation
from schemas.topics import SEALED
from stream import compiled
from stream.agents import Scoring
from stream.batches import TOGETHER, batch_app
from stream.errors import EXIT_FATAL, LogMismatch
from stream.fetched import records_off_the_wire
from stream.health import HealthServer
from stream.log import insist
from stream.settings import SinkSettings, StreamSettings, WorkerSettings
from stream.sink import Sinking

log = structlog.get_logger()
WORKER_GROUP: Final = "pulse-worker"
SINK_GROUP: Final = "pulse-sink"
STOP_WITHIN_S: Final = 8.0  # then the process ends as it is: kill -9 loses nothing either


class Driver(Protocol):
    """What drives an app: its agents, and what they hold."""

    def ready(self) -> str | None:
        """None when ready, else why not."""
        ...

    async def close(self) -> None:
        """Let go of everything, after the app has stopped."""
        ...


def run_worker(settings: WorkerSettings) -> None:
    """Fold the log. Raises LogMismatch when the log has another partition count than this program."""

    def make() -> tuple[faust.App, Driver]:
        app = batch_app(settings.log.group(WORKER_GROUP), settings, settings.worker_id)
        return app, Scoring(app, settings)

    records_off_the_wire()
    uvloop.run(_run(settings, settings.worker_metrics_port, make))


def run_sink(settings: SinkSettings) -> None:
    """Write what the worker says to ClickHouse. Raises LogMismatch as `run_worker` does."""

    def make() -> tuple[faust.App, Driver]:
        app = batch_app(settings.log.group(SINK_GROUP), settings, settings.sink_id, TOGETHER)
        return app, Sinking(app, settings)

    records_off_the_wire()
    uvloop.run(_run(settings, settings.sink_metrics_port, make))


def calm_gc() -> None:
    """Look for cycles rarely: a batch makes tens of thousands of objects and hardly a cycle. Saves 15 % of the fold."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(500_000, 50, 50)


async def _run(settings: StreamSettings, port: int, make: Callable[[], tuple[faust.App, Driver]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask_to_stop() -> None:
        stop.set()
        loop.call_later(STOP_WITHIN_S, os._exit, 0)

    for wanted in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(wanted, ask_to_stop)
    app, driver = make()
    health = HealthServer(settings.host, port, driver.ready)
    await health.start()
    if not await _unless(stop, check_log(settings.kafka, settings.log)):
        return
    app.finalize()
    await app.start()
    calm_gc()
    log.info("started", group=app.conf.id, compiled=compiled.in_use())
    await app.wait_for_stopped(stop.wait())
    if not stop.is_set():
        log.critical("fatal", error=type(app.crash_reason).__name__, reason="the Faust app crashed")
        os._exit(EXIT_FATAL)
    await app.stop()
    await driver.close()
    await health.stop()
    log.info("stopped", group=app.conf.id)


async def _unless(stop: asyncio.Event, work: Awaitable[None]) -> bool:
    """Do the work unless we are told to stop first. True when it was done; its error is raised."""
    task, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if task.done():
        task.result()
        return True
    task.cancel()
    return False


async def check_log(kafka: str, generation: Generation = FIRST) -> None:
    """Wait for the log; refuse one that is not partitioned as keys are, and one whose copying has not ended.

    Raises:  LogMismatch, naming both counts, or the generation that is not whole yet.
    """
    topic = generation.topic(topics.FEEDBACK)

    async def ask() -> tuple[int, bool]:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
        try:
            await admin.start()
            (described,) = await admin.describe_topics([topic])
            if described["error_code"]:
                raise for_code(described["error_code"])  # not created yet, or the broker is still starting
            if generation.number == 1:  # nobody copies to it
                return len(described["partitions"]), True
            (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        finally:
            await admin.close()
        ((code, _, _, _, entries),) = answer.resources
        if code:
            raise for_code(code)
        return len(described["partitions"]), any(entry[:2] == SEALED for entry in entries)

    count, whole = await insist(ask)
    if count != generation.partitions:
        raise LogMismatch(
            f"{topic} has {count} partitions, PULSE_PARTITIONS says {generation.partitions}: set it to {count}, "
            "or copy the log to a new generation with `pulse repartition`"
        )
    if not whole:
        raise LogMismatch(f"{topic} is not a whole log yet: run `pulse repartition` to its end")
