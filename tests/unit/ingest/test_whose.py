"""Everything a person may have said: other keys by the contact, old answers by their ids; shown, then erased."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from schemas.commands import Way
from schemas.feedback import Answer, Erase, EraseRespondent, FeedbackRecord
from schemas.topics import PARTITIONS, partition_of
from services.common.clock import wall_clock_ms
from services.common.problems import Unavailable
from services.ingest.app import build_app
from services.ingest.whose import Contact, Given
from stream.domain.minutes import HORIZON_MS
from tests.unit.ingest.fakes import FakeLog, Reply, post, settings
from tests.unit.ingest.test_commands import command

NOW_MS = wall_clock_ms()
OLD_MS = NOW_MS - HORIZON_MS - 1_000


class FakeTables:
    """`Stored` over what was put in. `away`: it cannot be asked."""

    def __init__(self) -> None:
        self.people: list[Contact] = []
        self.answers: list[Given] = []
        self.asked: list[tuple[Way, str]] = []
        self.away = False

    async def contacts(self, way: Way, value: str) -> list[Contact]:
        if self.away:
            raise Unavailable("away", retry_after_s=2)
        self.asked.append((way, value))
        return self.people  # more than are asked for: the table's search is wider than the truth

    async def given_by(self, keys: Sequence[str]) -> list[Given]:
        if self.away:
            raise Unavailable("away", retry_after_s=2)
        return [answer for answer in self.answers if answer.who in keys]


class World:
    """A door with tables behind it, and the keys that answers of certain people have."""

    def __init__(self) -> None:
        self.log = FakeLog()
        self.tables = FakeTables()
        self.app = build_app(settings(), self.log, self.tables)

    async def answered(self, who: dict[str, str], received_ms: int = NOW_MS, team: str = "emea") -> str:
        """An answer is in the tables; its respondent's key."""
        await post(self.app, {"team": team, "score": 2, "respondent": who})
        answer = msgspec.json.decode(self.log.held.pop().record, type=Answer)
        assert answer.respondent is not None
        self.tables.people.append(Contact(who.get("id", ""), who.get("email", ""), who.get("phone", "")))
        self.tables.answers.append(Given(team, answer.response_id, answer.respondent, received_ms))
        return answer.respondent

    async def erase(self, **body: Any) -> Reply:
        return await command(self.app, "POST", "/v1/erasures", body)

    @property
    def records(self) -> list[FeedbackRecord]:
        return [msgspec.json.decode(each.record, type=FeedbackRecord) for each in self.log.held]


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        pytest.param({"email": "Ada@Example.com"}, {"email": "ADA@example.com"}, id="an-address-in-any-case"),
        pytest.param({"phone": "+45 33 12 34 56"}, {"phone": "33123456"}, id="a-number-however-it-is-written"),
    ],
)
async def test_what_is_known_by_an_id_is_found_by_the_contact(given: dict[str, str], asked: dict[str, str]) -> None:
    world = World()
    own = await world.answered({**given})
    by_id = await world.answered({"id": "c-1", **given})
    by_another = await world.answered({"id": "c-2", **given})
    nobody = await world.answered({"id": "c-3", "email": "bo@example.com", "phone": "33123457"})
    told = (await world.erase(respondent=asked)).json()
    assert (told["respondent_key"], told["searched"], told["answers"], "by_id" in told) == (own, True, 1, False)
    assert {(one["known_by"], one["respondent_key"], one["answers"]) for one in told["linked"]} == {
        ("id", by_id, 1),
        ("id", by_another, 1),
    }
    keys = [record.respondent for record in world.records if isinstance(record, EraseRespondent)]
    assert {key: keys.count(key) for key in keys} == dict.fromkeys((own, by_id, by_another), PARTITIONS)
    assert nobody not in keys
    assert len(told["receipts"]) == 3 * PARTITIONS


async def test_an_answer_known_by_address_is_found_by_its_number() -> None:
    world = World()
    by_email = await world.answered({"email": "ada@example.com", "phone": "33123456"})
    told = (await world.erase(respondent={"phone": "+4533123456"}, dry_run=True)).json()
    assert told["linked"] == [{"known_by": "email", "respondent_key": by_email, "answers": 1}]
    assert world.tables.asked == [("phone", "+4533123456")]


async def test_what_the_fold_has_forgotten_is_erased_by_its_id_and_nothing_else_is() -> None:
    world = World()
    await world.answered({"email": "ada@example.com"})
    await world.answered({"email": "ada@example.com"}, OLD_MS, "apac")
    await world.answered({"id": "c-1", "email": "ada@example.com"}, OLD_MS)
    await world.answered({"id": "c-9"}, OLD_MS)
    old = world.tables.answers[1:3]
    reply = await world.erase(respondent={"email": "ada@example.com"})
    assert (reply.status, reply.json()["answers"], reply.json()["by_id"]) == (202, 2, 2)
    erased = [each for each in world.log.held if b'"erase"' in each.record]
    assert [msgspec.json.decode(each.record, type=Erase) for each in erased] == [Erase(one.response_id) for one in old]
    assert [(each.team, each.partition) for each in erased] == [
        (one.team.encode(), partition_of(one.team.encode())) for one in old
    ]
    assert len(reply.json()["receipts"]) == 2 * PARTITIONS + 2


async def test_by_a_key_what_is_old_is_erased_too_but_no_other_key_is_looked_for() -> None:
    world = World()
    own = await world.answered({"email": "ada@example.com"}, OLD_MS)
    await world.answered({"id": "c-1", "email": "ada@example.com"})
    told = (await world.erase(respondent_key=own)).json()
    assert ("linked" in told, told["by_id"], world.tables.asked) == (False, 1, [])


async def test_other_keys_are_left_alone_when_that_is_asked_for() -> None:
    world = World()
    own = await world.answered({"email": "ada@example.com"})
    await world.answered({"id": "c-1", "email": "ada@example.com"})
    told = (await world.erase(respondent={"email": "ada@example.com"}, linked=False)).json()
    assert (told["respondent_key"], "linked" in told, world.tables.asked) == (own, False, [])
    assert world.records == [EraseRespondent(own)] * PARTITIONS


async def test_a_dry_run_says_what_would_be_erased_and_writes_nothing() -> None:
    world = World()
    own = await world.answered({"email": "ada@example.com"}, OLD_MS)
    by_id = await world.answered({"id": "c-1", "email": "ada@example.com"})
    reply = await world.erase(respondent={"email": "ada@example.com"}, dry_run=True)
    assert (reply.status, reply.json()) == (
        200,
        {
            "respondent_key": own,
            "searched": True,
            "answers": 1,
            "linked": [{"known_by": "id", "respondent_key": by_id, "answers": 1}],
            "by_id": 1,
        },
    )
    assert world.log.held == []


async def test_tables_that_cannot_be_asked_are_a_503_and_nothing_is_half_done() -> None:
    world = World()
    await world.answered({"email": "ada@example.com"})
    world.tables.away = True
    reply = await world.erase(respondent={"email": "ada@example.com"})
    assert (reply.status, reply.headers["retry-after"], world.log.held) == (503, "2", [])


async def test_a_door_without_tables_says_that_it_has_not_looked() -> None:
    log = FakeLog()
    told = await command(build_app(settings(), log), "POST", "/v1/erasures", {"respondent": {"id": "c-1"}})
    assert (told.status, "searched" in told.json(), len(log.held)) == (202, False, PARTITIONS)
    told = await command(
        build_app(settings(), log), "POST", "/v1/erasures", {"respondent": {"id": "c"}, "dry_run": True}
    )
    assert told.json()["searched"] is False


@pytest.mark.parametrize("more", [{"linked": "no"}, {"dry_run": 1}, {"dry": True}])
async def test_an_option_that_makes_no_sense_is_refused(more: dict[str, Any]) -> None:
    world = World()
    reply = await world.erase(respondent={"id": "c-1"}, **more)
    assert (reply.status, reply.paths, world.log.held) == (422, [next(iter(more))], [])
