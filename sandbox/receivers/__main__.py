"""`python -m sandbox.receivers`: serve the receivers of the site named by SANDBOX_STATE, on loopback."""

from __future__ import annotations

import uvicorn

from sandbox.receivers.app import create_app
from sandbox.site import Site, default_state


def main() -> None:
    """Serve until a signal ends it."""
    site = Site.load(default_state())
    port = site.ports["receivers"]
    uvicorn.run(create_app(site), host="127.0.0.1", port=port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
