"""`/livez`, `/readyz` and `/metrics` of a stream process, on a port of their own."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

# None: ready. A text: not ready, and why.
Ready = Callable[[], str | None]


class HealthServer:
    """A small aiohttp server beside the agents."""

    def __init__(self, host: str, port: int, ready: Ready) -> None:
        self._host, self._port, self._ready = host, port, ready
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        app = web.Application()
        app.add_routes([web.get("/livez", _livez), web.get("/readyz", self._readyz), web.get("/metrics", _metrics)])
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _readyz(self, _: web.Request) -> web.Response:
        reason = self._ready()
        if reason is None:
            return web.json_response({"status": "ready"})
        return web.json_response({"status": "not ready", "detail": reason}, status=503, headers={"Retry-After": "1"})


async def _livez(_: web.Request) -> web.Response:
    return web.json_response({"status": "alive"})


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
