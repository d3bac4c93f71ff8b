"""Posting answers one by one through the public door, many at a time, each until the log holds it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import aiohttp
import msgspec

from schemas.responses import Accepted, Receipt
from services.cli.client import Client, problem_text, refused
from services.cli.codes import Exit, Fail

AT_ONCE: Final = 16
GIVE_UP_S: Final = 60.0

Body = Mapping[str, Any]


async def post(client: Client, body: Body) -> Receipt:
    """Post one answer; again with the same id while the door cannot take it. Raises Fail."""
    why = ""
    try:
        async with asyncio.timeout(GIVE_UP_S):
            while True:
                wait_s = 0.2
                try:
                    async with client.session.post(
                        f"{client.door.url}/v1/responses",
                        data=msgspec.json.encode(body),
                        headers={"Content-Type": "application/json"},
                    ) as response:
                        answer = await response.read()
                        if response.status == 202:
                            return msgspec.json.decode(answer, type=Accepted).receipt
                        if response.status != 429 and response.status < 500:
                            raise refused(client.door.url, response.status, answer)
                        why = problem_text(answer)
                        wait_s = float(response.headers.get("Retry-After", wait_s))
                except (aiohttp.ClientError, OSError) as error:
                    why = type(error).__name__
                await asyncio.sleep(wait_s)
    except TimeoutError:
        raise Fail(Exit.NOT_READY, f"an answer was not taken within {GIVE_UP_S:.0f} s: {why}") from None


async def post_all(client: Client, bodies: Iterable[Body], done: Callable[[], None]) -> list[Receipt]:
    """Post many, in no order; their receipts. `done` is called after each."""
    receipts: list[Receipt] = []
    waiting = iter(bodies)

    async def work() -> None:
        for body in waiting:
            receipts.append(await post(client, body))
            done()

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())
    return receipts


async def post_steadily(
    client: Client, bodies: Iterable[Body], per_s: float, done: Callable[[], None]
) -> list[Receipt]:
    """Post one after another, `per_s` a second; their receipts."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    receipts = []
    for body in bodies:
        await asyncio.sleep(max(0.0, due - loop.time()))
        receipts.append(await post(client, body))
        done()
        due += 1 / per_s
    return receipts


def positions(receipts: Iterable[Receipt]) -> str:
    """The greatest receipt of each partition, as `at_least` takes them."""
    greatest: dict[int, int] = {}
    for receipt in receipts:
        greatest[receipt.partition] = max(receipt.offset, greatest.get(receipt.partition, -1))
    return ",".join(f"{partition}:{offset}" for partition, offset in sorted(greatest.items()))
