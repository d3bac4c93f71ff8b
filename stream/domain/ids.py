"""Deterministic ids: the same log gives the same ids, on every worker and after every replay."""

from __future__ import annotations

import hashlib
import uuid
from typing import Final

NAMESPACE: Final = uuid.UUID("6f7b6d0e-0d0b-5a54-9d3f-2b8d1c1f6a11").bytes
_OFFSET_BITS: Final = 48
_SHA1_OF_NAMESPACE: Final = hashlib.sha1(NAMESPACE, usedforsecurity=False)
_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}  # its upper two bits are 10


def uuid5(*parts: str | int) -> str:
    """UUIDv5 of the parts joined by `|`, in our namespace. Lower case, with hyphens."""
    return named("|".join([str(part) for part in parts]))


def named(name: str) -> str:
    """UUIDv5 of parts that are joined already."""
    sha1 = _SHA1_OF_NAMESPACE.copy()
    sha1.update(name.encode())
    h = sha1.hexdigest()
    return f"{h[:8]}-{h[8:12]}-5{h[13:16]}-{_VARIANT[h[16]]}{h[17:20]}-{h[20:32]}"


def version(generation: int, offset: int) -> int:
    """The version of a row or score: later records of the log win, and any record of a later generation."""
    return generation << _OFFSET_BITS | offset


def offset_of(version: int) -> int:
    """The offset of the record that made a version."""
    return version & ((1 << _OFFSET_BITS) - 1)


def generation_of(version: int) -> int:
    """The generation of the log that a version is from."""
    return version >> _OFFSET_BITS
