"""On which line a key stands, for every way TOML has of writing one."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.teams import lines
from services.teams.lines import line_of, lines_of

EVERY_WAY = '''\
# a comment with a [table] = "in it"
plain = 1
"quoted key" = "a # no comment"
'literal' = 'C:\\path\\' # a comment
a.b . c = true

[table]
many = [
  1,  # one
  "two, ]",
  [3, 4],
  { x = 5, y.z = "}" },
]
text = """
[not a table]
key = "no key" \\""" still "" text"""
raw = \'\'\'
it's [raw] = \'\'\'
when = 2026-12-24 09:00:00
inline = { p = 1, q = [ { r = 2 } ] }

[table.deep."er one"]
k = 1
[[list]]
n = 1
[[list]]
n = 2
[list.below]
m = 3
[[list.inner]]
o = 4
'''


def paths(value: Any, path: lines.Path = ()) -> Iterator[lines.Path]:
    if path:
        yield path
    if isinstance(value, dict):
        for name, member in value.items():
            yield from paths(member, (*path, name))
    elif isinstance(value, list):
        for at, member in enumerate(value):
            yield from paths(member, (*path, at))


def test_every_path_has_its_line() -> None:
    found = lines_of(EVERY_WAY)
    assert found.keys() == set(paths(tomllib.loads(EVERY_WAY)))
    written = EVERY_WAY.splitlines()
    for path, line in found.items():
        last = path[-1]
        if isinstance(last, str):
            assert last in written[line - 1], path
    assert found["table", "many", 1] == found["table", "many"] + 2
    assert written[found["list", 1, "n"] - 1] == "n = 2"
    assert written[found["list", 1, "inner", 0, "o"] - 1] == "o = 4"
    assert written[found["table", "inline", "q", 0, "r"] - 1].startswith("inline")


def test_what_does_not_stand_there_has_the_line_of_what_is_around_it() -> None:
    found = lines_of("a = 1\n[b]\nc = [\n1,\n]\n")
    assert line_of(found, ("b", "c", 0)) == 4
    assert line_of(found, ("b", "missing", "deeper")) == 2
    assert line_of(found, ("nothing",)) == 1


def test_the_example_has_a_line_for_everything() -> None:
    text = (Path(__file__).parents[3] / "deploy" / "teams.example.toml").read_text(encoding="utf-8")
    assert lines_of(text).keys() == set(paths(tomllib.loads(text)))


names = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=6)
scalars = st.integers(-9, 9) | st.booleans() | names | st.dates() | st.times().map(lambda at: at.replace(fold=0))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)


def quoted(value: str | bool | int) -> str:
    return json.dumps(value, ensure_ascii=False)


def written(value: Any) -> str:
    """A value of TOML, arrays with an entry a line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{quoted(name)} = {written(one)}" for name, one in value.items()) + " }"
    if isinstance(value, list):
        return "[\n" + "".join(f"  {written(one)},\n" for one in value) + "]"
    return quoted(value) if isinstance(value, str | bool | int) else value.isoformat()


@given(
    st.dictionaries(names, values, max_size=4),
    st.dictionaries(names, st.lists(st.dictionaries(names, values, max_size=3), max_size=3), max_size=2),
)
def test_every_path_of_any_document_has_a_line(top: dict[str, Any], tables: dict[str, list[dict[str, Any]]]) -> None:
    text = "".join(f"{quoted(name)} = {written(value)}\n" for name, value in top.items())
    for name, many in tables.items():
        for table in many if name not in top else ():
            text += f"[[{quoted(name)}]]\n"
            text += "".join(f"{quoted(key)} = {written(value)}\n" for key, value in table.items())
    document = tomllib.loads(text)
    found = lines_of(text)
    assert found.keys() == set(paths(document))
    assert all(1 <= line <= text.count("\n") for line in found.values())
