"""The generated documents and the fixture records, as the contract tests read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from schemas.catalog import BODIES, RECORDS
from schemas.generate import FOLDER

FIXTURES = Path(__file__).with_name("fixtures")


def generated(name: str) -> Any:
    """A file of schemas/generated, parsed."""
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def lines(name: str) -> list[str]:
    """The records of one fixture file, as they stood on the wire."""
    return (FIXTURES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()


def type_of(topic: str, record: dict[str, Any]) -> Any:
    """The type of a fixture record: the one its `type` names, or the topic's only one."""
    types = [kind.type for kind in RECORDS[topic]]
    if len(types) == 1:
        return types[0]
    (found,) = (type_ for type_ in types if type_.__struct_config__.tag == record["type"])
    return found


def body_type(name: str) -> Any:
    """A body of the ingest door by name."""
    (found,) = (body for body in BODIES if body.__name__ == name)
    return found


TOPIC_RECORDS = [(topic, line) for topic in RECORDS for line in lines(topic)]
BODY_RECORDS = [(entry["of"], entry["body"]) for entry in map(json.loads, lines("responses"))]
