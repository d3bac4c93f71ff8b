"""The rejects file: rows that were not accepted, why, and their cells as they were, as CSV for a spreadsheet."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final

from services.cli.codes import Exit, Fail
from services.cli.importer.rows import Rejected

COLUMNS: Final = ("reject_row", "reject_line", "reject_reason", "reject_detail")


class Rejects:
    """Writes rejects as they come; makes the file with the first one, readable by its owner only."""

    def __init__(self, path: Path, source: Path, header: Sequence[str]) -> None:
        if path.exists() and path.samefile(source):
            raise Fail(Exit.USAGE, "--rejects must not name the file that is imported")
        self.path = path
        self._header = header
        self._file: IO[str] | None = None
        self._writer: Any = None

    def write(self, rejected: Rejected) -> None:
        """Add one row."""
        if self._file is None:
            self._open()
        self._writer.writerow((rejected.row, rejected.line, rejected.reason, rejected.detail, *rejected.cells))

    def _open(self) -> None:
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise Fail(
                Exit.USAGE, f"{self.path} cannot be written ({error.strerror}); name another with --rejects"
            ) from None
        # The mark makes spreadsheets read it as UTF-8; bytes that were no text stay as they are.
        self._file = os.fdopen(descriptor, "w", encoding="utf-8-sig", errors="surrogateescape", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow((*COLUMNS, *self._header))

    @property
    def written(self) -> bool:
        """Whether there was any."""
        return self._file is not None

    def close(self) -> None:
        """Finish the file."""
        if self._file is not None:
            self._file.close()
