"""One workload until all of its pods are new and ready, or its time is up."""

from __future__ import annotations

import time
from collections.abc import Callable

from include.configuration.objects import ObjectApi
from include.errors import TransientError
from include.probes.kubernetes import WORKLOAD_KINDS, Json, Workload

PLURALS = {"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}


def state(live: Json) -> Workload:
    """Return what a workload wants and has."""
    return WORKLOAD_KINDS[PLURALS[live["kind"]]](live)


def is_over(found: Workload) -> bool:
    """Whether every pod is of the newest version and ready, and none of an older one is left."""
    seen = found.observed_generation >= found.generation
    none_left = found.kind == "DaemonSet" or found.total == found.want
    return seen and none_left and found.updated == found.want == found.ready


def watch(
    api: ObjectApi, thing: Json, *, within_s: float, poll_s: float, beat: Callable[[], None] = lambda: None
) -> str:
    """Return "" when the rollout is over, why not when its time is up or its controller has given it up.

    :param beat: called at every look: the place to ask the lease.
    """
    deadline, said = time.monotonic() + within_s, "it could not be looked at"
    while True:
        beat()
        try:
            live = api.find(thing)
        except TransientError as error:
            live, said = None, str(error)
        if live is not None:
            found = state(live)
            if is_over(found):
                return ""
            said = told(found)
            if found.stalled and found.observed_generation >= found.generation:
                return said
        if time.monotonic() >= deadline:
            return f"{said} after {within_s:g} s"
        time.sleep(poll_s)


def told(found: Workload) -> str:
    """Return where a rollout stands."""
    given_up = ", and its controller has given up" if found.stalled else ""
    return f"{found.updated} of {found.want} pods are new, {found.ready} ready{given_up}"
