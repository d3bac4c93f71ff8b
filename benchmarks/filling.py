"""Fills the log once with answers, drawn from a seed, as fast as one core can encode them.

500 teams; event times over two hours, each record with the append time it would have had (the header of a copied log),
so that windows move as they would live; 30 % of the answers name a respondent, about 10 % are detractors.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaProducer

from schemas import topics
from schemas.feedback import Answer

TEAMS: Final = 500
SPAN_MS: Final = 2 * 3_600_000
LATEST_BY_MS: Final = 3_000  # an answer reaches the log up to this long after it was given
SCORES: Final = (9, 10, 10, 9, 8, 7, 9, 10, 8, 3)
WITH_RESPONDENT: Final = 0.3
RESPONDENTS: Final = 1 << 40
WAITING: Final = 64  # batches on their way at once
SEED: Final = 20_261_122


async def fill(kafka: str, records: int, teams: int = TEAMS) -> float:
    """Append `records` answers of so many teams to the log; seconds it took."""
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka, enable_idempotence=True, acks="all", max_batch_size=1 << 18, max_request_size=8 << 20
    )
    await producer.start()
    started = time.perf_counter()
    builders: dict[int, Any] = {}
    waiting: set[asyncio.Future[Any]] = set()

    async def send(partition: int) -> None:
        waiting.add(await producer.send_batch(builders.pop(partition), topics.FEEDBACK, partition=partition))
        if len(waiting) >= WAITING:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            waiting.difference_update(done)
            for future in done:
                future.result()

    try:
        for key, value, appended_ms in answers(records, teams):
            partition = topics.partition_of(key)
            headers = [(topics.APPENDED_HEADER, b"%d" % appended_ms)]
            while True:
                builder = builders.get(partition)
                if builder is None:
                    builder = builders[partition] = producer.create_batch()
                if builder.append(timestamp=None, key=key, value=value, headers=headers) is not None:
                    break
                await send(partition)
        for partition in list(builders):
            await send(partition)
        await asyncio.gather(*waiting)
    finally:
        await producer.stop()
    return time.perf_counter() - started


def answers(records: int, teams: int = TEAMS) -> Iterator[tuple[bytes, bytes, int]]:
    """(key, value, append time in ms) of each answer, in the order of their append times, which end now."""
    draw = random.Random(SEED)
    encode = msgspec.json.Encoder().encode
    names = [f"team-{number}".encode() for number in range(teams)]
    first_ms = int(time.time() * 1000) - SPAN_MS
    for number in range(records):
        appended_ms = first_ms + SPAN_MS * number // records
        answer = Answer(
            response_id=str(uuid.UUID(int=draw.getrandbits(128))),
            score=draw.choice(SCORES),
            content=f"{draw.getrandbits(128):032x}",
            answered_ms=appended_ms - draw.randrange(LATEST_BY_MS),
            respondent=f"{draw.randrange(RESPONDENTS):032x}" if draw.random() < WITH_RESPONDENT else None,
        )
        yield draw.choice(names), encode(answer), appended_ms
