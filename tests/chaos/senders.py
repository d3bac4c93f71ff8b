"""Senders as they should be: the same id again until the answer is acknowledged; one in ten is sent once more."""

from __future__ import annotations

import asyncio
import random
import uuid
from dataclasses import dataclass, field
from typing import Any

import aiohttp

TEAMS = tuple(f"chaos-{number}" for number in range(12))
SENDERS = 24
AGAIN_EVERY = 10
REQUEST_S = 15.0
PAUSE_S = 0.2


def answers(count: int, seed: int) -> list[dict[str, Any]]:
    """Answers to send: a third from known respondents, a fifth detractors, some with text."""
    draw = random.Random(seed)
    return [
        {
            "response_id": str(uuid.UUID(int=draw.getrandbits(128), version=4)),
            "team": draw.choice(TEAMS),
            "score": draw.choice((0, 3, 7, 8, 9, 9, 9, 10, 10, 10)),
            **({"respondent": {"email": f"p{draw.randrange(count)}@example.org"}} if draw.random() < 1 / 3 else {}),
            **({"comment": f"number {number}"} if draw.random() < 1 / 2 else {}),
        }
        for number in range(count)
    ]


@dataclass
class Sending:
    """How far the senders are. `acknowledged` counts distinct answers; `refusals` by status, 0 for no response."""

    url: str
    key: str
    acknowledged: dict[str, dict[str, Any]] = field(default_factory=dict)
    repeats: int = 0
    refusals: dict[int, int] = field(default_factory=dict)

    async def send_all(self, todo: list[dict[str, Any]]) -> None:
        """Send every answer until it is acknowledged."""
        left = iter(enumerate(todo))
        timeout = aiohttp.ClientTimeout(total=REQUEST_S)
        async with aiohttp.ClientSession(timeout=timeout, headers={"Authorization": f"Bearer {self.key}"}) as http:

            async def sender() -> None:
                for number, answer in left:
                    await self._until_held(http, answer)
                    self.acknowledged[answer["response_id"]] = answer
                    if number % AGAIN_EVERY == 0:
                        await self._until_held(http, answer)
                        self.repeats += 1

            async with asyncio.TaskGroup() as senders:
                for _ in range(SENDERS):
                    senders.create_task(sender())

    async def _until_held(self, http: aiohttp.ClientSession, answer: dict[str, Any]) -> None:
        while True:
            status = 0
            try:
                async with http.post(f"{self.url}/v1/responses", json=answer) as response:
                    status = response.status
                    if status == 202:
                        return
                    assert status in (429, 503), await response.text()
            except (aiohttp.ClientError, TimeoutError):
                pass
            self.refusals[status] = self.refusals.get(status, 0) + 1
            await asyncio.sleep(PAUSE_S)
