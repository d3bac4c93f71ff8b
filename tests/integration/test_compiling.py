"""A module of the fold is compiled for real, used, and left alone once its source has changed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stream import compiling

ROOT = Path(__file__).resolve().parents[2]
FILE_OF = "import stream.domain.minutes as module; print(module.__file__)"


def run(folder: Path, *arguments: str, wanted: str = "") -> str:
    """What a Python says that finds the sources in a folder."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "FOLD_COMPILED": wanted},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(not os.environ.get("CI") and compiling.lacking() is not None, reason=f"{compiling.lacking()}")
def test_a_module_is_compiled_and_used_as_long_as_its_source_stays_the_same(tmp_path: Path) -> None:
    for package in ("schemas", "stream"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "_compiled"))
    chosen = tmp_path / "stream" / "compiled.py"
    text = chosen.read_text(encoding="utf-8")
    chosen.write_text(re.sub(r"MODULES: Final = \(.*?\n\)", 'MODULES: Final = ("minutes",)', text, flags=re.S))
    made = tmp_path / "stream" / "_compiled"

    assert run(tmp_path, "-c", FILE_OF).endswith("/minutes.py")
    run(tmp_path, "-m", "stream.compiling")
    (first,) = made.iterdir()
    assert run(tmp_path, "-c", FILE_OF).startswith(str(first))
    assert run(tmp_path, "-c", FILE_OF, wanted="no").endswith("/minutes.py")
    run(tmp_path, "-m", "stream.compiling")  # has nothing to do
    assert [*made.iterdir()] == [first]

    source = tmp_path / "stream" / "domain" / "minutes.py"
    source.write_text(source.read_text(encoding="utf-8") + "\nMORE = 1\n", encoding="utf-8")
    assert run(tmp_path, "-c", FILE_OF) == str(source)
    run(tmp_path, "-m", "stream.compiling")
    (second,) = made.iterdir()
    assert second != first
    assert run(tmp_path, "-c", f"{FILE_OF}; print(module.MORE)").splitlines() == [
        str(next((second / "stream" / "domain").iterdir())),
        "1",
    ]
