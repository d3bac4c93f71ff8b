"""The slow, thorough reading of a body: finds every bad field at once, with its path.

The hot path decodes with msgspec, which stops at the first error and says nothing of a key that stands twice. When
it fails, or has doubts, this module reads the same bytes again and walks them along the same types.
Messages name the limit and never quote a value.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from msgspec import inspect

from schemas.commands import KEY_PATTERN, WINDOW_PATTERN
from schemas.responses import EMAIL_PATTERN, TEAM_PATTERN, UUID_PATTERN, FieldError, whole
from services.common.problems import Invalid, NotJson

MAX_ERRORS: Final = 50  # a body can hold thousands of unknown fields; nobody reads them all
_LONG_DIGITS: Final = 20  # longer whole numbers are out of every range we take, and costly to read
_SHOWN: Final = 64

_PATTERNS: Final = {
    whole(TEAM_PATTERN): "must be 1 to 64 of a-z, 0-9, dot, underscore, hyphen, and begin with a letter or digit",
    whole(UUID_PATTERN): "must be a UUID in lower case, such as 01890a5d-ac96-774b-bcce-b302099a8057",
    whole(EMAIL_PATTERN): "must be an e-mail address, name@domain without spaces",
    whole(KEY_PATTERN): "must be 32 hex digits in lower case",
    whole(WINDOW_PATTERN): "must be a whole number and m, h or d, such as 90m, 24h or 7d",
}


class Members(dict[str, Any]):
    """A JSON object that remembers which of its names stood more than once."""

    repeated: frozenset[str] = frozenset()


def _members(pairs: list[tuple[str, Any]]) -> Members:
    found = Members(pairs)
    if len(found) != len(pairs):
        times = Counter(name for name, _ in pairs)
        found.repeated = frozenset(name for name, count in times.items() if count > 1)
    return found


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONG_DIGITS else math.inf


def _not_a_number(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_READER: Final = json.JSONDecoder(object_pairs_hook=_members, parse_int=_whole, parse_constant=_not_a_number)


def load(raw: bytes) -> Any:
    """The value `raw` stands for. Objects are `Members`; numbers out of every range are infinite.

    Raises:  NotJson, with the place, for what is not JSON in UTF-8.
    """
    try:
        return _READER.decode(raw.decode())
    except UnicodeDecodeError as error:
        raise NotJson(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise NotJson(f"{error.msg.lower()} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise NotJson("nested too deep") from None
    except ValueError as error:
        raise NotJson(str(error)) from None


def elements(raw: bytes) -> list[bytes] | None:
    """The elements of a JSON array, each as it is written; None for any other value. Raises NotJson as `load` does."""
    if not isinstance(load(raw), list):
        return None
    text = raw.decode()
    found: list[bytes] = []
    at = _past_space(text, text.index("[") + 1)
    while text[at] != "]":
        _, end = _READER.raw_decode(text, at)
        found.append(text[at:end].encode())
        at = _past_space(text, end)
        if text[at] == ",":
            at = _past_space(text, at + 1)
    return found


def _past_space(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


def join(path: str, name: str) -> str:
    """The path of member `name` of the object at `path`; the name is shortened and made printable."""
    shown = name[:_SHOWN] if name.isprintable() else name[:_SHOWN].encode("unicode_escape").decode("ascii")
    return f"{path}.{shown}" if path else shown


def walk(value: Any, of: inspect.Type, path: str = "") -> Iterator[FieldError]:
    """Every way in which `value`, read by `load`, is not what the type says."""
    if isinstance(of, inspect.Metadata):
        yield from walk(value, of.type, path)
    elif isinstance(of, inspect.UnionType):
        yield from _union(value, of, path)
    elif isinstance(of, inspect.StructType):
        yield from _struct(value, of, path)
    elif isinstance(of, inspect.DictType):
        yield from _dict(value, of, path)
    elif isinstance(of, inspect.ListType):
        yield from _list(value, of, path)
    elif isinstance(of, inspect.StrType):
        yield from _text(value, of, path)
    elif isinstance(of, inspect.IntType):
        if isinstance(value, bool) or not isinstance(value, int) or not _within(value, of):
            yield _error(path, f"must be a whole number from {of.ge} to {of.le}")
    elif isinstance(of, inspect.LiteralType):
        if value not in of.values:
            yield _error(path, f"must be one of {', '.join(map(str, of.values))}")
    elif isinstance(of, inspect.FloatType):
        if not math.isfinite(value):
            yield _error(path, "must be a number that fits 64 bits")
    elif isinstance(of, inspect.BoolType):
        if not isinstance(value, bool):
            yield _error(path, "must be true or false")
    else:
        raise TypeError(f"no rule for {of}")


def told(errors: Iterable[FieldError]) -> list[FieldError]:
    """What of the errors a client is told: of each path the first, by path, at most MAX_ERRORS."""
    firsts: dict[str, FieldError] = {}
    for error in errors:
        firsts.setdefault(error.path, error)
    return sorted(firsts.values(), key=lambda error: error.path)[:MAX_ERRORS]


def invalid(errors: Sequence[FieldError]) -> Invalid:
    """The problem that names these fields."""
    count = "1 field is" if len(errors) == 1 else f"{len(errors)} fields are"
    return Invalid(
        f"{count} not valid; errors names each with its path",
        errors=[{"path": error.path, "message": error.message} for error in errors],
    )


def _error(path: str, message: str) -> FieldError:
    return FieldError(path or "$", message)


def _within(value: int, of: inspect.IntType) -> bool:
    return (of.ge is None or value >= of.ge) and (of.le is None or value <= of.le)


def _union(value: Any, of: inspect.UnionType, path: str) -> Iterator[FieldError]:
    if value is None:
        return
    options = [option for option in of.types if not isinstance(option, inspect.NoneType)]
    if len(options) == 1:
        yield from walk(value, options[0], path)
        return
    kinds: dict[type, type[inspect.Type]] = {
        str: inspect.StrType,
        bool: inspect.BoolType,
        int: inspect.IntType,
        float: inspect.FloatType,
    }
    kind = kinds.get(type(value))
    if kind is None:
        yield _error(path, "must be a text, a number, true, false or null")
        return
    yield from walk(value, next(option for option in options if isinstance(option, kind)), path)


def _object(value: Any, path: str) -> Iterator[FieldError]:
    if not isinstance(value, Members):
        yield _error(path, "must be an object")
        return
    for name in sorted(value.repeated):
        yield _error(join(path, name), "stands more than once")


def _struct(value: Any, of: inspect.StructType, path: str) -> Iterator[FieldError]:
    yield from _object(value, path)
    if not isinstance(value, Members):
        return
    for field in of.fields:
        if field.encode_name in value:
            yield from walk(value[field.encode_name], field.type, join(path, field.encode_name))
        elif field.required:
            yield _error(join(path, field.encode_name), "is required")
    known = {field.encode_name for field in of.fields}
    for name in value:
        if name not in known:
            yield _error(join(path, name), "is not a known field")


def _dict(value: Any, of: inspect.DictType, path: str) -> Iterator[FieldError]:
    yield from _object(value, path)
    if not isinstance(value, Members):
        return
    if of.max_length is not None and len(value) > of.max_length:
        yield _error(path, f"must have at most {of.max_length} entries, it has {len(value)}")
    for name, member in value.items():
        for wrong in walk(name, of.key_type, join(path, name)):
            yield _error(wrong.path, f"its name {wrong.message}")
        yield from walk(member, of.value_type, join(path, name))


def _list(value: Any, of: inspect.ListType, path: str) -> Iterator[FieldError]:
    if not isinstance(value, list):
        yield _error(path, "must be an array")
        return
    least, most = of.min_length or 0, of.max_length
    if len(value) < least or (most is not None and len(value) > most):
        yield _error(path, f"must have {least} to {most} entries, it has {len(value)}")
        return
    for index, member in enumerate(value):
        yield from walk(member, of.item_type, f"{path}[{index}]")


def _text(value: Any, of: inspect.StrType, path: str) -> Iterator[FieldError]:
    if not isinstance(value, str):
        yield _error(path, "must be a text")
        return
    if of.pattern is not None and re.search(of.pattern, value) is None:
        yield _error(path, _PATTERNS.get(of.pattern, "is not in the form wanted"))
    if of.max_length is not None and len(value) > of.max_length:
        yield _error(path, f"must be at most {of.max_length} characters, it has {len(value)}")
    if of.min_length is not None and len(value) < of.min_length:
        yield _error(path, f"must be at least {of.min_length} character long")
    if "\0" in value:
        yield _error(path, "must not hold a NUL character")
    if any("\ud800" <= character <= "\udfff" for character in value):
        yield _error(path, "must not hold half of a surrogate pair")
