"""On which line of a TOML document each key and each entry of an array stands: `tomllib` does not say.

It is given only what `tomllib` has read, so it does not check anything again.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from typing import Any, Final

Path = tuple[str | int, ...]

_KEY: Final = r"""(?:"(?:\\.|[^"\\\n])*"|'[^'\n]*'|[A-Za-z0-9_-]+)"""
_KEYS: Final = re.compile(rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*")
_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_STRING: Final = re.compile(
    r'"""(?:\\.|(?!"""(?!")).)*"""' + r"|'''(?:(?!'''(?!')).)*'''" + r'|"(?:\\.|[^"\\])*"' + r"|'[^']*'", re.DOTALL
)
_BARE: Final = re.compile(r"[^,\]}#\n]*")


def lines_of(text: str) -> dict[Path, int]:
    """The line, from 1, of every table, key and entry of a valid document, by its path."""
    return _Scanner(text).scan()


def line_of(lines: dict[Path, int], path: Path) -> int:
    """The line of a path, or of the nearest thing around it that stands in the document; 1 for the document itself."""
    for end in range(len(path), 0, -1):
        if path[:end] in lines:
            return lines[path[:end]]
    return 1


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self._found: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}  # of the arrays of tables, how many tables there are so far

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        while self._blank() < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._found

    def _blank(self) -> int:
        """Past spaces, lines and comments."""
        self._at = self._end_of(_BLANK)
        return self._at

    def _end_of(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise ValueError(f"no valid TOML at {self._at}")
        return found.end()

    def _note(self, path: Path) -> None:
        self._found.setdefault(path, bisect_right(self._starts, self._at))

    def _keys(self) -> tuple[str, ...]:
        """A key, dotted or not, in its parts."""
        end = self._end_of(_KEYS)
        table: Any = tomllib.loads(f"{self._text[self._at : end]} = 0")
        self._at = end
        parts: list[str] = []
        while isinstance(table, dict):
            ((part, table),) = table.items()
            parts.append(part)
        return tuple(parts)

    def _header(self) -> Path:
        many = self._text.startswith("[[", self._at)
        began = self._at
        self._at += 2 if many else 1
        self._blank()
        *above, last = self._keys()
        end, self._at = self._text.index("]", self._at) + (2 if many else 1), began
        path: Path = ()
        for part in above:
            path = self._newest((*path, part))
            self._note(path)
        path = (*path, last)
        self._note(path)
        if many:
            self._counts[path] = self._counts.get(path, 0) + 1
        path = self._newest(path)
        self._note(path)
        self._at = end
        return path

    def _newest(self, path: Path) -> Path:
        """A table, or the newest of an array of tables."""
        return (*path, self._counts[path] - 1) if path in self._counts else path

    def _pair(self, table: Path) -> None:
        began = self._at
        keys = self._keys()
        end, self._at = self._at, began
        path = table
        for part in keys:
            path = (*path, part)
            self._note(path)
        self._at = self._text.index("=", end) + 1
        self._blank()
        self._value(path)

    def _value(self, path: Path) -> None:
        opening = self._text[self._at]
        if opening in "\"'":
            self._at = self._end_of(_STRING)
        elif opening in "[{":
            self._inside(path, "]" if opening == "[" else "}")
        else:
            self._at = self._end_of(_BARE)

    def _inside(self, path: Path, closing: str) -> None:
        """The entries of an array, or the pairs of an inline table."""
        self._at += 1
        count = 0
        while self._text[self._blank()] != closing:
            if closing == "}":
                self._pair(path)
            else:
                self._note((*path, count))
                self._value((*path, count))
            count += 1
            if self._text[self._blank()] == ",":
                self._at += 1
        self._at += 1
