"""The table of bad requests, one by one, with a good answer after each."""

from __future__ import annotations

import msgspec
import pytest

from services.ingest.door import Door
from tests.unit.ingest import bad_requests
from tests.unit.ingest.bad_requests import Bad, answer, dated
from tests.unit.ingest.fakes import FakeLog, door, post


@pytest.fixture(scope="module")
def app_and_log() -> tuple[Door, FakeLog]:
    log = FakeLog()
    return door(log), log


@pytest.fixture
def app(app_and_log: tuple[Door, FakeLog]) -> Door:
    return app_and_log[0]


@pytest.fixture
def log(app_and_log: tuple[Door, FakeLog]) -> FakeLog:
    app_and_log[1].held.clear()
    return app_and_log[1]


def test_the_table_is_as_long_as_promised_and_its_names_are_unique() -> None:
    names = [bad.id for bad in bad_requests.SINGLE]
    assert len(names) >= 60
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("bad", bad_requests.SINGLE, ids=lambda bad: bad.id)
async def test_a_bad_request_is_told_what_is_wrong_and_the_next_good_one_is_held(
    bad: Bad, app: Door, log: FakeLog
) -> None:
    reply = await post(app, bad.raw(), headers=bad.headers, query=bad.query)
    assert (reply.status, reply.json()["code"]) == (bad.status, bad.code)
    assert reply.paths == sorted(bad.paths)
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["status"] == bad.status
    assert log.held == []

    good = await post(app, answer().encode())
    assert good.status == 202
    assert len(log.held) == 1


BATCHABLE = [bad for bad in bad_requests.SINGLE if not bad.headers and not bad.query and bad.status in (400, 422)]


async def test_in_a_batch_of_lines_only_the_bad_ones_are_rejected_each_with_its_paths(app: Door, log: FakeLog) -> None:
    cases = [bad for bad in BATCHABLE if b"\n" not in bad.raw() and bad.raw().strip()]
    assert len(cases) >= 60
    lines: list[bytes] = []
    for bad in cases:
        lines += [bad.raw(), answer().encode()]
    reply = await post(
        app, b"\n".join(lines), path="/v1/responses/batch", headers={"Content-Type": "application/x-ndjson"}
    )
    assert reply.status == 200
    result = reply.json()
    assert (result["accepted"], result["rejected"], result["retry"]) == (len(cases), len(cases), 0)
    assert [item["index"] for item in result["items"]] == list(range(len(lines)))
    for bad, item in zip(cases, result["items"][::2], strict=True):
        place = f"[{item['index']}]"
        wanted = sorted(place if path == "$" else f"{place}.{path}" for path in bad.paths) or [place]
        assert item["status"] == "rejected", bad.id
        assert sorted(error["path"] for error in item["errors"]) == wanted, bad.id
        assert "response_id" not in item
    assert all(item["status"] == "accepted" for item in result["items"][1::2])
    assert len(log.held) == len(cases)


async def test_in_a_batch_array_only_the_bad_items_are_rejected(app: Door, log: FakeLog) -> None:
    cases = [bad for bad in BATCHABLE if bad.status == 422]
    items = []
    for bad in cases:
        items += [bad.raw(), answer().encode()]
    reply = await post(app, b"[" + b",".join(items) + b"]", path="/v1/responses/batch")
    result = reply.json()
    assert (reply.status, result["accepted"], result["rejected"]) == (200, len(cases), len(cases))
    assert len(log.held) == len(cases)


@pytest.mark.parametrize(
    ("body", "status", "code", "paths"),
    [
        pytest.param(b"", 400, "not_json", [], id="empty"),
        pytest.param(b'[{"team":"emea","score":9}', 400, "not_json", [], id="cut off"),
        pytest.param(b'[{"team":"emea","score":9},]', 400, "not_json", [], id="trailing comma"),
        pytest.param(b'[{"team":"emea","score":NaN}]', 400, "not_json", [], id="NaN in an item"),
        pytest.param(b"[" * 100_000, 400, "not_json", [], id="nested without end"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, 400, "not_json", [], id="nested too deep"),
        pytest.param(b'{"team":"emea","score":9}', 422, "invalid", ["$"], id="one answer, not an array"),
        pytest.param(b"null", 422, "invalid", ["$"], id="null"),
        pytest.param(b"[" + b",".join([b"1"] * 1_001) + b"]", 413, "too_large", [], id="1,001 items"),
        pytest.param(b"[" + b" " * 1_048_576 + b"]", 413, "too_large", [], id="over a mebibyte"),
    ],
)
async def test_a_batch_that_is_none_is_refused_as_a_whole(
    body: bytes, status: int, code: str, paths: list[str], app: Door, log: FakeLog
) -> None:
    reply = await post(app, body, path="/v1/responses/batch")
    assert (reply.status, reply.json()["code"], reply.paths) == (status, code, paths)
    assert log.held == []


async def test_an_item_of_a_batch_may_be_no_larger_than_a_single_answer(app: Door, log: FakeLog) -> None:
    long = {f"q{i}": "x" * 4_000 for i in range(20)}
    body = [{"team": "emea", "score": 9, "answers": long}, {"team": "emea", "score": 8}]
    reply = await post(app, body, path="/v1/responses/batch")
    first, second = reply.json()["items"]
    assert first["errors"] == [{"path": "[0]", "message": "an answer may have at most 65536 bytes"}]
    assert second["status"] == "accepted"


async def test_a_thousand_items_pass(app: Door, log: FakeLog) -> None:
    reply = await post(app, [{"team": "emea", "score": 9}] * 1_000, path="/v1/responses/batch")
    assert (reply.status, reply.json()["accepted"]) == (200, 1_000)


@pytest.mark.parametrize("bad", bad_requests.SINGLE, ids=lambda bad: bad.id)
async def test_no_message_quotes_what_a_person_wrote(bad: Bad, app: Door) -> None:
    marked = bad.raw().replace(b"ada", b"Zaphod").replace(b"caf", b"Zaphod")
    reply = await post(app, marked, headers=bad.headers, query=bad.query)
    told = {error["message"] for error in reply.json().get("errors", [])} | {reply.json()["detail"]}
    assert not any("Zaphod" in text for text in told)


async def test_an_answer_with_everything_in_it_passes(app: Door, log: FakeLog) -> None:
    everything = {
        "team": "a.b_c-d0",
        "survey": "onboarding",
        "score": 0,
        "comment": "x" * 4_000,
        "response_id": "01890a5d-ac96-774b-bcce-b302099a8057",
        "answered_at": dated("{+4m}"),
        "revision": 1_000_000,
        "respondent": {
            "id": "i" * 200,
            "name": "n" * 200,
            "email": "ada@example.com",
            "phone": "+45 33 12 34 56",
            "medium": "phone",
            "callback_at": dated("{+7d}"),
            "age_group": "30-39",
        },
        "channel": "web",
        "locale": "da-DK",
        "attributes": {f"{i:064}": "v" * 256 for i in range(20)},
        "answers": {**{f"q{i}": "short" for i in range(46)}, "i": 2**53 - 1, "f": 1.5, "b": True, "n": None},
        "test": True,
    }
    reply = await post(app, msgspec.json.encode(everything))
    assert reply.status == 202, reply.body
    assert len(log.held) == 1
