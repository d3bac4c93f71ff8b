"""Packed request bodies."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import lz4.frame  # type: ignore[import-untyped]
import pytest
import zstandard

from deploy.local.encodings import BadEncoding, TooLarge, decode

PACK: dict[str, Callable[[bytes], bytes]] = {
    "lz4": lz4.frame.compress,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.compress,
}
BODY = bytes(range(256)) * 400


@pytest.mark.parametrize("encoding", PACK)
def test_a_packed_body_comes_out_as_it_was(encoding: str) -> None:
    assert decode(encoding, PACK[encoding](BODY), len(BODY)) == BODY


@pytest.mark.parametrize("encoding", PACK)
def test_frames_after_one_another_are_one_body(encoding: str) -> None:
    pack = PACK[encoding]
    assert decode(encoding, pack(BODY) + pack(b"") + pack(b"end"), 1 << 20) == BODY + b"end"


@pytest.mark.parametrize("encoding", PACK)
@pytest.mark.parametrize(
    "spoil", [lambda packed: packed[:-9], lambda packed: packed + b"junk", lambda _: b"plain text"]
)
def test_a_body_that_is_not_what_it_says_is_refused(encoding: str, spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(BadEncoding, match=encoding):
        decode(encoding, spoil(PACK[encoding](BODY)), 1 << 20)


@pytest.mark.parametrize("encoding", PACK)
def test_a_body_that_unpacks_to_more_than_the_limit_is_refused(encoding: str) -> None:
    with pytest.raises(TooLarge, match=str(len(BODY) - 1)):
        decode(encoding, PACK[encoding](BODY), len(BODY) - 1)


def test_no_encoding_leaves_a_body_alone() -> None:
    assert decode("", b"select 1", 1) == b"select 1"


def test_an_unknown_encoding_is_refused_by_name() -> None:
    with pytest.raises(BadEncoding, match="snappy"):
        decode("snappy", b"", 1)
