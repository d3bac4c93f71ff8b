"""The agent that scores: record batches in, folded state and acknowledged outputs out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import faust
import structlog
from faust.types import TP

from schemas import topics
from stream.batches import RawSchema, RecordBatch, gate_of, partitions_of
from stream.errors import Revoked, fatal_on_error
from stream.log import KafkaLog
from stream.outbox import KafkaOutbox
from stream.partitions import Partitions
from stream.settings import WorkerSettings
from stream.state import root_of

log = structlog.get_logger()
TICK_CHECK_S = 0.2


class Scoring:
    """Everything of one worker: its partitions, and the agent and signals that drive them."""

    def __init__(self, app: faust.App, settings: WorkerSettings) -> None:
        gate = gate_of(app)
        generation = settings.log
        self._topic = generation.topic(topics.FEEDBACK)

        def told(partition: int, position: int) -> None:
            gate.emitted(self._topic, partition, position)

        self.outbox = KafkaOutbox(settings.kafka, generation=generation)
        source = KafkaLog(settings.kafka, app.conf.id, self._topic)
        checkpoint_dir = root_of(Path(settings.checkpoint_dir), generation) if settings.checkpoint_dir else None
        root = root_of(settings.state_dir, generation)
        self.partitions = Partitions(root, generation, self.outbox, source, told, checkpoint_dir)
        self.joined = False
        self._app = app
        self._gate = gate
        feedback = app.topic(self._topic, schema=RawSchema(), allow_empty=True)
        app.agent(feedback, name="score")(self.score)
        app.on_partitions_assigned.connect(self._assigned)
        app.on_partitions_revoked.connect(self._revoked)
        app.task(self._tick)
        if checkpoint_dir is not None:
            self._checkpoint_every_s = settings.checkpoint_every.total_seconds()
            app.task(self._checkpoint)

    async def score(self, batches: Any) -> None:
        """The agent. Nothing escapes its body: see `fatal_on_error`."""
        async for batch in batches:
            with fatal_on_error():
                await self._score(batch)

    async def _score(self, batch: RecordBatch) -> None:
        try:
            await self.partitions.apply(batch.partition, batch.fetched.first, batch.fetched.records())
        except Revoked:
            log.info("batch_left", partition=batch.partition, offset=batch.offset)

    async def _assigned(self, *args: Any, **_: Any) -> None:
        """Idle partitions have to be opened too: their windows move without answers."""
        numbers = partitions_of(args[1], self._topic)
        log.info("partitions_assigned", partitions=sorted(numbers))
        self.joined = True
        for number in sorted(numbers):
            self.partitions.begin(number)

    async def _revoked(self, *args: Any, **_: Any) -> None:
        numbers = partitions_of(args[1], self._topic)
        log.info("partitions_revoked", partitions=sorted(numbers))
        await self.partitions.close(numbers)
        for number in numbers:
            self._gate.forget(self._topic, number)

    async def _tick(self) -> None:
        with fatal_on_error():
            while not self._app.should_stop:
                await self._app.sleep(TICK_CHECK_S)
                await self.partitions.tick(int(time.time() * 1000), self._highwater)

    async def _checkpoint(self) -> None:
        with fatal_on_error():
            while not self._app.should_stop:
                await self._app.sleep(self._checkpoint_every_s)
                await self.partitions.checkpoint()

    def _highwater(self, partition: int) -> int | None:
        """Where the partition ends as far as is known; None when it is not ours (any more)."""
        tp, consumer = TP(self._topic, partition), self._app.consumer
        return consumer.highwater(tp) if tp in consumer.assignment() else None

    def ready(self) -> str | None:
        """None when every assigned partition is open and what they say arrives."""
        if not self.joined:
            return "not a member of the consumer group yet"
        waiting = self.partitions.not_open()
        return f"opening partitions {waiting}" if waiting else self.outbox.trouble

    async def close(self) -> None:
        """After the app has stopped: let go of state and producer."""
        await self.partitions.close_all()
        await self.outbox.close()
