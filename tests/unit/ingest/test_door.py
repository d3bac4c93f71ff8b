"""The door itself: who gets in, how bodies arrive, and what is said when the log does not take an answer."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from schemas.topics import partition_of
from services.ingest import body
from tests.unit.ingest.bad_requests import answer
from tests.unit.ingest.fakes import (
    ADMIN,
    IMPORT,
    ORIGIN,
    WIDGET,
    WRITE,
    FakeLog,
    ask,
    door,
    post,
)

ID = "01890a5d-ac96-774b-bcce-b302099a8057"
GOOD = answer().encode()
BATCH = "/v1/responses/batch"


async def test_202_names_the_id_and_where_the_answer_stands() -> None:
    log = FakeLog()
    reply = await post(door(log), {"team": "emea", "score": 9, "response_id": ID})
    assert reply.status == 202
    receipt = {"topic": "feedback.v1", "partition": partition_of(b"emea"), "offset": 0}
    assert reply.json() == {"response_id": ID, "receipt": receipt}


@pytest.mark.parametrize("key", [WRITE, IMPORT, ADMIN])
async def test_write_import_and_admin_keys_may_post(key: str) -> None:
    assert (await post(door(FakeLog()), GOOD, headers={"Authorization": f"bearer {key}"})).status == 202


async def test_a_retry_with_the_same_idempotency_key_has_the_same_id() -> None:
    app = door(FakeLog())
    ids = {(await post(app, GOOD, headers={"Idempotency-Key": "k-1"})).json()["response_id"] for _ in range(2)}
    assert len(ids) == 1
    assert UUID(ids.pop()).version == 5


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; Charset=UTF-8", 'application/json;charset="utf-8"']
)
async def test_json_may_name_its_character_set(content_type: str) -> None:
    assert (await post(door(FakeLog()), GOOD, headers={"Content-Type": content_type})).status == 202


async def test_a_body_may_arrive_in_pieces_and_without_a_length() -> None:
    log = FakeLog()
    pieces = [GOOD[i : i + 1] for i in range(len(GOOD))]
    reply = await post(door(log), GOOD, headers={"Content-Length": None}, chunks=pieces)
    assert (reply.status, len(log.held)) == (202, 1)


async def test_a_body_of_exactly_the_limit_passes() -> None:
    assert (await post(door(FakeLog()), GOOD.ljust(body.SINGLE_LIMIT))).status == 202


@pytest.mark.parametrize("length", [None, "0", "10", "99999999999999999999"])
async def test_the_limit_holds_whatever_the_length_header_says(length: str | None) -> None:
    reply = await post(door(FakeLog()), GOOD, headers={"Content-Length": length}, chunks=[b" " * 40_000] * 2)
    assert (reply.status, reply.json()["code"]) == (413, "too_large")
    assert "65536 bytes" in reply.json()["detail"]


async def test_reading_stops_at_the_limit() -> None:
    taken = 0

    def endless() -> Any:
        nonlocal taken
        for _ in range(1_000):
            taken += 1
            yield b" " * 10_000

    scope = {"type": "http", "method": "POST", "path": "/v1/responses", "query_string": b"", "client": None}
    headers = [(b"authorization", f"Bearer {WRITE}".encode()), (b"content-type", b"application/json")]
    pieces = endless()
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": next(pieces), "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    await door(FakeLog())({**scope, "headers": headers}, receive, send)
    assert sent[0]["status"] == 413
    assert taken == 7


async def test_a_body_that_does_not_arrive_in_time_is_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "SLOW_S", 0.01)
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {WRITE}".encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/responses", "query_string": b"", "client": None}
    await door(FakeLog())({**scope, "headers": headers}, receive, send)
    assert sent[0]["status"] == 408


async def test_a_client_that_went_away_gets_no_answer_and_leaves_nothing() -> None:
    log = FakeLog()
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {WRITE}".encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/responses", "query_string": b"", "client": None}
    await door(log)({**scope, "headers": headers}, receive, send)
    assert (sent, log.held) == ([], [])


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/v1/responses", BATCH])
async def test_other_methods_are_405(method: str, path: str) -> None:
    reply = await ask(door(FakeLog()), method, path)
    assert (reply.status, reply.headers["allow"], reply.json()["code"]) == (405, "POST", "method_not_allowed")


@pytest.mark.parametrize("path", ["/v1/responses/", "/v1/response", "/", "/v1/responses/batch/1"])
async def test_other_addresses_are_404_with_a_problem_body(path: str) -> None:
    reply = await ask(door(FakeLog()), "POST", path)
    assert (reply.status, reply.json()["code"]) == (404, "not_found")


async def test_503_names_the_id_to_send_again_when_the_outcome_is_unknown() -> None:
    log = FakeLog()
    log.losing.add(ID)
    app = door(log)
    reply = await post(app, {"team": "emea", "score": 9, "response_id": ID})
    assert (reply.status, reply.headers["retry-after"], reply.json()["response_id"]) == (503, "1", ID)
    log.losing.clear()
    assert (await post(app, {"team": "emea", "score": 9, "response_id": ID})).status == 202


async def test_503_names_the_minted_id_when_the_log_takes_nothing() -> None:
    log = FakeLog()
    log.refused = "the log cannot be reached"
    app = door(log)
    reply = await post(app, GOOD)
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    assert UUID(reply.json()["response_id"]).version == 7
    assert reply.json()["detail"].startswith("the log cannot be reached")
    ready = await ask(app, "GET", "/readyz")
    assert (ready.status, ready.json()["detail"], ready.headers["retry-after"]) == (
        503,
        "the log cannot be reached",
        "1",
    )
    assert (await ask(app, "GET", "/livez")).status == 200


async def test_what_is_wrong_is_told_even_while_the_log_takes_nothing() -> None:
    log = FakeLog()
    log.refused = "the log cannot be reached"
    assert (await post(door(log), {"team": "emea", "score": 11})).status == 422


async def test_more_than_the_settings_let_wait_are_429() -> None:
    log = FakeLog()
    log.gate = asyncio.Event()
    app = door(log, ingest_max_in_flight=3)
    waiting = [asyncio.create_task(post(app, GOOD)) for _ in range(3)]
    await asyncio.sleep(0)
    reply = await post(app, GOOD)
    assert (reply.status, reply.headers["retry-after"], reply.json()["code"]) == (429, "1", "too_many")
    log.gate.set()
    assert [reply.status for reply in await asyncio.gather(*waiting)] == [202] * 3
    assert (await post(app, GOOD)).status == 202


async def test_an_error_of_ours_is_a_problem_body_too() -> None:
    class Broken(FakeLog):
        async def publish(self, outgoing: Any) -> Any:
            raise RuntimeError("unexpected")

    app = door(Broken())
    reply = await post(app, GOOD)
    assert (reply.status, reply.json()["code"]) == (500, "problem")
    assert b"unexpected" not in reply.body


async def test_a_batch_keeps_its_order_and_has_one_outcome_an_item() -> None:
    log = FakeLog()
    ids = [f"01890a5d-ac96-774b-bcce-b302099a8{i:03x}" for i in range(200)]
    log.losing = {ids[7]}
    items: list[Any] = [{"team": f"team-{i % 3}", "score": i % 11, "response_id": each} for i, each in enumerate(ids)]
    items[5] = {"team": "emea"}
    reply = await post(door(log), items, path=BATCH)
    assert reply.status == 200
    result = reply.json()
    assert (result["accepted"], result["rejected"], result["retry"]) == (198, 1, 1)
    assert result["items"][5] == {
        "index": 5,
        "status": "rejected",
        "errors": [{"path": "[5].score", "message": "is required"}],
    }
    assert result["items"][7] == {"index": 7, "status": "retry", "response_id": ids[7]}
    assert result["items"][8]["receipt"]["topic"] == "feedback.v1"
    assert [each.response_id for each in log.held] == [each for i, each in enumerate(ids) if i not in (5, 7)]


async def test_lines_may_be_empty_and_end_in_either_way() -> None:
    log = FakeLog()
    lines = b"\n" + GOOD + b"\r\n\n" + GOOD + b"\n   \n"
    reply = await post(door(log), lines, path=BATCH, headers={"Content-Type": "application/x-ndjson; charset=utf-8"})
    assert (reply.status, reply.json()["accepted"]) == (200, 2)


@pytest.mark.parametrize(("content_type", "raw"), [("application/json", b"[]"), ("application/x-ndjson", b"")])
async def test_an_empty_batch_is_an_empty_result(content_type: str, raw: bytes) -> None:
    reply = await post(door(FakeLog()), raw, path=BATCH, headers={"Content-Type": content_type})
    assert (reply.status, reply.json()) == (200, {"items": [], "accepted": 0, "rejected": 0, "retry": 0})


async def test_a_batch_without_a_valid_item_is_200_even_while_the_log_takes_nothing() -> None:
    log = FakeLog()
    log.refused = "the log cannot be reached"
    reply = await post(door(log), [{"team": "emea"}, 7], path=BATCH)
    assert (reply.status, reply.json()["rejected"]) == (200, 2)


@pytest.mark.parametrize("refused", ["the log cannot be reached", None])
async def test_a_batch_none_of_whose_valid_items_is_held_is_503_with_their_ids(refused: str | None) -> None:
    log = FakeLog()
    log.refused, log.losing_all = refused, True
    reply = await post(door(log), [{"team": "emea", "score": 9}, {"team": "emea"}], path=BATCH)
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    first, second = reply.json()["items"]
    assert (first["status"], UUID(first["response_id"]).version) == ("retry", 7)
    assert second["status"] == "rejected"


async def test_a_batch_sent_again_with_its_idempotency_key_has_the_same_ids() -> None:
    app = door(FakeLog())
    both = [
        (await post(app, [{"team": "emea", "score": 9}] * 2, path=BATCH, headers={"Idempotency-Key": "b-1"})).json()[
            "items"
        ]
        for _ in range(2)
    ]
    ids = [[item["response_id"] for item in items] for items in both]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2


async def test_text_is_held_beside_the_answer() -> None:
    log = FakeLog()
    await post(door(log), {"team": "emea", "score": 2, "comment": "too slow", "response_id": ID})
    assert log.people[f"emea|{ID}"].comment == "too slow"
    assert log.answers[0].personal is True


async def test_history_needs_an_import_or_admin_key() -> None:
    app = door(FakeLog())
    old = {"team": "emea", "score": 9, "answered_at": "2019-06-01T12:00:00Z"}
    assert (await post(app, old)).paths == ["answered_at"]
    for key in (IMPORT, ADMIN):
        assert (await post(app, old, headers={"Authorization": f"Bearer {key}"})).status == 202


class TestBrowsers:
    """What a page on another web origin can do with the widget key."""

    async def test_a_page_of_an_allowed_origin_may_post_and_read_the_response(self) -> None:
        headers = {"Authorization": f"Bearer {WIDGET}", "Origin": ORIGIN}
        reply = await post(door(FakeLog()), GOOD, headers=headers)
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (202, ORIGIN)
        assert reply.headers["vary"] == "origin"

    async def test_the_key_may_stand_in_the_address(self) -> None:
        headers = {"Authorization": None, "Origin": ORIGIN}
        assert (await post(door(FakeLog()), GOOD, headers=headers, query=f"key={WIDGET}")).status == 202

    async def test_a_page_of_this_very_server_may_post(self) -> None:
        headers = {
            "Authorization": f"Bearer {WIDGET}",
            "Origin": "http://Pulse.example:8600",
            "Host": "pulse.example:8600",
        }
        assert (await post(door(FakeLog()), GOOD, headers=headers)).status == 202

    async def test_a_page_can_read_why_it_was_refused(self) -> None:
        headers = {"Authorization": f"Bearer {WIDGET}", "Origin": ORIGIN}
        reply = await post(door(FakeLog()), answer(score=11).encode(), headers=headers)
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (422, ORIGIN)

    async def test_no_other_page_is_told_anything(self) -> None:
        reply = await post(door(FakeLog()), GOOD, headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in reply.headers

    async def test_a_widget_key_does_not_open_the_batch_door(self) -> None:
        headers = {"Authorization": f"Bearer {WIDGET}", "Origin": ORIGIN}
        reply = await post(door(FakeLog()), [], path=BATCH, headers=headers)
        assert (reply.status, reply.json()["code"]) == (403, "forbidden")

    async def test_a_preflight_is_answered_for_allowed_origins_only(self) -> None:
        asked = {
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        }
        reply = await ask(door(FakeLog()), "OPTIONS", "/v1/responses", headers=asked)
        assert (reply.status, reply.body) == (204, b"")
        assert reply.headers["access-control-allow-origin"] == ORIGIN
        assert reply.headers["access-control-allow-methods"] == "POST"
        assert "authorization" in reply.headers["access-control-allow-headers"]
        refused = await ask(
            door(FakeLog()), "OPTIONS", "/v1/responses", headers={**asked, "Origin": "https://evil.example"}
        )
        assert refused.status == 403
        assert "access-control-allow-origin" not in refused.headers

    async def test_each_address_has_its_own_rate(self) -> None:
        app = door(FakeLog(), widget_rate="2/minute")
        headers = {"Authorization": f"Bearer {WIDGET}", "Origin": ORIGIN}
        same = [(await post(app, GOOD, headers=headers, client="198.51.100.7")).status for _ in range(3)]
        assert same == [202, 202, 429]
        assert (await post(app, GOOD, headers=headers, client="198.51.100.8")).status == 202
        reply = await post(app, GOOD, headers=headers, client="198.51.100.7")
        assert 1 <= int(reply.headers["retry-after"]) <= 60
        assert (await post(app, GOOD)).status == 202

    async def test_one_ipv6_network_is_one_client(self) -> None:
        app = door(FakeLog(), widget_rate="1/minute")
        headers = {"Authorization": f"Bearer {WIDGET}", "Origin": ORIGIN}
        assert (await post(app, GOOD, headers=headers, client="2001:db8::1")).status == 202
        assert (await post(app, GOOD, headers=headers, client="2001:db8::2")).status == 429
        assert (await post(app, GOOD, headers=headers, client="2001:db8:0:1::1")).status == 202
