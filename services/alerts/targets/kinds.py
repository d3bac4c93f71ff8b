"""The kinds of target: which fields each has, and the channel that it makes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

import aiohttp

from services.alerts.channels import Channel
from services.alerts.grouping import NEWS, TOLD, Grouping, Rate
from services.alerts.targets.alertmanager import Alertmanager
from services.alerts.targets.guard import Guard
from services.alerts.targets.logged import Logged
from services.alerts.targets.mail import PORTS, Mail, Security, Server
from services.alerts.targets.pagerduty import URL, PagerDuty, Severity
from services.alerts.targets.reader import Reader
from services.alerts.targets.slack import Slack
from services.alerts.targets.webhook import EVENTS, RAISED, SECRET_FORM, SignedWebhook, is_secret

Kind = Literal["webhook", "slack", "pagerduty", "email", "alertmanager", "log"]
Make = Callable[[Guard, aiohttp.ClientSession], Channel]

# Slack: one message a second, short bursts allowed. PagerDuty: 120 a minute and key, of which half may come at once.
SLACK_RATE: Final = Rate(5, 1.0)
PAGERDUTY_RATE: Final = Rate(60, 1.0)
_LABEL: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Made:
    """What a table of one kind comes to: the host its connections go to, and how its channel is made and used.

    `grouping` is for what people read. `follows`: the channel tells how a case goes on, so in the case's order.
    """

    host: str
    make: Make
    grouping: Grouping | None = None
    rate: Rate | None = None
    follows: bool = False
    inbound: tuple[str, ...] = ()  # the secrets of the webhook that comes back from it


def _grouping(given: Reader, kinds: frozenset[str] = TOLD) -> Grouping:
    wait_ms = given.duration_ms("group_wait", "0s", "10m")
    return Grouping(wait_ms, given.duration_ms("group_interval", "5m", "1d"), kinds)


def _repeating(given: Reader) -> Grouping:
    """As people want it who keep no incident open: what nobody takes may be told again."""
    grouping, repeat_ms = _grouping(given), given.duration_ms("repeat_interval", "0s")
    if 0 < repeat_ms < grouping.interval_ms:
        given.wrong("repeat_interval", "must not be shorter than group_interval; 0s: never")
    return replace(grouping, repeat_ms=repeat_ms)


def _webhook(name: str, given: Reader, board: str) -> Made:
    url, secret, old = given.secret("url"), given.secret("secret"), given.secret("old_secret", "")
    for key, value in (("secret", secret), ("old_secret", old)):
        if value and not is_secret(value):
            given.wrong(key, f"must be {SECRET_FORM}")
    events = given.texts("events", (RAISED,))
    if unknown := sorted(set(events).difference(EVENTS)):
        given.wrong("events", f"holds {unknown[0]!r}, which is none of {', '.join(EVENTS)}")
    secrets = tuple(value for value in (secret, old) if value)
    make: Make = lambda _, session: SignedWebhook(session, url, *secrets, name=name, events=events)  # noqa: E731
    return Made(given.address("url", url), make)


def _slack(name: str, given: Reader, board: str) -> Made:
    url = given.secret("url")
    make: Make = lambda _, session: Slack(session, url, name=name, board=board)  # noqa: E731
    return Made(given.address("url", url), make, _repeating(given), SLACK_RATE)


def _pagerduty(name: str, given: Reader, board: str) -> Made:
    key, url = given.secret("routing_key"), given.text("url", URL)
    back, old = given.secret("webhook_secret", ""), given.secret("webhook_old_secret", "")
    severity: Severity = given.choice("severity", get_args(Severity), "error")
    if key and not re.fullmatch(r"[A-Za-z0-9]{32}", key):
        given.wrong("routing_key", "must be the 32 letters and digits of an integration key")
    return Made(
        given.address("url", url),
        lambda _, session: PagerDuty(session, key, name=name, url=url, severity=severity, board=board),
        _grouping(given, NEWS),  # an incident is of the cases that began together
        PAGERDUTY_RATE,
        follows=True,
        inbound=tuple(secret for secret in (back, old) if secret),
    )


def _email(name: str, given: Reader, board: str) -> Made:
    security: Security = given.choice("security", get_args(Security), "starttls")
    host, port = given.text("host"), given.number("port", 1, 65_535, PORTS[security])
    username, password = given.text("username", ""), given.secret("password", "")
    sender, to = given.text("from"), given.texts("to")
    given.mails("from", (sender,))
    given.mails("to", to)
    given.reachable("host", host)
    if bool(username) != bool(password):
        given.wrong("username", "and password go together: give both or neither")
    if password and security == "none":
        given.wrong("security", "must not be none where a password would be sent")
    server = Server(host, port, security, username, password)
    make: Make = lambda guard, _: Mail(guard, server, name=name, sender=sender, to=to, board=board)  # noqa: E731
    return Made(host, make, _repeating(given))


def _alertmanager(name: str, given: Reader, board: str) -> Made:
    url, token, labels = given.text("url"), given.secret("token", ""), given.words("labels")
    for label in labels:
        if not _LABEL.fullmatch(label) or label in ("alertname", "team", "case"):
            given.wrong("labels", f"holds {label!r}, which is no label, or one that alerts have already")
    return Made(
        given.address("url", url),
        lambda _, session: Alertmanager(session, url, name=name, labels=labels, token=token, board=board),
        follows=True,
    )


def _log(name: str, given: Reader, board: str) -> Made:
    return Made("", lambda *_: Logged(name=name), follows=True)


KINDS: Final[dict[Kind, Callable[[str, Reader, str], Made]]] = {
    "webhook": _webhook,
    "slack": _slack,
    "pagerduty": _pagerduty,
    "email": _email,
    "alertmanager": _alertmanager,
    "log": _log,
}
