"""What a person does with a case on its way to the log. Asked for seldom, so simpler than the door for answers.

The producer is not idempotent: an act that is written twice is applied once. So nothing can get stuck behind a gap in
its sequence numbers (aiokafka issue 1017), and after any failure the next act gets a new producer.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.feedback import Act
from schemas.generations import FIRST, Generation
from schemas.people import Person, person_key
from schemas.topics import FEEDBACK, PEOPLE
from services.common.clock import wall_clock_ms
from services.common.problems import Unavailable
from services.common.producing import LogMoved, WrongTopic, check_topics, stop

log = structlog.get_logger()

_WITHIN_S: Final = 3.0
_PAUSE_S: Final = 0.1
_RETRY_AFTER_S: Final = 1


class Acts(Protocol):
    """Where acts go."""

    async def publish(self, team: str, act: Act, text: str | None = None) -> None:
        """Return when all in-sync replicas hold an act, and before it the text of its note.

        Raises:  Unavailable when it is not known to be held. It may stand in the log yet; publishing the same act
                 again is safe.
        """
        ...

    async def close(self) -> None:
        """Give the connection back."""
        ...


class KafkaActs:
    """See `Acts`. Connects when the first act comes, and anew after a failure."""

    def __init__(self, brokers: str, generation: Generation = FIRST, within_s: float = _WITHIN_S) -> None:
        self._brokers = brokers
        self._generation = generation
        self._within_s = within_s
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()

    async def publish(self, team: str, act: Act, text: str | None = None) -> None:
        """See `Acts`."""
        deadline = asyncio.get_running_loop().time() + self._within_s
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    await self._attempt(team, act, text)
                return
            except (KafkaError, TimeoutError, OSError, WrongTopic) as error:
                log.warning("act_not_held", error=type(error).__name__, why=str(error))
                # A broker that comes back refuses for a moment; and an act that gives up takes the producer with it,
                # from under those that came later and have time left.
                left_s = deadline - asyncio.get_running_loop().time()
                if left_s <= _PAUSE_S or isinstance(error, WrongTopic | LogMoved):
                    raise Unavailable(
                        "the log did not acknowledge it, so it may or may not be held; send it again with the same "
                        "Idempotency-Key",
                        retry_after_s=_RETRY_AFTER_S,
                    ) from None
                await asyncio.sleep(_PAUSE_S)

    async def _attempt(self, team: str, act: Act, text: str | None) -> None:
        """Once. A producer that failed is let go."""
        key = team.encode()
        partition = self._generation.partition_of(key)
        producer = await self._started()
        try:
            if text is not None and act.note is not None:
                note = Person(team, act.note, comment=text, case_id=act.case_id, noted_ms=wall_clock_ms())
                person = msgspec.json.encode(note)
                # Held before the act is: a text that the fold does not want is deleted after it was written. One
                # whose act does not follow is deleted by the sink (`stream.notes`).
                await producer.send_and_wait(
                    self._generation.topic(PEOPLE), person, person_key(team, act.note), partition
                )
            await producer.send_and_wait(self._generation.topic(FEEDBACK), msgspec.json.encode(act), key, partition)
        except BaseException:
            self._let_go(producer)
            raise

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._brokers,
                    client_id="pulse-acts",
                    acks="all",
                    linger_ms=0,
                    request_timeout_ms=int(self._within_s * 1000),
                )
                try:
                    await producer.start()
                    await check_topics(producer, self._generation)
                except BaseException:
                    self._leave(producer)
                    raise
                self._producer = producer
            return self._producer

    def _let_go(self, producer: AIOKafkaProducer | None) -> None:
        """Make another for the next act. Not when there is another already, by which others are being helped."""
        if producer is not None and producer is self._producer:
            self._producer = None
            self._leave(producer)

    def _leave(self, producer: AIOKafkaProducer) -> None:
        """End it in the background: that may take seconds while the broker is away."""
        task = asyncio.create_task(stop(producer))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """See `Acts`."""
        self._let_go(self._producer)
        await asyncio.gather(*self._leaving, return_exceptions=True)
