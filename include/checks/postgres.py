"""Whether the platform can use its database (H-08), and whether its workflows succeed (H-11)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from include.checks.scale import Share, level, span
from include.findings import Finding, Severity
from include.probes.postgres import (
    ConnectionUse,
    Outcomes,
    Replica,
    Replication,
    Session,
    Slot,
    SlotsTakenError,
    Stuck,
    Vitals,
    Workflows,
    Writing,
)
from include.settings import PostgresLimits

DATABASE = "H-08"
SUCCESS = "H-11"


def _finding(check: str, subject: str, severity: Severity, summary: str, step: str = "", **evidence: Any) -> Finding:
    return Finding(
        item=DATABASE,
        check=check,
        subject=subject,
        severity=severity,
        summary=summary,
        evidence=evidence,
        next_step=step if severity else "",
    )


def judge_vitals(vitals: Vitals | SlotsTakenError, *, limits: PostgresLimits) -> Iterator[Finding]:
    """Judge all that one login found, or that there was no room for one."""
    if isinstance(vitals, SlotsTakenError):
        step = "who holds the sessions? pg_stat_activity by application; close idle ones or raise the pool's limit"
        yield _finding("session", "sessions", Severity.CRITICAL, str(vitals), step, threshold="room for one login")
        return
    yield from judge_session(vitals.session, limits=limits)
    yield from judge_connection_use(vitals.use, limits=limits)
    yield from judge_replication(vitals.replication, limits=limits)


def judge_session(session: Session, *, limits: PostgresLimits) -> Iterator[Finding]:
    """Judge where the login arrived: the right database, a primary, writable, in good time."""
    yield _identity(session, limits)
    yield _role(session)
    yield from _latencies(session, limits)
    if limits.require_tls:
        words = "is encrypted" if session.tls else "is not encrypted"
        severity = Severity.OK if session.tls else Severity.WARNING
        yield _finding("tls", "login", severity, f"the login {words}", "set sslmode in the Connection", threshold="TLS")


def _identity(session: Session, limits: PostgresLimits) -> Finding:
    right = session.database == limits.database
    return _finding(
        "database",
        limits.database,
        Severity.OK if right else Severity.UNKNOWN,
        f"logged in to database {session.database} as {session.user}"
        + ("" if right else f", not to {limits.database}"),
        "correct the database of the Connection or the setting postgres.database",
        threshold=limits.database,
        version=session.version,
        tls=session.tls,
        started_at=session.started_at.isoformat(),
        request="current_database(), session_user",
    )


def _role(session: Session) -> Finding:
    trouble = (
        "is in recovery: a replica, not the primary"
        if session.in_recovery
        else "is read only"
        if session.read_only
        else ""
    )
    return _finding(
        "role",
        "server",
        Severity.CRITICAL if trouble else Severity.OK,
        f"the server {trouble or 'is a primary and takes writes'}",
        "did it fail over, or run out of disk? point the Connection to the primary",
        threshold="primary, read and write",
        request="pg_is_in_recovery(), default_transaction_read_only",
    )


def _latencies(session: Session, limits: PostgresLimits) -> Iterator[Finding]:
    for check, value, limit in (
        ("connect_latency", session.connect_ms, limits.connect_warning_ms),
        ("query_latency", session.ping_ms, limits.query_warning_ms),
    ):
        words = "a login" if check == "connect_latency" else "SELECT 1 (median of 5)"
        yield _finding(
            check,
            "login" if check == "connect_latency" else "select 1",
            level(value, warning=limit),
            f"{words} took {value:.1f} ms (limit {limit:g})",
            "is the server short of CPU, or the network slow?",
            value=round(value, 2),
            unit="ms",
            threshold=f"< {limit:g}",
        )


def judge_writing(writing: Writing) -> Iterator[Finding]:
    """Judge the write probe; reading alone proves nothing about a full disk."""
    yield _finding(
        "write_probe",
        "ops_probe.writable",
        Severity.CRITICAL if writing.refused else Severity.OK,
        f"a write was refused: {writing.refused}" if writing.refused else "a row was written and rolled back",
        "is this the primary, and has it disk space?",
        threshold="accepted",
        request="INSERT INTO ops_probe.writable, rolled back",
    )


def judge_connection_use(use: ConnectionUse, *, limits: PostgresLimits) -> Iterator[Finding]:
    """Judge how many sessions are taken."""
    percent = 100 * use.used / use.most
    warning, critical = limits.connections_warning_percent, limits.connections_critical_percent
    yield _finding(
        "connections",
        "sessions",
        level(percent, warning=warning, critical=critical),
        f"{use.used} of {use.most} sessions are taken, {percent:.0f} % (limits {warning:g} and {critical:g} %)",
        "who holds them? pg_stat_activity by application; close idle ones or raise the pool's limit",
        value=round(percent, 2),
        unit="%",
        threshold=f"< {warning:g}",
        n=use.most,
        idle_in_transaction=use.idle_in_transaction,
        waiting_for_locks=use.waiting_for_locks,
        request="pg_stat_activity",
    )


def judge_replication(replication: Replication, *, limits: PostgresLimits) -> Iterator[Finding]:
    """Judge count and lag of the replicas if any are expected, and the log that slots keep in any case."""
    if limits.expected_replicas:
        yield _replica_count(replication.replicas, limits)
        yield from (_lag(replica, limits) for replica in replication.replicas)
    yield from (_retained(slot, limits) for slot in replication.slots)


def _replica_count(replicas: Sequence[Replica], limits: PostgresLimits) -> Finding:
    streaming = sum(replica.state == "streaming" for replica in replicas)
    missing = streaming < limits.expected_replicas
    return _finding(
        "replicas",
        "replicas",
        Severity.CRITICAL if missing else Severity.OK,
        f"{streaming} of {limits.expected_replicas} replicas stream",
        "is the replica down, or its slot gone?",
        value=streaming,
        unit="replicas",
        threshold=f">= {limits.expected_replicas}",
        n=len(replicas),
    )


def _lag(replica: Replica, limits: PostgresLimits) -> Finding:
    warning, critical = limits.replication_lag_warning_s, limits.replication_lag_critical_s
    if replica.lag_s is None:
        step = "is it streaming at all? pg_stat_replication: state, sent_lsn, replay_lsn"
        words = f"has not applied all there is, and the server does not tell how late it is (state {replica.state})"
        return _finding("replication_lag", f"replica/{replica.name}", Severity.UNKNOWN, words, step)
    return _finding(
        "replication_lag",
        f"replica/{replica.name}",
        level(replica.lag_s, warning=warning, critical=critical),
        f"is {span(replica.lag_s)} behind (limits {warning:g} and {critical:g} s)",
        "is it short of disk or network, or does a long query hold it back?",
        value=round(replica.lag_s, 2),
        unit="s",
        threshold=f"< {warning:g}",
    )


def _retained(slot: Slot, limits: PostgresLimits) -> Finding:
    severity = level(slot.retained_bytes, warning=limits.slot_retained_warning_bytes)
    return _finding(
        "slot_retained",
        f"slot/{slot.name}",
        severity,
        f"{'active' if slot.active else 'inactive'}, keeps {slot.retained_bytes / 1024**2:.0f} MiB of log",
        "drop the slot if its replica is gone: the log fills the disk",
        value=slot.retained_bytes,
        unit="bytes",
        threshold=f"< {limits.slot_retained_warning_bytes}",
    )


def judge_workflows(workflows: Workflows, *, limits: PostgresLimits) -> Iterator[Finding]:
    """Judge the day, what began minutes ago, and what does not end."""
    yield from judge_success(workflows.day, limits=limits)
    yield from judge_recent_success(workflows.recent, limits=limits)
    yield from judge_stuck(workflows.stuck)


def judge_success(day: Outcomes, *, limits: PostgresLimits) -> Iterator[Finding]:
    """Judge the day's finished executions: the limit itself has failed, an interval that reaches it warns, too few are UNKNOWN."""
    share = _share(day)
    severity = Severity.UNKNOWN if share.n < limits.success_min_n else _success_severity(share, limits)
    yield _success(day, share, severity, limits, check="workflow_success")


def judge_recent_success(recent: Outcomes, *, limits: PostgresLimits) -> Iterator[Finding]:
    """Warn of failures that began minutes ago; few executions in a quiet quarter of an hour say nothing."""
    share = _share(recent)
    failing = share.n >= limits.success_recent_min_n and 100 * share.high <= limits.success_critical_percent
    yield _success(recent, share, Severity.WARNING if failing else Severity.OK, limits, check="workflow_success_recent")


def _share(outcomes: Outcomes) -> Share:
    """Count successes among those that ended by themselves; cancelled ones are nobody's fault."""
    return Share(outcomes.succeeded, outcomes.succeeded + outcomes.failed)


def _success_severity(share: Share, limits: PostgresLimits) -> Severity:
    if 100 * share.value <= limits.success_critical_percent:
        return Severity.CRITICAL
    return Severity.WARNING if 100 * share.low <= limits.success_critical_percent else Severity.OK


def _success(outcomes: Outcomes, share: Share, severity: Severity, limits: PostgresLimits, *, check: str) -> Finding:
    window_s = (outcomes.until - outcomes.since).total_seconds()
    few = f"; {limits.success_min_n} are needed to judge" if severity is Severity.UNKNOWN else ""
    return Finding(
        item=SUCCESS,
        check=check,
        subject="workflows",
        severity=severity,
        summary=(
            f"{100 * share.value:.2f} % of {share.n:.0f} workflow executions of the last {span(window_s)} succeeded"
            f" (above {limits.success_critical_percent:g} %){few}"
        ),
        evidence={
            "window_start": outcomes.since.isoformat(),
            "window_end": outcomes.until.isoformat(),
            "value": round(100 * share.value, 4),
            "unit": "%",
            "threshold": f"> {limits.success_critical_percent:g}",
            "n": round(share.n),
            "cancelled": outcomes.cancelled,
            "causes": [dict(cause) for cause in outcomes.causes],
            "request": "workflow_outcomes.sql",
            **share.evidence(),
        },
        next_step=_success_step(outcomes, severity),
    )


def _success_step(outcomes: Outcomes, severity: Severity) -> str:
    if severity is Severity.UNKNOWN:
        return "do executions finish at all? see the queue (H-12) and the workers (H-05)"
    if not severity or not outcomes.causes:
        return ""
    first = outcomes.causes[0]
    return f"most failures: {first['error_class']} in workflow {first['workflow_id']} ({first['failures']})"


def judge_stuck(stuck: Sequence[Stuck]) -> Iterator[Finding]:
    """Name executions that run far longer than they do otherwise."""
    first = ", ".join(f"{each.id} ({span(each.running_s)})" for each in stuck[:5])
    yield Finding(
        item=SUCCESS,
        check="stuck_executions",
        subject="running executions",
        severity=Severity.WARNING if stuck else Severity.OK,
        summary=f"{len(stuck)} executions run far too long: {first}" if stuck else "no execution runs far too long",
        evidence={
            "value": len(stuck),
            "unit": "executions",
            "threshold": "0",
            "ids": [each.id for each in stuck[:20]],
            "request": "stuck_executions.sql",
        },
        next_step="did their worker die? cancel them, then see the workers' restarts (H-05)" if stuck else "",
    )
