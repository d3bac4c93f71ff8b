"""One request of one message, and what it came to. Every HTTP channel sends through here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Final

import aiohttp

from services.alerts.retries import Outcome, outcome_of
from services.alerts.targets.guard import refused
from services.common.clock import wall_clock_ms

TIMEOUT_S: Final = 15.0
REFUSED_ADDRESS: Final = "address_not_allowed"
_ANSWER_MAX_BYTES: Final = 64 * 1024
_ANSWER_TIMEOUT_S: Final = 2.0


async def post(
    session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float = TIMEOUT_S
) -> Outcome:
    """POST `body`. The status is the answer; a redirect is not followed. Never raises for what the target does."""
    return await _ask(session, "POST", url, body, {"Content-Type": "application/json", **headers}, timeout_s)


async def get(session: aiohttp.ClientSession, url: str, timeout_s: float = TIMEOUT_S) -> Outcome:
    """GET, as `post`."""
    return await _ask(session, "GET", url, None, {}, timeout_s)


async def _ask(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    body: bytes | None,
    headers: Mapping[str, str],
    timeout_s: float,
) -> Outcome:
    sent = {"User-Agent": "nps-pulse-alerts", **headers}
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with session.request(
            method, url, data=body, headers=sent, timeout=timeout, allow_redirects=False
        ) as answer:
            outcome = outcome_of(answer.status, answer.headers.get("Retry-After"), wall_clock_ms())
            # The body is read, a little of it, only to keep the connection.
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                    left = _ANSWER_MAX_BYTES
                    while left > 0 and (chunk := await answer.content.read(left)):
                        left -= len(chunk)
            return outcome
    except TimeoutError:
        return Outcome("retry", "timeout")
    except (aiohttp.ClientSSLError, aiohttp.ClientConnectorCertificateError):
        return Outcome("retry", "tls")
    except aiohttp.ClientConnectorDNSError:
        return Outcome("retry", "dns")
    except aiohttp.ClientConnectionError as error:
        return refused_address() if refused(error) else Outcome("retry", "connection")
    except aiohttp.ClientError:
        return Outcome("retry", "bad_answer")


def refused_address() -> Outcome:
    """The guard said no. As with any refusal somebody has to mend it first: the allow-list, or the target."""
    return outcome_of(403, None, 0).with_status(REFUSED_ADDRESS)
