"""Clients that never give up: an answer is sent again, with its id, until the door has acknowledged it."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import msgspec

SENDERS = 16
GIVE_UP_S = 180.0
AGAIN_AFTER_S = 0.2
Body = dict[str, Any]


def make_answers(count: int, seed: int, teams: int = 12) -> list[Body]:
    """Answers as clients post them, one in 20 late. One in 12 happy ones is edited later; no detractor ever is."""
    draw = random.Random(seed)
    made: list[Body] = []
    for number in range(count):
        body: Body = {
            "response_id": str(uuid.UUID(int=draw.getrandbits(128))),
            "team": f"team-{draw.randrange(teams)}",
            "score": draw.choice([0, 2, 4, 6, 7, 8, 9, 9, 10, 10]),
        }
        if draw.random() < 0.3:
            body["respondent"] = {"id": f"customer-{draw.randrange(300)}"}
        if draw.random() < 0.3:
            body["comment"] = f"What I think, number {number}: 👍 or 👎"
        if draw.random() < 0.02:
            body["test"] = True
        if draw.random() < 0.05:
            given = datetime.now(UTC) - timedelta(minutes=draw.randrange(2, 300))
            body["answered_at"] = given.isoformat(timespec="seconds").replace("+00:00", "Z")
        made.append(body)
    return made


class Clients:
    """All clients together, and what they have been promised."""

    def __init__(self, url: str, key: str, admin_key: str, seed: int) -> None:
        self._door = url
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._admin = {"Authorization": f"Bearer {admin_key}"}
        self._draw = random.Random(seed)
        self.acknowledged: dict[str, Body] = {}
        self.excluded: set[str] = set()
        self.erased: set[str] = set()
        self.sent_again = 0
        self.answers: Counter[str] = Counter()
        self.longest_s = 0.0

    async def send(self, bodies: Sequence[Body], seconds: float) -> None:
        """Send all of them, evenly over that many seconds, and return when every one is acknowledged."""
        began = time.monotonic()
        gate = asyncio.Semaphore(SENDERS)
        async with (
            aiohttp.ClientSession(headers=self._headers, timeout=aiohttp.ClientTimeout(total=20)) as session,
            asyncio.TaskGroup() as group,
        ):
            for number, body in enumerate(bodies):
                due = began + seconds * number / len(bodies)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await gate.acquire()
                group.create_task(self._client(session, body)).add_done_callback(lambda _: gate.release())

    async def _client(self, session: aiohttp.ClientSession, body: Body) -> None:
        """One client: one in ten sends the same again, as a proxy does; one in 12 happy ones corrects itself.

        One in sixty happy answers is excluded as a bot's, one is erased and then sent once more.
        """
        luck = self._draw.random()
        if luck < 0.05:
            self.sent_again += 1
            await asyncio.gather(self._until_acknowledged(session, body), self._until_acknowledged(session, body))
        else:
            await self._until_acknowledged(session, body)
        if 0.05 <= luck < 0.1:
            self.sent_again += 1
            await self._until_acknowledged(session, body)
        elif luck > 0.915 and body["score"] >= 7:
            edited = body | {"revision": 1, "score": 10 if body["score"] < 10 else 7, "comment": "On second thoughts"}
            await self._until_acknowledged(session, edited)
        elif 0.5 < luck < 0.517 and body["score"] >= 7:
            await self._command(session, "POST", f"{_path(body)}/exclude", {"reason": "bot"})
            self.excluded.add(body["response_id"])
        elif 0.6 < luck < 0.617 and body["score"] >= 7:
            await self._command(session, "DELETE", _path(body), None)
            self.erased.add(body["response_id"])
            await self._until_acknowledged(session, body)

    async def _until_acknowledged(self, session: aiohttp.ClientSession, body: Body) -> None:
        await self._sent(session, "POST", "/v1/responses", msgspec.json.encode(body), {})
        held = self.acknowledged.get(body["response_id"])
        if held is None or held.get("revision", 0) <= body.get("revision", 0):
            self.acknowledged[body["response_id"]] = body

    async def _command(self, session: aiohttp.ClientSession, method: str, path: str, body: Body | None) -> None:
        await self._sent(session, method, path, None if body is None else msgspec.json.encode(body), self._admin)

    async def _sent(
        self, session: aiohttp.ClientSession, method: str, path: str, data: bytes | None, headers: dict[str, str]
    ) -> None:
        """Until it is acknowledged."""
        began = time.monotonic()
        while True:
            try:
                async with session.request(method, self._door + path, data=data, headers=headers) as reply:
                    told = await reply.read()
                self.answers[str(reply.status)] += 1
                if reply.status == 202:
                    break
                assert reply.status in (429, 503), (reply.status, told)
                assert int(reply.headers["Retry-After"]) > 0
            except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                self.answers[type(error).__name__] += 1
            assert time.monotonic() - began < GIVE_UP_S, f"not acknowledged within {GIVE_UP_S} s: {self.answers}"
            await asyncio.sleep(AGAIN_AFTER_S)
        self.longest_s = max(self.longest_s, time.monotonic() - began)


def _path(body: Body) -> str:
    return f"/v1/teams/{body['team']}/responses/{body['response_id']}"
