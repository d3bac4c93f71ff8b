"""Start a command that dies with the process that started it: `leash.py PARENT_PID COMMAND ARGUMENT…`.

Run as a script, by path and without site packages, because every child of the supervisor begins here: it costs
about 15 ms, then the command takes over this process. Doing the same between fork and exec of the supervisor
itself would run Python in a copy of a process with threads.

The signal is SIGKILL: when the supervisor dies, the engines die with it, so a service that tried to drain would
wait for a broker that is gone, and stay behind. Everything here survives kill -9.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Put this process on the leash of the parent whose pid comes first, and become the command that follows."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    # The parent may have died before the line above: then no signal will come.
    if os.getppid() != parent:
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606  no shell is wanted


if __name__ == "__main__":
    main()
