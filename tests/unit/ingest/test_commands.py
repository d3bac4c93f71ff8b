"""The commands' door: who may, what each becomes in the log, and what is said when the log does not take it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from schemas.feedback import Answer, Erase, EraseRespondent, Exclude, FeedbackRecord, Include, Policy, Reason, Windows
from schemas.topics import FEEDBACK, PARTITIONS, partition_of
from services.ingest.commands import ERASE_PATH, EXCLUDE_PATH, INCLUDE_PATH
from services.ingest.door import Door
from stream.domain.policies import flaw
from tests.unit.ingest import bad_commands
from tests.unit.ingest.bad_commands import BadCommand
from tests.unit.ingest.fakes import ADMIN, IMPORT, READ, WIDGET, WRITE, FakeLog, Reply, ask, door, post

ID = "01890a5d-ac96-774b-bcce-b302099a8057"
EXCLUDE = EXCLUDE_PATH.format(team="emea", response_id=ID)
INCLUDE = INCLUDE_PATH.format(team="emea", response_id=ID)
ERASE = ERASE_PATH.format(team="emea", response_id=ID)
EMAIL = {"respondent": {"email": "Ada@Example.com"}}
EVERY = [
    pytest.param("POST", EXCLUDE, {"reason": "bot"}, id="exclude"),
    pytest.param("POST", INCLUDE, {"reason": "bot"}, id="include"),
    pytest.param("DELETE", ERASE, None, id="erase"),
    pytest.param("POST", "/v1/erasures", EMAIL, id="erase a respondent"),
    pytest.param("POST", "/v1/windows", {"windows": ["1h"]}, id="set the windows"),
    pytest.param("PUT", "/v1/teams/emea/policy", {}, id="set a policy"),
    pytest.param("POST", "/v1/respondent-keys", EMAIL, id="ask for a key"),
]
WRITING = EVERY[:-1]


async def command(
    app: Door, method: str, path: str, body: Any = None, headers: Mapping[str, str | None] | None = None
) -> Reply:
    raw = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
    usual = {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json", "Content-Length": str(len(raw))}
    return await ask(app, method, path, headers={**usual, **(headers or {})}, chunks=(raw,))


def held(log: FakeLog) -> list[FeedbackRecord]:
    return [msgspec.json.decode(each.record, type=FeedbackRecord) for each in log.held]


@pytest.mark.parametrize("reason", ["test", "bot", "invalid", "duplicate_person"])
async def test_an_answer_is_excluded_and_included_for_each_reason(reason: Reason) -> None:
    log = FakeLog()
    app = door(log)
    for path in (EXCLUDE, INCLUDE):
        reply = await command(app, "POST", path, {"reason": reason})
        receipt = {"topic": FEEDBACK, "partition": partition_of(b"emea"), "offset": len(log.held) - 1}
        assert (reply.status, reply.json()) == (202, {"response_id": ID, "receipt": receipt})
        assert reply.headers["content-type"] == "application/json"
    assert held(log) == [Exclude(ID, reason), Include(ID, reason)]
    assert [(each.team, each.partition, each.person) for each in log.held] == [
        (b"emea", partition_of(b"emea"), None)
    ] * 2


async def test_an_answer_is_erased_and_once_more_without_harm() -> None:
    log = FakeLog()
    app = door(log)
    assert [(await command(app, "DELETE", ERASE)).status for _ in range(2)] == [202, 202]
    assert held(log) == [Erase(ID), Erase(ID)]
    assert {each.team for each in log.held} == {b"emea"}


async def test_the_windows_stand_in_every_partition_without_a_key() -> None:
    log = FakeLog()
    reply = await command(door(log), "POST", "/v1/windows", {"windows": ["90m", "24h", "366d"]})
    assert (reply.status, reply.json()["minutes"]) == (202, [90, 1_440, 527_040])
    assert held(log) == [Windows((90, 1_440, 527_040))] * PARTITIONS
    assert [(each.team, each.partition) for each in log.held] == [(None, number) for number in range(PARTITIONS)]
    assert [receipt["partition"] for receipt in reply.json()["receipts"]] == [*range(PARTITIONS)]


async def test_what_a_team_promises_is_a_record_of_that_team_with_its_calendar_expanded() -> None:
    log = FakeLog()
    table = {
        "timezone": "Europe/Copenhagen",
        "calendar": {"hours": {"mon-fri": "09:00-17:00"}, "holidays": ["DK"], "closed": ["2026-12-24"]},
        "clocks": {"contact": "4h", "resolve": "2d", "reminders": ["30m", "1h"]},
        "escalation": [{"after": "0m", "to": ["lead"]}, {"after": "1d", "to": ["head"]}],
        "root_causes": ["billing"],
    }
    reply = await command(door(log), "PUT", "/v1/teams/emea/policy", table)
    (policy,) = held(log)
    assert isinstance(policy, Policy)
    receipt = {"topic": FEEDBACK, "partition": partition_of(b"emea"), "offset": 0}
    wanted = {"team": "emea", "rev": policy.rev, "receipt": receipt, "until_ms": policy.until_ms}
    assert (reply.status, reply.json()) == (202, wanted)
    assert [(each.team, each.partition, each.person) for each in log.held] == [(b"emea", partition_of(b"emea"), None)]
    hour_ms = 3_600_000
    assert (policy.contact_ms, policy.resolve_ms, policy.raise_within_ms) == (4 * hour_ms, 16 * hour_ms, 168 * hour_ms)
    assert policy.remind_ms == (hour_ms, hour_ms // 2)
    assert policy.escalate_ms == (0, 8 * hour_ms)
    assert policy.root_causes == ("billing",)
    assert policy.config == table
    assert {policy.open[at + 1] - policy.open[at] for at in range(0, len(policy.open), 2)} == {8 * hour_ms}
    assert flaw(policy) is None


async def test_around_the_clock_has_no_hours_and_no_end() -> None:
    log = FakeLog()
    reply = await command(door(log), "PUT", "/v1/teams/emea/policy", {})
    (policy,) = held(log)
    assert policy == Policy(policy.rev if isinstance(policy, Policy) else "")
    assert reply.json().keys() == {"team", "rev", "receipt"}


async def test_erasing_a_person_stands_in_every_partition_without_a_key() -> None:
    log = FakeLog()
    reply = await command(door(log), "POST", "/v1/erasures", EMAIL)
    assert reply.status == 202
    key = reply.json()["respondent_key"]
    assert held(log) == [EraseRespondent(key)] * PARTITIONS
    assert [(each.team, each.partition) for each in log.held] == [(None, number) for number in range(PARTITIONS)]
    assert [receipt["partition"] for receipt in reply.json()["receipts"]] == [*range(PARTITIONS)]


@pytest.mark.parametrize(
    ("answered", "asked"),
    [
        ({"email": "ada@example.com"}, {"email": "ADA@example.com"}),
        ({"phone": "+45 33 12 34 56"}, {"phone": "33123456"}),
        ({"id": "c-1", "email": "ada@example.com"}, {"id": "c-1"}),
    ],
)
async def test_the_key_of_a_person_is_that_of_their_answers(answered: dict[str, str], asked: dict[str, str]) -> None:
    log = FakeLog()
    app = door(log)
    await post(app, {"team": "emea", "score": 2, "respondent": answered})
    key = msgspec.json.decode(log.held.pop().record, type=Answer).respondent
    told = await command(app, "POST", "/v1/respondent-keys", {"respondent": asked})
    assert (told.status, told.json(), log.held) == (200, {"respondent_key": key}, [])
    by_person = await command(app, "POST", "/v1/erasures", {"respondent": asked})
    by_key = await command(app, "POST", "/v1/erasures", {"respondent_key": key})
    assert by_person.json()["respondent_key"] == by_key.json()["respondent_key"] == key
    assert set(held(log)) == {EraseRespondent(key or "")}


@pytest.mark.parametrize(("method", "path", "body"), EVERY)
async def test_only_an_admin_key_may_command(method: str, path: str, body: Any) -> None:
    log = FakeLog()
    app = door(log)
    for key in (WRITE, IMPORT, READ, WIDGET):
        reply = await command(app, method, path, body, {"Authorization": f"Bearer {key}"})
        assert (reply.status, reply.json()["code"]) == (403, "forbidden")
    for header in (None, "Bearer nobody", "Bearer ", f"Basic {ADMIN}", "Bearer \xff"):
        reply = await command(app, method, path, body, {"Authorization": header})
        assert (reply.status, reply.json()["code"]) == (401, "unauthorized")
        assert reply.headers["www-authenticate"] == "Bearer"
    assert log.held == []


@pytest.mark.parametrize(("method", "path", "body"), WRITING)
async def test_a_log_that_takes_nothing_is_a_503_that_says_to_repeat_it(method: str, path: str, body: Any) -> None:
    log = FakeLog()
    app = door(log)
    log.refused = "the log cannot be reached"
    refused = await command(app, method, path, body)
    log.refused, log.losing_all = None, True
    lost = await command(app, method, path, body)
    for reply in (refused, lost):
        assert (reply.status, reply.json()["code"], reply.headers["retry-after"]) == (503, "unavailable", "1")
        assert "send the command again" in reply.json()["detail"]
    log.losing_all = False
    assert (await command(app, method, path, body)).status == 202


async def test_one_partition_that_does_not_acknowledge_makes_the_whole_erasure_a_503() -> None:
    class OneAway(FakeLog):
        async def publish(self, outgoing: Any) -> Any:
            self.losing_all = outgoing.partition == 11
            return await super().publish(outgoing)

    log = OneAway()
    reply = await command(door(log), "POST", "/v1/erasures", EMAIL)
    assert (reply.status, len(log.held)) == (503, PARTITIONS - 1)


async def test_nothing_is_said_before_the_log_has_acknowledged() -> None:
    log = FakeLog()
    log.gate = asyncio.Event()
    waiting = asyncio.create_task(command(door(log), "DELETE", ERASE))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not waiting.done()
    log.gate.set()
    assert (await waiting).status == 202


def test_the_names_of_bad_commands_are_unique() -> None:
    names = [bad.id for bad in bad_commands.ALL]
    assert len(set(names)) == len(names)


@pytest.fixture(scope="module")
def untouched() -> tuple[Door, FakeLog]:
    """A door for all that writes nothing."""
    log = FakeLog()
    return door(log), log


@pytest.mark.parametrize("bad", bad_commands.ALL, ids=lambda bad: bad.id)
async def test_a_bad_command_is_told_what_is_wrong_and_writes_nothing(
    bad: BadCommand, untouched: tuple[Door, FakeLog]
) -> None:
    app, log = untouched
    reply = await command(app, bad.method, bad.path, bad.raw(), bad.headers)
    assert (reply.status, reply.json()["code"]) == (bad.status, bad.code)
    assert reply.paths == sorted(bad.paths)
    assert reply.headers["content-type"] == "application/problem+json"
    assert "zaphod" not in reply.body.decode().lower()
    assert log.held == []


async def test_the_document_describes_each_command_with_its_bodies_and_its_key() -> None:
    document = (await ask(door(FakeLog()), "GET", "/openapi.json")).json()
    admin = {
        (method, path)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if operation.get("security") == [{"admin": []}]
    }
    assert admin == {
        ("post", EXCLUDE_PATH),
        ("post", INCLUDE_PATH),
        ("delete", ERASE_PATH),
        ("post", "/v1/erasures"),
        ("post", "/v1/windows"),
        ("put", "/v1/teams/{team}/policy"),
        ("post", "/v1/respondent-keys"),
    }
    for method, path in admin:
        operation = document["paths"][path][method]
        assert {"401", "403", "422", "503"} <= operation["responses"].keys()
        assert ("requestBody" in operation) == (method in ("post", "put"))
    assert document["components"]["schemas"]["MarkIn"]["properties"]["reason"]["enum"] == sorted(
        ["test", "bot", "invalid", "duplicate_person"]
    )
