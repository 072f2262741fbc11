"""One component in one container: what docker-compose.yaml starts, the same components as `make up` in containers.

All containers share one network namespace, in which every server listens on loopback as it does on a machine of its own; the
door is the one container that listens outside, on the ports that are published.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from sandbox.component import Component, NotReadyError, SetupError, nothing
from sandbox.components.airflow import AIRFLOW
from sandbox.own import FOR_HIS_OWN
from sandbox.platform import components
from sandbox.site import PORTS, Site, default_state
from sandbox.supervise import environment

HEALTHY = Path("/tmp/healthy")  # noqa: S108 - each container has a /tmp of its own
LOOK_EVERY_S = 15
OURS_TO_SET = ("AIRFLOW__", "AIRFLOW_CONN_", "OPS_")
"""Variables by which a container may differ from `make up`: they come from docker-compose.yaml and .env."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the door or one component in the foreground."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # a stop of the container is an orderly end
    try:
        if options.verb == "door":
            return open_door(options.names, healthy=options.healthy)
        return run(known()[options.names[0]], Site.load(default_state()), healthy=options.healthy)
    except SetupError as error:
        sys.exit(str(error))


def open_door(names: Iterable[str], *, healthy: Path) -> int:
    """Make the site that all containers share, once, and publish these of its ports."""
    site = Site.create(default_state(), PORTS)
    healthy.touch()
    asyncio.run(forward([site.ports[name] for name in names], outside=_own_address()))
    return 0


def known() -> dict[str, Component]:
    """Every component of a platform that is all ours, and the Celery worker, which only containers have."""
    usual = {name: _ours(component) for name, component in components().items() if name not in FOR_HIS_OWN}
    scheduler = usual["airflow-scheduler"]
    # The scheduler's health says nothing about a worker; a worker that cannot work ends, and is started again.
    worker = replace(scheduler, name="airflow-worker", command=_worker_command, ready=nothing)
    return {**usual, worker.name: worker}


def _ours(component: Component) -> Component:
    return replace(component, needs=tuple(need for need in component.needs if need not in FOR_HIS_OWN))


def _worker_command(site: Site) -> list[str]:
    return [str(AIRFLOW), "celery", "worker", "--skip-serve-logs"]


def run(component: Component, site: Site, *, healthy: Path) -> int:
    """Prepare, start, fill, then stay until the process ends; `healthy` exists while the component is filled and ready."""
    healthy.unlink(missing_ok=True)
    component.prepare(site)
    process = start(component, site)
    try:
        wait_until_ready(component, site, process)
        component.after(site)
        return stay(component, site, process, healthy=healthy) if process else 0
    finally:
        healthy.unlink(missing_ok=True)
        if process:
            end(process, component)


def start(component: Component, site: Site) -> subprocess.Popen[bytes] | None:
    """Start its process, if it has one."""
    if component.command is None:
        return None
    chosen = {name: value for name, value in os.environ.items() if name.startswith(OURS_TO_SET)}
    return subprocess.Popen(component.command(site), env={**environment(component, site), **chosen})


def wait_until_ready(component: Component, site: Site, process: subprocess.Popen[bytes] | None) -> None:
    """Return when it does its work; SetupError with the reason when it ends or takes too long."""
    deadline = time.monotonic() + component.ready_within_s
    while reason := not_ready(component, site):
        if process and process.poll() is not None:
            raise SetupError(f"{component.name} ended with {process.returncode} before it was ready: {reason}")
        if time.monotonic() > deadline:
            raise SetupError(f"{component.name} was not ready within {component.ready_within_s:g} s: {reason}")
        time.sleep(0.5)


def not_ready(component: Component, site: Site) -> str:
    """Return what is missing, or nothing."""
    try:
        component.ready(site)
    except NotReadyError as reason:
        return str(reason)
    return ""


def stay(component: Component, site: Site, process: subprocess.Popen[bytes], *, healthy: Path) -> int:
    """Keep the mark of health true until the process ends; return its exit code."""
    while process.poll() is None:
        if reason := not_ready(component, site):
            healthy.unlink(missing_ok=True)
            print(f"{component.name} is not healthy: {reason}", file=sys.stderr)
        else:
            healthy.touch()
        try:
            process.wait(LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            continue
    return process.returncode


def end(process: subprocess.Popen[bytes], component: Component) -> None:
    """Ask the process to end in the way that it prefers, and wait."""
    if process.poll() is None:
        process.send_signal(signal.Signals[f"SIG{component.options.get('stop_signal', 'TERM')}"])
        process.wait()


async def forward(ports: Iterable[int], *, outside: str) -> None:
    """Pass every connection from these ports outside to the same ports on loopback, for ever."""
    servers = [await asyncio.start_server(_passer(port), outside, port) for port in ports]
    await asyncio.gather(*(server.serve_forever() for server in servers))


def _passer(port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            try:
                inner, outer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return  # not started yet: the caller sees a closed connection, as without the door
            with closing(outer):
                await asyncio.gather(_copy(reader, outer), _copy(inner, writer), return_exceptions=True)

    return serve


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65_536):
        writer.write(chunk)
        await writer.drain()
    writer.write_eof()


def _own_address() -> str:
    return socket.gethostbyname(socket.gethostname())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox.compose", description=__doc__)
    parser.add_argument("verb", choices=["door", "run"])
    parser.add_argument("names", nargs="+", help="ports to publish, or the component to run")
    parser.add_argument("--healthy", type=Path, default=HEALTHY, help="the file that says so while it exists")
    return parser


if __name__ == "__main__":
    sys.exit(main())
