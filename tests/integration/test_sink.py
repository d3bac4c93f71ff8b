"""The sink as a process between a real Kafka and the real ClickHouse engine: everything arrives, once."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import clickhouse_connect
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from schemas import topics
from schemas.changes import AnswerChange, PaneChange, Position, TeamChanges
from schemas.people import Person, person_key
from tests.engines import Engines
from tests.integration.stream_place import Place, Process, Sent, answers, running, until

pytestmark = pytest.mark.real

MINUTE = int(time.time()) // 60
AT_MS = MINUTE * 60_000


@pytest.fixture
def place(engines: Engines, tmp_path: Path) -> Iterator[Place]:
    engines.topics(anew=True)
    place = Place(engines, tmp_path)
    yield place
    place.end()


@pytest.fixture
def url(engines: Engines) -> str:
    return engines.database()


def query(url: str, sql: str) -> list[tuple[Any, ...]]:
    with clickhouse_connect.get_client(dsn=url) as client:
        return [tuple(row) for row in client.query(sql).result_rows]


def sent(key: bytes | None, record: Any, partition: int) -> Sent:
    return key, None if record is None else msgspec.json.encode(record), partition, ()


def panes(count: int, team: str = "acme", version: int = 1) -> list[Sent]:
    """Records of one pane each: minute i holds i answers of score 10."""
    partition = topics.partition_of(team.encode())
    return [
        sent(team.encode(), TeamChanges(team, [PaneChange(MINUTE - i, version, [0] * 10 + [i], [0] * 11)]), partition)
        for i in range(count)
    ]


async def written(place: Place, sink: Process, within_s: float = 60) -> None:
    """Until the sink has stored and committed everything."""
    try:
        await place.sunk(within_s)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{sink.text[-3_000:]}") from error


class Front:
    """A door before ClickHouse that can answer with an error of its own."""

    def __init__(self, target: str) -> None:
        self._target, _, self.database = target.rpartition("/")
        self.code: int | None = None
        self.statement = b"INSERT"  # what is answered with the code
        self.refused: list[bytes] = []
        self.inserts = 0

    async def _pass_on(self, request: web.Request) -> web.Response:
        body = await request.read()
        insert = b"INSERT" in body[:100]
        if self.statement in body[:100] and self.code is not None:
            self.refused.append(body)
            text = f"Code: {self.code}. DB::Exception: not now"
            return web.Response(status=500, text=text, headers={"X-ClickHouse-Exception-Code": str(self.code)})
        self.inserts += insert
        own = ("host", "content-length", "transfer-encoding")
        headers = {k: v for k, v in request.headers.items() if k.lower() not in own}
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(request.method, f"{self._target}{request.path_qs}", data=body, headers=headers) as reply,
        ):
            kept = {k: v for k, v in reply.headers.items() if k.startswith(("X-", "Content-"))}
            kept.pop("Content-Length", None)
            return web.Response(status=reply.status, body=await reply.read(), headers=kept)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        app = web.Application(client_max_size=1 << 28)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        server = TestServer(app)
        await server.start_server(auto_decompress=False)
        try:
            yield f"http://127.0.0.1:{server.port}/{self.database}"
        finally:
            await server.close()


async def test_everything_the_worker_says_is_in_the_tables(place: Place, url: str) -> None:
    place.worker()
    sink = place.sink(url)
    ages = iter(range(0, 10**11, 8_640_013)).__next__
    await place.send(answers(3_000, ages_ms=ages))
    people = [
        Person(f"team-{i % 7}", f"id-{i}", revision=i % 3, comment=f"comment {i} 👎", name="Ane") for i in range(300)
    ]
    keyed = [(person_key(person.team, person.response_id), person) for person in people]
    await place.send([sent(key, person, topics.partition_of(key)) for key, person in keyed], topics.PEOPLE)
    await place.send([sent(key, None, topics.partition_of(key)) for key, _ in keyed[:50]], topics.PEOPLE)
    await place.folded()
    await written(place, sink)
    said = await place.counted()
    assert said.check() > 2_000

    found_panes = query(url, "SELECT team, toUnixTimestamp(minute), scores, latest, version FROM panes FINAL")
    assert {(team, at // 60): (all_, latest, version) for team, at, all_, latest, version in found_panes} == {
        key: (pane.all, pane.latest, pane.version) for key, pane in said.panes.items()
    }
    scores = "team, minutes, policy, toUnixTimestamp(as_of), detractors, passives, promoters, version"
    assert sorted(query(url, f"SELECT {scores} FROM scores FINAL")) == sorted(
        (team, window.minutes, policy, scores.as_of * 60, *msgspec.to_builtins(getattr(window, policy)), scores.version)
        for team, scores in said.scores.items()
        for window in scores.windows
        for policy in ("all", "latest")
    )
    newest = "SELECT team, response_id, version, score, counted, case_id FROM answers FINAL"
    assert sorted(query(url, f"{newest} ORDER BY version DESC LIMIT 1 BY team, response_id")) == sorted(
        (team, i, answer.version, answer.score, not answer.reasons, answer.case_id or "")
        for (team, i), answer in said.answers.items()
    )
    events = query(url, "SELECT event_id, case_id, n, kind FROM followup_events FINAL")
    assert sorted(events) == sorted((i, e.case.case_id, e.case.n, e.kind) for i, e in said.events.items())
    cases = {event.case.case_id: event.case for event in sorted(said.events.values(), key=lambda event: event.case.n)}
    assert sorted(query(url, "SELECT case_id, n, state, answers FROM followups FINAL")) == sorted(
        (case_id, case.n, case.state, list(case.answers)) for case_id, case in cases.items()
    )
    kept = sorted((p.team, p.response_id, p.revision, p.comment, p.name) for p in people[50:])
    assert sorted(query(url, "SELECT team, response_id, revision, comment, name FROM people FINAL")) == kept
    corrections = [c for r in await place.read(topics.TEAM_CHANGES) for c in _corrections(r.value)]
    assert query(url, "SELECT count(), uniqExact(id) FROM corrections FINAL") == [(len(corrections), len(corrections))]
    assert len(corrections) > 500
    assert query(url, "SELECT count() FROM rejects") == [(0,)]
    ends = await place.ends(topics.FEEDBACK)
    for topic in (topics.TEAM_CHANGES, topics.FOLLOWUPS):
        through = query(
            url, f"SELECT partition, through FROM positions FINAL WHERE topic = '{topic}' ORDER BY partition"
        )
        assert through == [(partition, end) for partition, end in enumerate(ends) if end]


def _corrections(value: bytes) -> list[Any]:
    found = msgspec.json.decode(value)
    return found.get("corrections", []) if found["type"] == "changes" else []


async def test_a_sink_killed_again_and_again_loses_and_doubles_nothing(place: Place, url: str) -> None:
    sink = place.sink(url)
    await sink.ready()
    sending = asyncio.create_task(place.send(panes(6_000), topics.TEAM_CHANGES, per_s=2_000))
    for _ in range(3):
        stored = query(url, "SELECT count() FROM panes")[0][0]

        async def further(stored: int = stored) -> bool:
            return bool(query(url, "SELECT count() FROM panes")[0][0] > stored)

        await until(further)
        sink.kill()
        sink.start()
    await sending
    await written(place, sink)
    assert query(url, "SELECT count(), sum(scores[11]) FROM panes FINAL") == [(6_000, sum(range(6_000)))]


async def test_clickhouse_may_go_away_and_come_back(place: Place, url: str) -> None:
    sink = place.sink(url)
    await sink.ready()
    engine = place.engines.clickhouse_engine
    engine.kill()
    try:
        await place.send(panes(500), topics.TEAM_CHANGES)
        await sink.ready(503)
        assert sum(await place.committed("pulse-sink", topics.TEAM_CHANGES)) == 0
    finally:
        engine.start()
        await asyncio.to_thread(engine.wait)
    await written(place, sink)
    await sink.ready()
    assert running(sink)
    assert query(url, "SELECT count(), sum(scores[11]) FROM panes FINAL") == [(500, sum(range(500)))]


@pytest.mark.parametrize("code", [202, 241, 252, 999], ids=["too-many-queries", "memory", "too-many-parts", "keeper"])
async def test_an_overload_is_waited_out_in_place(place: Place, url: str, code: int) -> None:
    front = Front(url)
    async with front.open() as address:
        front.code = code
        sink = place.sink(address)
        await place.send(panes(100), topics.TEAM_CHANGES)

        async def tried() -> bool:
            return len(front.refused) >= 3

        await until(tried, 60)
        assert await sink.ask("/readyz") == 503
        assert sum(await place.committed("pulse-sink", topics.TEAM_CHANGES)) == 0
        front.code = None
        await written(place, sink)
        assert query(url, "SELECT count() FROM panes FINAL") == [(100,)]
        assert query(url, "SELECT count() FROM rejects") == [(0,)]
        assert await sink.metric("pulse_sink_retries_total") >= 3
        sink.end()


async def test_a_bad_row_goes_to_the_rejects_and_its_neighbours_are_stored(place: Place, url: str) -> None:
    sink = place.sink(url)
    good = panes(200)
    number = topics.partition_of(b"acme")
    answer = AnswerChange("a-1", 10**30, AT_MS, AT_MS, 5, 3)
    too_large = TeamChanges("acme", [PaneChange(MINUTE, 1 << 70, [1] * 11, [2] * 11)], [answer])
    negative = TeamChanges("acme", [PaneChange(-5, 1, [1] * 11, [2] * 11)])
    bad = [
        sent(b"acme", too_large, number),
        sent(b"acme", negative, number),
        (b"acme", b'{"type":"changes"', number, ()),
        (b"acme", b'{"type":"position","partition":70000,"through":1}', number, ()),
        (b"acme", None, number, ()),
        (b"\xff" * 300_000, b"\x00" * 600_000, number, ()),
        (b"acme", b'{"type":"changes","team":"a","x":' + b"[" * 200_000 + b"]" * 200_000 + b"}", number, ()),
    ]
    await place.send([*good[:100], *bad, *good[100:]], topics.TEAM_CHANGES)
    await written(place, sink)
    assert query(url, "SELECT count(), sum(scores[11]) FROM panes FINAL") == [(200, sum(range(200)))]

    async def rejected() -> bool:
        return bool(query(url, "SELECT count() FROM rejects FINAL")[0][0] >= 8)

    await until(rejected)
    found = query(
        url, "SELECT offset, reason, topic, partition, length(record) FROM rejects FINAL ORDER BY offset, detail"
    )
    assert [row[:2] for row in found] == [
        (100, "row_refused"),
        (100, "row_refused"),
        (101, "row_refused"),
        (102, "undecodable"),
        (103, "row_refused"),
        (104, "undecodable"),
        (105, "undecodable"),
        (106, "undecodable"),
    ]
    assert {row[2:4] for row in found} == {(topics.TEAM_CHANGES, number)}
    assert running(sink)
    await sink.ready()


async def test_a_bad_personal_record_leaves_no_text_anywhere_but_in_its_topic(place: Place, url: str) -> None:
    sink = place.sink(url)
    secret = "Ane-Marie-was-here"
    key = person_key("acme", "a-1")
    number = topics.partition_of(key)
    person = Person("acme", "a-1", revision=1 << 40, comment=secret, name=secret, email=secret)
    torn = msgspec.json.encode(Person("acme", "a-2", comment=secret))[:-3]
    fine = Person("acme", "a-3", comment="fine")
    await place.send([sent(key, person, number), (key, torn, number, ()), sent(key, fine, number)], topics.PEOPLE)
    await written(place, sink)

    async def rejected() -> bool:
        return query(url, "SELECT count() FROM rejects FINAL") == [(2,)]

    await until(rejected)
    assert query(url, "SELECT response_id, comment FROM people FINAL") == [("a-3", "fine")]
    for record in await place.read(topics.REJECTS):
        assert secret.encode() not in record.value
    assert secret not in sink.text
    assert query(url, "SELECT DISTINCT key, record FROM rejects") == [("acme|a-1", "")]


async def test_a_second_sink_that_joins_before_anything_is_committed_loses_nothing(place: Place, url: str) -> None:
    """Faust drops what it fetched during a rebalance, and goes to the committed offset, of which there is none."""
    front = Front(url)
    async with front.open() as address:
        front.code = 202
        first = place.sink(address)
        sending = asyncio.create_task(place.send(panes(3_000), topics.TEAM_CHANGES, per_s=300))

        async def tried() -> bool:
            return bool(front.refused)

        await until(tried, 60)
        second = place.sink(address, "sink-1")

        async def member() -> bool:
            return "partitions_assigned" in second.text

        await until(member, 60)
        assert sum(await place.committed("pulse-sink", topics.TEAM_CHANGES)) == 0
        front.code = None
        await sending
        await written(place, first)
        second.end()
        first.end()
    assert query(url, "SELECT count(), sum(scores[11]) FROM panes FINAL") == [(3_000, sum(range(3_000)))]


async def test_later_versions_win_whatever_order_they_come_in(place: Place, url: str) -> None:
    sink = place.sink(url)
    await place.send(panes(50, version=2), topics.TEAM_CHANGES)
    older = [
        sent(
            b"acme", TeamChanges("acme", [PaneChange(MINUTE - i, 1, [9] * 11, [9] * 11)]), topics.partition_of(b"acme")
        )
        for i in range(50)
    ]
    await place.send(older, topics.TEAM_CHANGES)
    await place.send([sent(None, Position(3, 7), 3), sent(None, Position(3, 5), 3)], topics.TEAM_CHANGES)
    await written(place, sink)
    assert query(url, "SELECT sum(scores[11]), max(version) FROM panes FINAL") == [(sum(range(50)), 2)]
    assert query(url, "SELECT partition, through FROM positions FINAL") == [(3, 7)]


async def test_the_sink_ends_within_seconds_even_while_clickhouse_is_away(place: Place, url: str) -> None:
    front = Front(url)
    async with front.open() as address:
        front.code = 202
        sink = place.sink(address)
        await place.send(panes(100), topics.TEAM_CHANGES)

        async def tried() -> bool:
            return bool(front.refused)

        await until(tried, 60)
        code, seconds = await sink.stop()
        assert (code, seconds < 5) == (0, True), (code, seconds, sink.text[-2_000:])
        front.code = None
        sink.start()
        await written(place, sink)
        sink.end()
    assert query(url, "SELECT count() FROM panes FINAL") == [(100,)]


async def test_what_was_erased_is_gone_when_its_place_can_be_read(place: Place, url: str) -> None:
    """Under refusals of the deletion nothing is said to be readable; afterwards one row is left of the answer."""
    key, number = person_key("acme", "a-1"), topics.partition_of(b"acme")
    said = [AnswerChange("a-1", v, AT_MS, AT_MS, 5, 3, respondent="who") for v in (1, 2)]
    said.append(AnswerChange("a-2", 3, AT_MS, AT_MS, 6, 9))
    front = Front(url)
    async with front.open() as address:
        front.statement = b"ALTER TABLE"
        front.code = 252
        sink = place.sink(address)
        await place.send([sent(key, Person("acme", "a-1", comment="words"), number)], topics.PEOPLE)
        await place.send([sent(b"acme", TeamChanges("acme", [], [one]), number) for one in said], topics.TEAM_CHANGES)
        await written(place, sink)
        erased = AnswerChange("a-1", 9, AT_MS, AT_MS + 1, 5, 0, erased=True)
        await place.send(
            [sent(b"acme", TeamChanges("acme", [], [erased]), number), sent(None, Position(number, 10), number)],
            topics.TEAM_CHANGES,
        )
        await place.send([sent(key, None, number)], topics.PEOPLE)

        async def tried() -> bool:
            return len(front.refused) >= 3

        await until(tried, 60)
        assert query(url, "SELECT count() FROM positions") == [(0,)]
        assert await sink.ask("/readyz") == 503
        front.code = None
        await written(place, sink)
        assert query(url, "SELECT response_id, version, respondent, erased FROM answers ORDER BY ALL") == [
            ("a-1", 9, "", 1),
            ("a-2", 3, "", 0),
        ]
        assert query(url, "SELECT response_id, comment, deleted FROM people") == [("a-1", "", 1)]
        assert query(url, "SELECT through FROM positions FINAL") == [(10,)]
        sink.end()


async def test_answers_of_many_years_go_in(place: Place, url: str) -> None:
    """History: an answer a month, over 20 years, in one insert."""
    sink = place.sink(url)
    month_ms = 31 * 86_400_000
    found = [AnswerChange(str(uuid.uuid4()), 1, AT_MS - i * month_ms, AT_MS, i, 9, history=True) for i in range(240)]
    await place.send([sent(b"acme", TeamChanges("acme", [], found), topics.partition_of(b"acme"))], topics.TEAM_CHANGES)
    await written(place, sink)
    assert query(url, "SELECT count(), uniqExact(toYYYYMM(event_at)) FROM answers FINAL")[0][0] == 240
