"""Request bodies as they arrive: lz4, gzip, deflate and zstd, in one frame or several, up to a limit."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import lz4.frame  # type: ignore[import-untyped]
import zstandard


class BadEncoding(Exception):
    """The body is not what its Content-Encoding says, or that encoding is unknown."""


class TooLarge(Exception):
    """The body unpacks to more than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the request body unpacks to more than {limit} bytes")
        self.limit = limit


def decode(encoding: str, body: bytes, limit: int) -> bytes:
    """The body as it was before it was packed. `encoding`: a Content-Encoding, empty for none.

    Raises: BadEncoding; TooLarge, before more than `limit` bytes are held.
    """
    if encoding in ("", "identity"):
        return body
    frame = _FRAMES.get(encoding)
    if frame is None:
        raise BadEncoding(f"Content-Encoding {encoding!r} is not one of {', '.join(_FRAMES)}")
    parts: list[bytes] = []
    left = limit
    try:
        while body:
            data, body = frame(body, left)
            left -= len(data)
            if left < 0:
                raise TooLarge(limit)
            parts.append(data)
    except (zlib.error, zstandard.ZstdError, RuntimeError, EOFError) as error:
        raise BadEncoding(f"the body is not {encoding}: {error}") from error
    return b"".join(parts)


# Each takes one frame off the front of `body` and returns its data, at most `most` + 1 bytes, and the rest.


def _zlib_frame(window_bits: int) -> Callable[[bytes, int], tuple[bytes, bytes]]:
    def frame(body: bytes, most: int) -> tuple[bytes, bytes]:
        unpack = zlib.decompressobj(window_bits)
        data = unpack.decompress(body, most + 1)
        return _whole(unpack, data, most)

    return frame


def _lz4_frame(body: bytes, most: int) -> tuple[bytes, bytes]:
    unpack = lz4.frame.LZ4FrameDecompressor()
    data = unpack.decompress(body, most + 1)
    return _whole(unpack, data, most)


def _zstd_frame(body: bytes, most: int) -> tuple[bytes, bytes]:
    size = zstandard.frame_content_size(body)
    if size > most:
        return b"\0" * (most + 1), b""
    unpack = zstandard.ZstdDecompressor().decompressobj()
    parts, held = [], 0
    # In slices: zstd's object has no limit on what one call unpacks.
    for start in range(0, len(body), 4_096):
        parts.append(unpack.decompress(body[start : start + 4_096]))
        held += len(parts[-1])
        if unpack.eof or held > most:
            rest = unpack.unused_data + body[start + 4_096 :]
            return b"".join(parts), rest
    raise EOFError("it ends within a frame")


def _whole(unpack: Any, data: bytes, most: int) -> tuple[bytes, bytes]:
    if not unpack.eof and len(data) <= most:
        raise EOFError("it ends within a frame")
    return data, unpack.unused_data or b""


_FRAMES: dict[str, Callable[[bytes, int], tuple[bytes, bytes]]] = {
    "lz4": _lz4_frame,
    "gzip": _zlib_frame(zlib.MAX_WBITS | 16),
    "deflate": _zlib_frame(zlib.MAX_WBITS),
    "zstd": _zstd_frame,
}
