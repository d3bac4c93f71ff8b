"""Compiles the fold with mypyc, into the folder where `stream.compiled` looks for it: `python -m stream.compiling`.

Needs a C compiler, Python's headers, mypy and setuptools. It is done in a copy of the sources, and nothing changes in
place but the one folder that is moved there at the end.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Final

from stream.compiled import MADE, MODULES, ROOT, found, tag

_COPIED: Final = ("schemas", "stream")
_WORK: Final = "import sys; from stream.compiling import build; build(sys.argv[1])"


def lacking() -> str | None:
    """What is missing here to compile anything; None when it can be done."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"no C compiler: {compiler} (Debian: apt-get install gcc)"
    headers = Path(sysconfig.get_path("include"))
    if not (headers / "Python.h").is_file():
        return f"no Python.h in {headers} (Debian: apt-get install python3-dev)"
    for name in ("mypyc", "setuptools"):
        if importlib.util.find_spec(name) is None:
            return f"no {name} (make dev)"
    return None


def compile_fold(made: Path = MADE) -> Path:
    """Compile the sources as they are now, if that has not been done; the folder of what was made.

    What was made of other sources is removed. Raises CalledProcessError with the compiler's words on stderr.
    """
    done = found(made)
    if done is not None:
        return done
    with tempfile.TemporaryDirectory(prefix="pulse-compiling-") as name:
        copy = Path(name)
        for package in _COPIED:
            shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns(made.name, "__pycache__"))
        # Of the copy: the sources may change meanwhile.
        target, new = made / tag(copy), copy / "made"
        environment = {**os.environ, "FOLD_COMPILED": "no"}
        subprocess.run([sys.executable, "-c", _WORK, str(new)], cwd=copy, env=environment, check=True)
        made.mkdir(exist_ok=True)
        for old in made.iterdir():
            shutil.rmtree(old, ignore_errors=True)
        part = made / f".{target.name}"
        shutil.copytree(new, part)
        part.rename(target)
    return target


def build(into: str) -> None:
    """In the folder with the copied sources, which is also where mypyc leaves its C."""
    from mypyc.build import mypycify
    from setuptools import setup

    sources = [f"stream/domain/{module}.py" for module in MODULES]
    extensions = mypycify(sources, opt_level="3", debug_level="0")
    options = ["--build-lib", into, "--build-temp", "temp", "--parallel", str(os.cpu_count() or 1)]
    setup(
        name="fold",
        packages=[],
        py_modules=[],
        ext_modules=extensions,
        script_args=["--quiet", "build_ext", *options],
    )


def main() -> int:
    """The exit status: 1 where it cannot be done; 0 where that is all right, which it never is in CI."""
    parser = ArgumentParser(prog="python -m stream.compiling", description=__doc__)
    parser.add_argument("--if-possible", action="store_true", help="say loudly what is missing, and go on without")
    parser.add_argument("--there", action="store_true", help="only say, by the exit status, whether it has been done")
    options = parser.parse_args()
    if options.there:
        return 0 if found() else 1
    missing = lacking()
    if missing is None:
        sys.stdout.write(f"the fold is compiled: {compile_fold()}\n")
        return 0
    sys.stderr.write(f"\n*** THE FOLD IS NOT COMPILED, and runs as plain Python: {missing}\n\n")
    return 0 if options.if_possible and not os.environ.get("CI") else 1


if __name__ == "__main__":
    sys.exit(main())
