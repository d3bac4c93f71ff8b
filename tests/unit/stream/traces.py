"""Logs as data: what a state machine found, kept as JSON, to be replayed by any test on any part of the pipeline.

    {"about": "what is hard about it", "cuts": [2, 5], "records": [{"offset", "at_ms", "key", "value", "headers"?}]}

`cuts`: before which records its batches ended, when it was found. A value is an object, or text when it is not JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.unit.stream.fakes import Record

FOLDER: Final = Path(__file__).with_name("traces")


@dataclass(frozen=True)
class Trace:
    """One file of `FOLDER`."""

    name: str
    about: str
    cuts: list[int]
    records: list[Record]


def load() -> list[Trace]:
    """All that are kept, by name. Never empty: raises FileNotFoundError when none is there."""
    found = [_read(path) for path in sorted(FOLDER.glob("*.json"))]
    if not found:
        raise FileNotFoundError(FOLDER)
    return found


def _read(path: Path) -> Trace:
    body = json.loads(path.read_text(encoding="utf-8"))
    return Trace(path.stem, body["about"], body["cuts"], [_record(one) for one in body["records"]])


def _record(body: dict[str, Any]) -> Record:
    value = body["value"]
    if isinstance(value, dict):
        value = json.dumps(value)
    headers = [(name, text.encode()) for name, text in body.get("headers", [])]
    return Record(body["offset"], body["at_ms"], _bytes(body["key"]), _bytes(value), headers)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def text_of(about: str, cuts: Sequence[int], records: Sequence[Record]) -> str:
    """The JSON of a trace, one record a line. `load` gives the same records again, byte for byte."""
    lines = ",\n".join("    " + json.dumps(_body(record)) for record in records)
    head = f'  "about": {json.dumps(about)},\n  "cuts": {json.dumps(list(cuts))},\n'
    return "{\n" + head + '  "records": [\n' + lines + "\n  ]\n}\n"


def _body(record: Record) -> dict[str, Any]:
    value: Any = None if record.value is None else record.value.decode()
    try:
        parsed = json.loads(value or "")
    except ValueError:
        parsed = None
    if isinstance(parsed, dict) and json.dumps(parsed) == value:
        value = parsed
    key = None if record.key is None else record.key.decode()
    body = {"offset": record.offset, "at_ms": record.timestamp, "key": key, "value": value}
    if record.headers:
        body["headers"] = [(name, raw.decode()) for name, raw in record.headers]
    return body
