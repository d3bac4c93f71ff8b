"""Starting a child process so that it never outlives us."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

_LEASH = Path(__file__).with_name("leash.py")


def leashed(command: Sequence[str], env: Mapping[str, str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start `command` in a process group of its own, killed when this process dies. Its pid is the command's.

    Call it from the main thread: the kernel ties the child to the thread that started it.
    """
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), *command],
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        process_group=0,
    )
