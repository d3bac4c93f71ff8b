"""An app on a free port, for as long as a block lasts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI


class Now:
    """Stands for what the running test has made. An app is built once: that takes longer than most tests."""

    it: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.it, name)


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """Where it listens. Without uvicorn's own loop and end, which look and wait for a tenth of a second each."""
    config = uvicorn.Config(app, port=0, log_config=None)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        for listening in server.servers:
            listening.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()
        await server.lifespan.shutdown()
