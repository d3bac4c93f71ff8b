"""E-mail against a real SMTP server: TLS, login, threads."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword

from services.alerts.channels import Message
from services.alerts.targets.guard import Guard
from services.alerts.targets.mail import Mail, Security, Server
from tests.unit.alerts.builders import raised
from tests.unit.alerts.vendors import LOCAL, MailVendor

pytestmark = [  # of aiosmtpd, about how this test uses it
    pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS"),
    pytest.mark.filterwarnings("ignore:Session.login_data is deprecated"),
]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for `localhost` that it signed itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


def only(_: Any, session: Any, envelope: Any, mechanism: str, given: Any) -> AuthResult:
    """Lets `pulse` with its password in."""
    good = isinstance(given, LoginPassword) and (given.login, given.password) == (b"pulse", b"secret")
    return AuthResult(success=good, handled=good)


@asynccontextmanager
async def served(
    certificate: tuple[Path, Path],
    security: Security,
    password: str = "secret",  # noqa: S107
    *,
    trusted: bool = True,
) -> AsyncIterator[tuple[MailVendor, Mail]]:
    """A server that takes mail only over TLS from who has logged in, and a channel to it."""
    inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inside.load_cert_chain(*certificate)
    tls: dict[str, Any] = {"tls_context": inside, "require_starttls": True} if security == "starttls" else {}
    vendor = MailVendor(authenticator=only, auth_required=True, auth_require_tls=security == "starttls", **tls)
    port = await vendor.start(inside if security == "tls" else None)
    outside = ssl.create_default_context(cafile=certificate[0] if trusted else None)
    server = Server("localhost", port, security, "pulse", password, outside)
    guard = Guard("localhost", LOCAL)
    mail = Mail(guard, server, name="post", sender="pulse@example.com", to=("a@example.com",), timeout_s=5.0)
    yield vendor, mail
    await mail.close()
    await vendor.away()


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_mail_goes_over_tls_after_a_login_and_the_connection_is_kept(
    certificate: tuple[Path, Path], security: Security
) -> None:
    async with served(certificate, security) as (vendor, mail):
        for number in range(3):
            outcome = await mail.send(Message(raised(number)))
            assert (outcome.verdict, outcome.status) == ("delivered", "250")
        assert (vendor.reached, len(vendor.mails), vendor.wrong) == (1, 3, [])


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_server_nobody_vouches_for_gets_no_mail(certificate: tuple[Path, Path], security: Security) -> None:
    async with served(certificate, security, trusted=False) as (vendor, mail):
        outcome = await mail.send(Message(raised()))
        assert (outcome.verdict, vendor.mails) == ("retry", [])


async def test_a_wrong_password_is_a_refusal(certificate: tuple[Path, Path]) -> None:
    async with served(certificate, "tls", "wrong") as (vendor, mail):
        outcome = await mail.send(Message(raised()))
        assert (outcome.verdict, outcome.status, vendor.mails) == ("refused", "535", [])


async def test_a_server_without_starttls_gets_neither_password_nor_mail() -> None:
    vendor = MailVendor()
    server = Server("127.0.0.1", await vendor.start(), "starttls", "pulse", "secret")
    mail = Mail(Guard("127.0.0.1", LOCAL), server, name="post", sender="p@example.com", to=("a@example.com",))
    outcome = await mail.send(Message(raised()))
    assert (outcome.verdict, vendor.mails) == ("refused", [])
    await vendor.away()


async def test_connections_that_were_wanted_at_once_are_kept_and_those_grown_old_are_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vendor = MailVendor()
    server = Server("127.0.0.1", await vendor.start(), "none")
    mail = Mail(Guard("127.0.0.1", LOCAL), server, name="post", sender="p@example.com", to=("a@example.com",))
    for first in (0, 16, 32):
        await asyncio.gather(*(mail.send(Message(raised(first + number))) for number in range(16)))
    assert (len(vendor.mails), vendor.reached) == (48, 16)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    monkeypatch.setattr(loop, "time", lambda: began_s + 60)
    await mail.send(Message(raised(48)))
    assert (len(vendor.mails), vendor.reached) == (49, 17)
    monkeypatch.undo()
    await mail.close()
    await vendor.away()


async def test_a_case_is_one_thread() -> None:
    vendor = MailVendor()
    server = Server("127.0.0.1", await vendor.start(), "none")
    mail = Mail(Guard("127.0.0.1", LOCAL), server, name="post", sender="p@example.com", to=("a@example.com",))
    await mail.send(Message(raised(1)))
    await mail.send(Message(raised(1, kind="followup.reopened", n=5)))
    await mail.send(Message(raised(2)))
    await mail.close()
    await vendor.away()
    first, again, other = vendor.mails
    assert again["In-Reply-To"] == again["References"] == first["Message-ID"] != again["Message-ID"]
    assert again["Subject"] == f"Re: {first['Subject']}"
    assert other["References"] is None
    assert other["Message-ID"] != first["Message-ID"]
    assert first["Auto-Submitted"] == "auto-generated"
    assert vendor.envelopes[0].rcpt_tos == ["a@example.com"]
