"""Records that once stood in a topic decode for ever and mean the same: fixtures are added to, never changed."""

from __future__ import annotations

import functools
import json
import operator
from typing import Any

import msgspec
import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from schemas.catalog import BODIES, RECORDS
from tests.contract.documents import BODY_RECORDS, TOPIC_RECORDS, body_type, generated, lines, type_of


@pytest.mark.parametrize(("topic", "line"), TOPIC_RECORDS)
def test_a_record_decodes_to_what_it_says(topic: str, line: str) -> None:
    said = json.loads(line)
    type_ = type_of(topic, said)
    record = msgspec.json.decode(line, type=type_)
    for name in said.keys() - {"type"}:
        assert json.loads(msgspec.json.encode(getattr(record, name))) == said[name], name
    assert msgspec.json.decode(msgspec.json.encode(record), type=type_) == record


@pytest.mark.parametrize(("topic", "line"), TOPIC_RECORDS)
def test_a_record_decodes_as_a_reader_of_its_topic_reads_it(topic: str, line: str) -> None:
    union: Any = functools.reduce(operator.or_, [kind.type for kind in RECORDS[topic]])
    record = msgspec.json.decode(line, type=union)
    assert type(record) is type_of(topic, json.loads(line))


@pytest.mark.parametrize(("topic", "line"), TOPIC_RECORDS)
def test_a_record_with_a_field_of_a_later_version_still_decodes(topic: str, line: str) -> None:
    said = json.loads(line)
    type_ = type_of(topic, said)
    later = json.dumps({**said, "a_field_of_a_later_version": {"deep": [1, 2]}})
    assert msgspec.json.decode(later, type=type_) == msgspec.json.decode(line, type=type_)


@pytest.mark.parametrize(("topic", "line"), TOPIC_RECORDS)
def test_a_record_is_valid_under_its_json_schema_and_its_asyncapi_payload(topic: str, line: str) -> None:
    said = json.loads(line)
    Draft202012Validator(generated(f"{topic}.schema.json")).validate(said)
    document = generated("asyncapi.json")
    reference = {"$ref": f"#/components/schemas/{type_of(topic, said).__name__}"}
    Draft7Validator({**reference, "components": document["components"]}).validate(said)


@pytest.mark.parametrize("topic", RECORDS)
def test_every_kind_of_record_and_every_field_of_it_stands_in_a_fixture(topic: str) -> None:
    seen: dict[Any, set[str]] = {kind.type: set() for kind in RECORDS[topic]}
    for line in lines(topic):
        said = json.loads(line)
        seen[type_of(topic, said)] |= said.keys()
    for type_, names in seen.items():
        assert {field.encode_name for field in msgspec.structs.fields(type_)} <= names, type_.__name__


@pytest.mark.parametrize(("name", "body"), BODY_RECORDS)
def test_a_body_of_the_door_decodes_and_is_valid_under_its_schema(name: str, body: Any) -> None:
    type_ = body_type(name)
    decoded = msgspec.json.decode(json.dumps(body), type=type_)
    assert msgspec.json.decode(msgspec.json.encode(decoded)) == body
    schema = generated("responses.schema.json")
    Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": schema["$defs"]}).validate(body)


def test_every_body_of_the_door_has_a_fixture() -> None:
    assert {name for name, _ in BODY_RECORDS} == {body.__name__ for body in BODIES}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"score": 6.5}, id="fraction"),
        pytest.param({"score": "9"}, id="text"),
        pytest.param({"score": True}, id="truth"),
        pytest.param({"score": None}, id="null"),
        pytest.param({"score": 11}, id="too-high"),
        pytest.param({"score": -1}, id="negative"),
        pytest.param({"team": "Emea"}, id="capitals"),
        pytest.param({"team": "a" * 65}, id="long-team"),
        pytest.param({"comment": "x" * 4001}, id="long-comment"),
        pytest.param({"response_id": "0B6F8A52-5D0C-4B57-9F8B-0A6F3A1C2D3E"}, id="upper-case-id"),
        pytest.param({"attributes": {f"a{i}": "" for i in range(21)}}, id="attributes"),
        pytest.param({"no_such_field": 1}, id="unknown"),
    ],
)
def test_what_the_door_refuses_its_schema_refuses_too(change: dict[str, Any]) -> None:
    body = {"team": "emea", "score": 9, **change}
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps(body), type=body_type("ResponseIn"))
    schema = generated("responses.schema.json")
    assert not Draft202012Validator({"$ref": "#/$defs/ResponseIn", "$defs": schema["$defs"]}).is_valid(body)
