"""Deterministic ids: the same log gives the same ids, on every worker and after every replay."""

from __future__ import annotations

import hashlib
import uuid
from typing import Final

NAMESPACE: Final = uuid.UUID("6f7b6d0e-0d0b-5a54-9d3f-2b8d1c1f6a11").bytes


def uuid5(*parts: object) -> str:
    """UUIDv5 of the parts joined by `|`, in our namespace. Lower case, with hyphens."""
    name = "|".join(map(str, parts)).encode()
    digest = bytearray(hashlib.sha1(NAMESPACE + name, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    hexed = digest.hex()
    return f"{hexed[:8]}-{hexed[8:12]}-{hexed[12:16]}-{hexed[16:20]}-{hexed[20:]}"


def version(generation: int, offset: int) -> int:
    """The version of a row or score: later records of the log win, and any record of a later generation."""
    return generation << 48 | offset
