"""Which instance a client command talks to: a data folder's `client.json`, or an address and a key.

Flags win over the environment, and an address wins over a folder: `--url`, `--data`, `PULSE_URL`, `PULSE_DATA`,
then `./.pulse`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec
import typer

from schemas import generations
from schemas.generations import Generation
from services.cli.codes import Exit, Fail

# What client commands read from the environment, beside the settings of the services.
CLIENT_VARIABLES: Final = frozenset({"PULSE_URL", "PULSE_KEY", "PULSE_DATA", "PULSE_TEAMS"})
DEFAULT_DATA: Final = Path(".pulse")

Data = Annotated[
    Path | None,
    typer.Option("--data", help="Data folder of the instance (PULSE_DATA; default ./.pulse).", show_default=False),
]
Url = Annotated[str | None, typer.Option("--url", help="Address of the service, instead of a data folder (PULSE_URL).")]
Key = Annotated[str | None, typer.Option("--key", help="API key to use (PULSE_KEY).")]


def generation_of(environ: Mapping[str, str] = os.environ) -> Generation:
    """The generation of the log that the environment names, as the services read it. Fails for what they refuse."""
    try:
        return generations.generation_of(environ)
    except ValueError as error:
        raise Fail(Exit.USAGE, str(error)) from None


DoorName = Literal["ingest", "query", "alerts"]
KeyName = Literal["write", "read", "import", "admin"]


class ClientFile(msgspec.Struct, frozen=True):
    """`client.json` as `pulse up` writes it: addresses of one instance, its keys and its supervisor."""

    ingest: str
    query: str
    alerts: str
    kafka: str
    clickhouse: str
    keys: dict[str, str]
    pid: int | None = None
    pids: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class Door:
    """One service to talk to. `data` is None when it was given by address."""

    url: str
    key: str
    data: Path | None = None


def data_folder(data: Path | None, environ: Mapping[str, str] = os.environ) -> Path:
    """The data folder a command means."""
    return data or (Path(environ["PULSE_DATA"]) if environ.get("PULSE_DATA") else DEFAULT_DATA)


def read_client_file(data: Path) -> ClientFile:
    """`client.json` of a data folder. Fails with what to do when it is missing or damaged."""
    path = data / "client.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=ClientFile)
    except FileNotFoundError:
        raise Fail(
            Exit.UNREACHABLE, f"no instance in {data}: start one with `pulse up --data {data}`, or name it with --url"
        ) from None
    except PermissionError:
        raise Fail(Exit.USAGE, f"{path} may only be read by the user who started the instance") from None
    except (OSError, msgspec.DecodeError) as error:
        raise Fail(Exit.FAILED, f"{path} cannot be read ({error}); `pulse up --data {data}` writes it anew") from None


def find(
    door: DoorName,
    needs: KeyName,
    data: Path | None,
    url: str | None,
    key: str | None,
    environ: Mapping[str, str] = os.environ,
) -> Door:
    """The service to talk to and the key to show it. Nothing is contacted here."""
    key = key or environ.get("PULSE_KEY")
    url = url or (None if data else environ.get("PULSE_URL"))
    if url:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            raise Fail(Exit.USAGE, f"--url must look like http://host:port, not {url!r}")
        if not key:
            raise Fail(Exit.USAGE, f"--url needs a key: give the {needs} key with --key or PULSE_KEY")
        return Door(url.rstrip("/"), key)
    folder = data_folder(data, environ)
    client = read_client_file(folder)
    found = key or client.keys.get(needs)
    if not found:
        raise Fail(Exit.USAGE, f"{folder / 'client.json'} holds no {needs} key; give one with --key")
    return Door(str(getattr(client, door)).rstrip("/"), found, folder)
