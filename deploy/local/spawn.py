"""Starting a child process so that it never outlives us."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

_LEASH = Path(__file__).with_name("leash.py")


def on_leash(command: Sequence[str]) -> list[str]:
    """`command`, to be started by this process's main thread, so that it is killed when this process dies.

    The kernel ties a child to the thread that started it: hence the main one.
    """
    return [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), *command]


def leashed(command: Sequence[str], env: Mapping[str, str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start `command` on the leash, in a process group of its own. The process's pid is the command's."""
    return subprocess.Popen(
        on_leash(command),
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        process_group=0,
    )
