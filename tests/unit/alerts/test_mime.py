"""E-mails as bytes: what is written is what the library reads."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import documented
from services.alerts.targets.mime import composed

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
MORE = {"X-Pulse-Message": "id-1"}


def written(
    text: str = "text\n", html: str = "<p>html</p>\n", subject: str = "3 of 10", to: tuple[str, ...] = ()
) -> bytes:
    return composed("id-1@example.com", subject, "p@example.com", to or ("a@example.com",), NOW, MORE, text, html)


def lines_of(text: str) -> list[str]:
    return re.split(r"\r\n|\r|\n", text)


@given(st.text(max_size=400), st.text(max_size=400))
def test_any_text_is_read_as_it_was_written(text: str, html: str) -> None:
    content = written(text, html)
    assert documented.email(content) == []
    parts = [part.get_content() for part in documented.mail_of(content).iter_parts()]
    assert [lines_of(part) for part in parts] == [lines_of(text), lines_of(html)]
    assert all(len(line) <= 78 for line in content.split(b"\r\n"))
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", content)


@pytest.mark.parametrize("text", ["--=_pulse--", "\n--=_pulse\nContent-Type: text/html\n\n<b>", ".", "\n.\n"])
def test_no_text_ends_its_part(text: str) -> None:
    first, _ = documented.mail_of(written(text)).iter_parts()
    assert lines_of(first.get_content()) == lines_of(text)


def test_headers_are_read_as_they_were_written() -> None:
    to = tuple(f"person-{number}@example.com" for number in range(40))
    mail = documented.mail_of(written(subject="−7 since Monday: Kundeservice, København, and some more words", to=to))
    assert mail["Subject"] == "−7 since Monday: Kundeservice, København, and some more words"
    assert [address.addr_spec for address in mail["To"].addresses] == [*to]
    assert (mail["Message-ID"], mail["X-Pulse-Message"]) == ("<id-1@example.com>", "id-1")
    assert (mail["From"].addresses[0].display_name, mail["Date"].datetime) == ("Pulse", NOW)


@pytest.mark.parametrize("subject", ["a\nBcc: all@example.com", "a\r\nBcc: all@example.com", "a\r", "a\n"])
def test_no_header_holds_another(subject: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        written(subject=subject)
