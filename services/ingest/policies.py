"""What a team promises, as `PUT /v1/teams/{team}/policy` takes it: the table of `teams.toml` as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from schemas.feedback import Policy
from schemas.responses import FieldError
from services.ingest import strict
from services.teams.policies import Unfit, policy_of
from services.teams.reading import dotted, plain, team_of


async def policy_in(value: Any, now_ms: int) -> Policy:
    """The record of a body that `strict.load` has read. Expanding a calendar takes milliseconds: beside the loop.

    Raises:  Invalid with the path of every bad field.
    """
    errors = list(_repeated(value))
    if not isinstance(value, strict.Members):
        errors = [FieldError("$", "must be an object")]
    if errors:
        raise strict.invalid(strict.told(errors))
    found = await asyncio.to_thread(team_of, value)
    if isinstance(found, list):
        raise strict.invalid(strict.told(FieldError(dotted(path) or "$", message) for path, message in found))
    try:
        return await asyncio.to_thread(policy_of, found, plain(value), now_ms)
    except Unfit as error:
        raise strict.invalid([FieldError(dotted(error.path), error.message)]) from None


def _repeated(value: Any) -> Iterator[FieldError]:
    """Names that stand more than once, anywhere. A stack: a body may be nested as deep as the interpreter goes."""
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        path, found = waiting.pop()
        if isinstance(found, strict.Members):
            for name in sorted(found.repeated):
                yield FieldError(strict.join(path, name), "stands more than once")
            waiting += [(strict.join(path, name), member) for name, member in found.items()]
        elif isinstance(found, list):
            waiting += [(f"{path}[{at}]", member) for at, member in enumerate(found)]
