"""Workers and sinks as processes of their own, on empty topics of the session's real engines; and what came of it."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.local.spawn import leashed
from deploy.topics import delete_topics
from schemas import topics
from schemas.changes import AnswerChange, ChangesRecord, PaneChange, Position, TeamChanges
from schemas.feedback import Answer, Policy
from schemas.followups import FollowupEvent, FollowupRecord
from schemas.scores import TeamScores
from stream.app import SINK_GROUP, WORKER_GROUP
from tests.engines import Engines
from tests.unit.stream.recount import Recount

START_S = 60.0
SESSION_S = 3
Headers = Sequence[tuple[str, bytes]]
Sent = tuple[bytes | None, bytes | None, int, Headers]  # key, value, partition, headers
T = TypeVar("T")


class Process:
    """A running worker or sink. Its log is at `log`."""

    def __init__(self, name: str, command: str, log: Path, variables: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        self._command = (sys.executable, "-m", "services.cli", command)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PULSE_")}
        port = {f"PULSE_{command.upper()}_METRICS_PORT": str(self.port)}
        self._environment = {**inherited, **variables, **port, "PULSE_SESSION_TIMEOUT": f"PT{SESSION_S}S"}
        self.start()

    def start(self) -> None:
        """Start it, or start it again."""
        with self.log.open("ab") as output:
            self.process = leashed(self._command, self._environment, output)

    @property
    def text(self) -> str:
        """Everything it has logged."""
        return self.log.read_text(errors="replace")

    async def ready(self, status: int = 200, within_s: float = START_S) -> None:
        """Wait until `/readyz` answers `status`."""

        async def answers() -> bool:
            assert self.process.poll() is None, f"{self.name} ended with {self.process.returncode}\n{self.text[-3000:]}"
            return await self.ask("/readyz") == status

        await until(answers, within_s, f"{self.name} ready={status}")

    async def ask(self, path: str) -> int | None:
        """Status of a page; None when nothing listens."""
        try:
            async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{self.port}{path}") as reply:
                return reply.status
        except aiohttp.ClientError:
            return None

    async def metric(self, name: str) -> float:
        """Sum of a metric over its labels."""
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{self.port}/metrics") as reply:
            lines = (await reply.text()).splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.split("{")[0].split(" ")[0] == name)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def pause(self, paused: bool) -> None:
        """SIGSTOP or SIGCONT."""
        self.process.send_signal(signal.SIGSTOP if paused else signal.SIGCONT)

    async def stop(self, within_s: float = 15.0) -> tuple[int, float]:
        """SIGTERM; the exit code and the seconds it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(self.process.wait, within_s)
        return code, time.monotonic() - began

    def end(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@dataclass
class Place:
    """Empty topics, and the processes that a test starts on them."""

    engines: Engines
    below: Path
    processes: list[Process] = field(default_factory=list)

    @property
    def kafka(self) -> str:
        return self.engines.kafka

    def worker(self, name: str = "worker-0", **variables: str) -> Process:
        """Start a worker with a state folder of its own."""
        settings = {"PULSE_KAFKA": self.kafka, "PULSE_WORKER_ID": name, "PULSE_STATE_DIR": str(self.state(name))}
        return self._run(name, "worker", settings | variables)

    def sink(self, clickhouse: str, name: str = "sink-0", **variables: str) -> Process:
        """Start a sink."""
        settings = {"PULSE_KAFKA": self.kafka, "PULSE_CLICKHOUSE": clickhouse, "PULSE_SINK_ID": name}
        return self._run(name, "sink", settings | variables)

    def _run(self, name: str, command: str, variables: Mapping[str, str]) -> Process:
        self.processes.append(Process(name, command, self.below / f"{name}.log", variables))
        return self.processes[-1]

    def state(self, name: str = "worker-0") -> Path:
        """A worker's state folder."""
        return self.below / "state" / name

    def end(self) -> None:
        """Kill what still runs."""
        for process in self.processes:
            process.end()

    async def no_topics(self) -> None:
        """Delete all topics, and wait until they are gone."""
        await delete_topics(self.kafka, [topic.name for topic in topics.TOPICS])

    async def send(self, sent: Iterable[Sent], topic: str = topics.FEEDBACK, per_s: float | None = None) -> list[int]:
        """Append records, through outages; how many each partition was given. `per_s` paces them."""
        given = [0] * topics.PARTITIONS
        producer = await self._producer()
        waiting: list[Any] = []
        for number, (key, value, partition, headers) in enumerate(sent):
            waiting.append(await producer.send(topic, value, key, partition, headers=[*headers]))
            given[partition] += 1
            if per_s and number % 20 == 19:
                await asyncio.gather(*waiting)
                waiting.clear()
                await asyncio.sleep(20 / per_s)
        await asyncio.gather(*waiting)
        await producer.stop()
        return given

    async def _producer(self) -> Any:
        producer = AIOKafkaProducer(bootstrap_servers=self.kafka, enable_idempotence=True, acks="all", linger_ms=1)
        await producer.start()
        return producer

    async def ends(self, topic: str) -> list[int]:
        """Where each partition ends."""
        return [offset for _, offset in sorted((await self._bounds(topic)).items())]

    async def _bounds(self, topic: str) -> dict[Any, int]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka, enable_auto_commit=False)
        await consumer.start()
        try:
            return dict(await consumer.end_offsets(partitions_of(topic)))
        finally:
            await consumer.stop()

    async def read(self, topic: str, start: Sequence[int] = ()) -> list[Any]:
        """All records that a topic holds now, from the given offsets on."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.kafka, enable_auto_commit=False, max_partition_fetch_bytes=8 << 20
        )
        await consumer.start()
        try:
            tps = partitions_of(topic)
            ends = await consumer.end_offsets(tps)
            consumer.assign(tps)
            for tp, offset in zip(tps, start or [0] * len(tps), strict=True):
                consumer.seek(tp, offset)
            found = []
            while any([await consumer.position(tp) < ends[tp] for tp in tps]):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += [
                        record for record in records if record.offset < ends[TopicPartition(topic, record.partition)]
                    ]
            return found
        finally:
            await consumer.stop()

    async def committed(self, group: str, topic: str) -> list[int]:
        """The group's committed offset of each partition; 0 where there is none, or nobody to ask."""
        tps = partitions_of(topic)
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        try:
            await admin.start()
            found = await admin.list_consumer_group_offsets(group, partitions=tps)
        except KafkaError:
            return [0] * len(tps)
        finally:
            await admin.close()
        return [max(0, found[tp].offset) if tp in found else 0 for tp in tps]

    async def folded(self, within_s: float = 60.0) -> None:
        """Until everything that the log holds now is folded, acknowledged and committed."""
        await self._reached(WORKER_GROUP, [topics.FEEDBACK], within_s)

    async def sunk(self, within_s: float = 60.0) -> None:
        """Until everything that the output topics hold now is stored and committed."""
        await self._reached(
            SINK_GROUP, [topic.name for topic in topics.TOPICS if topic.name != topics.FEEDBACK], within_s
        )

    async def _reached(self, group: str, of: Sequence[str], within_s: float) -> None:
        for topic in of:
            ends = await self.ends(topic)

            async def there(topic: str = topic, ends: Sequence[int] = tuple(ends)) -> bool:
                found = await self.committed(group, topic)
                return all(at >= end for at, end in zip(found, ends, strict=True))

            await until(there, within_s, f"{group} at the end of {topic}")

    async def counted(self) -> Counted:
        """What the topics say came of the log."""
        said = Counted(dict(enumerate([[] for _ in range(topics.PARTITIONS)])))
        for record in await self.read(topics.FEEDBACK):
            said.log[record.partition].append(record)
        for record in await self.read(topics.TEAM_SCORES):
            said.score(msgspec.json.decode(record.value, type=TeamScores))
        for record in await self.read(topics.TEAM_CHANGES):
            said.change(msgspec.json.decode(record.value, type=ChangesRecord))
        for record in await self.read(topics.FOLLOWUPS):
            said.event(msgspec.json.decode(record.value, type=FollowupRecord))
        return said


@dataclass
class Counted:
    """The outputs as a reader keeps them: the greatest version of each thing."""

    log: dict[int, list[Any]]
    scores: dict[str, TeamScores] = field(default_factory=dict)
    panes: dict[tuple[str, int], PaneChange] = field(default_factory=dict)
    answers: dict[tuple[str, str], AnswerChange] = field(default_factory=dict)
    events: dict[str, FollowupEvent] = field(default_factory=dict)
    repeated: int = 0
    through: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def score(self, scores: TeamScores) -> None:
        if scores.team not in self.scores or self.scores[scores.team].version <= scores.version:
            self.scores[scores.team] = scores

    def change(self, record: ChangesRecord) -> None:
        if isinstance(record, Position):
            self.through[record.partition] = max(self.through[record.partition], record.through)
            return
        assert isinstance(record, TeamChanges)
        for pane in record.panes:
            at = record.team, pane.minute
            if at not in self.panes or self.panes[at].version <= pane.version:
                self.panes[at] = pane
        for answer in record.answers:
            key = record.team, answer.response_id
            if key not in self.answers or self.answers[key].version <= answer.version:
                self.answers[key] = answer

    def event(self, record: FollowupRecord) -> None:
        if isinstance(record, FollowupEvent):
            self.repeated += record.event_id in self.events
            self.events[record.event_id] = record

    @property
    def raised(self) -> list[FollowupEvent]:
        return [event for event in self.events.values() if event.kind == "followup.raised"]

    def check(self) -> int:
        """Scores, panes, answers and cases against a recount of the log; how many answers were counted."""
        total = 0
        expected_cases = 0
        for partition, log in self.log.items():
            recount = Recount.of(log, partition)
            for team in {team for team, _ in recount.answers}:
                scores = self.scores[team]
                for window in scores.windows:
                    for policy in ("all", "latest"):
                        said = getattr(window, policy)
                        counts = recount.counts(team, policy, scores.as_of, window.minutes)
                        assert (said.detractors, said.passives, said.promoters) == counts, (
                            team,
                            window.minutes,
                            policy,
                        )
                answers = [answer for (of, _), answer in recount.answers.items() if of == team]
                counted = sum(answer.counted and not answer.history for answer in answers)
                assert sum(sum(pane.all) for (of, _), pane in self.panes.items() if of == team) == counted, team
                assert {i for of, i in self.answers if of == team} == {answer.response_id for answer in answers}
                expected_cases += len(
                    {answer.respondent or answer.response_id for answer in answers if answer.calls and answer.counted}
                )
                total += counted
            assert self.through[partition] >= (log[-1].offset + 1 if log else 0)
        assert len({event.case.case_id for event in self.raised}) == len(self.raised)
        assert len(self.raised) == expected_cases
        return total


def answers(
    count: int, seed: int = 1, teams: int = 20, *, again: float = 0.1, ages_ms: Callable[[], int] | None = None
) -> list[Sent]:
    """Answers of several teams, some with respondents, some of them tests; a share of them comes again."""
    draw = random.Random(seed)
    made: list[Sent] = []
    for _ in range(count):
        if made and draw.random() < again:
            made.append(draw.choice(made[-200:]))
            continue
        response = Answer(
            response_id=str(uuid.UUID(int=draw.getrandbits(128))),
            score=draw.choice([0, 3, 6, 7, 8, 9, 10, 10, 10]),
            content=f"{draw.getrandbits(128):032x}",
            respondent=f"{draw.getrandbits(6):02x}" if draw.random() < 0.3 else None,
            test=draw.random() < 0.02,
            answered_ms=int(time.time() * 1000) - ages_ms() if ages_ms else None,
        )
        made.append(record(f"team-{draw.randrange(teams)}", response))
    return made


def record(team: str, said: Answer | Policy, headers: Headers = ()) -> Sent:
    """An answer, or a policy, as it is appended to the log."""
    return team.encode(), msgspec.json.encode(said), topics.partition_of(team.encode()), headers


def partitions_of(topic: str) -> list[Any]:
    return [TopicPartition(topic, number) for number in range(topics.PARTITIONS)]


async def until(question: Callable[[], Awaitable[bool]], within_s: float = 30.0, what: str = "it") -> None:
    """Ask until the answer is yes."""
    deadline = time.monotonic() + within_s
    while not await question():
        assert time.monotonic() < deadline, f"{what} did not come within {within_s} s"
        await asyncio.sleep(0.05)


def running(process: Process) -> bool:
    """Still the process it was."""
    return process.process.poll() is None


__all__ = ["SESSION_S", "Counted", "Place", "Process", "Sent", "answers", "record", "running", "subprocess", "until"]
