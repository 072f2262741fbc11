"""Start, watch and stop a set of components in the order of their needs, side by side where that order allows."""

from __future__ import annotations

import importlib
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter

from sandbox.component import Component, NotReadyError, SetupError
from sandbox.site import Site
from sandbox.supervise import Supervisor

MODULES = (
    "postgres",
    "valkey",
    "s3",
    "kubernetes",
    "staging",
    "prometheus",
    "receivers",
    "simulator",
    "airflow",
    "watch",
)
SPEAK_EVERY_S = 15

Say = Callable[[str], None]


def components() -> dict[str, Component]:
    """Return every component of the platform by name."""
    modules = (importlib.import_module(f"sandbox.components.{name}") for name in MODULES)
    return {component.name: component for module in modules for component in module.COMPONENTS}


def with_needs(names: Iterable[str], known: dict[str, Component]) -> set[str]:
    """Return these names and all that they need, directly or not."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += known[name].needs
    return found


@dataclass(frozen=True)
class Health:
    """One line of `make status`."""

    name: str
    healthy: bool
    detail: str


class Platform:
    """Some components of one site; what they need is taken along, what the user brings himself is left out."""

    def __init__(
        self, site: Site, names: Iterable[str] | None = None, *, without: Iterable[str] = (), say: Say = print
    ) -> None:
        known = components()
        chosen = with_needs(known if names is None else names, known) - set(without)
        self.site = site
        self.components = {name: known[name] for name in known if name in chosen}
        self.supervisor = Supervisor(site)
        self.say = say

    def start(self) -> None:
        """Bring every component up; SetupError names the one that failed, why, and where its log is."""
        self._refuse_taken_ports()
        self.supervisor.start()
        order = TopologicalSorter({c.name: set(c.needs) & self.components.keys() for c in self.components.values()})
        order.prepare()
        with ThreadPoolExecutor(max_workers=len(self.components)) as pool:
            self._in_order(order, pool)

    def _in_order(self, order: TopologicalSorter[str], pool: ThreadPoolExecutor) -> None:
        pending: dict[Future[None], str] = {}
        while order.is_active():
            pending |= {pool.submit(self._bring_up, self.components[name]): name for name in order.get_ready()}
            finished, _ = wait(pending, timeout=SPEAK_EVERY_S, return_when=FIRST_COMPLETED)
            if not finished:
                self.say(f"  … still starting: {', '.join(sorted(pending.values()))}")
            for future in finished:
                future.result()
                order.done(pending.pop(future))

    def stop(self) -> None:
        """Stop all of it, and return when nothing is left running."""
        self.supervisor.stop()

    def status(self) -> list[Health]:
        """Look at every component at once, as its own `ready` does."""
        if not self.supervisor.running:
            return [Health(name, False, "not started; `make up` starts it") for name in self.components]
        with ThreadPoolExecutor(max_workers=len(self.components)) as pool:
            return list(pool.map(self._health, self.components.values()))

    def _health(self, component: Component) -> Health:
        try:
            component.ready(self.site)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this component's line
            return Health(component.name, False, f"{error}; log: {self._log(component)}")
        return Health(component.name, True, "healthy")

    def _bring_up(self, component: Component) -> None:
        began = time.monotonic()
        try:
            component.prepare(self.site)
            if component.runs:
                self.supervisor.run(component)
            self._wait_until_ready(component)
            component.after(self.site)
        except SetupError:
            raise
        except Exception as error:
            raise SetupError(f"{component.name} did not start: {error}; its log is {self._log(component)}") from error
        self.say(f"  {component.name} ready after {time.monotonic() - began:.1f} s")

    def _wait_until_ready(self, component: Component) -> None:
        deadline = time.monotonic() + component.ready_within_s
        while True:
            try:
                return component.ready(self.site)
            except NotReadyError as reason:
                if time.monotonic() > deadline:
                    raise SetupError(
                        f"{component.name} was not ready within {component.ready_within_s:g} s: {reason};"
                        f" its log is {self._log(component)}"
                    ) from reason
            time.sleep(0.2)

    def _log(self, component: Component) -> str:
        return str(self.site.path("logs", f"{component.name}.log"))

    def _refuse_taken_ports(self) -> None:
        running = self.supervisor.states() if self.supervisor.running else {}
        starting = (component for component in self.components.values() if running.get(component.name) != "RUNNING")
        taken = [name for component in starting for name in component.ports if _taken(self.site.ports[name])]
        if taken:
            named = ", ".join(f"{self.site.ports[name]} ({name})" for name in taken)
            ways = " ".join(f"PORT_{name.upper()}=…" for name in taken)
            raise SetupError(
                f"port {named} in use: if another checkout or a killed start holds it, `make down` there;"
                f" else choose others with `make up {ways}`, or let us choose all with `make up PORTS=free`"
            )


def _taken(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


@contextmanager
def running(site: Site, names: Iterable[str] | None = None, *, say: Say = print) -> Iterator[Platform]:
    """Start the components, and stop them whatever happens."""
    platform = Platform(site, names, say=say)
    try:
        platform.start()
        yield platform
    finally:
        platform.stop()
