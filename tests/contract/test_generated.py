"""The generated documents are those of the schemas, and are what they claim to be."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator

from schemas.generate import FOLDER, documents
from tests.contract.documents import generated


def test_the_files_are_those_the_schemas_give() -> None:
    expected = documents()
    assert {path.name for path in FOLDER.iterdir()} == expected.keys(), "run `make schemas`"
    for name, text in expected.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, f"{name}: run `make schemas`"


def test_two_runs_give_the_same_bytes() -> None:
    assert documents() == documents()


@pytest.mark.parametrize("name", sorted(name for name in documents() if name.endswith(".schema.json")))
def test_a_json_schema_is_one(name: str) -> None:
    schema = generated(name)
    Draft202012Validator.check_schema(schema)
    assert schema["title"]
    assert schema["description"]
