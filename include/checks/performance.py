"""Latency, errors and API use, from what Prometheus recorded (H-09, H-10, H-16, F-02, F-03)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from include.checks.scale import Share, span, window
from include.findings import Finding, Severity
from include.probes.prometheus import Answer, Series
from include.settings import BurnRate, PerformanceLimits

LATENCY = "H-09"
LATENCY_REVIEW = "F-02"
ERRORS = "H-10"
ERRORS_REVIEW = "F-03"
USAGE = "H-16"
EVERYTHING = "all services"
LATENCY_STEP = "which route became slow? compare with the last deploy, then roll it back"
ERRORS_STEP = "read the logs of the service with most errors; compare with the last deploy"


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """What all sentences about one window share."""

    limits: PerformanceLimits
    now: datetime
    window_s: float
    request: str


def judge_freshness(age: Answer, *, item: str, metric: str, limits: PerformanceLimits) -> Iterator[Finding]:
    """Judge how old each service's newest sample is: a day's sum looks the same hours after the scraping stopped."""
    if not age.series:
        yield _freshness(age, item, metric, None, limits)
    for line in age.series:
        yield _freshness(age, item, f"{metric} of {_service(line, limits)}", line.value, limits)


def _freshness(age: Answer, item: str, subject: str, seconds: float | None, limits: PerformanceLimits) -> Finding:
    stale = seconds is None or seconds > limits.sample_max_age_s
    found = "no sample" if seconds is None else f"the newest sample is {span(max(seconds, 0))} old"
    return Finding(
        item=item,
        check="samples_fresh",
        subject=subject,
        severity=Severity.UNKNOWN if stale else Severity.OK,
        summary=f"{found} (limit {limits.sample_max_age_s:g} s)",
        evidence={"value": seconds, "unit": "s", "threshold": f"<= {limits.sample_max_age_s:g}", "request": age.query},
        next_step="is the service scraped? check Prometheus' targets and the settings performance.*_metric"
        if stale
        else "",
    )


def _service(line: Series, limits: PerformanceLimits) -> str:
    return line.label(limits.service_label) or "(no service label)"


def _nothing(share: Share) -> bool:
    # Prometheus extrapolates: less than half a request is none.
    return share.n < 0.5


def judge_latency(within: Answer, answered: Answer, *, limits: PerformanceLimits, now: datetime) -> Iterator[Finding]:
    """Judge the share of the day's requests within the limit: over all it is the runbook's own threshold, a service warns."""
    if answered.series and not within.series:
        yield _no_bucket(within, limits)
        return
    frame = _Frame(limits=limits, now=now, window_s=limits.window_s, request=f"{within.query} / {answered.query}")
    shares = _shares(within, answered, limits)
    total = _sum(shares.values())
    yield _latency_finding(frame, LATENCY, EVERYTHING, total, _latency_severity(total, limits, Severity.CRITICAL))
    for name, share in shares.items():
        yield _latency_finding(frame, LATENCY_REVIEW, name, share, _latency_severity(share, limits, Severity.WARNING))


def judge_recent_latency(
    within: Answer, answered: Answer, *, limits: PerformanceLimits, now: datetime, window_s: int
) -> Iterator[Finding]:
    """Warn of what began minutes ago, which a day dilutes; no request at all is UNKNOWN."""
    frame = _Frame(limits=limits, now=now, window_s=window_s, request=f"{within.query} / {answered.query}")
    shares = _shares(within, answered, limits)
    slow = {name: s for name, s in shares.items() if s.n >= limits.recent_min_requests and s.value < limits.p95_share}
    for name, share in slow.items():
        yield _latency_finding(frame, LATENCY, name, share, Severity.WARNING)
    if not slow:
        total = _sum(shares.values())
        yield _latency_finding(frame, LATENCY, EVERYTHING, total, _calm(total))


def _calm(share: Share) -> Severity:
    return Severity.UNKNOWN if _nothing(share) else Severity.OK


def _latency_severity(share: Share, limits: PerformanceLimits, worst: Severity) -> Severity:
    if share.n < limits.min_requests:
        return Severity.UNKNOWN
    return Severity.OK if share.value >= limits.p95_share else worst


def _latency_finding(frame: _Frame, item: str, name: str, share: Share, severity: Severity) -> Finding:
    limits, window_s = frame.limits, frame.window_s
    percent, wanted = 100 * share.value, 100 * limits.p95_share
    few = f"; {limits.min_requests} are needed to judge" if severity is Severity.UNKNOWN else ""
    return Finding(
        item=item,
        check=f"latency_{window_s:.0f}s",
        subject=name,
        severity=severity,
        summary=_none_asked(frame)
        if _nothing(share)
        else (
            f"{percent:.2f} % of {share.n:.0f} requests within {limits.p95_limit_s:g} s"
            f" in the last {span(window_s)} (at least {wanted:g} %){few}"
        ),
        evidence={
            **window(frame.now, window_s),
            "value": None if _nothing(share) else round(percent, 4),
            "unit": f"% within {limits.p95_limit_s:g} s",
            "threshold": f">= {wanted:g}",
            "n": round(share.n),
            "request": frame.request,
            **share.evidence(),
        },
        next_step=_step(severity, LATENCY_STEP),
    )


def _none_asked(frame: _Frame) -> str:
    return f"no request is recorded in the last {span(frame.window_s)}, so there is nothing to judge"


def _no_bucket(within: Answer, limits: PerformanceLimits) -> Finding:
    return Finding(
        item=LATENCY,
        check="latency_bucket",
        subject=EVERYTHING,
        severity=Severity.UNKNOWN,
        summary=f"{limits.latency_metric} has no bucket with the bound {limits.p95_limit_s:g}, so the share cannot be counted",
        evidence={"request": within.query},
        next_step="set performance.p95_limit_s to a bound of the histogram, or add that bucket to the services",
    )


def _shares(within: Answer, answered: Answer, limits: PerformanceLimits) -> dict[str, Share]:
    hits = {_service(line, limits): line.value for line in within.series}
    totals = {_service(line, limits): line.value for line in answered.series if line.value > 0}
    return {name: Share(hits.get(name, 0.0), n) for name, n in sorted(totals.items())}


def _sum(shares: Iterable[Share]) -> Share:
    listed = list(shares)
    return Share(sum(share.hits for share in listed), sum(share.n for share in listed))


def judge_windows(p95: Answer, *, limits: PerformanceLimits, now: datetime) -> Iterator[Finding]:
    """Name each service's worst step of the day, and how many steps hold no data."""
    if not p95.series:
        yield _no_series(p95, limits)
    frame = _Frame(limits=limits, now=now, window_s=limits.window_s, request=p95.query)
    yield from (_windows_finding(frame, line) for line in p95.series)


def _windows_finding(frame: _Frame, line: Series) -> Finding:
    limits = frame.limits
    at, worst = max(line.points, key=lambda point: point[1])
    slow = sum(value >= limits.p95_limit_s for _, value in line.points)
    covered = min(100.0, 100 * len(line.points) / (limits.window_s // limits.step_s))
    holes = covered < limits.coverage_warning_percent
    return Finding(
        item=LATENCY_REVIEW,
        check="p95_series",
        subject=f"{line.label(limits.service_label)}/windows",
        severity=Severity.WARNING if holes else Severity.INFO if slow else Severity.OK,
        summary=(
            f"p95 {worst:.2f} s in its worst {span(limits.step_s)}, {slow} of {len(line.points)} over the limit;"
            f" {covered:.0f} % of the day has data"
        ),
        evidence={
            **_seconds(frame, worst),
            "n": len(line.points),
            "worst_at": datetime.fromtimestamp(at, tz=frame.now.tzinfo).isoformat(),
            "covered_percent": round(covered, 1),
        },
        next_step="why was nothing recorded in part of the day?" if holes else "",
    )


def _seconds(frame: _Frame, worst: float) -> Mapping[str, object]:
    return {
        **window(frame.now, frame.window_s),
        "value": round(worst, 4),
        "unit": "s",
        "threshold": f"< {frame.limits.p95_limit_s:g}",
        "request": frame.request,
    }


def _no_series(p95: Answer, limits: PerformanceLimits) -> Finding:
    return Finding(
        item=LATENCY_REVIEW,
        check="p95_series",
        subject=EVERYTHING,
        severity=Severity.UNKNOWN,
        summary=f"{limits.latency_metric} has no data in the last {span(limits.window_s)}",
        evidence={"request": p95.query},
        next_step="check Prometheus' targets and the setting performance.latency_metric",
    )


def judge_errors(by_code: Answer, *, limits: PerformanceLimits, now: datetime) -> Iterator[Finding]:
    """Judge the day's errors: critical unless the whole 95 % interval lies below the limit, UNKNOWN with too few requests."""
    if _codeless(by_code, limits):
        yield _no_code(by_code, limits, "error_label")
        return
    frame = _Frame(limits=limits, now=now, window_s=limits.window_s, request=by_code.query)
    shares = _error_shares(by_code, limits)
    total = _sum(shares.values())
    yield _error_finding(frame, ERRORS, EVERYTHING, total, _error_severity(total, limits, Severity.CRITICAL))
    for name, share in shares.items():
        yield _error_finding(frame, ERRORS_REVIEW, name, share, _error_severity(share, limits, Severity.WARNING))


def _codeless(by_code: Answer, limits: PerformanceLimits) -> bool:
    return bool(by_code.series) and not any(line.label(limits.code_label) for line in by_code.series)


def _error_severity(share: Share, limits: PerformanceLimits, worst: Severity) -> Severity:
    if share.n < limits.min_requests:
        return Severity.UNKNOWN
    return worst if 100 * share.high >= limits.error_percent else Severity.OK


def judge_recent_errors(
    by_code: Answer, *, limits: PerformanceLimits, now: datetime, window_s: int
) -> Iterator[Finding]:
    """Warn of errors that began minutes ago: at least the limit, in a sample that can tell; no request at all is UNKNOWN."""
    if _codeless(by_code, limits):
        yield _no_code(by_code, limits, f"errors_{window_s}s")
        return
    shares = _error_shares(by_code, limits)
    over = {name: share for name, share in shares.items() if _began(share, limits)}
    frame = _Frame(limits=limits, now=now, window_s=window_s, request=by_code.query)
    for name, share in over.items():
        yield _error_finding(frame, ERRORS, name, share, Severity.WARNING)
    if not over:
        total = _sum(shares.values())
        yield _error_finding(frame, ERRORS, EVERYTHING, total, _calm(total))


def _began(share: Share, limits: PerformanceLimits) -> bool:
    # Prometheus extrapolates: three errors may be counted as 2.9.
    telling = share.n >= limits.recent_min_requests and round(share.hits) >= limits.recent_min_errors
    return telling and 100 * share.value >= limits.error_percent


def judge_burn(
    long: Answer, short: Answer, *, rate: BurnRate, limits: PerformanceLimits, now: datetime
) -> Iterator[Finding]:
    """Judge one pair of windows: both must burn, so that neither a blip nor a fault that is over pages."""
    if codeless := [answer for answer in (long, short) if _codeless(answer, limits)]:
        yield _no_code(codeless[0], limits, _burn_check(rate))
        return
    shares = [_sum(_error_shares(answer, limits).values()) for answer in (long, short)]
    frame = _Frame(limits=limits, now=now, window_s=rate.long_s, request=long.query)
    yield _burn_finding(frame, rate, shares, _burn_severity(shares, rate, limits))


def _burn_severity(shares: Sequence[Share], rate: BurnRate, limits: PerformanceLimits) -> Severity:
    if any(_nothing(share) for share in shares):
        return Severity.UNKNOWN
    enough = all(share.n >= limits.recent_min_requests for share in shares)
    burning = enough and min(_burn(share, limits) for share in shares) >= rate.factor
    return (Severity.CRITICAL if rate.pages else Severity.WARNING) if burning else Severity.OK


def _burn_check(rate: BurnRate) -> str:
    return f"burn_rate_{rate.long_s:.0f}s_{rate.short_s:.0f}s"


def _burn(share: Share, limits: PerformanceLimits) -> float:
    # Rounded, so that a burn of exactly the factor is not one of 14.399999.
    return round(100 * share.value / limits.error_percent, 9) if limits.error_percent else 0.0


def _burn_finding(frame: _Frame, rate: BurnRate, shares: Sequence[Share], severity: Severity) -> Finding:
    long, short = (_burn(share, frame.limits) for share in shares)
    blind = severity is Severity.UNKNOWN
    empty = rate.long_s if _nothing(shares[0]) else rate.short_s
    return Finding(
        item=ERRORS,
        check=_burn_check(rate),
        subject=EVERYTHING,
        severity=severity,
        summary=_none_asked(replace(frame, window_s=empty))
        if blind
        else (
            f"error budget burns {long:.2g} times too fast over {span(rate.long_s)}"
            f" and {short:.2g} over {span(rate.short_s)} (limit {rate.factor:g})"
        ),
        evidence={
            **window(frame.now, rate.long_s),
            "value": None if blind else round(long, 3),
            "unit": "x budget",
            "threshold": f"< {rate.factor:g} in both",
            "n": round(shares[0].n),
            "short": None if blind else round(short, 3),
            "short_n": round(shares[1].n),
            "request": frame.request,
        },
        next_step=_step(severity, ERRORS_STEP),
    )


def _error_shares(by_code: Answer, limits: PerformanceLimits) -> dict[str, Share]:
    errors: dict[str, float] = {}
    totals: dict[str, float] = {}
    for line in by_code.series:
        name = _service(line, limits)
        totals[name] = totals.get(name, 0.0) + line.value
        if line.label(limits.code_label).startswith("5"):
            errors[name] = errors.get(name, 0.0) + line.value
    return {name: Share(errors.get(name, 0.0), n) for name, n in sorted(totals.items()) if n > 0}


def _error_finding(frame: _Frame, item: str, name: str, share: Share, severity: Severity) -> Finding:
    limits, window_s = frame.limits, frame.window_s
    percent = 100 * share.value
    few = f"; {limits.min_requests} are needed to judge" if severity is Severity.UNKNOWN else ""
    return Finding(
        item=item,
        check=f"errors_{window_s:.0f}s",
        subject=name,
        severity=severity,
        summary=_none_asked(frame)
        if _nothing(share)
        else (
            f"{percent:.2f} % of {share.n:.0f} requests failed in the last {span(window_s)}"
            f" (below {limits.error_percent:g} %){few}"
        ),
        evidence={
            **window(frame.now, window_s),
            "value": None if _nothing(share) else round(percent, 4),
            "unit": "%",
            "threshold": f"< {limits.error_percent:g}",
            "n": round(share.n),
            "budget_left_percent": round(100 - 100 * percent / limits.error_percent, 1) if limits.error_percent else 0,
            "request": frame.request,
            **share.evidence(),
        },
        next_step=_step(severity, ERRORS_STEP),
    )


def _no_code(by_code: Answer, limits: PerformanceLimits, check: str) -> Finding:
    return Finding(
        item=ERRORS,
        check=check,
        subject=limits.requests_metric,
        severity=Severity.UNKNOWN,
        summary=f"has no label {limits.code_label}, so no error can be told from a success",
        evidence={"request": by_code.query, "n": len(by_code.series)},
        next_step="set performance.code_label to the label that holds the status code",
    )


def _step(severity: Severity, step: str) -> str:
    if severity is Severity.UNKNOWN:
        return "is the service used and scraped? a quiet place may lower performance.min_requests"
    return step if severity else ""


def judge_usage(
    now_by_key: Answer, before_by_key: Answer, talkers: Answer, *, limits: PerformanceLimits, now: datetime
) -> Iterator[Finding]:
    """Compare each key with the same day last week: spikes warn, who came or vanished is told."""
    if not now_by_key.series:
        yield _no_usage(now_by_key, limits)
        return
    today, before = _by_label(now_by_key, limits.key_label), _by_label(before_by_key, limits.key_label)
    frame = _Frame(limits=limits, now=now, window_s=limits.window_s, request=now_by_key.query)
    spikes = {key: n / before[key] for key, n in today.items() if _spikes(n, before.get(key, 0.0), limits)}
    for key, factor in sorted(spikes.items(), key=lambda pair: -pair[1]):
        yield _usage_finding(frame, key, factor, today[key])
    yield _usage_table(frame, today, before, talkers)


def _spikes(n: float, before: float, limits: PerformanceLimits) -> bool:
    return before > 0 and n >= limits.usage_min_requests and n / before >= limits.usage_spike_factor


def _by_label(answer: Answer, label: str) -> Mapping[str, float]:
    return {line.label(label): line.value for line in answer.series if line.value >= 1}


def _usage_finding(frame: _Frame, key: str, factor: float, n: float) -> Finding:
    limits = frame.limits
    return Finding(
        item=USAGE,
        check="api_usage_spike",
        subject=f"api key {key}",
        severity=Severity.WARNING,
        summary=f"made {factor:.1f} times the requests of the same day last week ({n:.0f})",
        evidence={
            **window(frame.now, limits.window_s),
            "value": round(factor, 2),
            "unit": "x last week",
            "threshold": f"< {limits.usage_spike_factor:g}",
            "n": round(n),
            "request": frame.request,
        },
        next_step="is it a customer's campaign, a loop, or a stolen key? see daily_security_monitoring",
    )


def _usage_table(frame: _Frame, today: Mapping[str, float], before: Mapping[str, float], talkers: Answer) -> Finding:
    limits = frame.limits
    came = _greatest(today, today.keys() - before.keys(), limits)
    left = _greatest(before, before.keys() - today.keys(), limits)
    rows = [
        {**line.labels, "requests": round(line.value)} for line in sorted(talkers.series, key=lambda line: -line.value)
    ]
    return Finding(
        item=USAGE,
        check="api_usage",
        subject="api keys",
        severity=Severity.INFO if came or left else Severity.OK,
        summary=f"{len(today)} API keys in use; {len(came)} new and {len(left)} vanished among the busy ones since last week",
        evidence={
            **window(frame.now, limits.window_s),
            "value": len(today),
            "unit": "keys",
            "n": round(sum(today.values())),
            "new": came,
            "vanished": left,
            "top": rows,
            "request": talkers.query,
        },
    )


def _greatest(counts: Mapping[str, float], keys: set[str], limits: PerformanceLimits) -> list[str]:
    busy = [key for key in keys if counts[key] >= limits.usage_min_requests]
    return sorted(busy, key=lambda key: -counts[key])[: limits.top]


def _no_usage(answer: Answer, limits: PerformanceLimits) -> Finding:
    return Finding(
        item=USAGE,
        check="api_usage",
        subject="api keys",
        severity=Severity.UNKNOWN,
        summary=f"{limits.usage_metric} has no data in the last {span(limits.window_s)}",
        evidence={"request": answer.query, "n": 0},
        next_step="check Prometheus' targets and the settings performance.usage_metric and performance.key_label",
    )
