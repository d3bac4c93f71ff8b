"""Cells are text. What a cell means: a score, an instant, a team's name; or why it means nothing.

A cell that cannot be used raises `BadCell` with a stable reason; the row becomes a reject.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Final

_INVISIBLE: Final = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)")
_WHOLE: Final = re.compile(r"([0-9]{1,4})(?:[.,]0*)?")
MAX_TEAM: Final = 64
_TRUE: Final = frozenset({"true", "yes", "y", "1"})
_FALSE: Final = frozenset({"false", "no", "n", "0", ""})
# Letters that NFKD leaves whole, as their languages write them without the letter.
_LETTERS: Final = str.maketrans(
    {"ø": "o", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th", "ł": "l", "đ": "d", "ħ": "h", "ı": "i", "ŧ": "t"}
)


class BadCell(Exception):
    """A cell that cannot be used. `reason` is a stable code, `detail` what would be right; neither quotes the cell."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


def trimmed(cell: str) -> str:
    """A cell without surrounding white space of any kind (no-break too) and without invisible characters."""
    if cell.isascii():
        return cell.strip()
    return cell.translate(_INVISIBLE).strip()


def score(cell: str) -> int:
    """A whole number 0..10 written as a spreadsheet might: `10`, `10.0`, `10,0`, ` 10 `. Nothing is rounded."""
    text = trimmed(cell)
    if not text:
        raise BadCell("score_blank", "the score is blank")
    if not _NUMBER.fullmatch(text):
        raise BadCell("score_not_a_number", "the score must be a whole number 0..10")
    whole = _WHOLE.fullmatch(text)
    if whole is None and not text.startswith(("-", "+")):
        raise BadCell("score_not_whole", "the score must be a whole number; nothing is rounded")
    if whole is None or int(whole[1]) > 10:
        raise BadCell("score_out_of_range", "the score must be 0..10")
    return int(whole[1])


def flag(cell: str) -> bool:
    """A yes or no: true/false, yes/no, y/n, 1/0 in any case; blank is no."""
    text = trimmed(cell).casefold()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise BadCell("test_not_a_flag", "test must be true or false")


@dataclass(frozen=True, slots=True)
class Instant:
    """A time, milliseconds UTC. `clock` says what daylight saving did to a local time: None, or how it was read."""

    at_ms: int
    clock: str | None = None


class Instants:
    """Reads times: with a strptime format or as ISO 8601, in a zone where the text carries no offset.

    A local time that the clock showed twice is its first showing; one that the clock skipped is read with the
    offset from before the change (02:30 becomes 03:30). Both are marked.
    """

    def __init__(self, date_format: str | None, zone: tzinfo) -> None:
        self._format = date_format
        self._zone = zone
        self._read = lru_cache(maxsize=50_000)(self._parse)  # exports repeat dates

    def read(self, cell: str, field: str = "answered_at") -> Instant:
        """The instant a cell names."""
        text = trimmed(cell)
        if not text:
            raise BadCell(f"{field}_blank", f"{field} is blank")
        try:
            return self._read(text)
        except ValueError:
            expected = f"match --date-format {self._format}" if self._format else "be ISO 8601, or give --date-format"
            raise BadCell(f"{field}_format", f"{field} must {expected}") from None
        except OverflowError:
            raise BadCell(f"{field}_format", f"{field} is outside the calendar") from None

    def _parse(self, text: str) -> Instant:
        # The zone is put on below.
        local = datetime.strptime(text, self._format) if self._format else datetime.fromisoformat(text)  # noqa: DTZ007
        if local.tzinfo is not None:
            return Instant(_ms(local))
        first = local.replace(tzinfo=self._zone, fold=0)
        second = local.replace(tzinfo=self._zone, fold=1)
        before, after = first.utcoffset(), second.utcoffset()
        if before == after or before is None or after is None:
            return Instant(_ms(first))
        return Instant(_ms(first), "ambiguous" if before > after else "nonexistent")


def _ms(moment: datetime) -> int:
    since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000


def iso(at_ms: int) -> str:
    """A time as the API takes it: ISO 8601, UTC, milliseconds only where there are any."""
    seconds, ms = divmod(at_ms, 1_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{ms:03d}Z" if ms else f"{text}Z"


@lru_cache(maxsize=10_000)
def slug(name: str) -> str:
    """A valid team name from any name: `[a-z0-9][a-z0-9._-]*`, at most 64 characters.

    Names that differ only in case, accents, spaces or punctuation give the same slug. A name that is too long, or
    holds letters or digits that cannot be folded to ASCII, ends in 8 hex digits of its hash, so that two names that
    differ in a letter stay two teams. Empty: an empty string for a name without a letter or digit.
    """
    plain = unicodedata.normalize("NFKC", " ".join(trimmed(name).split())).casefold()
    folded = unicodedata.normalize("NFKD", plain.translate(_LETTERS))
    letters = [char for char in folded if not unicodedata.combining(char)]
    if not any(char.isalnum() for char in letters):
        return ""
    lossy = any(char.isalnum() and not char.isascii() for char in letters)
    text = re.sub(r"[^a-z0-9._]+", "-", "".join(letters))
    text = re.sub(r"-*([._])-*", r"\1", text).strip("-._")
    if not lossy and len(text) <= MAX_TEAM:
        return text
    digest = hashlib.sha256(plain.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{text[: MAX_TEAM - 9].rstrip('-._')}-{digest}".lstrip("-")
