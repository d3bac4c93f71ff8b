"""A local webhook receiver: checks each signature and hands on what came."""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

Arrived = Callable[[dict[str, Any]], None]


@dataclass
class Inbox:
    """What has been delivered. `bodies` by webhook-id, each once; `forged` counts bad signatures."""

    url: str
    secret: str
    bodies: dict[str, dict[str, Any]] = field(default_factory=dict)
    forged: int = 0


@asynccontextmanager
async def receiver(arrived: Arrived) -> AsyncIterator[Inbox]:
    """Listen on a free loopback port until the block ends. `arrived` is called once for each id."""
    inbox = Inbox("", "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())
    verifier = Webhook(inbox.secret)

    async def take(request: web.Request) -> web.Response:
        raw = await request.read()
        try:
            verifier.verify(raw.decode(), dict(request.headers))
        except (WebhookVerificationError, UnicodeDecodeError):
            inbox.forged += 1
            return web.Response(status=401)
        event_id = request.headers["webhook-id"]
        if event_id not in inbox.bodies:
            body = inbox.bodies[event_id] = msgspec.json.decode(raw)
            arrived(body)
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/alerts", take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        inbox.url = f"http://127.0.0.1:{runner.addresses[0][1]}/alerts"
        yield inbox
    finally:
        await runner.cleanup()
