"""Faults that are ordered over HTTP: from the receivers, and from the application's simulator."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx

from sandbox.faults.fault import Fault, FaultError, Memo
from sandbox.site import Site

ANSWER_WITHIN_S = 15
BACKLOG = 80
ROUNDS, ITEMS_A_ROUND = 2, 45  # executions that a failure needs to show among
DRAIN_WITHIN_S = 60
ALERT = "SandboxDrill"
ALERT_AGE = timedelta(hours=2)
INCIDENT = "sandbox-drill"


def receiver_mode(service: str, mode: str, *, does: str, expect: str) -> Fault:
    """Return the switch that makes one of the receivers misbehave."""
    return Fault(
        name=f"{service}-{mode.replace('_', '-')}",
        target=f"receivers/{service}",
        does=does,
        expect=expect,
        on=partial(_set_mode, service=service, mode=mode),
        off=partial(_reset_mode, service=service),
    )


def ordered(
    name: str, orders: Memo, *, does: str, expect: str, then: Callable[[Site], None] = lambda site: None
) -> Fault:
    """Return the switch that orders the simulator to do something wrong.

    :param then: what is to be done once the order stands.
    """
    return Fault(
        name=name,
        target=f"simulator/{'+'.join(orders)}",
        does=does,
        expect=expect,
        on=partial(_order, orders=orders, then=then),
        off=partial(_countermand, names=tuple(orders)),
    )


def _set_mode(site: Site, memo: Memo, *, service: str, mode: str) -> Memo:
    _post(site, "receivers", f"/_control/{service}", {"mode": mode})
    return memo


def _reset_mode(site: Site, memo: Memo, *, service: str) -> None:
    _set_mode(site, memo, service=service, mode="ok")


def _order(site: Site, memo: Memo, *, orders: Memo, then: Callable[[Site], None]) -> Memo:
    _post(site, "simulator_metrics", "/_control", orders)
    then(site)
    return memo


def _countermand(site: Site, memo: Memo, *, names: tuple[str, ...]) -> None:
    healthy = {"workers_paused": False, "failed_share": None, "held_sessions": None}
    _post(site, "simulator_metrics", "/_control", {name: healthy[name] for name in names})


def pile_up(site: Site) -> None:
    """Fill the queue up to the backlog."""
    missing = BACKLOG - queue_depth(site)
    if missing > 0:
        _post(site, "simulator_metrics", "/_control/work", {"count": missing})


def work_through(site: Site) -> None:
    """Let the workers end some executions, a few at a time, so that the queue never looks sick itself."""
    for _ in range(ROUNDS):
        _post(site, "simulator_metrics", "/_control/work", {"count": ITEMS_A_ROUND})
        _wait_until_drained(site)


def queue_depth(site: Site) -> int:
    """Return how many items wait."""
    depth = _ask(site, "simulator_metrics", "GET", "/_control").get("queue_depth")
    if depth is None:
        raise FaultError("the simulator cannot see the queue; is Valkey up? `make status` tells")
    return int(depth)


def _wait_until_drained(site: Site) -> None:
    deadline = time.monotonic() + DRAIN_WITHIN_S
    while queue_depth(site) > 0:
        if time.monotonic() > deadline:
            raise FaultError(f"the workers did not take {ITEMS_A_ROUND} items in {DRAIN_WITHIN_S} s; are any ready?")
        time.sleep(1)


def post_alert(site: Site, memo: Memo) -> Memo:
    """Plant an alert that has been firing for a while."""
    if "ts" in memo:
        return memo
    name = f"{ALERT}-{secrets.token_hex(3)}"  # of its own: the end of an earlier drill is no end of this one
    text = f"[FIRING:1] {name}\n*page* A drill: nobody has answered this alert."
    at = (datetime.now(UTC) - ALERT_AGE).isoformat()
    planted = _post(site, "receivers", "/_seed/slack", {"channel": "alerts", "text": text, "at": at})
    return {"ts": planted["ts"], "name": name}


def answer_alert(site: Site, memo: Memo) -> None:
    """Answer it as a person, and let it be over."""
    if "ts" not in memo:
        return
    said = {"person": "alice", "text": "It was a drill.", "ts": memo["ts"]}
    _ask(site, "receivers", "POST", "/slack/channels/alerts", data=said)
    now = datetime.now(UTC).isoformat()
    over = {"channel": "alerts", "text": f"[RESOLVED] {memo['name']}\n*page* The drill is over.", "at": now}
    _post(site, "receivers", "/_seed/slack", over)


def open_incident(site: Site, memo: Memo) -> Memo:
    """Page the one on call."""
    payload = {"summary": "A drill: the sandbox opened this incident", "source": "sandbox", "severity": "critical"}
    _event(site, "trigger", payload=payload)
    return memo


def resolve_incident(site: Site, memo: Memo) -> None:
    """End it."""
    _event(site, "resolve")


def _event(site: Site, action: str, **more: Any) -> None:
    event = {"routing_key": site.secret("pagerduty-routing-key"), "event_action": action, "dedup_key": INCIDENT}
    _post(site, "receivers", "/pagerduty/v2/enqueue", {**event, **more})


def _post(site: Site, server: str, path: str, body: Memo) -> Memo:
    return _ask(site, server, "POST", path, json=body)


def _ask(site: Site, server: str, method: str, path: str, **content: Any) -> Memo:
    address = f"{site.url(server)}{path}"
    try:
        answer = httpx.request(method, address, timeout=ANSWER_WITHIN_S, **content)
    except httpx.HTTPError as error:
        raise FaultError(f"{address} does not answer ({error}); is the platform up? `make status` tells") from None
    if answer.status_code >= 400:
        raise FaultError(f"{address} refused ({answer.status_code}): {answer.text[:200]}")
    return answer.json() if "json" in answer.headers.get("content-type", "") else {}
