"""Writes `schemas/generated`: a JSON Schema a topic, one of the HTTP bodies, and the AsyncAPI document.

`python -m schemas.generate` (`make schemas`). The files are part of the distribution; a test compares them with what
this module would write.
"""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from schemas import asyncapi, topics
from schemas.catalog import BODIES, RECORDS

FOLDER: Final = Path(__file__).with_name("generated")
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def documents() -> dict[str, str]:
    """The text of every file, by name; the same for the same schemas."""
    by_name = {topic.name: topic for topic in topics.TOPICS}
    files = {f"{name}.schema.json": _topic_schema(by_name[name]) for name in RECORDS}
    files["responses.schema.json"] = _bodies_schema()
    files["asyncapi.json"] = asyncapi.document()
    return {name: json.dumps(document, indent=2, ensure_ascii=False) + "\n" for name, document in files.items()}


def _topic_schema(topic: topics.Topic) -> dict[str, Any]:
    types = [record.type for record in RECORDS[topic.name]]
    schemas, definitions = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    value = schemas[0] if len(schemas) == 1 else {"anyOf": list(schemas)}
    return {
        "$schema": DIALECT,
        "title": topic.name,
        "description": f"The value of a record of this topic. {topic.about} Key: {topic.key}.",
        **value,
        "$defs": _plain(dict(sorted(definitions.items()))),
    }


def _bodies_schema() -> dict[str, Any]:
    _, definitions = msgspec.json.schema_components(BODIES, ref_template="#/$defs/{name}")
    return {
        "$schema": DIALECT,
        "title": "responses",
        "description": "The bodies of the ingest door: what is sent, answers and commands, and what is answered.",
        "anyOf": [{"$ref": f"#/$defs/{body.__name__}"} for body in BODIES],
        "$defs": _plain(dict(sorted(definitions.items()))),
    }


def _plain(schema: Any) -> Any:
    """Descriptions without the indentation they have in the source."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: inspect.cleandoc(value) if name == "description" and isinstance(value, str) else _plain(value)
        for name, value in schema.items()
    }


def main() -> None:
    """Write the files; remove what is no longer generated."""
    FOLDER.mkdir(exist_ok=True)
    files = documents()
    for path in FOLDER.glob("*.json"):
        if path.name not in files:
            path.unlink()
    for name, text in files.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    sys.stderr.write(f"{len(files)} files written to {FOLDER}\n")


if __name__ == "__main__":
    main()
