"""Every fault there is, and what the morning health check makes of it."""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.faults.builds import bad_build
from sandbox.faults.fault import Fault
from sandbox.faults.http import (
    BACKLOG,
    answer_alert,
    open_incident,
    ordered,
    pile_up,
    post_alert,
    receiver_mode,
    resolve_incident,
    work_through,
)
from sandbox.faults.memory import empty, fill
from sandbox.faults.servers import frozen, stopped

_BUILDS = (
    bad_build(
        "crash-loop",
        service="worker",
        behaviour="crashes",
        does="a build of worker that crashes is rolled out",
        expect="CRITICAL H-05 deployment/worker, a pod in CrashLoopBackOff, within 15 s",
    ),
    bad_build(
        "bad-image-errors",
        service="api-gateway",
        behaviour="errors",
        does="a build of api-gateway that fails 3 % of its requests is rolled out",
        expect="WARNING H-10 api-gateway, over 1 % of the last minutes' requests, some 2 minutes later",
    ),
    bad_build(
        "slow-gateway",
        service="api-gateway",
        behaviour="slow",
        does="a build of api-gateway that needs seconds for an answer is rolled out",
        expect="WARNING H-09 api-gateway, the last minutes' requests are slow, a minute later",
    ),
    bad_build(
        "never-ready",
        service="auth-service",
        behaviour="never-ready",
        does="a build of auth-service that never becomes ready is rolled out",
        expect="WARNING H-05 deployment/auth-service, a rollout that does not end; CRITICAL when its deadline has passed",
    ),
    bad_build(
        "unpullable-image",
        service="scheduler",
        behaviour="unpullable",
        does="a build of scheduler that the registry does not have is rolled out",
        expect="CRITICAL H-05 deployment/scheduler, a pod in ImagePullBackOff",
    ),
)

_APPLICATION = (
    ordered(
        "queue-backlog",
        {"workers_paused": True},
        then=pile_up,
        does=f"the workers take nothing, and {BACKLOG} items wait",
        expect="CRITICAL H-12 queue:workflows, at least 50 items",
    ),
    ordered(
        "workflow-failures",
        {"failed_share": 0.2},
        then=work_through,
        does="every fifth execution fails, and 90 were run at once",
        expect="WARNING H-11 workflows, fewer than 95 % of the last minutes' succeed; CRITICAL once the day's do",
    ),
    ordered(
        "connection-pool",
        {"held_sessions": 0.92},
        does="92 % of PostgreSQL's connections are taken",
        expect="CRITICAL H-08 sessions, over 95 % of those that roles may open are taken, within 10 s",
    ),
    Fault(
        name="redis-memory",
        target="valkey/memory",
        does="keys that nothing evicts fill 96 % of maxmemory",
        expect="CRITICAL H-05 redis/memory, over 95 % of maxmemory",
        on=fill,
        off=empty,
    ),
)

_PEOPLE = (
    Fault(
        name="open-pagerduty-incident",
        target="pagerduty/incident",
        does="an incident is triggered and nobody acknowledges it",
        expect="CRITICAL H-03, an open P1",
        on=open_incident,
        off=resolve_incident,
    ),
    Fault(
        name="unanswered-alert",
        target="slack/alert",
        does="#alerts holds an alert that has fired for two hours without an answer",
        expect="CRITICAL H-02, still fires and nobody has answered",
        on=post_alert,
        off=answer_alert,
    ),
)

_SEEN_BY = {"slack": "H-02", "pagerduty": "H-03", "grafana": "H-04"}
_MODES = {
    "down": ("answers 503", "UNKNOWN {item}, it does not answer"),
    "slow": ("answers after 30 s", "UNKNOWN {item}, after 10 s, and the other sources are not delayed"),
    "forbidden": ("refuses our token", "UNKNOWN {item}, it refuses"),
    "empty": ("answers with empty lists", "UNKNOWN {item} where something had to be there"),
    "rate_limited": ("answers 429 with Retry-After", "UNKNOWN {item}, it says later"),
}
_RECEIVERS = tuple(
    receiver_mode(service, mode, does=f"{service} {does}", expect=expect.format(item=item))
    for service, item in _SEEN_BY.items()
    for mode, (does, expect) in _MODES.items()
)

_SOURCES = {
    "postgres": "H-08 PostgreSQL, H-11 and H-13 to H-15",
    "valkey": "H-05 Redis and H-12",
    "prometheus": "H-09, H-10 and H-16",
    "kube-apiserver": "H-05 to H-07",
}
_SERVERS = (
    stopped("no-metrics", "metrics-server", expect="UNKNOWN H-06 and H-07, no usage"),
    *(stopped(f"{name}-down", name, expect=f"UNKNOWN {items}") for name, items in _SOURCES.items()),
    *(frozen(f"{name}-hangs", name, expect=f"UNKNOWN {items}, within 10 s") for name, items in _SOURCES.items()),
)

FAULTS: Mapping[str, Fault] = {
    fault.name: fault for fault in (*_BUILDS, *_APPLICATION, *_PEOPLE, *_RECEIVERS, *_SERVERS)
}
"""By name, in the order in which they are listed."""
