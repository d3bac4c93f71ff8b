"""The worker as a process on a real Kafka: whatever happens to it, each record counts once."""

from __future__ import annotations

import asyncio
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from deploy.topics import migrate_topics
from schemas import topics
from schemas.feedback import Answer, Policy
from schemas.followups import FollowupEvent, FollowupRecord
from stream.checkpoints import Checkpoints
from stream.errors import EXIT_FATAL
from tests.engines import Engines
from tests.integration.stream_place import SESSION_S, Place, answers, record, running, until

pytestmark = pytest.mark.real

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


@pytest.fixture
def place(engines: Engines, tmp_path: Path) -> Iterator[Place]:
    engines.topics(anew=True)
    place = Place(engines, tmp_path)
    yield place
    place.end()


async def test_what_the_worker_says_equals_a_recount_of_the_log(place: Place) -> None:
    worker = place.worker()
    await place.send(answers(3_000, ages_ms=iter(range(0, 10**9, 86_413)).__next__))
    await place.folded()
    said = await place.counted()
    assert said.check() > 2_000
    assert said.repeated == 0
    assert await worker.metric("pulse_worker_open_partitions") == topics.PARTITIONS
    code, seconds = await worker.stop()
    assert (code, seconds < 5) == (0, True), (code, seconds)


async def test_a_worker_killed_again_and_again_counts_each_record_once(place: Place) -> None:
    worker = place.worker()
    await worker.ready()
    sending = asyncio.create_task(place.send(answers(4_000), per_s=1_000))
    for _ in range(3):
        before = await place.committed("pulse-worker", topics.FEEDBACK)

        async def further(before: list[int] = before) -> bool:
            return sum(await place.committed("pulse-worker", topics.FEEDBACK)) > sum(before)

        await until(further)
        worker.kill()
        worker.start()
    await sending
    await place.folded()
    assert (await place.counted()).check() > 3_000


async def test_a_broken_promise_is_told_within_a_second_and_as_of_the_moment_it_was_due(place: Place) -> None:
    worker = place.worker()
    await worker.ready()
    policy = Policy("p", contact_ms=1_500, resolve_ms=2_750, remind_ms=(500,), escalate_ms=(0, 400))
    unhappy = [Answer(response_id=str(uuid.uuid4()), score=2, content="c") for _ in range(3)]
    await place.send([record("team-3", policy), *(record("team-3", answer) for answer in unhappy)])

    async def told() -> list[FollowupEvent]:
        records = await place.read(topics.FOLLOWUPS)
        events = [msgspec.json.decode(one.value, type=FollowupRecord) for one in records]
        return [event for event in events if isinstance(event, FollowupEvent) and event.clock is not None]

    async def all_told() -> bool:
        return len(await told()) == 8 * len(unhappy)

    await until(all_told)
    partition = topics.partition_of(b"team-3")
    ticks = [one.timestamp for one in await place.read(topics.FEEDBACK) if one.partition == partition and not one.key]
    for event in await told():
        case = event.case
        after = {
            "followup.reminder": -500,
            "followup.breached": 0,
            "followup.escalated": 400 * ((event.level or 0) - 1),
        }
        due_ms = case.contact_due_ms if event.clock == "contact" else case.resolve_due_ms
        assert event.at_ms == due_ms + after[event.kind]
        assert min(at_ms for at_ms in ticks if at_ms >= event.at_ms) - event.at_ms <= 1_000
    assert len(ticks) <= 10


async def test_of_two_workers_of_one_name_the_earlier_one_ends(place: Place) -> None:
    earlier = place.worker()
    await earlier.ready()
    later = place.worker("other-disk", PULSE_WORKER_ID="worker-0")

    async def ended() -> bool:
        return not running(earlier)

    await until(ended)
    assert "fenced" in earlier.text
    await later.ready()
    await place.send(answers(200))
    await place.folded()
    assert (await place.counted()).check() > 100
    assert running(later)


async def test_a_new_disk_is_rebuilt_without_saying_anything_again(place: Place) -> None:
    worker = place.worker()
    await place.send(answers(2_000))
    await place.folded()
    assert (await worker.stop())[0] == 0
    before = {name: await place.ends(name) for name in (topics.FOLLOWUPS, topics.TEAM_CHANGES, topics.TEAM_SCORES)}
    shutil.rmtree(place.state())
    worker.start()
    await worker.ready()
    assert {name: await place.ends(name) for name in before} == before
    one = record("team-3", Answer(response_id=str(uuid.uuid4()), score=2, content="c"))
    await place.send([one])
    await place.folded()
    (event,) = [found for found in await place.read(topics.FOLLOWUPS, before[topics.FOLLOWUPS]) if found.key]
    assert event.key == b"team-3"
    said = await place.counted()
    assert said.check() > 1_500
    assert said.repeated == 0
    assert await worker.metric("pulse_worker_rebuilt_records_total") == sum(await place.ends(topics.FEEDBACK)) - 1


async def test_a_wiped_disk_comes_back_from_a_checkpoint_and_only_the_tail_is_folded(place: Place) -> None:
    variables = {"PULSE_CHECKPOINT_DIR": str(place.below / "checkpoints"), "PULSE_CHECKPOINT_EVERY": "PT0.5S"}
    worker = place.worker(**variables)
    await place.send(answers(4_000))
    await place.folded()
    ends = await place.ends(topics.FEEDBACK)
    busy = [number for number, end in enumerate(ends) if end]

    async def copied() -> bool:
        made = {number: Checkpoints(place.below / "checkpoints", place.state()).of(number) for number in busy}
        return all(any(one.position >= ends[number] for one in made[number]) for number in busy)

    await until(copied)
    worker.kill()
    shutil.rmtree(place.state())
    worker = place.worker(**variables | {"PULSE_CHECKPOINT_EVERY": "PT1H"})
    await place.send(answers(1_000, seed=2))
    await place.folded()
    worker.kill()
    shutil.rmtree(place.state())
    worker.start()
    await worker.ready()
    tail = await place.ends(topics.FEEDBACK)
    assert worker.text.count("checkpoint_restored") == 2 * len(busy)
    rebuilt = await worker.metric("pulse_worker_rebuilt_records_total")
    assert 1_000 <= rebuilt <= sum(tail) - sum(ends)
    assert await worker.metric("pulse_worker_restored_total") == len(busy)
    await place.send(answers(500, seed=3))
    await place.folded()
    assert (await place.counted()).check() > 4_000


async def test_workers_that_die_and_lose_their_disks_count_each_record_once_from_shared_checkpoints(
    place: Place,
) -> None:
    variables = {"PULSE_CHECKPOINT_DIR": str(place.below / "checkpoints"), "PULSE_CHECKPOINT_EVERY": "PT0.2S"}
    workers = [place.worker(f"worker-{number}", **variables) for number in range(2)]
    for worker in workers:
        await worker.ready()
    sending = asyncio.create_task(place.send(answers(6_000), per_s=400))
    for number in range(4):
        before = await place.committed("pulse-worker", topics.FEEDBACK)

        async def further(before: list[int] = before) -> bool:
            return sum(await place.committed("pulse-worker", topics.FEEDBACK)) > sum(before) + 300

        await until(further, 60)
        worker = workers[number % 2]
        worker.kill()
        if number < 2:
            shutil.rmtree(place.state(worker.name))
        worker.start()
    await sending
    await place.folded()
    assert (await place.counted()).check() > 4_000
    text = "".join(worker.text for worker in workers)
    assert "checkpoint_restored" in text
    assert "checkpoint_failed" not in text
    assert '"level": "critical"' not in text


async def test_a_worker_that_joins_and_one_that_leaves_lose_and_double_nothing(place: Place) -> None:
    first = place.worker("worker-0")
    await first.ready()
    sending = asyncio.create_task(place.send(answers(8_000), per_s=500))
    second = place.worker("worker-1")
    await second.ready()

    async def shared() -> bool:
        return await second.metric("pulse_worker_records_total") > 0

    await until(shared)
    assert await second.metric("pulse_worker_open_partitions") == topics.PARTITIONS / 2
    assert (await second.stop())[0] == 0

    async def alone() -> bool:
        return await first.metric("pulse_worker_open_partitions") == topics.PARTITIONS

    await until(alone, SESSION_S + 20)
    await sending
    await place.folded()
    assert (await place.counted()).check() > 6_000
    assert running(first)


async def test_a_worker_that_was_asleep_while_another_took_over_does_no_harm(place: Place) -> None:
    workers = [place.worker(f"worker-{number}") for number in range(2)]
    for worker in workers:
        await worker.ready()
    sending = asyncio.create_task(place.send(answers(6_000), per_s=600))

    async def both() -> bool:
        return all([await worker.metric("pulse_worker_records_total") > 0 for worker in workers])

    await until(both)
    workers[0].pause(True)

    async def taken() -> bool:
        return await workers[1].metric("pulse_worker_open_partitions") == topics.PARTITIONS

    await until(taken, SESSION_S + 20)
    workers[0].pause(False)
    await sending
    await place.folded()
    assert (await place.counted()).check() > 4_000


async def test_the_broker_may_die_under_load(place: Place) -> None:
    worker = place.worker()
    await worker.ready()
    sending = asyncio.create_task(place.send(answers(4_000), per_s=800))
    kafka = place.engines.kafka_engine
    done = 0
    for _ in range(2):

        async def further(done: int = done) -> bool:
            return sum(await place.committed("pulse-worker", topics.FEEDBACK)) > done

        # A commit lasts as long as an outage: two in a row would be one, of twice the length.
        await until(further, 60)
        done = sum(await place.committed("pulse-worker", topics.FEEDBACK))
        kafka.kill()
        kafka.start()  # from the main thread, which it is tied to
        await asyncio.to_thread(kafka.wait)
    await sending
    await place.folded(120)
    said = await place.counted()
    assert said.check() > 3_000
    assert running(worker), worker.text[-3_000:]
    await worker.ready()


async def test_time_passes_for_windows_without_new_answers(place: Place) -> None:
    """An answer whose log was copied keeps its old append time; the tick that follows has today's."""
    worker = place.worker()
    await worker.ready()
    now_ms = int(time.time() * 1000)
    old = [(topics.APPENDED_HEADER, str(now_ms - 2 * HOUR_MS).encode())]
    await place.send([record("team-1", Answer(response_id=str(uuid.uuid4()), score=9, content="c"), old)])

    async def moved() -> bool:
        scores = (await place.counted()).scores.get("team-1")
        return scores is not None and scores.windows[0].all.promoters == 0

    await until(moved)
    said = await place.counted()
    scores = said.scores["team-1"]
    assert [window.all.promoters for window in scores.windows] == [0, 1, 1, 1, 1]
    assert scores.as_of * MINUTE_MS >= now_ms
    assert said.check() == 1
    assert await worker.metric("pulse_worker_ticks_total") >= 1
    log = [msgspec.json.decode(found.value)["type"] for found in await place.read(topics.FEEDBACK)]
    assert log[0] == "answer"
    assert set(log[1:]) == {"tick"}
    assert len(log) <= 4  # at most one a second


async def test_the_last_worker_leaves_within_seconds_even_under_load(place: Place) -> None:
    worker = place.worker()
    await worker.ready()
    sending = asyncio.create_task(place.send(answers(6_000), per_s=3_000))

    async def folding() -> bool:
        return await worker.metric("pulse_worker_records_total") > 100

    await until(folding)
    code, seconds = await worker.stop()
    assert (code, seconds < 5) == (0, True), (code, seconds, worker.text[-2_000:])
    await sending
    worker.start()
    await place.folded()
    assert (await place.counted()).check() > 4_000


async def test_a_log_that_was_replaced_under_the_state_is_refused(place: Place) -> None:
    worker = place.worker()
    await place.send(answers(500))
    await place.folded()
    await worker.stop()
    place.engines.topics(anew=True)
    await place.send(answers(500, seed=2))
    worker.start()
    assert await asyncio.to_thread(worker.process.wait, 60) == EXIT_FATAL
    assert "state_not_of_this_log" in worker.text
    assert "move the state folder away" in worker.text
    shutil.rmtree(place.state())
    worker.start()
    await place.folded()
    assert (await place.counted()).check() > 300


async def test_another_partition_count_is_refused_with_both_named(place: Place) -> None:
    await place.no_topics()
    wrong = [msgspec.structs.replace(topic, partitions=8) for topic in topics.TOPICS]
    await migrate_topics(place.kafka, wrong)
    worker = place.worker()
    assert await asyncio.to_thread(worker.process.wait, 60) not in (0, None)
    assert "feedback.v1 has 8 partitions, PULSE_PARTITIONS says 16" in worker.text
    await place.no_topics()


async def test_a_worker_waits_for_a_log_that_is_not_there_yet_and_ends_when_told(place: Place) -> None:
    await place.no_topics()
    worker = place.worker()

    async def waiting() -> bool:
        return "log_not_reached" in worker.text

    await until(waiting, 60)
    assert await worker.ask("/readyz") == 503
    assert await worker.ask("/livez") == 200
    code, seconds = await worker.stop()
    assert (code, seconds < 5) == (0, True), (code, seconds, worker.text[-2_000:])
