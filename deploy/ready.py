"""`python -m deploy.ready http://host:port`: exit code 0 when a service says that it is ready. For containers, which
have no curl. Standard library only, as it runs every few seconds."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request


def main() -> int:
    """0: `/readyz` answered 200. 1: it did not; why is on stderr."""
    try:
        with urllib.request.urlopen(f"{sys.argv[1]}/readyz", timeout=3):  # noqa: S310  the image's own address
            return 0
    except urllib.error.HTTPError as error:
        sys.stderr.write(f"{error.code}: {error.read().decode(errors='replace')}\n")
    except OSError as error:
        sys.stderr.write(f"{error}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
