"""What the nodes of the cache say of themselves (R-01 to R-03), and how often it had what was asked for (F-10, W-09)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from include.checks.redis import SAVES
from include.checks.scale import Share, level, span
from include.findings import Finding, Severity
from include.probes.cache import Node
from include.settings import CacheLimits

COUNTERS = "counters"
"""Check whose evidence holds the counters of a node, for the next look."""
RATIO = "hit_ratio"
MIB = 1024**2


@dataclass(frozen=True, kw_only=True)
class Counters:
    """What a node has counted since its start, or since somebody reset it.

    :param at: when it was asked.
    """

    run_id: str
    at: datetime
    uptime_s: float
    hits: float
    misses: float
    evicted: float
    expired: float
    commands: float
    connections: float

    @classmethod
    def of(cls, node: Node, at: datetime) -> Counters | None:
        """Return those of a node; None if it does not tell all of them."""
        fields = {name: node.number(field) for name, field in FIELDS.items()}
        told = {name: value for name, value in fields.items() if value is not None}
        return cls(run_id=node.run_id, at=at, **told) if len(told) == len(FIELDS) and node.run_id else None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Counters:
        """Read back what `to_json` wrote."""
        return cls(**{**value, "at": datetime.fromisoformat(value["at"])})

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "at": self.at.isoformat()}

    def since(self, before: Counters | None) -> Interval:
        """Return what happened since an earlier look, or since the counters began anew."""
        if before is None or before.run_id != self.run_id:
            again = "its restart" if before else "its start, the first look"
            return self._whole(f"{again} {span(self.uptime_s)} ago", self.uptime_s)
        if any(getattr(self, name) < getattr(before, name) for name in FIELDS if name != "uptime_s"):
            return self._whole("somebody reset the counters", None)
        passed = (self.at - before.at).total_seconds()
        counted = {name: getattr(self, name) - getattr(before, name) for name in ("hits", "misses", "evicted")}
        return Interval(since=f"the last look {span(passed)} ago", seconds=passed, **counted)

    def _whole(self, since: str, seconds: float | None) -> Interval:
        return Interval(since=since, seconds=seconds, hits=self.hits, misses=self.misses, evicted=self.evicted)


FIELDS = {
    "uptime_s": "uptime_in_seconds",
    "hits": "keyspace_hits",
    "misses": "keyspace_misses",
    "evicted": "evicted_keys",
    "expired": "expired_keys",
    "commands": "total_commands_processed",
    "connections": "total_connections_received",
}


@dataclass(frozen=True, kw_only=True)
class Interval:
    """What a node counted between two moments.

    :param seconds: how long; None if nobody knows.
    """

    since: str
    seconds: float | None
    hits: float
    misses: float
    evicted: float

    @property
    def share(self) -> Share:
        """Hits out of all that was asked for."""
        return Share(self.hits, self.hits + self.misses)

    def without(self, hits: float) -> Interval:
        """Return it without some hits that were our own."""
        return replace(self, hits=max(0.0, self.hits - hits))


def _finding(  # noqa: PLR0917 - read in their order, as a sentence
    item: str, check: str, node: Node, severity: Severity, summary: str, step: str = "", **evidence: Any
) -> Finding:
    return Finding(
        item=item,
        check=check,
        subject=f"redis/{node.name}",
        severity=severity,
        summary=f"{node.name} {summary}",
        evidence={"request": "INFO", **evidence},
        next_step=step if severity > Severity.INFO else "",
    )


def _untold(item: str, check: str, node: Node, *names: str) -> Finding:
    """Return the UNKNOWN that hidden fields of INFO leave; an absent field is never a healthy 0."""
    hidden = [name for name in names if node.info.get(name) in {None, ""}] or names
    step = "does this login, or a proxy in between, hide parts of INFO? see deploy/redis"
    return _finding(item, check, node, Severity.UNKNOWN, f"does not tell {', '.join(hidden)}", step)


def judge_node(node: Node, limits: CacheLimits, interval: Interval | None) -> Iterator[Finding]:
    """Judge one node.

    :param interval: what it counted since the last look; None if it does not tell.
    """
    yield _memory(node, limits)
    yield _fragmentation(node, limits)
    yield _evictions(node, interval)
    yield _persistence(node)
    yield _advice(node)
    if node.is_primary:
        yield _lingering(node, limits)
        yield judge_ratio(node, limits, interval)


def judge_replicas(seen: Sequence[Node], expected: int) -> Iterator[Finding]:
    """Judge whether every replica is there and follows."""
    for primary in (node for node in seen if node.is_primary):
        following = [node for node in seen if node.follows]
        yield _finding(
            "R-01",
            "replicas",
            primary,
            Severity.CRITICAL if len(following) < expected else Severity.OK,
            f"is the primary, and {len(following)} replicas follow it ({expected} expected)",
            "which one is lost? look at its log, and at the network between them",
            value=len(following),
            unit="replicas",
            threshold=f">= {expected}",
        )


# --- R-01 -------------------------------------------------------------------------------------------------------------------


def _memory(node: Node, limits: CacheLimits) -> Finding:
    bound = "maxmemory" if node.number("maxmemory") else "total_system_memory"
    used, most = node.number("used_memory"), node.number(bound)
    if used is None or not most:
        return _untold("R-01", "memory", node, "used_memory", bound)
    percent = 100 * used / most
    of = bound if bound == "maxmemory" else "the machine's memory (maxmemory is not set)"
    return _finding(
        "R-01",
        "memory",
        node,
        level(percent, warning=limits.memory_warning_percent, critical=limits.memory_critical_percent),
        f"uses {used / MIB:.0f} MiB, {percent:.0f} % of {of}",
        "the prefixes below say what grew: shorten lifetimes, remove what has none (cache_removal), or raise maxmemory",
        value=round(percent, 2),
        unit="%",
        threshold=f"< {limits.memory_warning_percent:g}",
        used_bytes=used,
        peak_bytes=node.number("used_memory_peak"),
        dataset_bytes=node.number("used_memory_dataset"),
        clients_bytes=node.number("mem_clients_normal"),
    )


def _fragmentation(node: Node, limits: CacheLimits) -> Finding:
    """Judge what the system gave against what is used; R-03 says what can be done about it."""
    used, rss = node.number("used_memory"), node.number("used_memory_rss")
    if used is None or rss is None or not used:
        return _untold("R-01", "fragmentation", node, "used_memory", "used_memory_rss")
    ratio, waste = rss / used, rss - used
    small = used < limits.fragmentation_from_bytes
    bad = not small and ratio >= limits.fragmentation_warning and waste >= limits.fragmentation_waste_bytes
    words = f", which means little below {limits.fragmentation_from_bytes / MIB:.0f} MiB" if small else ""
    return _finding(
        "R-01",
        "fragmentation",
        node,
        Severity.WARNING if bad else Severity.OK,
        f"has {rss / MIB:.0f} MiB of the system, {ratio:.2f} times what it uses{words}",
        "propose MEMORY PURGE, then CONFIG SET activedefrag yes, to its owner; the next run shows what it brought",
        value=round(ratio, 3),
        unit="rss/used",
        threshold=f"< {limits.fragmentation_warning:g}",
        rss_bytes=rss,
        waste_bytes=waste,
    )


def _evictions(node: Node, interval: Interval | None) -> Finding:
    policy = str(node.info.get("maxmemory_policy") or "")
    if interval is None or not policy:
        return _untold("R-01", "evictions", node, *FIELDS.values(), "maxmemory_policy")
    takes_all = policy.startswith("allkeys")
    severity = level(interval.evicted, warning=1)
    if takes_all:
        severity = Severity.CRITICAL if interval.evicted else Severity.WARNING
    danger = ", a policy that takes work and sessions as well as caches" if takes_all else ""
    return _finding(
        "R-01",
        "evictions",
        node,
        severity,
        f"evicted {interval.evicted:.0f} keys since {interval.since} (maxmemory-policy {policy}{danger})",
        "let work and caches not share a server, or set maxmemory-policy volatile-lru"
        if takes_all
        else "caches are lost before their time: raise maxmemory or shorten lifetimes",
        value=interval.evicted,
        unit="keys evicted",
        threshold="0",
        policy=policy,
    )


def _persistence(node: Node) -> Finding:
    absent = [name for name in SAVES if name not in node.info]
    failed = [name for name in SAVES if node.info.get(name, "ok") != "ok"]
    if absent and not failed:
        return _untold("R-01", "persistence", node, *absent)
    return _finding(
        "R-01",
        "persistence",
        node,
        Severity.CRITICAL if failed else Severity.OK,
        f"could not save: {', '.join(failed)}" if failed else "saved without error",
        "is its disk full? the queue would be lost at the next restart",
        threshold="ok",
        changes_since_save=node.number("rdb_changes_since_last_save"),
    )


# --- R-02 -------------------------------------------------------------------------------------------------------------------


def _lingering(node: Node, limits: CacheLimits) -> Finding:
    """Judge how much has run out and is still there. Redis removes it by itself; nothing here ever deletes an expired key."""
    stale = node.number("expired_stale_perc")
    keys, mortal = node.keyspace.get("keys"), node.keyspace.get("expires")
    if stale is None:
        return _untold("R-02", "expired_lingering", node, "expired_stale_perc")
    if keys is None or mortal is None:
        return _finding("R-02", "expired_lingering", node, Severity.UNKNOWN, "holds no key at all", "was it flushed?")
    return _finding(
        "R-02",
        "expired_lingering",
        node,
        level(stale, warning=limits.lingering_warning_percent),
        f"still holds {stale:.1f} % of what has run out; {mortal} of {keys} keys have a lifetime",
        "propose CONFIG SET active-expire-effort 2 to its owner: Redis then looks for expired keys more often",
        value=stale,
        unit="%",
        threshold=f"< {limits.lingering_warning_percent:g}",
        n=keys,
        with_lifetime=mortal,
    )


# --- R-03 -------------------------------------------------------------------------------------------------------------------

PROPOSALS = {
    "Peak memory": "nothing to change: it held much more once, and reuses what it has; MEMORY PURGE gives some of it back",
    "High total RSS": "MEMORY PURGE, and a restart of the replica first, then of the primary, if that does not help",
    "High allocator fragmentation": "CONFIG SET activedefrag yes, for an evening",
    "High allocator RSS overhead": "MEMORY PURGE",
    "High process RSS overhead": "look for huge pages (transparent_hugepage must be never) and modules",
    "Big replica buffers": "a replica is too slow: look at its network, or lower client-output-buffer-limit replica",
    "Big client buffers": "a client does not read its answers: CLIENT LIST, the column omem",
    "Many scripts": "an application makes its scripts anew each time: pass what differs as arguments",
}
"""What each trouble that MEMORY DOCTOR knows asks for; proposed to the owner, never done by itself."""

HEALTHY, SMALL = "can't find any memory issue", "empty or is using very little memory"
_TROUBLE = re.compile(r"^ \* ([A-Z][A-Za-z ]+):", re.MULTILINE)


def _advice(node: Node) -> Finding:
    """Turn the advice into a proposal; a joke on a small server is no advice."""
    troubles = _TROUBLE.findall(node.advice)
    proposals = {name: PROPOSALS.get(name, "read what it says, in the evidence") for name in troubles}
    known = bool(troubles) or HEALTHY in node.advice or SMALL in node.advice
    said = "; ".join(f"{name}: {what}" for name, what in proposals.items())
    words = said or ("is too small for memory advice" if SMALL in node.advice else "needs no change of its memory")
    severity = Severity.WARNING if troubles else Severity.OK if known else Severity.UNKNOWN
    return _finding(
        "R-03",
        "memory_advice",
        node,
        severity,
        words if known else "gives memory advice that this runbook does not know",
        "decide with its owner; the next run shows the numbers after it",
        request="MEMORY DOCTOR",
        value=node.number("used_memory_rss"),
        unit="bytes RSS",
        advice=" ".join(node.advice.split())[:1000],
        proposals=proposals,
    )


# --- F-10, W-09 ---------------------------------------------------------------------------------------------------------------


def judge_ratio(node: Node, limits: CacheLimits, interval: Interval | None, item: str = "F-10") -> Finding:
    """Judge how often a node had what was asked for."""
    if interval is None:
        return _untold(item, RATIO, node, "keyspace_hits", "keyspace_misses")
    share, n = interval.share, int(interval.hits + interval.misses)
    percent = 100 * share.value
    if n < limits.hit_min_n:
        words = f"was asked for {n} keys since {interval.since}, too few to judge (from {limits.hit_min_n})"
        return _finding(item, RATIO, node, Severity.INFO if n else Severity.UNKNOWN, words, "does anybody use it?", n=n)
    return _finding(
        item,
        RATIO,
        node,
        Severity.WARNING if percent < limits.hit_warning_percent else Severity.OK,
        f"had {percent:.1f} % of {n} keys that were asked for since {interval.since}"
        f" (at least {limits.hit_warning_percent:g})",
        "which prefix is asked for in vain? lifetimes shorter than the pause between two uses, or keys that nobody puts there",
        value=round(percent, 3),
        unit="%",
        threshold=f">= {limits.hit_warning_percent:g}",
        n=n,
        seconds=interval.seconds,
        evicted=interval.evicted,
        **share.evidence(),
    )


def keep_counters(node: Node, at: datetime | None = None) -> Iterator[Finding]:
    """Leave the counters of a node for the next look, after our own questions, which it counts like anybody's."""
    counters = Counters.of(node, at or datetime.now(UTC))
    if counters:
        yield _finding(
            "F-10",
            COUNTERS,
            node,
            Severity.OK,
            f"has counted {counters.hits:.0f} hits and {counters.misses:.0f} misses",
            value=counters.hits,
            unit="hits",
            counters=counters.to_json(),
        )
