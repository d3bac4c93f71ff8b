"""What a browser and a machine read at the door: the widget, the demo page, the OpenAPI document, the metrics."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest
from prometheus_client import REGISTRY

from tests.unit.ingest import bad_requests
from tests.unit.ingest.fakes import FakeLog, ask, door, post
from tests.unit.outside import outside_hosts

PUBLIC_KEY = "public-widget-key"


async def document() -> dict[str, Any]:
    reply = await ask(door(FakeLog()), "GET", "/openapi.json")
    assert reply.status == 200
    found = reply.json()
    assert isinstance(found, dict)
    return found


def resolved(found: dict[str, Any], schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({**schema, "components": found["components"]})


async def test_what_the_document_says_can_be_posted_is_accepted() -> None:
    found = await document()
    log = FakeLog()
    app = door(log)
    for path, status in (("/v1/responses", 202), ("/v1/responses/batch", 200)):
        operation = found["paths"][path]["post"]
        content = operation["requestBody"]["content"]["application/json"]
        resolved(found, content["schema"]).validate(content["example"])
        reply = await post(app, content["example"], path=path)
        assert reply.status == status
        told = operation["responses"][str(status)]["content"]["application/json"]["schema"]
        resolved(found, told).validate(reply.json())
    assert len(log.held) == 2


async def test_every_refusal_is_in_the_form_the_document_promises() -> None:
    found = await document()
    app = door(FakeLog())
    responses = found["paths"]["/v1/responses"]["post"]["responses"]
    for bad in bad_requests.SINGLE:
        reply = await post(app, bad.raw(), headers=bad.headers, query=bad.query)
        promised = responses[str(reply.status)]["content"]["application/problem+json"]["schema"]
        resolved(found, promised).validate(reply.json())


async def test_the_document_names_every_route_and_every_status() -> None:
    found = await document()
    assert {"/v1/responses", "/v1/responses/batch", "/livez", "/readyz", "/metrics", "/demo", "/widget.js"} <= set(
        found["paths"]
    )
    responses = found["paths"]["/v1/responses"]["post"]["responses"]
    assert set(responses) == {"202", "400", "401", "403", "408", "413", "415", "422", "429", "503"}


async def test_the_description_for_people_has_every_operation_and_field() -> None:
    reply = await ask(door(FakeLog()), "GET", "/docs")
    page = reply.body.decode()
    assert (reply.status, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for path, operations in (await document())["paths"].items():
        for method in operations:
            assert (f"<code>{method.upper()} {path}</code>" in page) == path.startswith("/v1/")
    for name, member in (("score", "whole number, 0 to 10"), ("respondent.email", "text of the form")):
        assert re.search(f"<code>{re.escape(name)}</code>.*{member}", page)


async def test_pages_need_nothing_from_elsewhere() -> None:
    app = door(FakeLog(), demo_widget_key=PUBLIC_KEY)
    for path in ("/docs", "/demo"):
        reply = await ask(app, "GET", path)
        page = reply.body.decode()
        assert outside_hosts(page) == []
        assert "<script>" not in page
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        for piece in re.findall(r'(?:src|href)="(/[^"]+)"', page):
            assert (await ask(app, "GET", piece)).status == 200, piece


async def test_the_widget_is_served_as_a_script_to_any_site() -> None:
    reply = await ask(door(FakeLog()), "GET", "/widget.js")
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/javascript")
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cross-origin-resource-policy"] == "cross-origin"


async def test_the_demo_page_carries_the_public_key_and_a_strict_policy() -> None:
    app = door(FakeLog(), demo_widget_key=PUBLIC_KEY)
    reply = await ask(app, "GET", "/demo", query="team=support-emea&locale=da")
    page = reply.body.decode()
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert f'data-team="support-emea" data-key="{PUBLIC_KEY}"' in page
    assert 'data-locale="da"' in page
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert reply.headers["x-content-type-options"] == "nosniff"


async def test_the_demo_page_says_so_when_there_is_no_key() -> None:
    page = (await ask(door(FakeLog()), "GET", "/demo")).body.decode()
    assert "PULSE_DEMO_WIDGET_KEY" in page
    assert "/widget.js" not in page.split("<footer>")[0]


@pytest.mark.parametrize("query", ["team=%22%3E%3Cscript%3E", "team=UPPER", "team=a%0A", "locale=%22onload"])
async def test_the_demo_page_takes_no_team_that_could_not_be_one(query: str) -> None:
    reply = await ask(door(FakeLog(), demo_widget_key=PUBLIC_KEY), "GET", "/demo", query=query)
    assert (reply.status, reply.json()["code"]) == (422, "invalid")


async def test_each_outcome_is_counted() -> None:
    def value(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    def counts() -> list[float]:
        outcomes = ("accepted", "rejected", "retry")
        return [value("pulse_ingest_answers_total", outcome=outcome) for outcome in outcomes]

    log = FakeLog()
    app = door(log)
    before, slow = counts(), value("pulse_ingest_publish_seconds_count")
    await post(app, {"team": "emea", "score": 9})
    await post(app, {"team": "emea", "score": 11})
    await post(app, [{"team": "emea", "score": 9}, {"team": "emea"}], path="/v1/responses/batch")
    log.losing_all = True
    await post(app, {"team": "emea", "score": 9})
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [2, 2, 1]
    assert value("pulse_ingest_publish_seconds_count") == slow + 1
    assert value("pulse_ingest_problems_total", code="invalid") >= 1
    assert b"pulse_ingest_in_flight 0.0" in (await ask(app, "GET", "/metrics")).body
