"""What PagerDuty sends: events whose every field is documented (developer.pagerduty.com, "Webhooks", "Overview")."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

_ACKNOWLEDGED = Path(__file__).parent / "fixtures" / "pagerduty-acknowledged.v3.json"


def acknowledged(key: str | None, event_id: str = "01ABC", age: timedelta = timedelta(), **more: Any) -> bytes:
    """An incident was acknowledged, `age` ago. `key`: the dedup_key it was triggered with; `more`: of the event."""
    body = json.loads(_ACKNOWLEDGED.read_text())
    at = (datetime.now(UTC) - age).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body["event"] |= {"id": event_id, "occurred_at": at}
    body["event"]["data"]["incident_key"] = key
    body["event"] |= more
    return json.dumps(body).encode()


def signature(raw: bytes, *secrets: str) -> str:
    """The header `X-PagerDuty-Signature`."""
    return ",".join("v1=" + hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest() for secret in secrets)
