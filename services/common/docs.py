"""An API's description for people, made from its OpenAPI document: one page, with nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any, Final, NamedTuple

from jinja2 import Environment, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

_STATIC: Final = files("services.common") / "static"
STYLE: Final = (_STATIC / "base.css").read_bytes()  # what every page of every service looks like
_NO_LINE_END: Final = r"(?!\n)"  # says nothing to a person
_FORMATS: Final = {"uuid": "UUID in lower case", "date-time": "time with its zone, ISO 8601"}
_PLAIN: Final = {"boolean": "true or false", "number": "number", "null": "null"}


class Field(NamedTuple):
    """One member of a body. `path` as errors name it: `respondent.email`."""

    path: str
    required: bool
    holds: str


def prose(text: str) -> Markup:
    """Paragraphs, with `code` in backticks, as our docstrings have it."""
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]
    coded = [re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(paragraph))) for paragraph in paragraphs]
    return Markup("".join(f"<p>{paragraph}</p>" for paragraph in coded))  # noqa: S704  escaped above


def render(document: Mapping[str, Any], *, home: str, style: str, icon: str, keys: str) -> str:
    """The page. `home`, `style`, `icon`: addresses of the service; `keys`: which ones its API takes, in words."""
    return _PAGE.render(document=document, home=home, style=style, icon=icon, keys=keys, body_of=_body_of)


def fields(document: Mapping[str, Any], schema: Mapping[str, Any], path: str = "") -> Iterator[Field]:
    """The members of a body, those of an object within it below it. None: the body is no object."""
    schema = _resolved(document, schema)
    for name, member in schema.get("properties", {}).items():
        there = f"{path}.{name}" if path else name
        yield Field(there, name in schema.get("required", ()), _holds(document, member))
        yield from fields(document, member, there)


def _body_of(document: Mapping[str, Any], operation: Mapping[str, Any]) -> list[Field]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return [] if content is None else [*fields(document, content["schema"])]


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without a reference, and without the null that an optional member may be."""
    if "$ref" in schema:
        return _resolved(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    options = [option for option in schema.get("anyOf", ()) if option.get("type") != "null"]
    return _resolved(document, options[0]) if len(options) == 1 else schema


def _holds(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    schema = _resolved(document, schema)
    if "anyOf" in schema:
        return ", or ".join(_holds(document, option) for option in schema["anyOf"])
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    kind: str = schema.get("type", "anything")
    if kind == "string":
        return _text(schema)
    if kind == "integer":
        limits = f", {schema['minimum']:,} to {schema['maximum']:,}" if "minimum" in schema else ""
        return f"whole number{limits}"
    if kind == "array":
        return f"array; each: {_holds(document, schema.get('items', {}))}"
    if kind == "object" and "maxProperties" in schema:
        each = _holds(document, schema.get("additionalProperties", {}))
        return f"object of at most {schema['maxProperties']} names; each: {each}"
    return _PLAIN.get(kind, kind)


def _text(schema: Mapping[str, Any]) -> str:
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    most = f", at most {schema['maxLength']:,} characters" if "maxLength" in schema else ""
    form = f" of the form `{schema['pattern'].replace(_NO_LINE_END, '')}`" if "pattern" in schema else ""
    return f"text{form}{most}"


_PAGES: Final = Environment(
    autoescape=select_autoescape(default=True), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_PAGES.filters["prose"] = prose
_PAGE: Final = _PAGES.from_string((_STATIC / "docs.html").read_text(encoding="utf-8"))
