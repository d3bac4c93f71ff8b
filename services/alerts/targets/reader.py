"""Reads one table of the targets file, field by field, and keeps every problem it meets with its line."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlsplit

from services.alerts.targets.addresses import Allowed

C = TypeVar("C", bound=str)

_DURATION: Final = re.compile(r"(\d+)(ms|s|m|h|d)")
_UNITS_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_MAIL: Final = re.compile(r"[^@\s<>,;:\"()\[\]\\]+@[A-Za-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one field. `line` is 0 where it cannot be told."""

    line: int
    field: str
    text: str

    def __str__(self) -> str:
        return f"{f'line {self.line}: ' if self.line else ''}{self.field} {self.text}"


@dataclass
class Reader:
    """One table. Every method gives a value, a harmless one where the field is wrong, and notes what was wrong."""

    path: str
    table: Mapping[str, Any]
    lines: Mapping[str, int]
    environ: Mapping[str, str]
    folder: Path
    allowed: Allowed
    problems: list[Problem] = field(default_factory=list)
    _read: set[str] = field(default_factory=set)

    def wrong(self, key: str, text: str) -> None:
        """Note a problem of a field."""
        path = ".".join(part for part in (self.path, key) if part)
        self.problems.append(Problem(self.lines.get(path, self.lines.get(self.path, 0)), path, text))

    def text(self, key: str, default: str | None = None) -> str:
        """A text; without a default it is required."""
        value = self._value(key, default)
        if value is None:
            return ""
        if isinstance(value, str) and (value.strip() or default == ""):
            return value
        self.wrong(key, "must be a text, not empty")
        return ""

    def secret(self, key: str, default: str | None = None) -> str:
        """A secret: KEY itself, KEY_file (a path, beside the targets file if it is not absolute) or KEY_env."""
        given = [name for name in (key, f"{key}_file", f"{key}_env") if name in self.table]
        if len(given) > 1:
            self.wrong(given[1], f"stands beside {given[0]}: give one of them")
        self._read.update(given)
        if not given:
            if default is None:
                self.wrong(key, f"is required (or {key}_file, {key}_env)")
            return default or ""
        name = given[0]
        if not isinstance(self.table[name], str) or not self.table[name]:
            self.wrong(name, "must be a text, not empty")
            return ""
        value = str(self.table[name])
        if name == f"{key}_env":
            value = self.environ.get(value, "")
        elif name == f"{key}_file":
            try:
                value = (self.folder / value).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                self.wrong(name, f"cannot be read: {getattr(error, 'strerror', None) or 'not text'}")
                return ""
        if not value:
            self.wrong(name, "leads to nothing: the secret is empty")
        return value

    def address(self, key: str, value: str) -> str:
        """Checks where requests are to go, as `text` or `secret` gave it under `key`; returns the host."""
        host = self.link(key, value)
        self.reachable(key, host)
        return host

    def link(self, key: str, value: str) -> str:
        """Checks an http or https address; returns its host, empty where there is none."""
        if not value:
            return ""  # said already
        try:
            parts = urlsplit(value)
            host = parts.hostname or ""
            usable = parts.scheme in ("http", "https") and bool(host) and parts.port != 0
            usable = usable and parts.username is None and not re.search(r"\s", value)
        except ValueError:
            usable, host = False, ""
        if not usable:
            self.wrong(key, "must be http://host[:port]/path or https://…, without a user")
            return ""
        return host

    def reachable(self, key: str, host: str) -> None:
        """A host that is an address must be one that may be reached; a name is looked at when it is resolved."""
        try:
            ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return
        if not self.allowed.has(host, host):
            self.wrong(key, f"leads to {host}, which is no public address: add it to `allow` if it is meant")

    def choice(self, key: str, choices: tuple[C, ...], default: C | None = None) -> C:
        """One of some words."""
        value = self._value(key, default)
        if value in choices:
            return cast(C, value)
        if value is not None:
            self.wrong(key, f"must be one of {', '.join(choices)}")
        return choices[0]

    def number(self, key: str, least: int, most: int, default: int) -> int:
        """A whole number within bounds."""
        value = self._value(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.wrong(key, f"must be a whole number from {least} to {most}")
        return default

    def duration_ms(self, key: str, default: str, most: str = "7d") -> int:
        """A length of time such as 30s, 5m or 4h."""
        value = self._value(key, default)
        found = _DURATION.fullmatch(value) if isinstance(value, str) else None
        limit = _DURATION.fullmatch(most)
        length_ms = int(found[1]) * _UNITS_MS[found[2]] if found else -1
        if limit and 0 <= length_ms <= int(limit[1]) * _UNITS_MS[limit[2]]:
            return length_ms
        self.wrong(key, f"must be a length of time such as 30s, 5m or 4h, at most {most}")
        return 0

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """A list of texts, not empty; without a default it is required."""
        value = self._value(key, default)
        if value is None or value is default:
            return value or ()
        if isinstance(value, list) and value and all(isinstance(one, str) and one.strip() for one in value):
            return tuple(value)
        self.wrong(key, 'must be a list of texts, such as ["…"]')
        return ()

    def mails(self, key: str, values: tuple[str, ...]) -> None:
        """Checks e-mail addresses."""
        for value in values:
            if value and (not _MAIL.fullmatch(value) or not value.isascii()):
                self.wrong(key, f"holds {value!r}, which is no e-mail address")

    def words(self, key: str) -> dict[str, str]:
        """A table of texts; empty without it."""
        value = self._value(key, {})
        if isinstance(value, dict) and all(isinstance(word, str) for word in value.values()):
            return dict(value)
        self.wrong(key, "must be a table of texts")
        return {}

    def rest(self) -> None:
        """Whatever nobody has read is a typing error."""
        for key in self.table:
            if key not in self._read:
                self.wrong(key, "is not known for this kind")

    def _value(self, key: str, default: Any) -> Any:
        self._read.add(key)
        if key not in self.table:
            if default is None:
                self.wrong(key, "is required")
            return default
        return self.table[key]
