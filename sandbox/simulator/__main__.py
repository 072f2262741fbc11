"""`python -m sandbox.simulator`: play the application of the site that SANDBOX_STATE names, until SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from random import Random

from sandbox.components.postgres import SUPERUSER, dsn
from sandbox.simulator.application import Application, Place
from sandbox.site import Site, default_state


def place_of(site: Site) -> Place:
    """Return where everything of this site is."""
    return Place(
        kubeconfig=site.path("kubernetes", "simulator.kubeconfig"),
        pod_logs=site.path("kubernetes", "pod-logs", "ai-orchestrator"),
        orders=site.folder("simulator") / "orders.json",
        dsn=dsn(site, "orchestrator_app"),
        superuser_dsn=dsn(site, SUPERUSER),
        redis_port=site.ports["valkey"],
        redis_user="orchestrator_app",
        redis_password=site.secret("redis-orchestrator_app"),
        gateway_port=site.ports["gateway"],
        metrics_port=site.ports["simulator_metrics"],
        bypass=site.secret("bypass-token"),
    )


async def _play(site: Site) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Application(place_of(site), Random()).run(stop)


def main() -> int:
    """Run until told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(_play(Site.load(default_state())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
