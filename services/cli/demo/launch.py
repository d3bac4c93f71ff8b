"""Running `pulse up` below us: its log lines as progress, its one line when everything is ready, its end with ours."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from deploy.local.spawn import leashed
from services.cli.codes import Exit, Fail
from services.cli.instance import ClientFile

START_S: Final = 300.0  # the first start on a machine fetches the broker's jars
STOP_S: Final = 60.0


@asynccontextmanager
async def instance(
    data: Path, port_base: int | None, environ: Mapping[str, str], line: Callable[[str], None]
) -> AsyncIterator[ClientFile]:
    """An instance on `data` until the block ends; `line` sees what its supervisor logs.

    Raises Fail when it does not become ready, with the last thing it said.
    """
    command = [sys.executable, "-m", "services.cli", "up", "--data", str(data), "--json"]
    command += [] if port_base is None else ["--port-base", str(port_base)]
    read, write = os.pipe()
    with os.fdopen(write, "wb") as output:
        process = leashed(command, {**os.environ, **environ}, output)
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read, "rb")
    )
    said: deque[str] = deque(maxlen=5)
    draining: asyncio.Task[None] | None = None
    try:
        try:
            async with asyncio.timeout(START_S):
                client = await _until_ready(reader, said, line)
        except TimeoutError:
            raise Fail(Exit.NOT_READY, f"not ready after {START_S:.0f} s; last: {' / '.join(said)}") from None
        if client is None:
            code = await asyncio.to_thread(process.wait)
            last = said[-1] if said else f"see {data / 'logs'}"
            raise Fail(Exit.USAGE if code == Exit.USAGE else Exit.FAILED, f"it did not start: {last}")
        draining = asyncio.create_task(_drain(reader, line))
        yield client
    finally:
        await _stop(process)
        if draining is not None:
            await draining
        transport.close()


async def _until_ready(
    reader: asyncio.StreamReader, said: deque[str], line: Callable[[str], None]
) -> ClientFile | None:
    """The instance when it is ready; None when it ended instead."""
    while raw := await reader.readline():
        if raw.startswith(b'{"ready"'):
            return msgspec.json.decode(raw, type=ClientFile)
        text = raw.decode(errors="replace").rstrip()
        said.append(text)
        line(text)
    return None


async def _drain(reader: asyncio.StreamReader, line: Callable[[str], None]) -> None:
    while raw := await reader.readline():
        line(raw.decode(errors="replace").rstrip())


async def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.to_thread(process.wait, STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        await asyncio.to_thread(process.wait)
