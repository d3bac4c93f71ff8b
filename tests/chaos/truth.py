"""What must have come of it: the log counted again, naively, against the topics and the tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import clickhouse_connect
import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas import topics
from tests.chaos.receiver import Receiver
from tests.chaos.sending import Clients
from tests.unit.stream.recount import Recount


@dataclass(frozen=True)
class Figures:
    """Everything but the first block must be 0."""

    acknowledged: int
    log_records: int
    counted: int
    cases: int
    webhooks: int
    webhooks_repeated: int

    missing: int
    not_as_acknowledged: int
    counted_twice: int
    scores_wrong: int
    panes_wrong: int
    texts_missing: int
    erased_left: int
    excluded_counted: int
    detractors_without_followup: int
    cases_raised_twice: int
    cases_too_many_or_few: int
    webhooks_missing: int
    webhooks_with_two_ids: int

    def wrong(self) -> dict[str, int]:
        """What should be 0 and is not."""
        start = list(asdict(self)).index("missing")
        return {name: value for name, value in list(asdict(self).items())[start:] if value}


async def figures(kafka: str, clickhouse: str, clients: Clients, receiver: Receiver) -> Figures:
    """Read everything and compare."""
    acknowledged = {i: body for i, body in clients.acknowledged.items() if i not in clients.erased}
    logs = await _read(kafka, topics.FEEDBACK)
    recounts = {number: Recount.of(records, number) for number, records in logs.items()}
    truth = {i: answer for recount in recounts.values() for (_, i), answer in recount.answers.items()}
    scores = _newest_scores(await _read(kafka, topics.TEAM_SCORES))
    events = _raised(await _read(kafka, topics.FOLLOWUPS))
    with clickhouse_connect.get_client(dsn=clickhouse) as client:

        def rows(sql: str) -> Sequence[Sequence[Any]]:
            return client.query(sql).result_rows

        panes = {
            (team, at): (tuple(a), tuple(n))
            for team, at, a, n in rows(
                "SELECT team, toUnixTimestamp(minute), scores, latest FROM panes FINAL WHERE arraySum(scores) > 0"
            )
        }
        answers = {
            i: (score, case_id)
            for i, score, case_id in rows(
                "SELECT response_id, score, case_id FROM answers FINAL WHERE NOT erased "
                "ORDER BY version DESC LIMIT 1 BY team, response_id"
            )
        }
        texts = {i for (i,) in rows("SELECT response_id FROM people WHERE comment != ''")}
    calling = [answer for answer in truth.values() if answer.calls and answer.counted]
    raised = Counter(event["case"]["case_id"] for event in events.values())
    wanted = len({(answer.team, answer.respondent or answer.response_id) for answer in calling})
    counted = sum(answer.counted for answer in truth.values())
    in_panes = sum(sum(pane[0]) for pane in panes.values())
    return Figures(
        acknowledged=len(clients.acknowledged),
        log_records=sum(map(len, logs.values())),
        counted=counted,
        cases=len(raised),
        webhooks=sum(receiver.messages.values()),
        webhooks_repeated=sum(receiver.messages.values()) - len(receiver.messages),
        missing=len(acknowledged.keys() - truth.keys()) + len(acknowledged.keys() - answers.keys()),
        not_as_acknowledged=sum(
            (truth[i].score, answers[i][0]) != (body["score"], body["score"])
            for i, body in acknowledged.items()
            if i in truth and i in answers
        ),
        counted_twice=max(0, in_panes - counted),
        scores_wrong=_scores_wrong(recounts, scores),
        panes_wrong=len(set(panes.items()) ^ set(_panes(recounts).items())),
        texts_missing=len({i for i, body in acknowledged.items() if "comment" in body} - texts),
        erased_left=len(clients.erased & (texts | answers.keys() | truth.keys())),
        excluded_counted=sum(truth[i].counted for i in clients.excluded),
        detractors_without_followup=sum(not answers.get(answer.response_id, (0, ""))[1] for answer in calling),
        cases_raised_twice=sum(count - 1 for count in raised.values()),
        cases_too_many_or_few=abs(len(raised) - wanted),
        webhooks_missing=len(events.keys() - receiver.messages.keys()),
        webhooks_with_two_ids=sum(len(ids) > 1 for ids in receiver.cases.values()),
    )


def _panes(recounts: Mapping[int, Recount]) -> dict[tuple[str, int], tuple[tuple[int, ...], tuple[int, ...]]]:
    """Each team's minutes with their histograms of both policies, by the second a minute ends at."""
    return {
        (team, minute * 60): (tuple(pane[:11]), tuple(pane[11:]))
        for recount in recounts.values()
        for team, minutes in recount.panes().items()
        for minute, pane in minutes.items()
    }


def _scores_wrong(recounts: Mapping[int, Recount], scores: Mapping[str, Any]) -> int:
    """Windows that are not what a recount gives, at the minute the team's scores say they hold for."""
    wrong = 0
    for recount in recounts.values():
        for team in {team for team, _ in recount.answers}:
            found = scores.get(team)
            if found is None:
                wrong += any(answer.counted for (of, _), answer in recount.answers.items() if of == team)
                continue
            wrong += sum(
                tuple(window[policy]) != recount.counts(team, policy, found["as_of"], window["minutes"])
                for window in found["windows"]
                for policy in ("all", "latest")
            )
    return wrong


def _newest_scores(records: Mapping[int, Sequence[Any]]) -> dict[str, Any]:
    """The last record of each team, as compaction leaves it."""
    found: dict[str, Any] = {}
    for record in (record for of_partition in records.values() for record in of_partition):
        found[record.key.decode()] = msgspec.json.decode(record.value)
    return found


def _raised(records: Mapping[int, Sequence[Any]]) -> dict[str, Any]:
    """Raised cases by event id; repeats of an id are one event."""
    decoded = (msgspec.json.decode(record.value) for of_partition in records.values() for record in of_partition)
    return {event["event_id"]: event for event in decoded if event.get("kind") == "followup.raised"}


async def _read(kafka: str, topic: str) -> dict[int, list[Any]]:
    """All records that a topic holds now, by partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, max_partition_fetch_bytes=8 << 20)
    await consumer.start()
    try:
        tps = [TopicPartition(topic, number) for number in range(topics.PARTITIONS)]
        ends = await consumer.end_offsets(tps)
        consumer.assign(tps)
        await consumer.seek_to_beginning(*tps)
        found: dict[int, list[Any]] = {tp.partition: [] for tp in tps}
        while any([await consumer.position(tp) < ends[tp] for tp in tps]):
            for tp, records in (await consumer.getmany(timeout_ms=500)).items():
                found[tp.partition] += [record for record in records if record.offset < ends[tp]]
        return found
    finally:
        await consumer.stop()
