"""The other end of the signed webhook: verifies every message and keeps the ids each case came with."""

from __future__ import annotations

import base64
import secrets
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from standardwebhooks import Webhook


class Receiver:
    """`cases`: for each case the event ids that came; `messages`: how often each came."""

    def __init__(self) -> None:
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self.cases: dict[str, set[str]] = defaultdict(set)
        self.messages: Counter[str] = Counter()
        self.url = ""
        self._webhook = Webhook(self.secret)

    async def _take(self, request: web.Request) -> web.Response:
        told = self._webhook.verify(await request.read(), dict(request.headers))
        assert told["type"] == "followup.raised"
        event_id = request.headers["webhook-id"]
        self.cases[told["data"]["case_id"]].add(event_id)
        self.messages[event_id] += 1
        return web.Response(status=204)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Receiver]:
        """Listen on a free port for the length of the block."""
        app = web.Application()
        app.router.add_post("/hook", self._take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        try:
            yield self
        finally:
            await runner.cleanup()
