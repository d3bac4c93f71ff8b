"""No page of any service loads anything from another host: they work offline, and tell nobody who looks at them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.outside import outside_hosts

ROOT = Path(__file__).parents[2]
KINDS = ("*.html", "*.css", "*.js", "*.svg")
FILES = sorted(path for kind in KINDS for path in (ROOT / "services").rglob(kind))


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ('<script src="https://cdn.example.net/a.js">', ["cdn.example.net"]),
        ('<link href="//cdn.example.net/a.css">', ["cdn.example.net"]),
        ("@import url(//fonts.example.net/x)", ["fonts.example.net"]),
        ("new WebSocket('wss://a.example.net')", ["a.example.net"]),
        ('<svg xmlns="http://www.w3.org/2000/svg">', []),
        ('<script src="https://…/widget.js">', []),
        ('// <script src="https://pulse.example/widget.js">', []),
        ("x = 1 // a remark", []),
    ],
)
def test_an_outside_host_is_found(text: str, hosts: list[str]) -> None:
    assert outside_hosts(text) == hosts


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_that_a_browser_gets_names_an_outside_host(path: Path) -> None:
    assert outside_hosts(path.read_text(encoding="utf-8")) == []


def test_the_pages_of_both_services_are_among_them() -> None:
    folders = {path.parent.relative_to(ROOT).as_posix() for path in FILES}
    assert {"services/common/static", "services/ingest/static", "services/query/pages/templates"} <= folders
