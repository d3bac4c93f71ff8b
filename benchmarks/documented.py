"""What each vendor documents of a message, as a check of one. Each gives what the vendor would refuse, as words.

The contract tests of the channels hold every message to it, and so do the receivers of the benchmark of alerts.
"""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Final

import msgspec

_HEADERS: Final = frozenset(
    {
        *("from", "to", "subject", "date", "message-id", "in-reply-to", "references", "auto-submitted"),
        *("x-auto-response-suppress", "x-pulse-message", "mime-version", "content-type"),
    }
)


def is_time(text: Any) -> bool:
    """Whether a value is ISO 8601, UTC, with milliseconds."""
    return isinstance(text, str) and bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text))


def slack(body: bytes) -> list[str]:
    """As Slack documents it: the fallback text always, limits of blocks, nothing that rings or links."""
    payload = msgspec.json.decode(body)
    wrong: list[str] = []
    texts = [payload.get("text", "")]
    blocks = payload["blocks"]
    if len(blocks) > 50 or payload["parse"] != "none" or payload["link_names"] is not False:
        wrong.append("payload")
    for block in blocks:
        match block["type"]:
            case "header":
                wrong += [] if 0 < len(block["text"]["text"]) <= 150 else ["header"]
            case "section":
                parts = [block["text"]] if "text" in block else []
                wrong += [] if all(0 < len(part["text"]) <= 3_000 for part in parts) else ["section"]
                fields = block.get("fields", [])
                wrong += [] if len(fields) <= 10 and all(len(one["text"]) <= 2_000 for one in fields) else ["fields"]
                wrong += [] if parts or fields else ["an empty section"]
                texts += [part["text"] for part in (*parts, *fields)]
                wrong += [] if all(part["verbatim"] for part in (*parts, *fields)) else ["not verbatim"]
            case "context":
                wrong += [] if 0 < len(block["elements"]) <= 10 else ["context"]
                texts += [part["text"] for part in block["elements"]]
            case "actions":
                wrong += [] if all(one["url"].startswith("https://") for one in block["elements"]) else ["button"]
            case other:
                wrong.append(other)
    if not texts[0]:
        wrong.append("no fallback text")
    for text in texts:
        if re.search(r"[<>]|&(?!amp;|lt;|gt;)", text.replace("\n> ", "\n").removeprefix("> ")):
            wrong.append(f"not escaped: {text[:80]}")
    return wrong


def slack_id(body: bytes) -> str:
    """The stable id that a message to Slack carries."""
    blocks = msgspec.json.decode(body)["blocks"]
    return str(next(block["block_id"] for block in blocks if block["type"] == "context"))


def pagerduty(body: bytes, key: str) -> list[str]:
    """As PagerDuty documents an event, signed with the routing key `key`."""
    event = msgspec.json.decode(body)
    wrong = [] if len(body) < 512 * 1024 else ["body over 512 kB"]
    if event["routing_key"] != key or not 0 < len(event["dedup_key"]) <= 255:
        wrong.append("keys")
    if event["event_action"] == "trigger":
        payload = event["payload"]
        if not 0 < len(payload["summary"]) <= 1_024 or not payload["source"] or not is_time(payload["timestamp"]):
            wrong.append("payload")
        if payload["severity"] not in ("critical", "error", "warning", "info"):
            wrong.append("severity")
        if not all(link["href"].startswith("https://") for link in event["links"]):
            wrong.append("links")
    elif "payload" in event or event["event_action"] not in ("acknowledge", "resolve"):
        wrong.append("event_action")
    return wrong


def mail_of(content: bytes) -> EmailMessage:
    """The message that an SMTP server was handed."""
    mail = message_from_bytes(content, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def email(content: bytes) -> list[str]:
    """As RFC 5322 has it, with our headers and no others, in text and in HTML."""
    mail = mail_of(content)
    wrong = [name for name in mail if name.lower() not in _HEADERS]
    wrong += [f"{name} twice" for name in _HEADERS if len(mail.get_all(name, [])) > 1]
    wrong += [f"no {name}" for name in ("From", "To", "Date", "Message-ID", "Subject") if not mail[name]]
    wrong += [f"{mail.defects}"] if mail.defects else []
    wrong += ["line too long"] if any(len(line) > 998 for line in content.splitlines()) else []
    kinds = [part.get_content_type() for part in mail.iter_parts()]
    wrong += [] if kinds == ["text/plain", "text/html"] else [f"parts {kinds}"]
    return wrong
