"""The targets file: what it makes, and how it says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.alerts.outlets import Outlet, by_team
from services.alerts.targets.addresses import Allowed
from services.alerts.targets.config import BadSettings, Target, parse, read_targets
from services.alerts.targets.guard import Guard
from services.alerts.targets.logged import Logged
from tests.unit.alerts.builders import SECRET, raised
from tests.unit.alerts.vendors import KEY

HERE = Path("/nowhere")
EVERYTHING = f"""
allow = ["10.1.0.0/16"]

[targets.hooks]
kind = "webhook"
url = "https://example.com/hook"
secret = "{SECRET}"
old_secret_env = "OLD"

[targets.billing-slack]
kind = "slack"
url_file = "slack.url"
teams = ["billing", "support"]

[targets.pager]
kind = "pagerduty"
routing_key = "{KEY}"
severity = "critical"

[targets.post]
kind = "email"
host = "10.1.0.25"
from = "pulse@example.com"
to = ["team@example.com"]
username = "pulse"
password = "secret"

[targets.am]
kind = "alertmanager"
url = "https://alertmanager.example.com"
labels = {{ source = "pulse" }}

[targets.lines]
kind = "log"
"""


def parsed(text: str, folder: Path = HERE, environ: dict[str, str] | None = None) -> list[Target]:
    return parse(text, environ or {}, folder, Allowed())


async def test_a_file_makes_each_kind_of_target_with_its_secrets_from_wherever_they_are(tmp_path: Path) -> None:
    (tmp_path / "slack.url").write_text("https://hooks.slack.com/services/T/B/x\n")
    targets = parsed(EVERYTHING, tmp_path, {"OLD": SECRET})
    assert [(target.name, target.kind, target.made.host) for target in targets] == [
        ("hooks", "webhook", "example.com"),
        ("billing-slack", "slack", "hooks.slack.com"),
        ("pager", "pagerduty", "events.pagerduty.com"),
        ("post", "email", "10.1.0.25"),
        ("am", "alertmanager", "alertmanager.example.com"),
        ("lines", "log", ""),
    ]
    assert [target.teams for target in targets[:2]] == [None, frozenset({"billing", "support"})]
    for target in targets:
        guard = Guard(target.made.host, target.allowed)
        async with guard.session() as session:
            assert target.made.make(guard, session).name == target.name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "not TOML"),
        ("colour = 1", "line 1: colour is not known here"),
        ('allow = ["10.0.0.0/99"]', "line 1: allow holds '10.0.0.0/99'"),
        ("targets = 7", "line 1: targets must hold one table"),
        (
            f'[targets.x]\nkind = "webhook"\nurl = "https://h"\nsecret = "{SECRET}"\nevents = ["followup.woke"]',
            "line 5: targets.x.events holds 'followup.woke', which is none of followup.raised, followup.reask",
        ),
        ('[targets.x]\nkind = "pigeon"', "line 2: targets.x.kind must be one of webhook, slack"),
        ("[targets.x]\nteams = []", "line 1: targets.x.kind is required"),
        ('[targets.X]\nkind = "log"', "line 1: targets.X must be named"),
        ('[targets.x]\nkind = "log"\nurl = "https://x"', "line 3: targets.x.url is not known for this kind"),
        ('[targets.x]\nkind = "log"\nteams = ["A B"]', "line 3: targets.x.teams holds 'A B'"),
        ('[targets.x]\nkind = "log"\nteams = []', "line 3: targets.x.teams must be a list"),
        ('[targets.x]\nkind = "slack"', "line 1: targets.x.url is required (or url_file, url_env)"),
        ('[targets.x]\nkind = "slack"\nurl = 7', "line 3: targets.x.url must be a text"),
        ('[targets.x]\nkind = "slack"\nurl = "hooks"', "line 3: targets.x.url must be http"),
        ('[targets.x]\nkind = "slack"\nurl = "http://u:p@h/"', "line 3: targets.x.url must be http"),
        (
            '[targets.x]\nkind = "slack"\nurl = "http://10.0.0.1/"',
            "targets.x.url leads to 10.0.0.1, which is no public",
        ),
        ('[targets.x]\nkind = "slack"\nurl = "http://[::1]/"', "targets.x.url leads to ::1, which is no public"),
        ('[targets.x]\nkind = "slack"\nurl_env = "NOT_SET"', "line 3: targets.x.url_env leads to nothing"),
        ('[targets.x]\nkind = "slack"\nurl_file = "none"', "line 3: targets.x.url_file cannot be read: No such file"),
        ('[targets.x]\nkind = "slack"\nurl = "https://h"\nurl_env = "U"', "targets.x.url_env stands beside url"),
        ('[targets.x]\nkind = "webhook"\nurl = "https://h"\nsecret = "hunter2"', "targets.x.secret must be whsec_"),
        ('[targets.x]\nkind = "pagerduty"\nrouting_key = "short"', "targets.x.routing_key must be the 32"),
        (f'[targets.x]\nkind = "pagerduty"\nrouting_key = "{KEY}"\nseverity = "bad"', "targets.x.severity must be one"),
        ('[targets.x]\nkind = "email"\nhost = "h"\nfrom = "a"\nto = ["b@c"]', "targets.x.from holds 'a'"),
        ('[targets.x]\nkind = "email"\nhost = "h"\nfrom = "a@b"\nto = ["b\\nc@d"]', "targets.x.to holds"),
        ('[targets.x]\nkind = "email"\nhost = "127.0.0.1"\nfrom = "a@b"\nto = ["b@c"]', "targets.x.host leads to"),
        ('[targets.x]\nkind = "email"\nhost = "h"\nport = 0\nfrom = "a@b"\nto = ["b@c"]', "targets.x.port must be"),
        (
            '[targets.x]\nkind = "email"\nhost = "h"\nusername = "u"\nfrom = "a@b"\nto = ["b@c"]',
            "username and password",
        ),
        (
            '[targets.x]\nkind = "email"\nhost = "h"\nsecurity = "none"\nusername = "u"\npassword = "hunter2"\n'
            'from = "a@b"\nto = ["b@c"]',
            "targets.x.security must not be none",
        ),
        (
            '[targets.x]\nkind = "slack"\nurl = "https://h"\ngroup_wait = 5',
            "line 4: targets.x.group_wait must be a length",
        ),
        (
            '[targets.x]\nkind = "slack"\nurl = "https://h"\nrepeat_interval = "1m"',
            "line 4: targets.x.repeat_interval must not be shorter than group_interval",
        ),
        (
            f'[targets.x]\nkind = "pagerduty"\nrouting_key = "{KEY}"\nrepeat_interval = "4h"',
            "line 4: targets.x.repeat_interval is not known for this kind",
        ),
        ('[targets.x]\nkind = "log"\ngroup_wait = "5s"', "line 3: targets.x.group_wait is not known for this kind"),
        ('[targets.x]\nkind = "alertmanager"\nurl = "https://h"\nlabels = { team = "x" }', "targets.x.labels holds"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_no_secret_is_quoted(text: str, said: str) -> None:
    with pytest.raises(BadSettings) as refused:
        parsed(text)
    assert said in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(BadSettings) as refused:
        parsed('[targets.a]\nkind = "slack"\n[targets.b]\nkind = "email"\n')
    assert all(name in str(refused.value) for name in ("targets.a.url", "targets.b.host", "b.from", "b.to"))


def test_a_file_that_cannot_be_read_and_a_name_taken_twice_stop_the_start(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"PULSE_ALERTS_CONFIG.*No such file"):
        read_targets(tmp_path / "none.toml", "", "", (), {})
    file = tmp_path / "targets.toml"
    file.write_text('[targets.webhook]\nkind = "log"\n')
    assert [target.name for target in read_targets(file, "", "", (), {})] == ["webhook"]
    with pytest.raises(BadSettings, match="give it another name"):
        read_targets(file, "https://example.com", SECRET, (), {})
    with pytest.raises(BadSettings, match="PULSE_ALERTS_ALLOW"):
        read_targets(None, "", "", ("10.0.0.0/99",), {})


def test_a_team_is_told_where_it_is_named_and_where_all_are() -> None:
    route = by_team([Outlet(Logged(name="all")), Outlet(Logged(name="some"), frozenset({"billing"}))])
    assert route(raised(team="billing").case, 0) == {"all", "some"}
    assert route(raised(team="support").case, 0) == {"all"}
