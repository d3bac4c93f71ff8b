"""A small door that speaks the write side of the contract: holds what it is sent, and fails when told to."""

from __future__ import annotations

import asyncio
import zlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web

PARTITIONS = 16

# Looks at the items of one request; a response instead of the usual answer, or None.
Trouble = Callable[[list[dict[str, Any]]], web.StreamResponse | None]


class FakeDoor:
    """What a log would hold: `held` is (team, response_id) → body, `log` the bodies in the order they came."""

    def __init__(self, key: str = "import-key") -> None:
        self.key = key
        self.url = ""
        self.held: dict[tuple[str, str], dict[str, Any]] = {}
        self.log: list[dict[str, Any]] = []
        self.requests = 0
        self.sizes: list[int] = []
        self.troubles: list[Trouble] = []  # one a request, first come first served
        self.refuse: Callable[[dict[str, Any]], str | None] = lambda _: None
        self.target = 0
        self.reached = asyncio.Event()  # set when `target` answers are held
        self._offsets: defaultdict[int, int] = defaultdict(int)

    @property
    def scores(self) -> list[int]:
        return [body["score"] for body in self.held.values()]

    async def batch(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        raw = await request.read()
        self.sizes.append(len(raw))
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            return problem(401, "this key is not known")
        items = msgspec.json.decode(raw)
        assert len(items) <= 1_000
        assert len(raw) <= 1 << 20
        if self.troubles:
            trouble = self.troubles.pop(0)(items)
            if trouble is not None:
                return trouble
        results = [self.take(index, item) for index, item in enumerate(items)]
        counts = {status: sum(r["status"] == status for r in results) for status in ("accepted", "rejected", "retry")}
        return web.json_response({"items": results, **counts})

    def take(self, index: int, item: dict[str, Any]) -> dict[str, Any]:
        refusal = self.refuse(item)
        if refusal is not None:
            return {
                "index": index,
                "status": "rejected",
                "errors": [{"path": f"[{index}].{refusal}", "message": "must be better"}],
            }
        partition = zlib.crc32(item["team"].encode()) % PARTITIONS
        offset = self._offsets[partition]
        self._offsets[partition] += 1
        self.held[item["team"], item["response_id"]] = item
        self.log.append(item)
        if len(self.held) >= self.target:
            self.reached.set()
        receipt = {"topic": "feedback.v1", "partition": partition, "offset": offset}
        return {"index": index, "status": "accepted", "response_id": item["response_id"], "receipt": receipt}


def problem(status: int, detail: str, **headers: str) -> web.Response:
    body = {"type": "about:blank", "title": "No", "status": status, "code": "no", "detail": detail}
    return web.json_response(
        body,
        status=status,
        content_type="application/problem+json",
        headers={k.replace("_", "-"): v for k, v in headers.items()},
    )


@asynccontextmanager
async def fake_door(**options: Any) -> AsyncIterator[FakeDoor]:
    """A door on a free loopback port."""
    door = FakeDoor(**options)
    app = web.Application(client_max_size=4 << 20)
    app.router.add_post("/v1/responses/batch", door.batch)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        door.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield door
    finally:
        await runner.cleanup()
