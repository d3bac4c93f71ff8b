"""What the service answers before it asks any store: keys, sessions, parameters, headers, its own description."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from services.query.app import build_app
from services.query.events import LIVE_VIEWS
from tests.unit.outside import outside_hosts
from tests.unit.query.samples import ADMIN_KEY, NOON_MS, READ_KEY, WRITE_KEY, Api, clock, served, settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOWHERE = "http://127.0.0.1:1/pulse"
READS = [
    *("/v1/teams", "/v1/teams/alpha/score", "/v1/score", "/v1/teams/alpha/series", "/v1/compare?a=alpha&b=beta"),
    "/v1/windows",
    *("/v1/responses", "/v1/followups", "/v1/followups/00000000-0000-0000-0000-000000000001", "/v1/position"),
    "/v1/stored?respondent_key=0123456789abcdef0123456789abcdef",
    *("/v1/live", "/v1/teams/alpha/score/explain"),
    "/v1/followups/00000000-0000-0000-0000-000000000001/commands/00000000-0000-0000-0000-000000000002",
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api() -> AsyncIterator[Api]:
    """The service with neither Kafka nor ClickHouse within reach."""
    async with served(build_app(settings(NOWHERE), now_ms=clock(NOON_MS))) as running:
        yield running


@pytest.mark.parametrize("path", READS)
async def test_every_read_needs_a_key_that_may_read(api: Api, path: str) -> None:
    status, body, headers = await api.get(path, key=None)
    assert (status, body["code"], headers["WWW-Authenticate"]) == (401, "unauthorized", "Bearer")
    assert (await api.get(path, key="unknown"))[0] == 401
    status, body, _ = await api.get(path, key=WRITE_KEY)
    assert (status, body["code"]) == (403, "forbidden")


@pytest.mark.parametrize("path", [path for path in READS if path != "/v1/live"])
@pytest.mark.parametrize("key", [READ_KEY, ADMIN_KEY])
async def test_an_outage_is_a_503_that_says_when_to_come_back(api: Api, path: str, key: str) -> None:
    status, body, headers = await api.get(path, key=key)
    assert (status, body["code"], body["status"]) == (503, "unavailable", 503)
    assert headers["Content-Type"] == "application/problem+json"
    assert int(headers["Retry-After"]) >= 1


async def test_it_lives_without_its_stores_and_is_not_ready(api: Api) -> None:
    assert (await api.get("/livez", key=None))[0] == 200
    status, body, headers = await api.get("/readyz", key=None)
    assert (status, body["detail"], headers["Retry-After"]) == (503, "ClickHouse has not answered lately", "1")


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/score", {"window": "7"}, "window"),
    ("/v1/score", {"window": "0d"}, "window"),
    ("/v1/score", {"window": "7w"}, "window"),
    ("/v1/score", {"window": ""}, "window"),
    ("/v1/score", {"window": "36501d"}, "window"),
    ("/v1/score", {"policy": "newest"}, "policy"),
    ("/v1/score", {"margin": "wald"}, "margin"),
    ("/v1/score", {"as_of": "yesterday"}, "as_of"),
    ("/v1/score", {"as_of": "2026-11-01"}, "as_of"),
    ("/v1/score", {"as_of": "2026-11-01T12:06:00Z"}, "as_of"),
    ("/v1/score", {"as_of": "1793534400"}, "as_of"),
    ("/v1/score", {"known_at": "2026-11-01T12:00:00"}, "known_at"),
    ("/v1/score", {"known_at": "2027-01-01T00:00:00Z"}, "known_at"),
    ("/v1/score", {"windw": "7d"}, "windw"),
    ("/v1/score", {"at_least": "3"}, "at_least"),
    ("/v1/score", {"at_least": "16:1"}, "at_least"),
    ("/v1/score", {"at_least": ["1:1", "2:x"]}, "at_least"),
    ("/v1/score", {"at_least": "1:1,"}, "at_least"),
    ("/v1/score", {"at_least": ",".join(["1:1"] * 101)}, "at_least"),
    ("/v1/teams/Alpha/score", {}, "team"),
    ("/v1/teams/-alpha/score", {}, "team"),
    (f"/v1/teams/{'a' * 65}/score", {}, "team"),
    ("/v1/teams", {"limit": "0"}, "limit"),
    ("/v1/teams", {"limit": "201"}, "limit"),
    ("/v1/teams", {"limit": "ten"}, "limit"),
    ("/v1/teams", {"cursor": "x"}, "cursor"),
    ("/v1/teams", {"window": "soon"}, "window"),
    ("/v1/teams/alpha/series", {"step": "0d"}, "step"),
    ("/v1/teams/alpha/series", {"step": "all"}, "step"),
    ("/v1/teams/alpha/series", {"step": "1m", "from_": "2026-10-01T00:00:00Z"}, "step"),
    ("/v1/teams/alpha/series", {"from_": "2026-10-02T00:00:00Z", "to": "2026-10-01T00:00:00Z"}, "from"),
    ("/v1/teams/alpha/series", {"to": "2026-11-02T00:00:00Z"}, "to"),
    ("/v1/teams/alpha/series", {"known_at": "2026-11-02T00:00:00Z"}, "known_at"),
    ("/v1/teams/alpha/score/explain", {"cursor": "W10"}, "cursor"),
    ("/v1/teams/alpha/score/explain", {"known_at": "2027-01-01T00:00:00Z"}, "known_at"),
    ("/v1/teams/alpha/score/explain", {"margin": "score"}, "margin"),
    ("/v1/compare", {"a": "alpha"}, "b"),
    ("/v1/compare", {"a": "alpha", "b": "**"}, "b"),
    ("/v1/compare", {"a": "", "b": "beta"}, "a"),
    ("/v1/compare", {"a": "alpha", "b": "beta", "b_as_of": "2027-01-01T00:00:00Z"}, "b_as_of"),
    ("/v1/compare", {"a": "alpha", "b": "beta", "b_window": "x"}, "b_window"),
    ("/v1/compare", {"a": "alpha", "b": "beta", "known_at": "2027-01-01T00:00:00Z"}, "known_at"),
    ("/v1/compare", {"a": "alpha", "b": "beta", "b_known_at": "2027-01-01T00:00:00Z"}, "b_known_at"),
    ("/v1/responses", {"band": "fan"}, "band"),
    ("/v1/responses", {"team": "A"}, "team"),
    ("/v1/responses", {"q": "x" * 201}, "q"),
    ("/v1/responses", {"cursor": "W10"}, "cursor"),
    ("/v1/responses", {"limit": "-1"}, "limit"),
    ("/v1/responses", {"from_": "2026-10-02T00:00:00Z", "to": "2026-10-01T00:00:00Z"}, "from"),
    ("/v1/followups", {"state": "lost"}, "state.0"),
    ("/v1/followups", {"due_before": "soon"}, "due_before"),
    ("/v1/followups", {"owner": "x" * 201}, "owner"),
    ("/v1/followups", {"order": "oldest"}, "order"),
    ("/v1/followups/17", {}, "id"),
    ("/v1/followups/00000000-0000-0000-0000-000000000001/commands/1", {}, "command_id"),
    ("/v1/live", {"team": "A"}, "team.0"),
    ("/v1/live", {"since": "1"}, "since"),
    ("/v1/position", {"partition": "1"}, "partition"),
]


@pytest.mark.parametrize(("path", "params", "field"), BAD)
async def test_a_bad_parameter_is_named(api: Api, path: str, params: dict[str, Any], field: str) -> None:
    status, body, headers = await api.get(path, **params)
    assert status == 422, body
    assert headers["Content-Type"] == "application/problem+json"
    assert (body["code"], body["status"]) == ("invalid", 422)
    assert [error["path"] for error in body["errors"]] == [field]
    assert body["errors"][0]["message"]


async def test_too_many_points_are_refused_with_the_limit(api: Api) -> None:
    _, body, _ = await api.get("/v1/teams/alpha/series", step="1m", from_="2026-10-31T00:00:00Z")
    assert body["errors"] == [
        {"path": "step", "message": "gives 2161 points from `from` to `to`; at most 2000 are allowed"}
    ]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("DELETE", "/v1/score", 405)])
async def test_other_addresses_and_methods_are_problems_too(api: Api, method: str, path: str, status: int) -> None:
    async with api.session.request(method, api.url + path) as answer:
        assert answer.status == status
        assert (await answer.json())["status"] == status


async def test_every_answer_carries_the_security_headers(api: Api) -> None:
    for path in ("/", "/v1/score", "/docs", "/static/pulse.css", "/livez", "/nowhere"):
        async with api.session.get(api.url + path) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert "script-src 'self'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "no-referrer"


async def test_a_key_is_exchanged_for_a_session_cookie_that_pages_take(api: Api) -> None:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        async with browser.post(api.url + "/login", data={"key": READ_KEY}, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/")
            cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert READ_KEY not in cookie
        async with browser.get(api.url + "/v1/score") as answer:
            assert answer.status == 503  # signed in: it is the store that is missing
        async with browser.get(api.url + "/") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
            assert "cannot be read right now" in await answer.text()
        async with browser.post(api.url + "/logout", allow_redirects=False) as answer:
            assert answer.status == 303
        async with browser.get(api.url + "/v1/score") as answer:
            assert answer.status == 401


@pytest.mark.parametrize("key", [WRITE_KEY, "", "nonsense"])
async def test_no_other_key_signs_in(api: Api, key: str) -> None:
    async with api.session.post(api.url + "/login", data={"key": key}) as answer:
        assert answer.status == 401
        assert "Set-Cookie" not in answer.headers
        assert "not a key that may read" in await answer.text()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, 303),
        ({"Sec-Fetch-Site": "none"}, 303),
    ],
)
async def test_forms_of_other_sites_are_refused(api: Api, headers: dict[str, str], status: int) -> None:
    form = {"key": READ_KEY}
    async with api.session.post(api.url + "/login", data=form, headers=headers, allow_redirects=False) as answer:
        assert answer.status == status


async def test_a_large_form_is_refused(api: Api) -> None:
    async with api.session.post(api.url + "/login", data={"key": "x" * 5_000}) as answer:
        assert answer.status == 413


async def test_without_a_session_the_page_asks_for_a_key_and_its_pieces_are_refused(api: Api) -> None:
    async with api.session.get(api.url + "/") as answer:
        assert answer.status == 200
        assert 'name="key"' in await answer.text()
    for piece in ("/fragments/cards", "/fragments/followups"):
        assert (await api.get(piece, key=None))[0] == 401


async def test_pages_need_nothing_from_elsewhere(api: Api) -> None:
    for path in ("/", "/docs"):
        async with api.session.get(api.url + path) as answer:
            html = await answer.text()
        assert outside_hosts(html) == []
        assert "<script>" not in html
        assert "style=" not in html


async def test_the_style_that_all_pages_share_is_served(api: Api) -> None:
    async with api.session.get(api.url + "/docs") as answer:
        (style,) = re.findall(r'rel="stylesheet" href="([^"]+)"', await answer.text())
    async with api.session.get(api.url + style) as answer:
        assert (answer.status, answer.content_type) == (200, "text/css")


async def test_static_files_are_kept_by_browsers_until_they_change(api: Api) -> None:
    async with api.session.get(api.url + "/static/board.js") as answer:
        assert answer.content_type == "text/javascript"
        tag = answer.headers["ETag"]
        assert "max-age" in answer.headers["Cache-Control"]
    async with api.session.get(api.url + "/static/board.js", headers={"If-None-Match": tag}) as answer:
        assert answer.status == 304
    assert (await api.get("/static/..%2Fapp.py", key=None))[0] == 404


async def test_openapi_says_what_holds(api: Api) -> None:
    _, document, _ = await api.get("/openapi.json", key=None)
    schemas = document["components"]["schemas"]
    for path in (path.partition("?")[0].replace("alpha", "{team}") for path in READS):
        if path.startswith("/v1/followups/"):
            path = "/v1/followups/{id}" + ("/commands/{command_id}" if "/commands/" in path else "")
        operation = document["paths"][path]["get"]
        assert operation["summary"]
        assert "at_least" in {parameter["name"] for parameter in operation["parameters"]}
        for status in ("401", "403", "422", "503"):
            assert list(operation["responses"][status]["content"]) == ["application/problem+json"]
    assert "HTTPValidationError" not in schemas
    assert {view.__name__ for view in LIVE_VIEWS.values()} <= schemas.keys()
    head = ["team", "window", "policy", "as_of", "valid_until", "from", "to"]
    figures = ["n", "detractors", "passives", "promoters", "nps", "display", "shares", "margin", "state"]
    assert list(schemas["ScoreView"]["properties"]) == [*head, *figures, "excluded", "version"]
    assert sorted(schemas["ScoreView"]["required"]) == sorted(schemas["ScoreView"]["properties"])


async def test_a_bad_record_id_never_becomes_a_500(api: Api) -> None:
    status, body, _ = await api.get("/v1/score", at_least="0:999999999999999")
    assert (status, body["code"]) == (503, "unavailable")
