"""What a page would ask other hosts for."""

from __future__ import annotations

import re

# The name of a vocabulary, which nobody fetches; and hosts of examples in remarks, which cannot exist (RFC 2606).
_NAMES = ("www.w3.org",)
_EXAMPLES = ".example"
_HOST = re.compile(r"""(?:https?:|wss?:|["'(=\s])//([A-Za-z0-9][A-Za-z0-9-]*(?:\.[A-Za-z0-9-]+)+)""")


def outside_hosts(text: str) -> list[str]:
    """The hosts that a page, style, script or picture names, in its order."""
    return [host for host in _HOST.findall(text) if host not in _NAMES and not host.endswith(_EXAMPLES)]
