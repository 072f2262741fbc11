"""Does everything run that should: workloads, pods, jobs, autoscalers, warnings (H-05)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from include.checks.scale import level, window
from include.findings import Finding, Severity
from include.probes.kubernetes import Autoscaler, DisruptionBudget, Job, Pod, WarningEvent, Workload
from include.settings import KubernetesLimits

ITEM = "H-05"
CRASHES = frozenset({"CrashLoopBackOff", "RunContainerError", "StartError"})
UNPULLABLE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
MISCONFIGURED = frozenset({"CreateContainerConfigError", "CreateContainerError"})

PHASES = frozenset({"Pending", "Running", "Succeeded", "Failed"})
"""Those in which somebody vouches for the pod; the one other is Unknown."""


def judge_workloads(workloads: Sequence[Workload], *, namespace: str) -> Iterator[Finding]:
    """Judge want, ready and updated of each; a namespace without any is UNKNOWN, since a misspelt one lists as empty."""
    if not workloads:
        yield _empty(namespace)
    for workload in workloads:
        severity, words = _state(workload)
        yield Finding(
            item=ITEM,
            check="workloads_ready",
            subject=workload.subject,
            severity=severity,
            summary=f"{workload.ready} of {workload.want} ready, {words}",
            evidence={
                "value": workload.ready,
                "unit": "replicas",
                "threshold": f"ready = updated = {workload.want}",
                "n": workload.want,
                "updated": workload.updated,
            },
            next_step=""
            if severity is Severity.OK
            else f"kubectl describe {workload.subject}, then its pods' events and logs",
        )


def _state(workload: Workload) -> tuple[Severity, str]:
    if workload.observed_generation < workload.generation:
        return Severity.UNKNOWN, "its controller has not seen the last change, so the counts are old"
    if workload.want == 0 and workload.kind != "DaemonSet":
        return Severity.WARNING, "scaled to nothing"
    if workload.stalled:
        return Severity.CRITICAL, "its rollout makes no progress"
    if workload.ready < workload.want:
        return (
            (Severity.WARNING, "rolling out") if workload.rolling and workload.ready else (Severity.CRITICAL, "too few")
        )
    if workload.updated < workload.want:
        return Severity.WARNING, f"only {workload.updated} of the newest version"
    # A new pod counts as updated before it is ready, and an old one as ready until it goes: together they look finished.
    if workload.total > workload.updated:
        return Severity.WARNING, "but older ones still serve: its rollout is not finished"
    return Severity.OK, "all of the newest version"


def _empty(namespace: str) -> Finding:
    return Finding(
        item=ITEM,
        check="workloads_ready",
        subject=f"namespace/{namespace}",
        severity=Severity.UNKNOWN,
        summary=f"namespace {namespace} holds no workloads, or does not exist",
        evidence={"value": 0, "unit": "workloads", "threshold": "at least 1", "n": 0},
        next_step="check settings namespace and connections.kubernetes",
    )


def judge_pods(
    pods: Sequence[Pod], *, namespace: str, previous: Mapping[str, float], limits: KubernetesLimits, now: datetime
) -> Iterator[Finding]:
    """Judge each pod by its worst trouble; its restart count is evidence, for tomorrow to compare with.

    :param previous: restart count of each `pod/<name>` at the last look; a pod that is not in it is new, or there was no look.
    """
    if not pods:
        yield _empty(namespace)
    for pod in pods:
        severity, words, step = _trouble(pod, previous.get(pod.subject), limits, now)
        yield Finding(
            item=ITEM,
            check="pods_healthy",
            subject=pod.subject,
            severity=severity,
            summary=words,
            evidence={
                **window(now, limits.recent_s),
                "value": pod.restarts,
                "unit": "restarts",
                "threshold": f"fewer than {limits.restarts_warning} since yesterday",
                "phase": pod.phase,
                "waiting": [c.waiting for c in pod.containers if c.waiting],
                "last_ends": {c.name: c.killed_for for c in pod.containers if c.killed_for},
            },
            next_step=step,
        )


Trouble = tuple[Severity, str, str]


def _trouble(pod: Pod, before: float | None, limits: KubernetesLimits, now: datetime) -> Trouble:
    if pod.phase == "Succeeded":
        return Severity.OK, "is finished", ""
    return (
        _lost(pod)
        or _ends(pod, limits, now)
        or _cannot_start(pod)
        or _waits(pod, limits, now)
        or _died(pod, before, limits, now)
        or _not_ready(pod, limits, now)
        or (Severity.OK, _runs(pod), "")
    )


def _lost(pod: Pod) -> Trouble | None:
    if pod.phase in PHASES:
        return None
    return (
        Severity.UNKNOWN,
        f"is in phase {pod.phase}: its node does not say how it is",
        f"kubectl get node {pod.node or '(none)'}; does its kubelet answer?",
    )


def _ends(pod: Pod, limits: KubernetesLimits, now: datetime) -> Trouble | None:
    if not pod.gone_by:
        return None
    late_s = (now - pod.gone_by).total_seconds()
    if late_s < limits.pending_critical_s:
        return Severity.OK, "is being deleted", ""
    return (
        Severity.WARNING,
        f"is being deleted and should have been gone {late_s / 60:.0f} min ago",
        f"kubectl describe pod {pod.name}: a finalizer, a volume, or a node that does not answer holds it",
    )


def _runs(pod: Pod) -> str:
    state = "runs" if pod.phase == "Running" and pod.ready else "is starting"
    return f"{state}, {pod.restarts} restarts in its life"


def _cannot_start(pod: Pod) -> Trouble | None:
    logs = f"kubectl logs {pod.name} --previous, then roll back the last change"
    for container in pod.containers:
        if container.waiting in CRASHES:
            died = f", last ended by {container.killed_for}" if container.killed_for else ""
            return Severity.CRITICAL, f"is in {container.waiting} after {pod.restarts} restarts{died}", logs
        if container.waiting in UNPULLABLE:
            return (
                Severity.CRITICAL,
                f"cannot pull its image ({container.waiting})",
                "check the image digest and the pull secret",
            )
        if container.waiting in MISCONFIGURED:
            return (
                Severity.CRITICAL,
                f"cannot start ({container.waiting})",
                "check the ConfigMaps and Secrets that it names",
            )
    if pod.phase == "Failed":
        return Severity.WARNING, "has failed and was not removed", f"kubectl describe pod {pod.name}"
    return None


def _waits(pod: Pod, limits: KubernetesLimits, now: datetime) -> Trouble | None:
    age_s = (now - pod.created_at).total_seconds()
    if pod.phase != "Pending" or age_s < limits.pending_critical_s:
        return None
    why = f": {pod.waiting_for}" if pod.waiting_for else ""
    return (
        Severity.CRITICAL,
        f"is Pending for {age_s / 60:.0f} min{why}",
        f"kubectl describe pod {pod.name}; is there room on a node?",
    )


def _died(pod: Pod, before: float | None, limits: KubernetesLimits, now: datetime) -> Trouble | None:
    since = now - timedelta(seconds=limits.recent_s)
    recent = [c for c in pod.containers if c.ended_at and c.ended_at >= since]
    if any(c.killed_for == "OOMKilled" for c in recent):
        return (
            Severity.WARNING,
            "was killed for its memory within a day",
            "compare its memory limit with its use (H-07)",
        )
    restarts = _new_restarts(pod, before, recent=len(recent), since=since)
    if level(restarts, warning=limits.restarts_warning) is Severity.OK:
        return None
    return Severity.WARNING, f"restarted {restarts:.0f} times since yesterday", f"kubectl logs {pod.name} --previous"


def _new_restarts(pod: Pod, before: float | None, *, recent: int, since: datetime) -> float:
    if before is not None and before <= pod.restarts:
        return pod.restarts - before
    # Without a count from yesterday only what Kubernetes dates can be counted: a young pod's all, an old one's last end.
    return pod.restarts if pod.created_at >= since else recent


def _not_ready(pod: Pod, limits: KubernetesLimits, now: datetime) -> Trouble | None:
    if pod.ready or pod.phase != "Running" or (now - pod.created_at).total_seconds() < limits.pending_critical_s:
        return None
    return (
        Severity.WARNING,
        "is Running but not ready",
        f"kubectl describe pod {pod.name}: the readiness probe says why",
    )


def judge_jobs(jobs: Iterable[Job], *, limits: KubernetesLimits, now: datetime) -> Iterator[Finding]:
    """Name the Jobs that Kubernetes gave up since yesterday; that there are none is one healthy finding."""
    since = now - timedelta(seconds=limits.recent_s)
    jobs = list(jobs)
    failed = [job for job in jobs if job.failed_at and job.failed_at >= since]
    for job in failed:
        yield Finding(
            item=ITEM,
            check="jobs_finished",
            subject=f"job/{job.name}",
            severity=Severity.WARNING,
            summary=f"failed: {job.reason}",
            evidence={**window(now, limits.recent_s), "owner": job.owner, "failed_at": str(job.failed_at)},
            next_step=f"kubectl logs job/{job.name}",
        )
    if not failed:
        yield _none("jobs_finished", "jobs", f"no Job of {len(jobs)} failed since yesterday", n=len(jobs))


def judge_events(events: Sequence[WarningEvent], *, limits: KubernetesLimits, now: datetime) -> Iterator[Finding]:
    """Name warnings that repeat; the others are counted (the API server itself keeps them for an hour or so)."""
    since = now - timedelta(seconds=limits.recent_s)
    recent = [event for event in events if event.last_at and event.last_at >= since]
    loud = [event for event in recent if level(event.count, warning=limits.events_warning) is not Severity.OK]
    for event in loud:
        yield Finding(
            item=ITEM,
            check="warning_events",
            subject=f"{event.subject}/{event.reason}",
            severity=Severity.WARNING,
            summary=f"{event.reason} {event.count} times: {event.message[:120]}",
            evidence={
                "value": event.count,
                "unit": "events",
                "threshold": f"fewer than {limits.events_warning}",
                "n": event.count,
            },
            next_step=f"kubectl describe {event.subject}",
        )
    if not loud:
        yield _none("warning_events", "events", f"{len(recent)} warnings, none that repeats", n=len(recent))


def judge_autoscalers(autoscalers: Sequence[Autoscaler]) -> Iterator[Finding]:
    """Warn of an autoscaler at its most, which can no longer help, and of one that cannot scale."""
    for scaler in autoscalers:
        at_most = scaler.desired >= scaler.most
        hindered = f"cannot scale ({scaler.hindered})" if scaler.hindered else ""
        words = "has reached its most" if at_most else hindered or "has room"
        yield Finding(
            item=ITEM,
            check="autoscalers",
            subject=f"horizontalpodautoscaler/{scaler.name}",
            severity=Severity.WARNING if at_most or hindered else Severity.OK,
            summary=f"{words}: wants {scaler.desired} of at most {scaler.most}",
            evidence={
                "value": scaler.desired,
                "unit": "replicas",
                "threshold": f"fewer than {scaler.most}",
                "n": scaler.current,
            },
            next_step="raise maxReplicas or find the load" if at_most else "kubectl describe hpa" if hindered else "",
        )


def judge_budgets(budgets: Sequence[DisruptionBudget]) -> Iterator[Finding]:
    """Warn of a disruption budget that is already broken: the next node drain would hang."""
    for budget in budgets:
        broken = budget.healthy < budget.least
        yield Finding(
            item=ITEM,
            check="disruption_budgets",
            subject=f"poddisruptionbudget/{budget.name}",
            severity=Severity.WARNING if broken else Severity.OK,
            summary=f"{budget.healthy} healthy pods, at least {budget.least} wanted",
            evidence={"value": budget.healthy, "unit": "pods", "threshold": f"at least {budget.least}"},
            next_step="drain no node before its pods are ready" if broken else "",
        )


def _none(check: str, subject: str, summary: str, *, n: int) -> Finding:
    return Finding(
        item=ITEM,
        check=check,
        subject=subject,
        severity=Severity.OK,
        summary=summary,
        evidence={"value": 0, "unit": subject, "threshold": "none", "n": n},
    )
