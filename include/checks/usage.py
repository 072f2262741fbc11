"""How much of the nodes and pods is used now (H-06, H-07, F-04 to F-06)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

from include.checks.scale import level
from include.findings import Finding, Severity
from include.probes.kubernetes import Node, Pod, Usage
from include.settings import KubernetesLimits

NODES = "H-06"
PODS = "H-07"
NODE_REVIEW = "F-04"
MIB = 1024**2


def judge_nodes(nodes: Sequence[Node]) -> Iterator[Finding]:
    """Judge readiness and pressure of each node; no node at all is UNKNOWN."""
    if not nodes:
        yield _unknown(NODES, "nodes_ready", "nodes", "the API lists no node")
    for node in nodes:
        severity, words = _condition(node)
        yield Finding(
            item=NODES,
            check="nodes_ready",
            subject=f"node/{node.name}",
            severity=severity,
            summary=words,
            evidence={"threshold": "Ready, no pressure", "ready": node.ready, "pressures": list(node.pressures)},
            next_step=f"kubectl describe node {node.name}" if severity > Severity.INFO else "",
        )


def _condition(node: Node) -> tuple[Severity, str]:
    if node.ready != "True":
        return Severity.CRITICAL, f"is not ready (Ready={node.ready})"
    if node.pressures:
        return Severity.CRITICAL, f"is under {' and '.join(node.pressures)}"
    return (Severity.INFO, "is cordoned") if node.cordoned else (Severity.OK, "is ready")


def judge_node_usage(
    nodes: Sequence[Node], usage: Sequence[Usage], *, limits: KubernetesLimits, now: datetime
) -> Iterator[Finding]:
    """Judge use against what pods may use of the node; a node without a fresh sample is UNKNOWN."""
    fresh = _fresh(usage, limits, now)
    for node in nodes:
        sample = fresh.get(node.name)
        if not sample or not node.cpu or not node.memory:
            yield _unknown(
                NODES,
                "node_usage",
                f"node/{node.name}",
                f"no usage in the last {limits.usage_max_age_s:g} s",
            )
            continue
        for resource, percent in (("cpu", 100 * sample.cpu / node.cpu), ("memory", 100 * sample.memory / node.memory)):
            yield _node_finding(node, resource, percent, limits)
    yield _review(nodes, fresh)


def _node_finding(node: Node, resource: str, percent: float, limits: KubernetesLimits) -> Finding:
    warning, critical = limits.node_usage_warning_percent, limits.node_usage_critical_percent
    severity = level(percent, warning=warning, critical=critical)
    return Finding(
        item=NODES,
        check="node_usage",
        subject=f"node/{node.name}/{resource}",
        severity=severity,
        summary=f"uses {percent:.0f} % of its {resource} (limits {warning:g} and {critical:g} %)",
        evidence={"value": round(percent, 2), "unit": "% of allocatable", "threshold": f"< {warning:g}", "n": 1},
        next_step="see the top pods (F-05, F-06); add a node or move work" if severity else "",
    )


def _review(nodes: Sequence[Node], fresh: Mapping[str, Usage]) -> Finding:
    seen = {
        node.name: {
            "cpu_percent": round(100 * use.cpu / node.cpu, 1),
            "memory_percent": round(100 * use.memory / node.memory, 1),
        }
        for node in nodes
        if (use := fresh.get(node.name)) and node.cpu and node.memory
    }
    return Finding(
        item=NODE_REVIEW,
        check="node_usage_table",
        subject="nodes",
        severity=Severity.OK if len(seen) == len(nodes) and seen else Severity.UNKNOWN,
        summary=f"{len(seen)} of {len(nodes)} nodes measured",
        evidence={"value": len(seen), "unit": "nodes", "threshold": f"= {len(nodes)}", "n": len(nodes), "nodes": seen},
        next_step="" if seen else "is metrics-server running?",
    )


def judge_pod_usage(
    pods: Sequence[Pod], usage: Sequence[Usage], *, limits: KubernetesLimits, now: datetime
) -> Iterator[Finding]:
    """Judge memory against its limit, and list the greatest users; running pods without a fresh sample are UNKNOWN."""
    running = {p.name: p for p in pods if p.ready and not p.gone_by and _older(p, limits.usage_max_age_s, now)}
    young = {p.name: p for p in pods if p.phase == "Running"}
    fresh = _fresh(usage, limits, now)
    missing = sorted(running.keys() - fresh.keys())
    if missing or not fresh:
        words = f"{len(missing)} of {len(running)} running pods have no usage in the last {limits.usage_max_age_s:g} s"
        yield _unknown(
            PODS, "pod_usage", "pods", f"{words}: {', '.join(missing[:3])}" if missing else "no pod has a usage sample"
        )
    measured = [(young[name], use) for name, use in fresh.items() if name in young]
    yield from (_memory_finding(pod, use, limits) for pod, use in measured if _limit(pod, "memory_limit"))
    yield _top("F-05", "cpu", measured, limits.top, lambda use: use.cpu)
    yield _top("F-06", "memory", measured, limits.top, lambda use: use.memory)


def _older(pod: Pod, seconds: float, now: datetime) -> bool:
    return (now - pod.created_at).total_seconds() >= seconds


def _memory_finding(pod: Pod, use: Usage, limits: KubernetesLimits) -> Finding:
    most = _limit(pod, "memory_limit") or 0.0
    percent = 100 * use.memory / most
    severity = level(percent, warning=limits.memory_of_limit_warning_percent)
    return Finding(
        item=PODS,
        check="pod_memory",
        subject=f"pod/{pod.name}/memory",
        severity=severity,
        summary=f"uses {use.memory / MIB:.0f} MiB, {percent:.0f} % of its memory limit",
        evidence={
            "value": round(percent, 2),
            "unit": "% of limit",
            "threshold": f"< {limits.memory_of_limit_warning_percent:g}",
            "n": 1,
            **_shares(pod, use),
        },
        next_step="find the leak or raise the limit before it is killed" if severity else "",
    )


def _shares(pod: Pod, use: Usage) -> dict[str, float]:
    shares = {
        "cpu_of_request_percent": (use.cpu, _limit(pod, "cpu_request")),
        "cpu_of_limit_percent": (use.cpu, _limit(pod, "cpu_limit")),
        "memory_of_request_percent": (use.memory, _limit(pod, "memory_request")),
    }
    return {name: round(100 * used / most, 1) for name, (used, most) in shares.items() if most}


def _limit(pod: Pod, name: str) -> float | None:
    """Add up over the containers; one without the limit makes the pod unlimited."""
    values = [getattr(container, name) for container in pod.containers]
    return sum(values) if values and all(values) else None


def _top(
    item: str, resource: str, measured: Sequence[tuple[Pod, Usage]], top: int, key: Callable[[Usage], float]
) -> Finding:
    greatest = sorted(measured, key=lambda pair: -key(pair[1]))[:top]
    rows = [
        {"pod": pod.name, "cpu_cores": round(use.cpu, 3), "memory_bytes": int(use.memory), **_shares(pod, use)}
        for pod, use in greatest
    ]
    first = f"most: {rows[0]['pod']}" if rows else "no pod was measured"
    return Finding(
        item=item,
        check=f"top_pods_by_{resource}",
        subject=f"pods/{resource}",
        severity=Severity.OK if rows else Severity.UNKNOWN,
        summary=f"{len(rows)} greatest of {len(measured)} pods by {resource}, {first}",
        evidence={"n": len(measured), "unit": resource, "top": rows},
        next_step="" if rows else "is metrics-server running?",
    )


def _fresh(usage: Sequence[Usage], limits: KubernetesLimits, now: datetime) -> dict[str, Usage]:
    return {use.name: use for use in usage if (now - use.at).total_seconds() <= limits.usage_max_age_s}


def _unknown(item: str, check: str, subject: str, summary: str) -> Finding:
    return Finding(
        item=item,
        check=check,
        subject=subject,
        severity=Severity.UNKNOWN,
        summary=summary,
        next_step="is metrics-server running?",
    )
