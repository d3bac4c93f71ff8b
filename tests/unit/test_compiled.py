"""Which compiled fold is used, and that what is compiled is what it says it is."""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from stream import compiled, compiling

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    for package in ("schemas", "stream/domain"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.parametrize("changed", ["schemas/changes.py", "stream/domain/windows.py", "stream/domain/values.py"])
def test_any_change_of_a_source_gives_it_another_name(sources: Path, changed: str) -> None:
    before = compiled.tag(sources)
    assert compiled.tag(sources) == before == compiled.tag()
    path = sources / changed
    path.write_text(path.read_text(encoding="utf-8").replace("the", "teh", 1), encoding="utf-8")
    assert compiled.tag(sources) != before


def test_a_source_more_gives_it_another_name(sources: Path) -> None:
    before = compiled.tag(sources)
    (sources / "schemas" / "another.py").touch()
    assert compiled.tag(sources) != before


def test_only_what_was_made_of_the_sources_as_they_are_is_found(tmp_path: Path) -> None:
    assert compiled.found(tmp_path / "none") is None
    (tmp_path / "of-other-sources").mkdir()
    assert compiled.found(tmp_path) is None
    (tmp_path / compiled.tag()).mkdir()
    assert compiled.found(tmp_path) == tmp_path / compiled.tag()


def test_whoever_insists_on_it_is_told_how_to_make_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "found", lambda: None)
    before = [*sys.path]
    compiled.use("no")
    compiled.use("")
    with pytest.raises(ImportError, match=r"python -m stream\.compiling"):
        compiled.use("yes")
    assert sys.path == before


@pytest.mark.parametrize("wanted", ["no", "yes"])
def test_the_fold_is_what_was_wanted(wanted: str) -> None:
    if wanted == "yes" and compiled.found() is None:
        pytest.skip("nothing was compiled here (make compiled)")
    program = "import stream.domain.fold; from stream import compiled; print(compiled.in_use())"
    environment = {**os.environ, "FOLD_COMPILED": wanted}
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout == f"{wanted == 'yes'}\n"


@pytest.mark.parametrize("module", compiled.MODULES)
def test_no_struct_is_compiled(module: str) -> None:
    tree = ast.parse((ROOT / "stream" / "domain" / f"{module}.py").read_text(encoding="utf-8"))
    bases = {ast.unparse(base) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases}
    assert not {base for base in bases if "Struct" in base}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CC", "no-such-compiler -O2", "no C compiler: no-such-compiler"),
        ("headers", "/nowhere", "no Python.h in /nowhere"),
        ("mypyc", "", "no mypyc"),
    ],
)
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    monkeypatch.setenv("CC", value if name == "CC" else sys.executable)
    headers = value if name == "headers" else str(ROOT)
    monkeypatch.setattr(sysconfig, "get_path", lambda _: headers)
    if name == "mypyc":
        monkeypatch.setattr(Path, "is_file", lambda _: True)
        monkeypatch.setattr(importlib.util, "find_spec", lambda found: None if found == "mypyc" else found)
    assert (compiling.lacking() or "").startswith(said)


def _main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["compiling", *arguments])
    return compiling.main()


def test_where_it_cannot_be_done_it_says_so_and_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compiling, "lacking", lambda: "no C compiler: cc")
    monkeypatch.delenv("CI", raising=False)
    assert _main(monkeypatch, "--if-possible") == 0
    assert "THE FOLD IS NOT COMPILED, and runs as plain Python: no C compiler: cc" in capsys.readouterr().err
    assert _main(monkeypatch) == 1
    monkeypatch.setenv("CI", "true")
    assert _main(monkeypatch, "--if-possible") == 1


@pytest.mark.parametrize(("there", "status"), [(None, 1), (Path("somewhere"), 0)])
def test_whether_it_has_been_done_is_told_by_the_status(
    monkeypatch: pytest.MonkeyPatch, there: Path | None, status: int
) -> None:
    monkeypatch.setattr(compiling, "found", lambda: there)
    assert _main(monkeypatch, "--there") == status
