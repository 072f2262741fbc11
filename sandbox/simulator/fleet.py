"""One task for every ready replica: begun when the pod is ready, ended when it is not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from sandbox.simulator.metrics import Metrics
from sandbox.simulator.podlogs import PodLogs, structured
from sandbox.simulator.pods import Pod, replicas
from sandbox.simulator.routes import HTTP_SERVICES
from sandbox.simulator.sessions import Session

log = logging.getLogger("simulator")

LEAVE_WITHIN_S = 3.0


@dataclass
class Replica:
    """A pod at work."""

    pod: Pod
    session: Session
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


Role = Callable[[Replica], Awaitable[None]]


class Fleet:
    """The replicas at work now, by pod name.

    :param roles: what a replica of an application does until its `stop`; one without a role only holds its session.
    """

    def __init__(self, *, dsn: str, metrics: Metrics, logs: PodLogs, roles: Mapping[str, Role]) -> None:
        self.dsn = dsn
        self.metrics = metrics
        self.logs = logs
        self.roles = roles
        self.replicas: dict[str, Replica] = {}
        self._pods: dict[str, Pod] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def serving(self, service: str) -> list[Replica]:
        """Return the replicas of one service, oldest first."""
        found = (replica for replica in self.replicas.values() if replica.pod.app == service)
        return sorted(found, key=lambda replica: (replica.pod.created, replica.pod.name))

    def reconcile(self, pods: Mapping[str, Pod]) -> None:
        """Begin and end replicas until they are what the pods say."""
        wanted = replicas(pods.values())
        for name in [name for name, replica in self.replicas.items() if not _goes_on(replica, wanted.get(name))]:
            self._end(name)
        for name in wanted.keys() - self.replicas.keys():
            self._begin(wanted[name])
        self._note_crashes(pods)
        self._forget_gone(pods)
        self._pods = dict(pods)

    async def end(self) -> None:
        """End every replica; return when their sessions are closed."""
        for name in list(self.replicas):
            self._end(name)
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=LEAVE_WITHIN_S + 1)

    def _begin(self, pod: Pod) -> None:
        if pod.app in HTTP_SERVICES:
            self.metrics.forget(pod.name)  # a container that starts again counts from 0 again
            self.metrics.begin_service(pod.app, pod.name)
        self.logs.write(pod, structured(level="info", msg="ready", service=pod.app, version=pod.behaviour))
        replica = Replica(pod, Session(self.dsn, pod.name))
        replica.task = asyncio.create_task(self._live(replica), name=pod.name)
        self.replicas[pod.name] = replica

    def _end(self, name: str) -> None:
        replica = self.replicas.pop(name)
        replica.stop.set()
        self.logs.write(replica.pod, structured(level="info", msg="shutting down", service=replica.pod.app))
        if replica.task is not None:
            leaving = asyncio.create_task(_leave(replica.task))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def _live(self, replica: Replica) -> None:
        role = self.roles.get(replica.pod.app)
        closing = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(replica.session.keep(closing))
            try:
                await (role(replica) if role else replica.stop.wait())
            finally:
                closing.set()  # the role still needs its session while it tidies up

    def _note_crashes(self, pods: Mapping[str, Pod]) -> None:
        for name, pod in pods.items():
            before = self._pods.get(name)
            if before and pod.restarts > before.restarts and pod.behaviour == "crashes":
                self.logs.write(pod, "Traceback (most recent call last):", stream="stderr")
                self.logs.write(pod, "ModuleNotFoundError: No module named 'orchestrator.runtime'", stream="stderr")

    def _forget_gone(self, pods: Mapping[str, Pod]) -> None:
        gone = self._pods.keys() - pods.keys()
        for name in gone:
            self.metrics.forget(name)
        if gone or not self._pods:
            self.logs.keep_only(pods)


def _goes_on(replica: Replica, wanted: Pod | None) -> bool:
    if wanted is None or (replica.task is not None and replica.task.done()):
        return False
    return (replica.pod.behaviour, replica.pod.restarts) == (wanted.behaviour, wanted.restarts)


async def _leave(task: asyncio.Task[None]) -> None:
    done, _ = await asyncio.wait({task}, timeout=LEAVE_WITHIN_S)
    if not done:
        task.cancel()
        await asyncio.wait({task}, timeout=1)
    if task.done() and not task.cancelled() and (error := task.exception()):
        log.error("replica %s ended with an error: %r", task.get_name(), error)
