"""The AsyncAPI document has the structure of AsyncAPI 3.0 and says what the code does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft7Validator

from schemas import topics
from schemas.catalog import FLOWS, KEYS, RECORDS
from tests.contract.documents import generated

DOCUMENT = generated("asyncapi.json")
# The fields that AsyncAPI 3.0 allows in each object; anything else has to begin with x-.
FIELDS = {
    "root": {"asyncapi", "id", "info", "servers", "defaultContentType", "channels", "operations", "components"},
    "info": {"title", "version", "description", "termsOfService", "contact", "license", "tags", "externalDocs"},
    "channel": {
        *("address", "messages", "title", "summary", "description", "servers", "parameters", "tags"),
        *("externalDocs", "bindings"),
    },
    "operation": {
        *("action", "channel", "title", "summary", "description", "security", "tags", "externalDocs"),
        *("bindings", "traits", "messages", "reply"),
    },
    "message": {
        *("headers", "payload", "correlationId", "contentType", "name", "title", "summary", "description"),
        *("tags", "externalDocs", "bindings", "examples", "traits"),
    },
    "components": {
        *("schemas", "servers", "channels", "operations", "messages", "securitySchemes", "serverVariables"),
        *("parameters", "correlationIds", "replies", "replyAddresses", "externalDocs", "tags", "operationTraits"),
        *("messageTraits", "serverBindings", "channelBindings", "operationBindings", "messageBindings"),
    },
    "channel binding": {"topic", "partitions", "replicas", "topicConfiguration", "bindingVersion"},
    "message binding": {
        *("key", "schemaIdLocation", "schemaIdPayloadEncoding", "schemaLookupStrategy", "bindingVersion"),
    },
    "topic configuration": {
        *("cleanup.policy", "retention.ms", "retention.bytes", "delete.retention.ms", "max.message.bytes"),
    },
}
NAME = re.compile(r"^[\w.\-]+$")


def objects() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(kind, place, object) of everything whose fields AsyncAPI fixes."""
    yield "root", "#", DOCUMENT
    yield "info", "#/info", DOCUMENT["info"]
    yield "components", "#/components", DOCUMENT["components"]
    for name, channel in DOCUMENT["channels"].items():
        yield "channel", name, channel
        yield "channel binding", name, channel["bindings"]["kafka"]
        yield "topic configuration", name, channel["bindings"]["kafka"]["topicConfiguration"]
    for name, operation in DOCUMENT["operations"].items():
        yield "operation", name, operation
    for name, message in DOCUMENT["components"]["messages"].items():
        yield "message", name, message
        yield "message binding", name, message["bindings"]["kafka"]


def references(node: Any) -> Iterator[str]:
    """Every $ref in the document."""
    if isinstance(node, dict):
        if "$ref" in node:
            assert node.keys() == {"$ref"}, "what stands beside a $ref is ignored"
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolve(reference: str) -> Any:
    """What a local reference points at."""
    node: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


@pytest.mark.parametrize(("kind", "place", "found"), list(objects()))
def test_an_object_has_only_fields_of_its_kind(kind: str, place: str, found: dict[str, Any]) -> None:
    assert {name for name in found if not name.startswith("x-")} <= FIELDS[kind], place


def test_the_required_fields_are_there() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert DOCUMENT["info"]["title"]
    assert DOCUMENT["info"]["version"]
    for name, operation in DOCUMENT["operations"].items():
        assert operation["action"] in {"send", "receive"}, name
        assert NAME.match(name)
    for name in (*DOCUMENT["channels"], *DOCUMENT["components"]["messages"], *DOCUMENT["components"]["schemas"]):
        assert NAME.match(name)


def test_every_reference_leads_somewhere_and_every_component_is_used() -> None:
    found = set(references(DOCUMENT))
    for reference in found:
        assert resolve(reference)
    for kind in ("messages", "schemas"):
        for name in DOCUMENT["components"][kind]:
            assert f"#/components/{kind}/{name}" in found


def test_operations_speak_of_messages_of_their_own_channel() -> None:
    for operation in DOCUMENT["operations"].values():
        for message in operation.get("messages", []):
            assert message["$ref"].startswith(operation["channel"]["$ref"] + "/messages/")


@pytest.mark.parametrize("topic", topics.TOPICS, ids=lambda topic: topic.name)
def test_a_channel_says_how_its_topic_is_created(topic: topics.Topic) -> None:
    channel = DOCUMENT["channels"][topic.name]
    binding = channel["bindings"]["kafka"]
    assert (channel["address"], binding["topic"], binding["partitions"]) == (topic.name, topic.name, topic.partitions)
    said = {name: ",".join(v) if isinstance(v, list) else str(v) for name, v in binding["topicConfiguration"].items()}
    assert said | channel["x-kafka-settings"] == topic.config


@pytest.mark.parametrize("topic", topics.TOPICS, ids=lambda topic: topic.name)
def test_a_channel_has_every_kind_of_record_with_its_key(topic: topics.Topic) -> None:
    messages = [resolve(message["$ref"]) for message in DOCUMENT["channels"][topic.name]["messages"].values()]
    tombstone = ["PersonDeleted"] if topic.name == topics.PEOPLE else []
    assert [message["name"] for message in messages] == [kind.type.__name__ for kind in RECORDS[topic.name]] + tombstone
    for message in messages:
        assert message["contentType"] == "application/json"
        assert message["summary"]
        Draft7Validator.check_schema(message["bindings"]["kafka"]["key"])


def test_keys_fit_their_patterns() -> None:
    response_id = "0b6f8a52-5d0c-4b57-9f8b-0a6f3a1c2d3e"
    assert re.fullmatch(KEYS[topics.PEOPLE] or "", f"emea|{response_id}")
    assert not re.fullmatch(KEYS[topics.PEOPLE] or "", "emea")
    assert re.fullmatch(KEYS[topics.FEEDBACK] or "", "emea")
    assert not re.fullmatch(KEYS[topics.FEEDBACK] or "", f"emea|{response_id}")


def test_payload_schemas_are_of_the_draft_that_asyncapi_builds_on() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        Draft7Validator.check_schema(schema)
        assert "prefixItems" not in str(schema), name
        assert "discriminator" not in schema, "AsyncAPI's is a string"


def test_every_topic_has_a_sender_and_a_receiver() -> None:
    for topic in topics.TOPICS:
        assert {flow.action for flow in FLOWS if flow.topic == topic.name} == {"send", "receive"}


def test_the_vectors_are_what_the_code_computes() -> None:
    partitioning = DOCUMENT["x-partitioning"]
    assert partitioning["partitions"] == topics.PARTITIONS
    assert len({vector["partition"] for vector in partitioning["vectors"]}) > 3
    for vector in partitioning["vectors"]:
        key = vector["key"].encode()
        assert (topics.murmur2(key), topics.partition_of(key)) == (vector["murmur2"], vector["partition"])
