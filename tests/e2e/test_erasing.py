"""Search every store: a person is erased, and no byte of what they said is left in any file of the instance."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from clickhouse_connect import get_client

from schemas.topics import PEOPLE
from tests.e2e.instances import Instance, running
from tests.engines import in_own_loop, wait_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

GONE_WITHIN_S = 180.0
COMPACT_NOW = {
    "cleanup.policy": "compact",
    "segment.ms": "1000",
    "max.compaction.lag.ms": "1000",
    "min.cleanable.dirty.ratio": "0.01",
    "delete.retention.ms": "0",
    "file.delete.delay.ms": "100",
}


def word() -> str:
    """Letters that nobody has written before."""
    return "".join(secrets.choice("bcdfghjklmnpqrstvwxz") for _ in range(24))


@dataclass(frozen=True)
class Person:
    """Somebody with unmistakable words. `said` collects each that was sent, `noted` what was written about them."""

    name: str = field(default_factory=word)
    email: str = field(default_factory=lambda: f"{word()}@{word()}.example")
    phone: str = field(default_factory=lambda: f"+45{secrets.randbelow(90_000_000) + 10_000_000}")
    id: str = field(default_factory=word)
    said: list[str] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)

    def answer(self, team: str, *, by: str = "email", **more: Any) -> dict[str, Any]:
        """An answer with a comment and a reply of its own; its respondent is known by e-mail, or by id."""
        comment, reply = word(), word()
        self.said.extend((comment, reply))
        who = {"name": self.name, "email": self.email, "phone": self.phone} | ({"id": self.id} if by == "id" else {})
        body = {"team": team, "score": 2, "response_id": str(uuid4()), "comment": f"{comment} {word()}"}
        return body | {"respondent": who, "answers": {"why": reply}} | more

    @property
    def words(self) -> list[str]:
        """Everything by which they could be found."""
        return [
            self.name,
            *self.email.removesuffix(".example").split("@"),
            self.phone,
            self.id,
            *self.said,
            *self.noted,
        ]


# Nobody listens there: alerts stay pending in SQLite.
NOWHERE = {
    "PULSE_ALERTS_WEBHOOK_URL": "http://127.0.0.1:1/",
    "PULSE_ALERTS_WEBHOOK_SECRET": "whsec_" + "c2Vj" * 8,
    "PULSE_ALERTS_ALLOW": '["127.0.0.1"]',
}


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running(tmp_path_factory.mktemp("erasing") / "data", **NOWHERE) as started:
        yield started


def asked(instance: Instance, service: str, path: str, kind: str, body: Any = None) -> Any:
    """The JSON answer of a service to a request with one of the instance's keys."""
    address = urlsplit(f"{instance.ready[service]}{path}")
    headers = {"Authorization": f"Bearer {instance.ready['keys'][kind]}", "Content-Type": "application/json"}
    connection = HTTPConnection(address.netloc, timeout=30)
    try:
        raw = None if body is None else json.dumps(body).encode()
        connection.request("GET" if raw is None else "POST", path, raw, headers)
        reply = connection.getresponse()
        told = json.load(reply)
    finally:
        connection.close()
    assert reply.status in (200, 202), told
    return told


def post(instance: Instance, *answers: dict[str, Any]) -> None:
    """Post answers and wait until they and their texts can be read."""
    receipts = [asked(instance, "ingest", "/v1/responses", "write", answer)["receipt"] for answer in answers]
    at_least = ",".join(f"{receipt['partition']}:{receipt['offset']}" for receipt in receipts)
    asked(instance, "query", f"/v1/position?at_least={at_least}", "read")


def people_rows(instance: Instance, answer: dict[str, Any]) -> int:
    found = asked(instance, "query", f"/v1/stored?answer={answer['team']}%7C{answer['response_id']}", "read")
    return int(found["people_rows"])


def found_in(folder: Path, words: Iterable[str]) -> dict[str, list[str]]:
    """Word → the files below `folder` that hold it, of those words that any file holds."""
    wanted = [(word, word.encode()) for word in words]
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*")):
        try:
            content = path.read_bytes() if path.is_file() else b""
        except FileNotFoundError:  # compacted or merged away meanwhile
            continue
        for text, raw in wanted:
            if raw in content:
                found.setdefault(text, []).append(str(path.relative_to(folder)))
    return found


async def _alter(kafka: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, PEOPLE, configs=COMPACT_NOW)])
    finally:
        await admin.close()


def for_tables(instance: Instance, sql: str) -> None:
    """ALTER the two tables that hold what a person said."""
    client = get_client(dsn=instance.ready["clickhouse"], autogenerate_session_id=False)
    try:
        for table in ("people", "answers"):
            client.command(f"ALTER TABLE {table} {sql}")
    finally:
        client.close()


def compact_soon(instance: Instance) -> None:
    """Let what takes a day take a second."""
    in_own_loop(_alter(instance.ready["kafka"]))


def uncompressed(instance: Instance) -> None:
    """Have ClickHouse write texts as they are: in a compressed file a word may stand in pieces, and not be found."""
    for_tables(instance, "MODIFY SETTING default_compression_codec = 'NONE'")


def everybody_answers(instance: Instance, gone: Person, stays: Person) -> dict[str, Any]:
    """Both have answered, in two teams, known by two ways, one answer edited: that one."""
    mine = [gone.answer("desk"), gone.answer("shop", score=9), gone.answer("desk", by="id")]
    theirs = [stays.answer("desk"), stays.answer("shop", by="id", score=10)]
    post(instance, *mine, *theirs)
    edited = gone.answer("desk", response_id=mine[0]["response_id"], revision=1, score=4)
    post(instance, edited)
    # Finding nothing later means something only if all of it is found now. ClickHouse may have replaced by then what
    # the edited answer, the first one, said before: its comment and its reply.
    noted = {*note_on_cases(instance, gone, mine), *note_on_cases(instance, stays, theirs)}
    said = {"kafka": {*gone.said, *stays.said} | noted, "clickhouse": {*gone.said[2:], *stays.said} | noted}
    everywhere = [(instance.data / store, words) for store, words in said.items()]
    wait_for(lambda: all(found_in(store, words).keys() == words for store, words in everywhere), 30, "the texts")
    assert found_in(instance.data / "alerts", [edited["response_id"]])
    return edited


def note_on_cases(instance: Instance, person: Person, answers: list[dict[str, Any]]) -> list[str]:
    """Write about a person, with each act, on every case that their answers raised; gives the words."""
    ids = {answer["response_id"] for answer in answers}

    def cases() -> list[str]:
        items = asked(instance, "query", "/v1/followups?limit=200", "read")["items"]
        return [case["case_id"] for case in items if case["response_id"] in ids]

    wait_for(lambda: bool(cases()), 30, "their cases")
    for case_id in cases():
        for kind, more in (("note", {}), ("contact", {"outcome": "no_answer"})):
            person.noted.append(word())
            body = {"actor": "kim", "note": f"{person.noted[-1]} {word()}", **more}
            asked(instance, "query", f"/v1/followups/{case_id}/{kind}", "read", body)
    return person.noted


def test_no_file_holds_a_word_of_an_erased_person_and_others_lose_none(tmp_path: Path) -> None:
    gone, stays = Person(), Person()
    with running(tmp_path / "data", **NOWHERE, PULSE_SWEEP_EVERY="PT1S") as instance:
        uncompressed(instance)
        edited = everybody_answers(instance, gone, stays)
        compact_soon(instance)

        # By e-mail; one of the answers is known by an id, and found all the same.
        done = instance.pulse("erase", "--respondent-email", gone.email, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        erasures = json.loads(done.stdout)["erasures"]
        assert {erasure["known_by"]: erasure["answers"] for erasure in erasures} == {"id": 1, "email": 2}
        assert {erasure["linked_by"] for erasure in erasures} == {None, "email"}
        assert gone.email not in done.stdout
        counts = [(row["before"], row["now"]) for one in erasures for row in one["stores"] if "notes" in row["store"]]
        assert (sum(before for before, _ in counts), {now for _, now in counts}) == (len(gone.noted), {0})
        # Once more with an erased id: its text is deleted again.
        post(instance, edited | {"revision": 2})

        # Nobody says anything more.
        wait_for(lambda: not found_in(instance.data, gone.words), GONE_WITHIN_S, "no trace of the person")
        told = json.dumps(asked(instance, "query", "/v1/responses?limit=200", "read"))
        assert [comment for comment in stays.said[::2] if comment not in told] == []
        deliveries = asked(instance, "alerts", "/v1/deliveries?limit=1000", "read")["deliveries"]
        assert {one["last_status"] for one in deliveries if one["state"] == "given_up"} == {"withdrawn"}
    # Now that no file moves any more while it is read:
    assert found_in(tmp_path / "data", gone.words) == {}
    for store in ("kafka", "clickhouse"):
        left = {*stays.said, *stays.noted}
        assert found_in(tmp_path / "data" / store, left).keys() == left, store


def test_an_excluded_answer_leaves_the_score_and_an_included_one_is_back(instance: Instance) -> None:
    answers = [{"team": "marks", "score": score, "response_id": str(uuid4())} for score in (10, 10, 0)]
    post(instance, *answers)
    bot = str(answers[2]["response_id"])
    excluded = instance.says("exclude", "marks", bot, "--reason", "bot")
    assert excluded["seen"]
    score = instance.says("score", "marks")
    assert (score["n"], score["display"], score["excluded"]) == (2, 100, {"bot": 1})
    assert instance.says("include", "marks", bot, "--reason", "bot")["seen"]
    score = instance.says("score", "marks", "--window", "all")
    assert (score["n"], score["display"], score["excluded"]) == (3, 33, {})


def test_a_single_answer_is_erased_with_a_certificate_for_people_and_again_without_harm(instance: Instance) -> None:
    answer = Person().answer("single")
    post(instance, answer)
    wait_for(lambda: people_rows(instance, answer) == 1, 30, "the text in ClickHouse")
    asked_for = ("erase", "--team", "single", "--response", answer["response_id"])
    done = instance.pulse(*asked_for)
    assert done.returncode == 0, done.stderr
    row = next(line.split() for line in done.stdout.splitlines() if line.startswith("ClickHouse people"))
    assert row[:4] == ["ClickHouse", "people", "1", "0"]
    assert f"erased: answer {answer['response_id']} of single" in done.stdout
    again = instance.says(*asked_for)
    people = next(row for row in again["erasures"][0]["stores"] if row["store"] == "ClickHouse people")
    assert (again["complete"], people["before"], people["now"]) == (True, 0, 0)
