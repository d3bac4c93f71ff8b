"""The OpenAPI operations of the commands; their schemas come from `schemas.commands`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from schemas.commands import (
    ErasureAccepted,
    ErasureFound,
    ErasureIn,
    KnownAs,
    MarkIn,
    PolicyAccepted,
    WhoseKey,
    WindowsAccepted,
    WindowsIn,
)
from schemas.responses import TEAM_PATTERN, UUID_PATTERN, Accepted
from services.ingest.body import SINGLE_LIMIT
from services.ingest.commands import (
    ERASE_PATH,
    ERASURES_PATH,
    EXCLUDE_PATH,
    INCLUDE_PATH,
    KEYS_PATH,
    POLICY_PATH,
    WINDOWS_PATH,
)
from services.teams.models import Team

_REFERENCES, SCHEMAS = msgspec.json.schema_components(
    (
        *(MarkIn, WhoseKey, KnownAs, ErasureIn, ErasureAccepted, ErasureFound, Accepted),
        *(WindowsIn, WindowsAccepted, PolicyAccepted),
    ),
    ref_template="#/components/schemas/{name}",
)
_MARK, _WHOSE, _KNOWN_AS, _ERASURE, _ERASED, _FOUND, _ACCEPTED, _WINDOWS, _LISTED, _PROMISED = _REFERENCES

_TEAM: Final = Team.model_json_schema(ref_template="#/components/schemas/{model}")
SCHEMAS.update(_TEAM.pop("$defs"))
SCHEMAS["Team"] = _TEAM

_SAFE: Final = f"Doing it twice is harmless. A body may have {SINGLE_LIMIT} bytes."
_PERSON: Final = {"respondent": {"email": "ada@example.com"}}
_PROMISE: Final = {
    "timezone": "Europe/Copenhagen",
    "calendar": {"hours": {"mon-fri": "09:00-17:00"}, "holidays": ["DK"]},
    "clocks": {"contact": "10h", "resolve": "3d", "reminders": ["1h"]},
}
_IN_PATH: Final = [
    {"name": "team", "in": "path", "required": True, "schema": {"type": "string", "pattern": TEAM_PATTERN}},
    {
        "name": "response_id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "format": "uuid", "pattern": UUID_PATTERN},
    },
]


def operations(problems: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Path → method → operation. `problems`: the responses that refuse, by status."""

    def command(
        operation_id: str,
        summary: str,
        about: str,
        answer: Any,
        dry: Any = None,
        **more: Any,
    ) -> dict[str, Any]:
        status, said = ("200", "The key") if operation_id == "post_respondent_key" else ("202", "Held by the log")
        bodyless = "requestBody" not in more
        return {
            "operationId": operation_id,
            "tags": ["commands"],
            "summary": summary,
            "description": about,
            **more,
            "responses": {
                status: {"description": said, "content": {"application/json": {"schema": answer}}},
                **(
                    {"200": {"description": "A dry run", "content": {"application/json": {"schema": dry}}}}
                    if dry
                    else {}
                ),
                **{
                    refusal: told
                    for refusal, told in problems.items()
                    if refusal != "429" and not (bodyless and refusal in ("400", "408", "413", "415"))
                },
            },
            "security": [{"admin": []}],
        }

    def body(schema: Any, example: Any) -> dict[str, Any]:
        return {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}

    mark: dict[str, Any] = {"parameters": _IN_PATH, "requestBody": body(_MARK, {"reason": "bot"})}
    return {
        EXCLUDE_PATH: {
            "post": command(
                "exclude_response",
                "Do not count an answer",
                f"The reason holds until it is taken back, over revisions too, and may come before the answer. {_SAFE}",
                _ACCEPTED,
                **mark,
            )
        },
        INCLUDE_PATH: {
            "post": command(
                "include_response",
                "Take a reason back",
                f"The answer counts again unless another reason stands. {_SAFE}",
                _ACCEPTED,
                **mark,
            )
        },
        ERASE_PATH: {
            "delete": command(
                "erase_response",
                "Forget an answer for ever",
                "It leaves every count, its text is deleted, and later records with its id are rejected. "
                "Doing it twice is harmless.",
                _ACCEPTED,
                parameters=_IN_PATH,
            )
        },
        ERASURES_PATH: {
            "post": command(
                "post_erasure",
                "Forget every answer of a person so far",
                "The person as answers name them, or the key under which the log knows them. 202 means that every "
                "partition holds the erasure. An answer is known by its respondent's id, else e-mail, else phone; "
                "answers that hold what is given, and are known by another key, are looked for, and everything under "
                f"that key is forgotten too (`linked: false`: it is not). `dry_run` says what would be. {_SAFE}",
                _ERASED,
                dry=_FOUND,
                requestBody=body(_ERASURE, _PERSON),
            )
        },
        WINDOWS_PATH: {
            "post": command(
                "post_windows",
                "Which windows are live from now on",
                "Ascending, none over 366d. Scores of every team are published for them. 202 means that every "
                f"partition holds the list; the last one in the log holds. {_SAFE}",
                _LISTED,
                requestBody=body(_WINDOWS, {"windows": ["1h", "24h", "7d", "30d", "90d"]}),
            )
        },
        POLICY_PATH: {
            "put": command(
                "put_policy",
                "What a team promises from now on",
                "The team's table of `teams.toml` as JSON, with nothing inherited. Its calendar is expanded to working "
                "hours in UTC, a year and more ahead: send it again before that is over. Cases that are open keep "
                f"what they were promised. {_SAFE}",
                _PROMISED,
                parameters=_IN_PATH[:1],
                requestBody=body({"$ref": "#/components/schemas/Team"}, _PROMISE),
            )
        },
        KEYS_PATH: {
            "post": command(
                "post_respondent_key",
                "Under which key the log knows a person",
                "Nothing is written. The key is made as for answers; a person who never answered has one, too.",
                _KNOWN_AS,
                requestBody=body(_WHOSE, _PERSON),
            )
        },
    }
