"""The ingest service: puts the parts together, and runs them in one process."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from typing import Final

import structlog
import uvicorn
from fastapi import FastAPI

from services.common import http
from services.common.keys import Keyring
from services.common.producing import WrongTopic
from services.common.settings import IngestSettings
from services.ingest import commands, openapi, pages
from services.ingest.access import Access
from services.ingest.door import Door
from services.ingest.port import Publisher
from services.ingest.publisher import KafkaPublisher
from services.ingest.reader import Reader
from services.ingest.tables import Tables
from services.ingest.whose import Secrets, Stored

BACKLOG: Final = 2_048
KEEP_ALIVE_S: Final = 65  # longer than the usual load balancer's minute, so that it closes first

log = structlog.get_logger()


def build_app(settings: IngestSettings, publisher: Publisher, stored: Stored | None = None) -> Door:
    """The whole service as one ASGI app; it needs no lifespan. Someone else keeps the publisher going."""
    pages_app = FastAPI(
        title="Pulse ingest",
        summary="Takes survey answers, and commands about them.",
        description="Every error is a problem body (RFC 9457) with a stable `code`.",
        version="1",
        docs_url=None,
        redoc_url=None,
    )
    http.install(pages_app, publisher.unready)
    pages_app.include_router(pages.router(settings.demo_widget_key.get_secret_value()))
    keyring = Keyring(settings.key_hashes)
    secret = settings.respondent_secret.get_secret_value().encode()
    secrets = Secrets(secret, settings.default_region)
    pages_app.include_router(commands.router(publisher, keyring, secrets, settings.log, stored))
    pages_app.openapi = lambda: openapi.document(pages_app)  # type: ignore[method-assign]
    return Door(
        pages_app,
        publisher,
        Reader(secret, settings.default_region, settings.log),
        Access(keyring, settings.widget_origins, settings.widget_rate),
        settings.ingest_max_in_flight,
    )


def run(settings: IngestSettings) -> None:
    """Serve until SIGTERM or SIGINT: then stop accepting, finish what is under way, flush, return.

    Raises:  SystemExit with a message when the log's topics are not those of this generation.
    """
    # aiokafka tells each retry in hundreds of lines a second; the publisher tells what matters, once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    # uvicorn raises the signal again after its shutdown; we end by returning.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    listener = socket.create_server(
        (settings.host, settings.ingest_port),
        family=socket.AF_INET6 if ":" in settings.host else socket.AF_INET,
        backlog=BACKLOG,
    )
    config = uvicorn.Config(
        "",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=round(settings.publish_timeout.total_seconds()) + 2,
    )
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_serve(settings, config, listener))


async def _serve(settings: IngestSettings, config: uvicorn.Config, listener: socket.socket) -> None:
    publisher = KafkaPublisher(settings.kafka, settings.publish_timeout.total_seconds(), generation=settings.log)
    tables = Tables(settings.clickhouse) if settings.clickhouse.get_secret_value() else None
    config.app = build_app(settings, publisher, tables)
    server = uvicorn.Server(config)
    # What stands now stands until the end: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    keeping = asyncio.create_task(publisher.keep())
    keeping.add_done_callback(lambda _: setattr(server, "should_exit", True))
    log.info("listening", host=settings.host, port=listener.getsockname()[1])
    await server.serve([listener])
    wrong: BaseException | None = None
    if keeping.done() and not keeping.cancelled():
        wrong = keeping.exception()
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    await publisher.close()
    if tables is not None:
        await tables.close()
    if isinstance(wrong, WrongTopic):
        log.error("wrong_topic", detail=str(wrong))
        raise SystemExit(str(wrong))
    if wrong is not None:
        raise wrong
    log.info("stopped")
