"""The fold compiled: the same modules as C, where somebody has had them made (`python -m stream.compiling`).

Plain Python is what is written, read and mutated, and what runs where nothing was made. Compiled, it does the same,
faster (decision 34). What was made lies in a folder beside this file that is named after all it was made of: once a
source changes, it is not used any more. `FOLD_COMPILED` in the environment: `no`, never; `yes`, an ImportError where
there is none; anything else, where there is one.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
import sysconfig
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent
MADE: Final = HERE / "_compiled"

# Of `stream.domain`, what most answers and cases come by. Those that define msgspec structs cannot be compiled: msgspec
# reads annotations that a compiled class no longer has.
MODULES: Final = (
    *(
        "fold",
        "reading",
        "keys",
        "ordinary",
        "work",
        "team_batch",
        "changes",
        "windows",
        "answers",
        "expiry",
        "ids",
        "minutes",
    ),
    *("followups", "cases", "moves", "clocks", "promise", "policies", "deadlines"),
)
# What the compiler looks at: another type there, and what it has made is of another program.
_SOURCES: Final = ("schemas", "stream/domain")


def tag(root: Path = ROOT) -> str:
    """The name of what is made of the sources below a folder, by this Python."""
    digest = hashlib.sha256(repr((sysconfig.get_config_var("EXT_SUFFIX"), MODULES)).encode())
    for package in _SOURCES:
        for path in sorted((root / package).glob("*.py")):
            source = path.read_bytes()
            digest.update(b"%s %d\n%s" % (path.name.encode(), len(source), source))
    return digest.hexdigest()[:16]


def found(made: Path = MADE) -> Path | None:
    """The folder of what was made of the sources as they are now; None where there is none."""
    if not made.is_dir():
        return None
    folder = made / tag()
    return folder if folder.is_dir() else None


def use(wanted: str = os.environ.get("FOLD_COMPILED", "")) -> None:
    """Have `stream.domain` found compiled; to be called before any of it is imported. Raises ImportError."""
    if wanted == "no":
        return
    folder = found()
    if folder is not None:
        sys.path.append(str(folder))  # what all modules share is a module of its own
        importlib.import_module("stream.domain").__path__.insert(0, str(folder / "stream" / "domain"))
    elif wanted == "yes":
        raise ImportError("FOLD_COMPILED=yes, and nothing compiled of these sources: python -m stream.compiling")


def in_use() -> bool:
    """Whether the fold of this process is compiled."""
    return len(importlib.import_module("stream.domain").__path__) > 1
