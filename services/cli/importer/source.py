"""A CSV file as it is found: its fingerprint, encoding and delimiter, and its records, in constant memory."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from services.cli.codes import Exit, Fail
from services.cli.importer.mapping import Mapping

DELIMITERS: Final = (",", ";", "\t", "|")
MAX_LINE: Final = 1 << 20  # characters; a longer line is no CSV
_CHUNK: Final = 1 << 20
_SAMPLE: Final = 64 << 10  # bytes of evidence the encoding is guessed from
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Encodings of spreadsheets; a guess among all of Python's hundred does worse on short texts.
_WESTERN: Final = "cp1252"
_LEGACY: Final = (_WESTERN, "cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "shift_jis", "gb18030")
# A sign between letters that no language writes there: the mark of a wrong guess.
_SIGN_IN_WORD: Final = re.compile(r"[^\W\d_][¡-´¶-¿×÷€†‡ˆ‰™¤][^\W\d_]")
_SEP_LINE: Final = re.compile(r'"?sep=(.)"?', re.IGNORECASE)


class Unreadable(Fail):
    """From here on the file cannot be cut into records. Rows before it are good."""

    def __init__(self, message: str) -> None:
        super().__init__(Exit.FAILED, message)


@dataclass(frozen=True, slots=True)
class Source:
    """What is known of a file after one pass over its bytes. `fingerprint` is their SHA-256, hex."""

    path: Path
    size: int
    fingerprint: str
    encoding: str


def inspect(path: Path, encoding: str | None = None) -> Source:
    """Read the whole file once: fingerprint and encoding.

    Encoding: a byte order mark, else UTF-8 if every byte fits, else a guess from the lines around the first bytes
    that are not ASCII. `encoding` overrides all of it.
    """
    digest = hashlib.sha256()
    utf8: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("utf-8")()
    evidence = bytearray()
    beginning = b""
    size = 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                beginning = beginning or chunk[:4096]
                size += len(chunk)
                digest.update(chunk)
                if utf8 is not None:
                    try:
                        utf8.decode(chunk)
                    except UnicodeDecodeError:
                        utf8 = None
                _collect(chunk, evidence)
        if utf8 is not None:
            with suppress(UnicodeDecodeError):
                utf8.decode(b"", final=True)
                encoding = encoding or "utf-8"
    except OSError as error:
        raise Fail(Exit.USAGE, f"{path} cannot be read: {error.strerror}") from None
    if size == 0:
        raise Fail(Exit.USAGE, f"{path} is empty")
    marked = _marked(beginning)
    if marked is not None:
        return Source(path, size, digest.hexdigest(), marked)
    if encoding is not None and codec_name(encoding) is None:
        raise Fail(Exit.USAGE, f"there is no encoding {encoding!r}; try utf-8 or cp1252")
    return Source(path, size, digest.hexdigest(), encoding or _guess(bytes(evidence)))


def _marked(beginning: bytes) -> str | None:
    """The encoding a byte order mark names, or UTF-16 without one, which is told by every other byte being zero."""
    for mark, name in _BOMS:
        if beginning.startswith(mark):
            return name
    for name, zeros in (("utf-16-le", beginning[1::2]), ("utf-16-be", beginning[0::2])):
        if zeros.count(0) * 3 > len(beginning):
            return name
    return None


def codec_name(encoding: str) -> str | None:
    """Python's name of a text encoding, None when there is none."""
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        return None


def _collect(chunk: bytes, evidence: bytearray) -> None:
    """Keep lines that hold bytes beyond ASCII, up to the sample's size."""
    if len(evidence) >= _SAMPLE or chunk.isascii():
        return
    for line in chunk.splitlines(keepends=True):
        if not line.isascii():
            evidence += line[:4096]
            if len(evidence) >= _SAMPLE:
                return


def _guess(evidence: bytes) -> str:
    """The likeliest encoding. Between equals it is the Western one, unless that puts signs into words."""
    from charset_normalizer import from_bytes

    matches = from_bytes(evidence, cp_isolation=list(_LEGACY))
    best = matches.best()
    if best is None:
        return _WESTERN
    for match in matches:
        if (match.chaos, match.coherence) == (best.chaos, best.coherence) and _WESTERN in match.could_be_from_charset:
            if not _SIGN_IN_WORD.search(evidence.decode(_WESTERN, errors="replace")):
                return _WESTERN
            best = next((other for other in matches if _WESTERN not in other.could_be_from_charset), best)
    return best.encoding


class Records:
    """The records of a file: `with Records(…) as records: for cells in records`, the header first. Knows where it is.

    `line` is the number of the last line read, `raw` the text of the record being read, `bytes_read` how far in
    the file. A record with stray quotes comes as `csv.Error` from `next`, and the one after it can be read.
    Raises Unreadable when a quote is never closed or a line has no end.
    """

    def __init__(self, source: Source, delimiter: str) -> None:
        self._file = source.path.open("rb")
        self._text = io.TextIOWrapper(self._file, encoding=source.encoding, errors="surrogateescape", newline="")
        self._reader = csv.reader(self._lines(), delimiter=delimiter, strict=True)
        self._starts_at = 0
        self.line = 0
        self.raw = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._text.close()

    @property
    def bytes_read(self) -> int:
        """How far the file has been read, in bytes."""
        return self._file.tell()

    def _lines(self) -> Iterator[str]:
        while True:
            try:
                line = self._text.readline(MAX_LINE)
            except UnicodeDecodeError as error:
                raise Unreadable(f"line {self.line + 1} is not valid {error.encoding}; try --encoding") from None
            if not line:
                return
            self.line += 1
            if len(line) == MAX_LINE and not line.endswith(("\n", "\r")):
                raise Unreadable(f"line {self.line} is longer than {MAX_LINE:,} characters: this is no CSV file")
            if self.line == 1 and _SEP_LINE.fullmatch(line.strip()):
                continue  # Excel's own way to name the delimiter
            self.raw += line
            yield line

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        self.raw = ""
        self._starts_at = self.line + 1
        try:
            return next(self._reader)
        except csv.Error as error:
            if "unexpected end" in str(error) or "field limit" in str(error):
                raise Unreadable(
                    f"a quote opened at or after line {self._starts_at} is never closed; what follows was not read"
                ) from None
            raise


def find_delimiter(source: Source, mapping: Mapping, given: str | None) -> str:
    """The delimiter with which the header holds the mapped columns; `given` overrides.

    Of several the one that cuts the header into most columns; of none likewise, so that the complaint about the
    missing column lists sensible names.
    """
    if given is not None:
        if given in ("\\t", "tab"):
            return "\t"
        if len(given) != 1 or given in '"\r\n':
            raise Fail(Exit.USAGE, f"--delimiter must be one character or tab, not {given!r}")
        return given
    with source.path.open("r", encoding=source.encoding, errors="replace", newline="") as text:
        named = _SEP_LINE.fullmatch(text.readline(MAX_LINE).strip())
    if named:
        return named[1]
    found: list[tuple[bool, int, str]] = []
    for delimiter in DELIMITERS:
        with Records(source, delimiter) as records:
            try:
                header = next(records, [])
            except (csv.Error, Unreadable):
                continue
        found.append((_holds(mapping, header), len(header), delimiter))
    return max(found, key=lambda entry: entry[:2], default=(False, 0, ","))[2]


def _holds(mapping: Mapping, header: Sequence[str]) -> bool:
    try:
        mapping.positions(header)
    except Fail:
        return False
    return True
