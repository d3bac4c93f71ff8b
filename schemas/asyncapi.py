"""The AsyncAPI 3 document of the topics: keys, partitions, retention, records, and who sends and receives them."""

from __future__ import annotations

import inspect
from typing import Any, Final

import msgspec

from schemas import topics
from schemas.catalog import FLOWS, KEYS, RECORDS, VECTOR_KEYS, Flow, Record
from schemas.generations import Generation
from schemas.topics import Topic

VERSION: Final = "3.0.0"
KAFKA_BINDING: Final = "0.5.0"
# The settings that AsyncAPI's Kafka binding knows; the others stand beside it.
_BOUND: Final = ("cleanup.policy", "retention.ms", "delete.retention.ms")
_KEYED_BY_TEAM: Final = "the team, also where the key is more than the team"


def document() -> dict[str, Any]:
    """The whole document, ready for JSON; the same for the same schemas."""
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "Pulse topics",
            "version": "1",
            "description": "Every record that crosses a process through Kafka. Records are JSON with a version `v`; a "
            "known kind of record never changes meaning, and fields are only ever added, with a default: a reader "
            "ignores what it does not know.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in topics.TOPICS},
        "operations": {_operation_id(flow): _operation(flow) for flow in FLOWS},
        "components": {"messages": _messages(), "schemas": _schemas()},
        "x-partitioning": {
            "algorithm": "murmur2, as Kafka's Java client: (murmur2(key) & 0x7fffffff) % partitions",
            "partitions": topics.PARTITIONS,
            "partition-of": _KEYED_BY_TEAM,
            "generations": "these are the addresses and the count of the log's first generation; a later one has its "
            f"own count, and addresses such as {Generation(2).topic(topics.FEEDBACK)}",
            "vectors": [
                {
                    "key": key,
                    "murmur2": topics.murmur2(key.encode()),
                    "partition": topics.partition_of(key.encode()),
                }
                for key in VECTOR_KEYS
            ],
        },
    }


def _channel(topic: Topic) -> dict[str, Any]:
    config = topic.config
    return {
        "address": topic.name,
        "description": topic.about,
        "messages": {
            name: {"$ref": f"#/components/messages/{name}"}
            for name in (_message_name(topic.name, record) for record in RECORDS[topic.name])
        }
        | ({"PersonDeleted": {"$ref": "#/components/messages/PersonDeleted"}} if topic.name == topics.PEOPLE else {}),
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    name: [config[name]] if name == "cleanup.policy" else int(config[name])
                    for name in _BOUND
                    if name in config
                },
                "bindingVersion": KAFKA_BINDING,
            }
        },
        "x-kafka-settings": {name: value for name, value in sorted(config.items()) if name not in _BOUND},
        "x-key": topic.key,
    }


def _operation_id(flow: Flow) -> str:
    return f"{flow.program}.{flow.action}.{flow.topic}" + "".join(f".{name}" for name in flow.records)


def _operation(flow: Flow) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "action": flow.action,
        "channel": {"$ref": f"#/channels/{flow.topic}"},
        "summary": flow.about,
        "tags": [{"name": flow.program}],
    }
    if flow.records:
        operation["messages"] = [{"$ref": f"#/channels/{flow.topic}/messages/{name}"} for name in flow.records]
    return operation


def _message_name(topic: str, record: Record) -> str:
    """A kind of record that several topics have gets a name for each."""
    name: str = record.type.__name__
    homes = [home for home, records in RECORDS.items() if any(record.type is other.type for other in records)]
    return name if len(homes) == 1 else f"{name}.{topic}"


def _messages() -> dict[str, Any]:
    messages: dict[str, Any] = {}
    for topic, records in RECORDS.items():
        for record in records:
            name: str = record.type.__name__
            message: dict[str, Any] = {
                "name": name,
                "title": name,
                "summary": _summary(record.type),
                "contentType": "application/json",
                "payload": {"$ref": f"#/components/schemas/{name}"},
                "bindings": {"kafka": {"key": _key(topic, record), "bindingVersion": KAFKA_BINDING}},
            }
            if topic == topics.FEEDBACK:
                message["headers"] = _COPIED
            messages[_message_name(topic, record)] = message
    messages["PersonDeleted"] = {
        "name": "PersonDeleted",
        "title": "PersonDeleted",
        "summary": "A tombstone: the text of this key is deleted, and stays so.",
        "contentType": "application/json",
        "payload": {"type": "null"},
        "bindings": {"kafka": {"key": _key(topics.PEOPLE, Record(None)), "bindingVersion": KAFKA_BINDING}},
    }
    return messages


_COPIED: Final = {
    "type": "object",
    "properties": {
        topics.APPENDED_HEADER: {
            "type": "string",
            "pattern": "^[0-9]+$",
            "description": "On a record of a copied log: its append time there, in milliseconds. It wins over its own.",
        }
    },
}


def _key(topic: str, record: Record) -> dict[str, Any]:
    if not record.keyed:
        return {"type": "null", "description": "None; the partition is explicit."}
    pattern = KEYS[topic]
    if pattern is None:
        return {"type": ["string", "null"], "description": "The key of the record it is about, if that had one."}
    return {"type": "string", "pattern": pattern}


def _summary(type_: Any) -> str:
    return inspect.cleandoc(type_.__doc__).split("\n\n")[0].replace("\n", " ")


def _schemas() -> dict[str, Any]:
    types = list(dict.fromkeys(record.type for records in RECORDS.values() for record in records))
    _, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    return {name: draft_07(schema) for name, schema in sorted(components.items())}


def draft_07(schema: Any) -> Any:
    """A schema of draft 2020-12 as draft 7, which AsyncAPI builds on: they differ in how a tuple is written."""
    if isinstance(schema, list):
        return [draft_07(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: draft_07(value) for name, value in schema.items()}
    if isinstance(plain.get("description"), str):
        plain["description"] = inspect.cleandoc(plain["description"])
    if "prefixItems" in plain:
        rest = plain.pop("items", True)
        plain["items"] = plain.pop("prefixItems")
        plain["additionalItems"] = rest
    return plain
