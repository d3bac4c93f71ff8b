"""The fields of a body as the API's page lists them."""

from __future__ import annotations

from typing import Any

import pytest

from services.common.docs import Field, fields, prose

DOCUMENT: dict[str, Any] = {
    "components": {
        "schemas": {
            "Who": {"type": "object", "properties": {"email": {"type": "string", "pattern": r"^a(?!\n)$"}}},
        }
    }
}
NULL = {"type": "null"}


@pytest.mark.parametrize(
    ("member", "holds"),
    [
        ({"type": "string", "maxLength": 4000}, "text, at most 4,000 characters"),
        ({"type": "string", "pattern": r"^[a-z](?!\n)$"}, "text of the form `^[a-z]$`"),
        ({"anyOf": [{"type": "string", "format": "uuid"}, NULL]}, "UUID in lower case"),
        ({"type": "integer", "minimum": 0, "maximum": 1_000}, "whole number, 0 to 1,000"),
        ({"type": "boolean"}, "true or false"),
        ({"enum": ["bot", "test"]}, "one of bot, test"),
        ({"anyOf": [{"type": "string"}, {"type": "number"}, NULL]}, "text, or number, or null"),
        ({"type": "array", "items": {"type": "integer"}}, "array; each: whole number"),
        (
            {"type": "object", "maxProperties": 20, "additionalProperties": {"type": "string"}},
            "object of at most 20 names; each: text",
        ),
    ],
)
def test_a_member_is_told_in_words(member: dict[str, Any], holds: str) -> None:
    schema = {"type": "object", "properties": {"it": member}, "required": ["it"]}
    assert [*fields(DOCUMENT, schema)] == [Field("it", True, holds)]


def test_members_of_an_object_within_stand_below_it_by_path() -> None:
    whole = {"type": "object", "properties": {"who": {"anyOf": [{"$ref": "#/components/schemas/Who"}, NULL]}}}
    assert [*fields(DOCUMENT, whole)] == [
        Field("who", False, "object"),
        Field("who.email", False, "text of the form `^a$`"),
    ]


def test_a_body_that_is_no_object_has_no_fields() -> None:
    assert [*fields(DOCUMENT, {"type": "array", "items": {"$ref": "#/components/schemas/Who"}})] == []


def test_prose_is_escaped_and_has_code_and_paragraphs() -> None:
    assert prose("One `a<b`\nline.\n\nTwo.") == "<p>One <code>a&lt;b</code> line.</p><p>Two.</p>"
