"""Every fault that the switches plant is noticed: the colour that the switch promises, and the fault in the first three lines."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest

from sandbox.airflow_api import Airflow
from sandbox.faults.catalogue import FAULTS
from sandbox.faults.fault import Fault, switch_off, switch_on
from sandbox.platform import Platform
from sandbox.site import Site
from tests.integration.morning import DAG_ID, connected, reports, said
from tests.proof import Proof

pytestmark = [pytest.mark.integration, pytest.mark.proof]

NAMED: Mapping[str, str] = {
    "crash-loop": r"pod/worker-\S+: is in CrashLoopBackOff",
    "bad-image-errors": r"api-gateway: \d.*requests failed",
    "slow-gateway": r"api-gateway: \d.*requests within",
    "never-ready": r"deployment/auth-service: .* only 1 of the newest version",
    "unpullable-image": r"pod/scheduler-\S+: cannot pull its image",
    "queue-backlog": r"queue:workflows: \d+ items wait",
    "workflow-failures": r"workflows: \d.*succeeded",
    "connection-pool": r"sessions: \d+ of \d+ sessions are taken|all slots are taken",
    "redis-memory": r"redis/memory",
    "open-pagerduty-incident": r"incident \d+: P1.*A drill",
    "unanswered-alert": r"alert SandboxDrill",
    "slack": r"slack: could not look",
    "pagerduty": r"pagerduty: could not look",
    "grafana": r"grafana: could not look|alert rules: Grafana shows no alert rule",
    "no-metrics": r"could not look: .*metrics\.k8s\.io",
    "postgres": r"postgres: could not look",
    "valkey": r"redis: could not look",
    "prometheus": r"performance: could not look",
    "kube": r"kubernetes: could not look",
}
"""Fault, or the word that its name begins with -> what the line says of it."""

LASTING = ("valkey-down", "valkey-hangs", "slow-gateway", "bad-image-errors", "workflow-failures", "queue-backlog")
"""What these did stays in the windows of the last minutes for a while, so they come last, and truly so."""

QUICK = tuple(name for name in FAULTS if name not in LASTING and not name.endswith(("-slow", "-hangs")))
SEEN_WITHIN_S = 240
LOOK_EVERY_S = 5
FORGOTTEN_EVERY_S = 15
OVER_WITHIN_S = 120
FORGOTTEN_WITHIN_S = 1100
"""The longest of the windows of the last minutes, and some."""

STILL_TRUE = re.compile(r"work queue: .* at most|circle: (grafana )?alert (?!SandboxDrill)")
"""A backlog is a warning of the day in which it stood, and an alert that Prometheus sent meanwhile is a person's to answer."""


@dataclass(frozen=True)
class Promise:
    """What a switch says that the health check will say."""

    severity: str
    item: str
    named: re.Pattern[str]

    @classmethod
    def of(cls, fault: Fault) -> Promise:
        severity, item = fault.expect.split()[:2]
        words = NAMED.get(fault.name) or NAMED[fault.name.partition("-")[0]]
        return cls(severity, item.rstrip(","), re.compile(words))

    def kept(self, message: str) -> bool:
        """Whether the first line has the colour, and the first three name the fault and its item."""
        first, *rest = message.splitlines()[:3]
        return self.severity in first and any(self.named.search(line) and self.item in line for line in rest)


@contextmanager
def planted(site: Site, name: str) -> Iterator[None]:
    try:
        switch_on(site, FAULTS[name])
        yield
    finally:
        switch_off(site, FAULTS[name])


def seen_after(name: str) -> tuple[float, str]:
    """Return the seconds until the report kept the switch's promise, and what it said last."""
    began, promise = time.monotonic(), Promise.of(FAULTS[name])
    message = said(reports())
    while not promise.kept(message) and time.monotonic() - began < SEEN_WITHIN_S:
        time.sleep(LOOK_EVERY_S)
        message = said(reports())
    return round(time.monotonic() - began, 1), message


def wait_until_over(name: str) -> None:
    deadline, promise = time.monotonic() + OVER_WITHIN_S, Promise.of(FAULTS[name])
    while name not in LASTING and promise.named.search(said(reports())) and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_S)


def trace(message: str, before: Collection[str] = ()) -> list[str]:
    """Return the faults that a message names, apart from what is rightly told for hours, or was told `before` of the same thing."""
    return [
        line
        for line in message.splitlines()
        if re.search(r":(large_yellow|red|black)_circle:", line)
        and not STILL_TRUE.search(line)
        and subject(line) not in before
    ]


def subject(line: str) -> str:
    """Return what a line is about: `:red_circle: auth-service: 1.14 % …` is about auth-service."""
    return line.split(": ")[1]


def told_already() -> frozenset[str]:
    """Return what reports tell now: requests that an earlier test made fail stand in the windows for a quarter of an hour."""
    return frozenset(subject(line) for line in trace(said(reports())))


@pytest.fixture
def quiet(platform: Platform) -> None:
    """Nobody is paged for what an earlier test did, which would stand above every fault."""
    httpx.post(f"{platform.site.url('receivers')}/_reset", timeout=10).raise_for_status()


def test_every_switch_promises_something_that_can_be_checked() -> None:
    for fault in FAULTS.values():
        promise = Promise.of(fault)
        assert promise.severity in {"CRITICAL", "UNKNOWN", "WARNING"}
        assert re.fullmatch(r"H-\d\d", promise.item), fault.name


@pytest.mark.usefixtures("quiet")
@pytest.mark.timeout(1200)
def test_a_run_names_its_fault_and_the_next_one_has_no_trace_of_it(airflow_site: Site, proof: Proof) -> None:
    airflow = Airflow(airflow_site)
    airflow.wait_for_dags({DAG_ID})
    airflow.unpause(DAG_ID)
    names = ("crash-loop", "unanswered-alert", "redis-memory")[: proof.n(small=1, full=3)]
    for name in names:
        promise = Promise.of(FAULTS[name])
        with connected(airflow_site):
            before = told_already()
        with planted(airflow_site, name), connected(airflow_site):
            seen_after(name)
            state, message = run(airflow)
        assert state == "failed"
        assert promise.kept(message), message
        with connected(airflow_site):
            wait_until_over(name)
        state, message = run(airflow)
        assert (trace(message, before), state) == ([], "success")
        assert open_incidents(airflow_site) == []
    proof.held(
        "a run in Airflow is red and names the planted fault; the next one is green without a trace, and nobody is paged still",
        n=len(names),
        held=len(names),
        faults=list(names),
    )


@pytest.mark.usefixtures("quiet")
@pytest.mark.timeout(3600)
def test_a_planted_fault_is_named_in_the_first_three_lines(platform: Platform, site: Site, proof: Proof) -> None:
    some = sorted(proof.random.sample(QUICK, 3), key=QUICK.index)
    names = [*(name for name in FAULTS if name not in LASTING), *LASTING] if proof.full else some
    seconds: dict[str, float] = {}
    missed: dict[str, str] = {}
    with connected(site):
        before = told_already()
        for name in names:
            with planted(site, name):
                seconds[name], message = seen_after(name)
            if not Promise.of(FAULTS[name]).kept(message):
                missed[name] = "\n".join(message.splitlines()[:3])
            wait_until_over(name)
        healed_s, left = healed(platform, before, FORGOTTEN_WITHIN_S if proof.full else OVER_WITHIN_S)
    assert missed == {}
    assert left == []
    what = "a planted fault gives the run the colour that its switch promises and is named in the first three lines"
    proof.held(what, n=len(names), held=len(names), seconds_until_seen=seconds, seconds_until_no_trace=healed_s)


def healed(platform: Platform, before: Collection[str], within_s: float) -> tuple[float, list[str]]:
    """Return after how many seconds no report named a new fault and every component was healthy, and what is still wrong."""
    began = time.monotonic()
    while (left := trace(said(reports()), before) + unhealthy(platform)) and time.monotonic() - began < within_s:
        time.sleep(FORGOTTEN_EVERY_S)
    return round(time.monotonic() - began, 1), left


def run(airflow: Airflow) -> tuple[str, str]:
    """Run it once; return its state and the message that stands in Slack."""
    run_id = airflow.trigger(DAG_ID)
    state = airflow.wait_for_run(DAG_ID, run_id)["state"]
    recorded = httpx.get(f"{airflow.site.url('receivers')}/_recorded/slack", timeout=10).raise_for_status().json()
    bodies = [request["body"] for request in recorded["recorded"] if "/chat." in request["path"]]
    return state, next(body["text"] for body in reversed(bodies) if run_id in str(body) and "thread_ts" not in body)


def open_incidents(site: Site) -> list[str]:
    """Return what PagerDuty still pages for."""
    answer = httpx.get(
        f"{site.url('receivers')}/pagerduty/incidents",
        params={"statuses[]": ["triggered", "acknowledged"], "date_range": "all"},
        headers={"Authorization": f"Token token={site.secret('pagerduty-api-token')}"},
        timeout=10,
    )
    return [incident["title"] for incident in answer.raise_for_status().json()["incidents"]]


def unhealthy(platform: Platform) -> list[str]:
    """Return what `make status` would call down: a mended server's clients need a moment to come back to it."""
    return [f"{health.name}: {health.detail}" for health in platform.status() if not health.healthy]
