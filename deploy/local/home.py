"""The data directory of one instance: who uses it, its keys, where its processes can be found.

DIR/pulse.pid      locked by the supervisor while it runs
DIR/client.json    addresses, keys and pids, for client commands (mode 0600)
DIR/ports          the port base used last
DIR/logs/NAME.log  output of each process; the one before it in NAME.log.1
DIR/kafka, DIR/clickhouse, DIR/state/worker-N, DIR/checkpoints, DIR/alerts
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from deploy.errors import DataInUse, DeployError

KEY_KINDS: Final = ("write", "read", "import", "admin", "widget")
LOG_LIMIT: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is minted once for an instance. The widget key is public; the others are not."""

    keys: Mapping[str, str]
    respondent_secret: str

    def hashes(self) -> str:
        """The keys as services may know them: JSON, kind → list of SHA-256 in hex."""
        return json.dumps({kind: [sha256(key.encode()).hexdigest()] for kind, key in self.keys.items()})


class Home:
    """One data directory. Made at the first use."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.logs = self.root / "logs"
        self.client_file = self.root / "client.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only supervisor of this directory. The kernel releases it when we die. Raises DataInUse."""
        # Answers and comments lie in there: the owner's only.
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.logs.mkdir(exist_ok=True)
        with os.fdopen(os.open(self.root / "pulse.pid", os.O_RDWR | os.O_CREAT, 0o644), "r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = file.read().strip()
                raise DataInUse(self.root, int(holder) if holder.isdigit() else None) from None
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield

    def secrets(self) -> Secrets:
        """The instance's keys; minted at the first call. Raises DeployError when client.json is damaged."""
        try:
            held = json.loads(self.client_file.read_bytes())
        except FileNotFoundError:
            held = {}
        except ValueError:
            held = None
        # Never minted over a damaged file: another respondent secret would make strangers of all known respondents.
        if not isinstance(held, dict):
            raise DeployError(f"{self.client_file} is damaged; restore it, or move it away to have new keys minted")
        minted = Secrets(
            {kind: held.get("keys", {}).get(kind) or f"pulse_{kind}_{secrets.token_urlsafe(24)}" for kind in KEY_KINDS},
            held.get("respondent_secret") or secrets.token_urlsafe(32),
        )
        self.write_client(held | {"keys": minted.keys, "respondent_secret": minted.respondent_secret})
        return minted

    def update_client(self, **fields: Any) -> None:
        """Change some fields of client.json."""
        self.write_client(json.loads(self.client_file.read_bytes()) | fields)

    def write_client(self, content: Mapping[str, Any]) -> None:
        """Write client.json, readable by its owner only; a reader sees the old or the new one, whole."""
        fresh = self.client_file.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(json.dumps(content, indent=2) + "\n")
        fresh.replace(self.client_file)

    def last_port_base(self) -> int | None:
        try:
            return int((self.root / "ports").read_text())
        except (OSError, ValueError):
            return None

    def remember_port_base(self, base: int) -> None:
        (self.root / "ports").write_text(f"{base}\n")

    def log_of(self, name: str) -> Path:
        return self.logs / f"{name}.log"


def bound_log(path: Path, limit: int = LOG_LIMIT) -> None:
    """Keep a log that has grown over `limit` bytes as NAME.log.1 and empty it; its writer appends on."""
    if path.exists() and path.stat().st_size > limit:
        shutil.copyfile(path, path.with_suffix(".log.1"))
        os.truncate(path, 0)


def last_lines(path: Path, count: int = 15) -> str:
    """The end of a log; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16_384))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-count:])
    except OSError:
        return ""
