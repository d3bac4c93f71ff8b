"""What the routes of acts publish and answer, without Kafka and ClickHouse."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from msgspec import structs

from schemas.feedback import Act
from schemas.followups import Case, FollowupEvent, Refused
from services.query import acting, routes_acts
from services.query.app import build_app
from services.query.followups import row_of
from services.query.outcomes import Outcomes
from tests.unit.query.acts import CASE, FakeActs, FakeStore
from tests.unit.query.samples import ADMIN_KEY, NOON_MS, READ_KEY, WRITE_KEY, Api, clock, served, settings, uid

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATH = f"/v1/followups/{CASE.case_id}"
BODIES: dict[str, dict[str, Any]] = {
    "acknowledge": {},
    "assign": {"owner": "lee"},
    "note": {"note": "Ring her mother instead."},
    "contact": {"outcome": "no_answer", "medium": "phone"},
    "callback": {"at": "2026-11-02T12:00:00+01:00", "medium": "phone"},
    "snooze": {"until": "2026-11-02T12:00:00Z"},
    "resolve": {"cause": "price"},
    "reopen": {},
}


class World:
    """The service, and what it stands on."""

    def __init__(self, api: Api, acts: FakeActs, store: FakeStore, outcomes: Outcomes) -> None:
        self.api, self.acts, self.store, self.outcomes = api, acts, store, outcomes

    async def post(
        self, kind: str, body: Any = None, key: str | None = READ_KEY, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """(status, JSON body, headers) of an act; `body` beside who acts, or bytes as they are."""
        sent = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        raw = body if isinstance(body, bytes) else json.dumps({"actor": "kim"} | (body or {})).encode()
        async with self.api.session.post(f"{self.api.url}{PATH}/{kind}", data=raw, headers=sent) as answer:
            return answer.status, await answer.json(), {name.title(): value for name, value in answer.headers.items()}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service() -> AsyncIterator[World]:
    store = FakeStore()
    app = build_app(settings("http://127.0.0.1:1/pulse"), store=store, now_ms=clock(NOON_MS))
    own = app.state.services
    acts = FakeActs(own.outcomes)
    app.state.services = type(own)(**{name: getattr(own, name) for name in own.__slots__} | {"acts": acts})
    async with served(app) as api:
        yield World(api, acts, store, own.outcomes)


@pytest.fixture
def world(service: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A stored case, a log that takes acts, and nothing that is remembered."""
    monkeypatch.setattr(routes_acts, "WAIT_S", 0.02)
    service.acts.up = True
    service.acts.answer = structs.replace(CASE, state="acknowledged", owner="kim", n=4, version=42)
    service.acts.published.clear()
    service.outcomes.__init__()  # type: ignore[misc]
    service.store.outage = False
    service.store.found = {"followup": [structs.asdict(row_of(CASE))]}
    return service


def refusal(**fields: Any) -> Refused:
    told: dict[str, Any] = {"reason": "not_allowed", "state": "contacted", "n": 3, "allowed": ("assign", "note")}
    act = Act(uid(1), CASE.case_id, "acknowledge", "kim")
    return Refused(uid(98), NOON_MS, "alpha", act, version=42, **told | fields)


# -- what comes of it ----------------------------------------------------------------------------------------------


async def test_an_applied_act_gives_the_case_as_it_stands_after_it(world: World) -> None:
    world.store.found["people"] = [
        {"team": "alpha", "response_id": uid(70), "comment": "Nobody called.", "name": "Anna", "respondent_id": ""}
        | {"email": "", "phone": "+45 1", "answers": ""}
    ]
    status, body, headers = await world.post("acknowledge")
    assert status == 200, body
    assert (status, headers["Etag"]) == (200, '"4"')
    assert (body["case_id"], body["state"], body["owner"], body["n"]) == (CASE.case_id, "acknowledged", "kim", 4)
    assert body["allowed"] == ["assign", "note", "contact", "callback", "snooze", "resolve"]
    assert (body["comment"], body["contact"]["name"]) == ("Nobody called.", "Anna")


@pytest.mark.parametrize("kind", BODIES)
async def test_what_goes_to_the_log_is_what_was_asked(world: World, kind: str) -> None:
    assert (await world.post(kind, BODIES[kind], If_Match='"3"'))[0] == 200
    ((team, act, text),) = world.acts.published
    said = structs.asdict(act)
    ms = 1_793_617_200_000
    expected: dict[str, dict[str, Any]] = {
        "assign": {"owner": "lee"},
        "contact": {"outcome": "no_answer", "medium": "phone"},
        "callback": {"at_ms": ms, "medium": "phone"},
        "snooze": {"until_ms": ms + 3_600_000},
        "resolve": {"cause": "price"},
    }
    always: dict[str, Any] = {"kind": kind, "case_id": CASE.case_id, "actor": "kim", "expect_n": 3, "v": 1}
    given = {name: value for name, value in said.items() if value is not None}
    assert given.pop("note", None) == act.note
    assert given.pop("command_id") == act.command_id
    assert given == always | expected.get(kind, {})
    assert (team, text, act.note is not None) == ("alpha", BODIES[kind].get("note"), kind == "note")
    assert "mother" not in repr(act)


async def test_a_refused_act_is_a_409_that_says_what_is_allowed(world: World) -> None:
    world.acts.answer = refusal()
    status, body, headers = await world.post("acknowledge")
    assert (status, headers["Content-Type"]) == (409, "application/problem+json")
    assert (body["code"], body["reason"], body["state"], body["n"]) == ("conflict", "not_allowed", "contacted", 3)
    assert body["allowed"] == ["assign", "note"]


async def test_a_cause_that_is_not_the_teams_names_those_that_are(world: World) -> None:
    world.acts.answer = refusal(reason="unknown_cause", causes=("price", "delivery"))
    status, body, _ = await world.post("resolve", {"cause": "weather"})
    assert (status, body["reason"], body["causes"]) == (409, "unknown_cause", ["price", "delivery"])


async def test_a_case_that_has_changed_since_it_was_seen_is_a_412(world: World) -> None:
    world.acts.answer = refusal(reason="stale", n=5)
    status, body, _ = await world.post("acknowledge", If_Match='"3"')
    assert (status, body["code"], body["n"]) == (412, "stale", 5)


async def test_a_case_that_the_fold_does_not_know_is_a_404(world: World) -> None:
    world.acts.answer = refusal(reason="unknown_case", state=None, n=None, allowed=())
    assert (await world.post("acknowledge"))[0] == 404


async def test_an_unknown_case_is_a_404_and_nothing_is_written(world: World) -> None:
    world.store.found = {}
    status, body, _ = await world.post("acknowledge")
    assert (status, body["code"], world.acts.published) == (404, "not_found", [])


async def test_a_case_that_was_raised_this_moment_can_be_acted_on(world: World) -> None:
    world.store.found = {}
    world.acts.tell(FollowupEvent(uid(97), "followup.raised", NOON_MS, CASE))
    assert (await world.post("acknowledge"))[0] == 200


async def test_without_an_outcome_in_time_it_is_a_202_whose_address_tells_it_later(world: World) -> None:
    world.acts.answer = None
    status, body, headers = await world.post("acknowledge")
    assert (status, body["status"], headers["Location"]) == (202, "pending", body["status_url"])
    assert body["status_url"] == f"{PATH}/commands/{body['command_id']}"
    assert (await world.api.ok(body["status_url"]))["status"] == "pending"
    ((_, act, _),) = world.acts.published
    world.acts.tell(structs.replace(refusal(), act=act))
    told = await world.api.ok(body["status_url"])
    assert (told["status"], told["reason"], told["allowed"]) == ("refused", "not_allowed", ["assign", "note"])
    world.acts.tell(FollowupEvent(uid(96), "followup.acknowledged", NOON_MS, structs.replace(CASE, n=9), act=act))
    told = await world.api.ok(body["status_url"])
    assert (told["status"], told["reason"], told["n"], told["state"]) == ("applied", None, 9, "open")


async def test_an_outcome_that_comes_while_it_waits_is_given_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes_acts, "WAIT_S", 30)
    world.acts.answer = None
    asking = asyncio.create_task(world.post("acknowledge"))
    async with asyncio.timeout(10):
        while not world.acts.published:
            await asyncio.sleep(0.005)
        ((_, act, _),) = world.acts.published
        world.acts.tell(FollowupEvent(uid(96), "followup.acknowledged", NOON_MS, structs.replace(CASE, n=9), act=act))
        assert (await asking)[1]["n"] == 9


async def test_what_only_the_store_knows_of_is_an_outcome_too(world: World) -> None:
    world.acts.answer = None
    act = Act(uid(5), CASE.case_id, "acknowledge", "kim")
    row = {"act": msgspec.json.encode(act).decode(), "state": "open", "n": 9, "at_ms": NOON_MS, "causes": []}
    world.store.found["command"] = [row | {"refused_for": "not_allowed", "allowed": ["note"]}]
    told = await world.api.ok(f"{PATH}/commands/{uid(5)}")
    assert (told["status"], told["reason"], told["n"]) == ("refused", "not_allowed", 9)
    world.store.found["command"] = [row | {"refused_for": "", "allowed": []}]
    told = await world.api.ok(f"{PATH}/commands/{uid(5)}")
    assert (told["status"], told["reason"], told["allowed"]) == ("applied", None, [])


async def test_a_log_that_takes_nothing_is_a_503_that_says_to_send_it_again(world: World) -> None:
    world.acts.up = False
    status, body, headers = await world.post("acknowledge")
    assert (status, body["code"], headers["Retry-After"]) == (503, "unavailable", "1")


async def test_an_outage_of_the_store_takes_nothing_back(world: World) -> None:
    world.acts.tell(FollowupEvent(uid(97), "followup.raised", NOON_MS, CASE))
    world.store.outage = True
    status, body, _ = await world.post("acknowledge")
    assert (status, body["state"], body["comment"]) == (200, "acknowledged", None)
    world.acts.answer = None
    assert (await world.post("acknowledge"))[0] == 202


# -- again ---------------------------------------------------------------------------------------------------------


async def test_the_same_request_with_its_key_is_the_same_command(world: World) -> None:
    first = await world.post("note", {"note": "Once."}, Idempotency_Key="a")
    again = await world.post("note", {"note": "Once."}, Idempotency_Key="a")
    assert (first[0], again[0], again[1]["n"], len(world.acts.published)) == (200, 200, 4, 1)
    await world.post("note", {"note": "Once."}, Idempotency_Key="b")
    await world.post("note", {"note": "Once."})
    ids = [(act.command_id, act.note) for _, act, _ in world.acts.published]
    assert len(set(ids)) == 3


async def test_after_a_failure_the_same_key_makes_the_same_command_and_note_again(world: World) -> None:
    world.acts.answer = None
    for _ in range(2):
        assert (await world.post("note", {"note": "Once."}, Idempotency_Key="a"))[0] == 202
    (_, first, _), (_, second, _) = world.acts.published
    assert first == second


@pytest.mark.parametrize(("kind", "body"), [("acknowledge", {"actor": "lee"}), ("reopen", {})])
async def test_a_key_is_good_for_one_command(world: World, kind: str, body: dict[str, Any]) -> None:
    assert (await world.post("acknowledge", Idempotency_Key="a"))[0] == 200
    status, told, _ = await world.post(kind, body, Idempotency_Key="a")
    assert (status, told["errors"][0]["path"], len(world.acts.published)) == (422, "Idempotency-Key", 1)


async def test_a_refusal_is_told_again_to_the_same_key(world: World) -> None:
    world.acts.answer = refusal()
    for _ in range(2):
        assert (await world.post("acknowledge", Idempotency_Key="a"))[0] == 409
    assert len(world.acts.published) == 1


# -- what is wrong with it -----------------------------------------------------------------------------------------

BAD: list[tuple[str, dict[str, Any], list[str]]] = [
    ("acknowledge", {"actor": ""}, ["actor"]),
    ("acknowledge", {"actor": "  "}, ["actor"]),
    ("acknowledge", {"actor": "x" * 65}, ["actor"]),
    ("acknowledge", {"actor": "a\nb"}, ["actor"]),
    ("acknowledge", {"actor": None}, ["actor"]),
    ("acknowledge", {"actor": 7}, ["actor"]),
    ("acknowledge", {"why": "x"}, ["why"]),
    ("acknowledge", {"note": "x" * 4_001}, ["note"]),
    ("assign", {}, ["owner"]),
    ("assign", {"owner": ""}, ["owner"]),
    ("note", {}, ["note"]),
    ("note", {"note": " "}, ["note"]),
    ("contact", {}, ["outcome"]),
    ("contact", {"outcome": "maybe", "medium": "x" * 41}, ["outcome", "medium"]),
    ("callback", {}, ["at"]),
    ("callback", {"at": "soon"}, ["at"]),
    ("callback", {"at": 1_793_620_800}, ["at"]),
    ("callback", {"at": "2026-11-02T12:00:00"}, ["at"]),
    ("snooze", {"until": None}, ["until"]),
    ("resolve", {}, ["cause"]),
    ("resolve", {"cause": "x" * 201}, ["cause"]),
]


@pytest.mark.parametrize(("kind", "body", "paths"), BAD)
async def test_every_bad_field_is_named(world: World, kind: str, body: dict[str, Any], paths: list[str]) -> None:
    status, told, headers = await world.post(kind, body)
    assert (status, headers["Content-Type"]) == (422, "application/problem+json")
    assert sorted(error["path"] for error in told["errors"]) == sorted(paths)
    assert all(error["message"] for error in told["errors"])
    assert world.acts.published == []


@pytest.mark.parametrize(
    ("raw", "status"),
    [(b"{", 400), (b"", 400), (b"\xff", 400), (b"[]", 422), (b"7", 422), (b'{"actor":"' + b"x" * 70_000 + b'"}', 413)],
)
async def test_a_body_that_is_no_act_is_refused(world: World, raw: bytes, status: int) -> None:
    told = await world.post("acknowledge", raw)
    assert (told[0], told[1]["status"], world.acts.published) == (status, status, [])


async def test_another_content_type_is_refused(world: World) -> None:
    assert (await world.post("acknowledge", Content_Type="text/plain"))[0] == 415


@pytest.mark.parametrize(
    ("match", "expect_n"), [('"3"', 3), ("3", 3), ("*", None), ("x", ...), ('W/"3"', ...), ('"3', ...), ("", ...)]
)
async def test_if_match_takes_the_event_count(world: World, match: str, expect_n: Any) -> None:
    status, told, _ = await world.post("acknowledge", If_Match=match)
    if expect_n is ...:
        assert (status, told["errors"][0]["path"]) == (422, "If-Match")
    else:
        assert (status, world.acts.published[0][1].expect_n) == (200, expect_n)


@pytest.mark.parametrize("key", ["x" * 256, "ø"])
async def test_a_bad_idempotency_key_is_named(world: World, key: str) -> None:
    status, told, _ = await world.post("acknowledge", Idempotency_Key=key)
    assert (status, told["errors"][0]["path"]) == (422, "Idempotency-Key")


async def test_parameters_that_the_route_does_not_have_are_refused(world: World) -> None:
    status, told, _ = await world.post("acknowledge?force=1")
    assert (status, told["errors"][0]["path"]) == (422, "force")


# -- who may -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "status"), [(READ_KEY, 200), (ADMIN_KEY, 200), (WRITE_KEY, 403), ("unknown", 401), (None, 401)]
)
async def test_who_may_see_cases_may_act_on_them(world: World, key: str | None, status: int) -> None:
    assert (await world.post("acknowledge", key=key))[0] == status
    assert len(world.acts.published) == (status == 200)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
    ],
)
async def test_a_session_acts_from_its_own_pages_only(world: World, headers: dict[str, str], status: int) -> None:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        url = world.api.url
        async with browser.post(url + "/login", data={"key": READ_KEY}, allow_redirects=False) as answer:
            assert answer.status == 303
        async with browser.post(url + PATH + "/acknowledge", json={"actor": "kim"}, headers=headers) as answer:
            assert answer.status == status


# -- its description -----------------------------------------------------------------------------------------------


async def test_openapi_says_what_holds_of_acts(world: World) -> None:
    document = await world.api.ok("/openapi.json")
    for kind, body in acting.BODIES.items():
        operation = document["paths"]["/v1/followups/{id}/" + kind]["post"]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        assert schema == {"$ref": f"#/components/schemas/{body.__name__}"}
        assert body.__name__ in document["components"]["schemas"]
        assert {"200", "202", "400", "401", "403", "404", "409", "412", "413", "415", "422", "503"} == set(
            operation["responses"]
        )
        names = {parameter["name"] for parameter in operation["parameters"]}
        assert names == {"id", "idempotency-key", "if-match", "at_least"}
        assert operation["summary"]
    required = document["components"]["schemas"]["ContactIn"]["required"]
    assert sorted(required) == ["actor", "outcome"]


async def test_outcomes_remember_so_many_and_forget_the_oldest() -> None:
    outcomes = Outcomes(keep=2)
    for number in range(3):
        case = structs.replace(CASE, case_id=uid(number), version=number)
        act = Act(uid(100 + number), case.case_id, "acknowledge", "kim")
        outcomes.take(msgspec.json.encode(FollowupEvent(uid(9), "followup.acknowledged", NOON_MS, case, act=act)))
    assert [outcomes.of(uid(100 + number)) is not None for number in range(3)] == [False, True, True]
    assert [outcomes.case(uid(number)) is not None for number in range(3)] == [False, True, True]


async def test_of_a_case_the_newest_that_was_told_is_remembered() -> None:
    outcomes = Outcomes()
    for version in (7, 9, 8):
        case: Case = structs.replace(CASE, version=version)
        outcomes.take(msgspec.json.encode(FollowupEvent(uid(9), "followup.noted", NOON_MS, case)))
    known = outcomes.case(CASE.case_id)
    assert known is not None
    assert known.version == 9
