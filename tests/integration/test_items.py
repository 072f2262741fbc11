"""Item by item: what the morning says is what the platform has, measured a second time in another way.

Where a limit is crossed here, the limit is moved to the number instead of the platform being made sick: what was sick stays for a
day in the windows that other tests look at.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from include.findings import Finding, Report, Severity
from include.probes.quantities import quantity
from include.settings import (
    AlertLimits,
    BusinessLimits,
    GrafanaLimits,
    KubernetesLimits,
    PerformanceLimits,
    PostgresLimits,
    RedisLimits,
)
from sandbox.components.kubernetes.api import Api
from sandbox.components.kubernetes.layout import NAMESPACE
from sandbox.components.postgres import connect
from sandbox.faults.catalogue import FAULTS
from sandbox.faults.fault import switch_off, switch_on
from sandbox.site import Site
from sre.operators.business import BusinessHealthOperator
from sre.operators.grafana import GrafanaHealthOperator
from sre.operators.kubernetes import KubernetesHealthOperator
from sre.operators.pagerduty import PagerDutyIncidentsOperator
from sre.operators.postgres import PostgresHealthOperator
from sre.operators.prometheus import PerformanceHealthOperator
from sre.operators.redis import RedisHealthOperator
from sre.operators.schedule import GuardSlotOperator
from sre.operators.slack import SlackAlertsOperator
from tests.integration.morning import connected
from tests.plugins.fakes import FakeRun, FakeTask

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

DAY_S = 86_400
PATIENCE_S = 60
OWN = f'namespace="{NAMESPACE}"'


@pytest.fixture(autouse=True)
def connections(site: Site) -> Iterator[None]:
    with connected(site):
        yield


def look(operator: type[Any], limits: Any, **more: Any) -> Report:
    report: Report = operator(task_id="check", limits=limits, **more).report({})
    return report


def the(report: Report, item: str, check: str, subject: str = "") -> Finding:
    """The finding; if no subject is given, the only one."""
    found = [f for f in report.findings if (f.item, f.check) == (item, check) and subject in ("", f.subject)]
    assert len(found) == 1, [f"{f.item} {f.check} {f.subject}" for f in report.findings]
    return found[0]


def eventually(found: Callable[[], Finding | None]) -> Finding:
    """What the cluster needs some seconds to show."""
    deadline = time.monotonic() + PATIENCE_S
    while (finding := found()) is None and time.monotonic() < deadline:
        time.sleep(2)
    assert finding
    return finding


@contextmanager
def planted(site: Site, name: str) -> Iterator[None]:
    try:
        switch_on(site, FAULTS[name])
        yield
    finally:
        switch_off(site, FAULTS[name])


def value(finding: Finding) -> float:
    return float(finding.evidence["value"])


def post(site: Site, server: str, path: str, body: Mapping[str, Any]) -> Any:
    answer = httpx.post(f"{site.url(server)}{path}", json=body, timeout=15).raise_for_status()
    return answer.json() if answer.content else None


def promql(site: Site, query: str, at: datetime | None = None) -> dict[tuple[str, ...], float]:
    """The answer by the values of its labels, in the order of their names."""
    data = {"query": query, **({"time": str(at.timestamp())} if at else {})}
    answer = httpx.post(f"{site.url('prometheus')}/api/v1/query", data=data, timeout=15).raise_for_status().json()
    rows = answer["data"]["result"]
    return {tuple(word for _, word in sorted(row["metric"].items())): float(row["value"][1]) for row in rows}


def sql(site: Site, query: str, *values: object) -> list[tuple[Any, ...]]:
    with connect(site) as connection:
        return connection.execute(query, values).fetchall()


def cluster(site: Site) -> Api:
    return Api(site.path("kubernetes", "admin.kubeconfig"))


# --- H-01, the start


def test_h_01_a_scheduled_start_is_in_the_evidence_with_its_lateness(site: Site) -> None:
    task = FakeTask()
    task.run_id = f"scheduled__{datetime.now(UTC).isoformat()}"
    run = FakeRun(run_type="scheduled", run_after=datetime.now(UTC) - timedelta(hours=2))
    given: Any = {"ti": task, "dag_run": run}
    guard = GuardSlotOperator(task_id="guard_slot", item="H-01", max_late=timedelta(hours=6))
    assert guard.execute(given) == pytest.approx(7200, abs=PATIENCE_S)
    with connect(site, "ops_evidence_reader", "ops", "postgres_ops") as ops:
        query = "select verdict, value, unit, threshold, summary from ops.evidence where item = 'H-01' and run_id = %s"
        ((verdict, late_s, unit, threshold, summary),) = ops.execute(query, [task.run_id]).fetchall()
    assert (verdict, unit, threshold) == ("INFO", "s", "600.0")
    assert float(late_s) == pytest.approx(7200, abs=PATIENCE_S)
    assert summary.startswith("started 2 h after its slot")


# --- H-02 to H-04, what others say


def test_h_02_an_alert_that_nobody_answered_is_named_until_it_is_answered_and_over(site: Site) -> None:
    name = f"Drill{uuid4().hex[:8]}"  # an alert that fired under this name before would be over, or older
    alert = say(site, f"[FIRING:1] {name}\n*page* A drill.", datetime.now(UTC) - timedelta(hours=1))
    try:
        report = look(SlackAlertsOperator, AlertLimits())
    finally:
        answer = {"person": "alice", "text": "It was a drill.", "ts": alert["ts"]}
        httpx.post(f"{site.url('receivers')}/slack/channels/alerts", data=answer)
        say(site, f"[RESOLVED] {name}\n*page* The drill is over.", datetime.now(UTC))
    finding = the(report, "H-02", "alerts_answered", f"alert {name}")
    assert finding.severity is Severity.CRITICAL
    assert finding.evidence["permalink"] in finding.summary
    fire = [each for each in report.findings if each.evidence.get("firing")]
    assert value(the(report, "H-02", "alerts_counted")) == len(fire)
    after = look(SlackAlertsOperator, AlertLimits())
    assert f"alert {name}" not in {each.subject for each in after.findings}


def say(site: Site, text: str, at: datetime) -> Any:
    return post(site, "receivers", "/_seed/slack", {"channel": "alerts", "text": text, "at": at.isoformat()})


def test_h_03_an_open_incident_is_named_and_how_fast_others_were_taken_is_told(site: Site) -> None:
    began, title = datetime.now(UTC) - timedelta(hours=1), f"over {uuid4().hex[:8]}"
    past = {"created_at": 0, "acknowledged_at": 4, "resolved_at": 30}
    moments = {key: (began + timedelta(minutes=minutes)).isoformat() for key, minutes in past.items()}
    post(site, "receivers", "/_seed/pagerduty", {"title": title, **moments})
    with planted(site, "open-pagerduty-incident"):
        report = look(PagerDutyIncidentsOperator, AlertLimits(ack_target_s=180))
    (drill,) = (f for f in report.findings if f.evidence.get("unit") == "s open" and "A drill" in f.summary)
    assert (drill.severity, drill.evidence["urgency"]) == (Severity.CRITICAL, "high")
    (over,) = (f for f in report.findings if title in f.summary)
    assert (over.severity, "was taken after 4 min" in over.summary) == (Severity.WARNING, True)
    after = look(PagerDutyIncidentsOperator, AlertLimits())
    for each in (report, after):
        still = [f for f in each.findings if f.evidence.get("unit") == "s open"]
        assert value(the(each, "H-03", "incidents_counted")) == len(still)
    assert drill.subject not in {f.subject for f in after.findings}


A_FEW_ERRORS = 0.005
"""Of a few hundred requests in five minutes; one more or less is half of a rate."""


def test_h_04_a_firing_alert_is_named_and_each_panels_own_query_is_run(site: Site) -> None:
    from include.settings import load

    silence_and_alert(site, "LedgerDrill")
    report = look(GrafanaHealthOperator, load().grafana)
    assert "is silenced" in the(report, "H-04", "alerts", "grafana alert LedgerDrill").summary
    errors = the(report, "H-04", "panels", "panel orchestrator-overview/2 (error rate)")
    rate = f'sum(rate(http_requests_total{{{OWN}, code=~"5.."}}[5m])) / sum(rate(http_requests_total{{{OWN}}}[5m]))'
    now = datetime.now(UTC)
    hour = [promql(site, rate, now - timedelta(minutes=minute))[()] for minute in range(0, 60, 5)]
    assert float(errors.summary.split(",")[0]) == pytest.approx(median(hour), rel=0.5, abs=A_FEW_ERRORS)
    assert len([finding for finding in report.findings if finding.check == "panels"]) == len(load().grafana.panels) == 4


def silence_and_alert(site: Site, name: str) -> None:
    """An alert that is there, of which nobody is told."""
    now = datetime.now(UTC)
    span = {"startsAt": now.isoformat(), "endsAt": (now + timedelta(seconds=PATIENCE_S)).isoformat()}
    matcher = {"name": "alertname", "value": name, "isRegex": False}
    post(site, "alertmanager", "/api/v2/silences", {"matchers": [matcher], "createdBy": "t", "comment": "t", **span})
    httpx.post(f"{site.url('alertmanager')}/api/v2/alerts", json=[{"labels": {"alertname": name}, **span}])


def test_h_04_a_panel_without_data_is_unknown(site: Site) -> None:
    limits = GrafanaLimits.model_validate({"panels": [{"dashboard": "orchestrator-overview", "panel": 4}]})
    body = {"mode": "empty"}
    post(site, "receivers", "/_control/grafana", body)
    try:
        assert look(GrafanaHealthOperator, limits).severity is Severity.UNKNOWN
    finally:
        post(site, "receivers", "/_control/grafana", {"mode": "ok"})


# --- H-05 to H-07, F-04 to F-06, the cluster


def test_h_05_every_workload_is_counted_and_a_crash_loop_is_named(site: Site) -> None:
    report = look(KubernetesHealthOperator, KubernetesLimits())
    wanted = {
        f"{kind}/{item['metadata']['name']}": (item["spec"]["replicas"], item["status"]["readyReplicas"])
        for kind in ("deployment", "statefulset")
        for item in cluster(site).call("GET", f"/apis/apps/v1/namespaces/{NAMESPACE}/{kind}s")["items"]
    }
    found = {f.subject: (f.evidence["n"], value(f)) for f in report.findings if f.check == "workloads_ready"}
    assert len(found) == 6
    assert found == wanted
    with planted(site, "crash-loop"):
        pod = eventually(lambda: crash_loop(look(KubernetesHealthOperator, KubernetesLimits())))
    assert pod.severity is Severity.CRITICAL


def crash_loop(report: Report) -> Finding | None:
    looping = (f for f in report.findings if f.check == "pods_healthy" and "CrashLoopBackOff" in f.summary)
    return next((f for f in looping if f.subject.startswith("pod/worker-")), None)


def usage(site: Site, path: str) -> dict[str, dict[str, float]]:
    """CPU and memory by name, as the metrics API says them."""
    items = cluster(site).call("GET", f"/apis/metrics.k8s.io/v1beta1/{path}")["items"]
    return {item["metadata"]["name"]: added(item.get("containers") or [item]) for item in items}


def added(parts: list[Any]) -> dict[str, float]:
    return {name: sum(quantity(part["usage"][name]) or 0 for part in parts) for name in ("cpu", "memory")}


def share_of_nodes(site: Site, resource: str) -> dict[str, float]:
    used = usage(site, "nodes")
    listed = cluster(site).call("GET", "/api/v1/nodes")["items"]
    most = {node["metadata"]["name"]: quantity(node["status"]["allocatable"][resource]) or 0.0 for node in listed}
    return {name: 100 * used[name][resource] / most[name] for name in most}


def test_h_06_each_node_is_measured_against_what_it_can_allocate_now_and_over_the_day(site: Site) -> None:
    report = look(KubernetesHealthOperator, KubernetesLimits(node_usage_warning_percent=1))
    for name, percent in share_of_nodes(site, "memory").items():
        finding = the(report, "H-06", "node_usage", f"node/{name}/memory")
        assert value(finding) == pytest.approx(percent, rel=0.1)
        assert finding.severity is Severity.WARNING
        assert the(report, "H-06", "nodes_ready", f"node/{name}").severity is Severity.OK
    day = look(PerformanceHealthOperator, PerformanceLimits())
    for name, percent in memory_of_the_day(site).items():
        assert value(the(day, "H-06", "node_memory_day", f"node/{name}/memory")) == pytest.approx(percent, abs=2)


def memory_of_the_day(site: Site) -> dict[str, float]:
    """What 95 % of the day's five minutes stayed below, in percent."""
    now, step = datetime.now(UTC), timedelta(minutes=5)
    free = f"node_memory_MemAvailable_bytes{{{OWN}}} / node_memory_MemTotal_bytes{{{OWN}}}"
    window = {"start": str((now - 287 * step).timestamp()), "end": str(now.timestamp()), "step": "300"}
    data = {"query": f"100 - 100 * sum by (node) ({free})", **window}
    answer = httpx.post(f"{site.url('prometheus')}/api/v1/query_range", data=data, timeout=15).json()
    series = {row["metric"]["node"]: sorted(float(v) for _, v in row["values"]) for row in answer["data"]["result"]}
    assert len(series) == 3
    return {name: points[int(0.95 * (len(points) - 1))] for name, points in series.items()}


def test_h_07_each_pods_memory_is_measured_against_its_limit_and_throttling_is_counted(site: Site) -> None:
    report = look(KubernetesHealthOperator, KubernetesLimits(memory_of_limit_warning_percent=60))
    pods = cluster(site).call("GET", f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]
    used = usage(site, f"namespaces/{NAMESPACE}/pods")
    found = {f.subject: f for f in report.findings if f.check == "pod_memory"}
    assert len(found) >= 14
    for pod in (pod for pod in pods if f"pod/{pod['metadata']['name']}/memory" in found):
        name = pod["metadata"]["name"]
        most = sum(quantity(each["resources"]["limits"]["memory"]) or 0 for each in pod["spec"]["containers"])
        percent = 100 * used[name]["memory"] / most
        finding = found[f"pod/{name}/memory"]
        assert value(finding) == pytest.approx(percent, rel=0.1)
        assert finding.severity is (Severity.WARNING if value(finding) >= 60 else Severity.OK)
        assert "cpu_of_request_percent" in finding.evidence
    throttling = the(look(PerformanceHealthOperator, PerformanceLimits()), "H-07", "throttling")
    periods, held = (
        f"increase(container_cpu_cfs_{kind}_total{{{OWN}}}[1d])" for kind in ("periods", "throttled_periods")
    )
    at = moment(throttling)
    of_all = promql(site, f"sum by (pod, container) ({periods})", at)
    throttled = promql(site, f"sum by (pod, container) ({held})", at)
    most = max(100 * n / of_all[key] for key, n in throttled.items() if of_all[key])
    assert value(throttling) == pytest.approx(most, abs=0.01)


def test_f_04_the_table_of_nodes_holds_cpu_and_memory_of_each(site: Site) -> None:
    table = the(look(KubernetesHealthOperator, KubernetesLimits()), "F-04", "node_usage_table").evidence["nodes"]
    memory = share_of_nodes(site, "memory")
    assert table.keys() == memory.keys()
    for name, row in table.items():
        assert row["memory_percent"] == pytest.approx(memory[name], rel=0.1)
        assert row["cpu_percent"] == pytest.approx(share_of_nodes(site, "cpu")[name], abs=20)


def test_f_05_the_platforms_pods_are_ranked_by_cpu(site: Site) -> None:
    assert ranked(site, "F-05", "cpu", "cpu_cores") == "postgres-0"


def test_f_06_the_platforms_pods_are_ranked_by_memory_and_each_is_suspected_of_growing_only(site: Site) -> None:
    assert ranked(site, "F-06", "memory", "memory_bytes") == "postgres-0"
    suspects = the(look(PerformanceHealthOperator, PerformanceLimits()), "F-06", "memory_leaks")
    seen = promql(site, f"count by (pod, container) (container_memory_working_set_bytes{{{OWN}}})")
    assert suspects.evidence["n"] >= len(seen) >= 14


def ranked(site: Site, item: str, resource: str, key: str) -> str:
    """The first of the ranking, after a look at all of it."""
    top = the(look(KubernetesHealthOperator, KubernetesLimits(top=5)), item, f"top_pods_by_{resource}").evidence["top"]
    used = {name: use[resource] for name, use in usage(site, f"namespaces/{NAMESPACE}/pods").items()}
    assert len(top) == 5
    assert [row[key] for row in top] == sorted((row[key] for row in top), reverse=True)
    assert top[0]["pod"] == max(used, key=lambda name: used[name])
    assert top[0][key] == pytest.approx(used[top[0]["pod"]], rel=0.5)
    return str(top[0]["pod"])


# --- H-08, H-11, the database


def test_h_08_the_login_is_real_and_sees_the_sessions_and_that_nothing_can_be_written(site: Site) -> None:
    held = [connect(site, "orchestrator_app") for _ in range(5)]
    with connect(site) as server:
        report = look(PostgresHealthOperator, PostgresLimits(connections_critical_percent=1))
        query = "select count(*) from pg_stat_activity where backend_type = 'client backend'"
        ((used,),) = server.execute(query).fetchall()
        for each in held:
            each.close()
        sessions = the(report, "H-08", "connections")
        assert value(sessions) * sessions.evidence["n"] / 100 == pytest.approx(used, abs=4)
        assert sessions.severity is Severity.CRITICAL
        assert the(report, "H-08", "role").severity is Severity.OK
        assert the(report, "H-08", "write_probe").severity is Severity.OK
        with refusing_writes(server):
            refused = the(look(PostgresHealthOperator, PostgresLimits()), "H-08", "write_probe")
    assert refused.severity is Severity.CRITICAL


@contextmanager
def refusing_writes(server: psycopg.Connection) -> Iterator[None]:
    """As a server that ran out of disk answers."""
    server.execute("create function refuse() returns trigger language plpgsql as $$begin raise disk_full; end$$")
    try:
        server.execute("create trigger refuse before insert on ops_probe.writable execute function refuse()")
        yield
    finally:
        server.execute("drop function refuse cascade")


def test_h_11_the_success_of_workflows_is_counted_and_what_they_died_of_is_told(site: Site) -> None:
    finding = the(look(PostgresHealthOperator, PostgresLimits()), "H-11", "workflow_success")
    window = finding.evidence["window_start"], finding.evidence["window_end"]
    finished = "from workflow_executions where finished_at >= %s and finished_at < %s"
    ended = dict(sql(site, f"select status, count(*) {finished} group by status", *window))
    n = ended["succeeded"] + ended["failed"]
    assert finding.evidence["n"] == pytest.approx(n, abs=2)
    assert value(finding) == pytest.approx(100 * ended["succeeded"] / n, abs=0.2)
    assert finding.severity is Severity.OK
    bad = the(look(PostgresHealthOperator, PostgresLimits(success_critical_percent=99.9)), "H-11", "workflow_success")
    worst = sql(
        site, f"select error_class, workflow_id, count(*) {finished} and status = 'failed' group by 1, 2", *window
    )
    most = max(failures for _, _, failures in worst)
    assert bad.severity is Severity.CRITICAL
    assert any(f"{error} in workflow {workflow}" in bad.next_step for error, workflow, n in worst if n == most)


# --- H-12, the queue


def test_h_12_what_waits_is_counted_by_the_broker_itself_with_the_age_of_the_oldest(site: Site) -> None:
    post(site, "simulator_metrics", "/_control", {"workers_paused": True})
    try:
        post(site, "simulator_metrics", "/_control/work", {"count": 28})
        time.sleep(2)
        report = look(RedisHealthOperator, RedisLimits(queue_depth_critical=20))
        depth, age = the(report, "H-12", "queue_depth"), the(report, "H-12", "queue_age")
    finally:
        post(site, "simulator_metrics", "/_control", {"workers_paused": False})
    assert depth.severity is Severity.CRITICAL
    assert 20 <= value(depth) < 40
    assert 0 < value(age) < PATIENCE_S
    drained = eventually(
        lambda: next((f for f in look(RedisHealthOperator, RedisLimits()).findings if f.evidence.get("n") == 0), None)
    )
    assert drained.severity is Severity.OK


# --- H-09, H-10, H-16, F-01 to F-03, from Prometheus


def counts(site: Site, at: datetime) -> dict[str, dict[str, float]]:
    """Requests of the day by service: those within a second, those answered, those that failed, all."""
    histogram = "http_request_duration_seconds"
    queries = {
        "within": f'{histogram}_bucket{{{OWN}, le=~"1|1.0"}}',
        "answered": f"{histogram}_count{{{OWN}}}",
        "failed": f'http_requests_total{{{OWN}, code=~"5.."}}',
        "all": f"http_requests_total{{{OWN}}}",
    }
    return {name: by_service(site, f"increase({series}[1d])", at) for name, series in queries.items()}


def by_service(site: Site, query: str, at: datetime) -> dict[str, float]:
    """Added up here and not by Prometheus."""
    data = {"query": query, "time": str(at.timestamp())}
    answer = httpx.post(f"{site.url('prometheus')}/api/v1/query", data=data, timeout=30).raise_for_status().json()
    sums: dict[str, float] = {}
    for row in answer["data"]["result"]:
        name = row["metric"]["service"]
        sums[name] = sums.get(name, 0.0) + float(row["value"][1])
    return sums


def percent(counted: Mapping[str, Mapping[str, float]], part: str, whole: str, service: str | None = None) -> float:
    names = [service] if service else list(counted[whole])
    return 100 * sum(counted[part][name] for name in names) / sum(counted[whole][name] for name in names)


def moment(finding: Finding) -> datetime:
    return datetime.fromisoformat(finding.evidence["window_end"])


def test_h_09_the_share_within_a_second_is_that_of_all_requests_of_the_day(site: Site) -> None:
    finding = the(look(PerformanceHealthOperator, PerformanceLimits()), "H-09", "latency_86400s")
    counted = counts(site, moment(finding))
    share = percent(counted, "within", "answered")
    assert finding.severity is Severity.OK
    assert value(finding) == pytest.approx(share, abs=0.01)
    assert finding.evidence["n"] == pytest.approx(sum(counted["answered"].values()), rel=0.001)
    strict = look(PerformanceHealthOperator, PerformanceLimits(p95_share=(1 + share / 100) / 2))
    assert the(strict, "H-09", "latency_86400s").severity is Severity.CRITICAL


def test_h_10_the_share_of_errors_is_that_of_all_requests_of_the_day(site: Site) -> None:
    finding = the(look(PerformanceHealthOperator, PerformanceLimits()), "H-10", "errors_86400s")
    counted = counts(site, moment(finding))
    share = percent(counted, "failed", "all")
    assert finding.severity is Severity.OK
    assert 0 < value(finding) == pytest.approx(share, abs=0.01)
    assert finding.evidence["n"] == pytest.approx(sum(counted["all"].values()), rel=0.001)
    strict = look(PerformanceHealthOperator, PerformanceLimits(error_percent=share))
    assert the(strict, "H-10", "errors_86400s").severity is Severity.CRITICAL


def test_f_01_the_review_and_the_health_check_rest_on_the_same_numbers(site: Site) -> None:
    report = look(PerformanceHealthOperator, PerformanceLimits())
    for item, review, check in (("H-09", "F-02", "latency_86400s"), ("H-10", "F-03", "errors_86400s")):
        services = [f for f in report.findings if (f.item, f.check) == (review, check)]
        total = the(report, item, check)
        assert len(services) == 2
        assert sum(f.evidence["n"] for f in services) == pytest.approx(total.evidence["n"], abs=2)
        hits = sum(f.evidence["n"] * value(f) for f in services)
        assert hits / total.evidence["n"] == pytest.approx(value(total), abs=0.01)


def test_f_02_each_service_has_its_share_and_its_worst_five_minutes(site: Site) -> None:
    report = look(PerformanceHealthOperator, PerformanceLimits())
    counted = counts(site, moment(the(report, "H-09", "latency_86400s")))
    for service in ("api-gateway", "auth-service"):
        share = the(report, "F-02", "latency_86400s", service)
        assert value(share) == pytest.approx(percent(counted, "within", "answered", service), abs=0.01)
        worst = the(report, "F-02", "p95_series", f"{service}/windows")
        at = datetime.fromisoformat(worst.evidence["worst_at"])
        rate = f'rate(http_request_duration_seconds_bucket{{{OWN}, service="{service}"}}[5m])'
        assert value(worst) == pytest.approx(quantile(promql(site, f"sum by (le) ({rate})", at), 0.95), rel=0.01)


def quantile(buckets: Mapping[tuple[str, ...], float], share: float) -> float:
    """As Prometheus reads a histogram: a straight line within the bucket."""
    ends = sorted((float(bound.replace("+Inf", "inf")), count) for (bound,), count in buckets.items())
    wanted, low, below = share * ends[-1][1], 0.0, 0.0
    for end, count in ends:
        if count >= wanted:
            return low + (end - low) * (wanted - below) / (count - below)
        low, below = end, count
    raise AssertionError("the last bucket holds all")


def test_f_03_each_service_has_its_own_share_of_errors(site: Site) -> None:
    report = look(PerformanceHealthOperator, PerformanceLimits())
    counted = counts(site, moment(the(report, "H-10", "errors_86400s")))
    for service in ("api-gateway", "auth-service"):
        finding = the(report, "F-03", "errors_86400s", service)
        assert value(finding) == pytest.approx(percent(counted, "failed", "all", service), abs=0.01)
        assert finding.evidence["n"] == pytest.approx(counted["all"][service], rel=0.001)


def test_h_16_api_use_is_ranked_and_a_key_that_asks_far_more_than_last_week_is_named(site: Site) -> None:
    table = the(look(PerformanceHealthOperator, PerformanceLimits()), "H-16", "api_usage")
    series, at = f"api_requests_total{{{OWN}}}", moment(table)
    top = promql(site, f"sum by (api_key, route) (increase({series}[1d]))", at)
    greatest = max(top, key=lambda key: top[key])
    first = table.evidence["top"][0]
    assert (first["api_key"], first["route"]) == greatest
    assert first["requests"] == pytest.approx(top[greatest], rel=0.01)
    today = promql(site, f"sum by (api_key) (increase({series}[1d]))", at)
    before = promql(site, f"sum by (api_key) (increase({series}[1d] offset 1w))", at)
    assert value(table) == len(today)
    growth = sorted(((n / before[key], key[0]) for key, n in today.items() if key in before), reverse=True)
    (most, key), (second, _) = growth[:2]
    limits = PerformanceLimits(usage_spike_factor=max(1.0001, (most + second) / 2), usage_min_requests=1)
    spikes = [f.subject for f in look(PerformanceHealthOperator, limits).findings if f.check == "api_usage_spike"]
    assert spikes == ([f"api key {key}"] if most > 1.0001 else [])


# --- H-13 to H-15, the business


def weeks(site: Site, what: str, table: str, clock: str, until: datetime) -> list[float]:
    """The number of the 24 hours until a moment, and of the same hours one to four weeks before."""
    query = f"select {what} from {table} where {clock} >= %s and {clock} < %s"
    ends = [until - timedelta(weeks=week) for week in range(5)]
    return [float(sql(site, query, end - timedelta(days=1), end)[0][0]) for end in ends]


def band(before: list[float]) -> tuple[float, float]:
    middle = median(before)
    reach = max(4 * 1.4826 * median(abs(each - middle) for each in before), 0.2 * middle)
    return middle - reach, middle + reach


@pytest.mark.parametrize(
    ("item", "check", "source"),
    [
        ("H-13", "active_users", ("count(distinct user_id)", "events", "ts")),
        ("H-14", "executions", ("count(*)", "workflow_executions", "created_at")),
    ],
)
def test_h_13_h_14_a_day_is_counted_and_compared_with_its_weekday(
    item: str, check: str, source: tuple[str, str, str], site: Site
) -> None:
    finding = the(look(BusinessHealthOperator, BusinessLimits()), item, check)
    today, *before = weeks(site, *source, moment(finding))
    low, high = band(before)
    assert value(finding) == today
    assert finding.evidence["threshold"] == f"{low:,.0f} to {high:,.0f}"
    above = Severity.WARNING if item == "H-14" else Severity.INFO  # many more executions are as suspicious as few
    assert finding.severity is (Severity.WARNING if today < low else above if today > high else Severity.OK)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the platform had done nothing for two days."""
    monkeypatch.setattr(BusinessHealthOperator, "now", lambda self: datetime.now(UTC) + timedelta(days=2))


def test_h_14_a_day_without_an_execution_is_critical(later: None) -> None:
    finding = the(look(BusinessHealthOperator, BusinessLimits()), "H-14", "executions")
    assert (finding.severity, finding.summary) == (Severity.CRITICAL, "not one in 24 h")


def test_h_15_revenue_is_a_change_without_an_amount(site: Site) -> None:
    finding = the(look(BusinessHealthOperator, BusinessLimits()), "H-15", "revenue")
    today, *before = weeks(site, "coalesce(sum(amount), 0)", "billing", "recorded_at", moment(finding))
    assert value(finding) == pytest.approx(100 * (today / median(before) - 1), abs=0.01)
    evidence = {key: known for key, known in finding.evidence.items() if not key.startswith("window")}
    told = json.dumps([finding.summary, finding.next_step, evidence]).replace(",", "")
    assert [amount for amount in (today, *before, median(before)) if f"{amount:.0f}" in told] == []


def test_h_15_revenue_that_is_not_of_today_is_unknown(later: None) -> None:
    finding = the(look(BusinessHealthOperator, BusinessLimits()), "H-15", "revenue")
    assert (finding.severity, "the newest record is" in finding.summary) == (Severity.UNKNOWN, True)
