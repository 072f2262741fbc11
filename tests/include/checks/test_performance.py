from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from include.checks import performance
from include.checks.queries import Queries
from include.findings import Finding, Severity
from include.probes.prometheus import Answer, Series
from include.settings import BurnRate, PerformanceLimits

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LIMITS = PerformanceLimits()
DAY = LIMITS.window_s


def answer(*lines: tuple[dict[str, str], float]) -> Answer:
    return Answer(query="q", series=[Series(labels=labels, points=[(NOW.timestamp(), n)]) for labels, n in lines])


def services(**values: float) -> Answer:
    return answer(*(({"service": name.replace("_", "-")}, n) for name, n in values.items()))


def codes(ok: float, errors: float, service: str = "api-gateway") -> Answer:
    lines = [({"service": service, "code": "200"}, ok), ({"service": service, "code": "503"}, errors)]
    return answer(*(line for line in lines if line[1]))


def verdicts(findings: Iterator[Finding]) -> dict[tuple[str, str], Severity]:
    return {(f.item, f.subject): f.severity for f in findings}


@pytest.mark.parametrize(
    ("within", "n", "severity"),
    [
        (9_500, 10_000, Severity.OK),  # exactly 95 % within the limit
        (9_499, 10_000, Severity.CRITICAL),
        (999, 999, Severity.UNKNOWN),
        (1_000, 1_000, Severity.OK),
    ],
)
def test_95_percent_of_requests_are_within_the_limit(within: float, n: float, severity: Severity) -> None:
    found = verdicts(performance.judge_latency(services(api=within), services(api=n), limits=LIMITS, now=NOW))
    assert found["H-09", "all services"] is severity


def test_one_slow_service_warns_though_the_platform_as_a_whole_is_fast() -> None:
    within, answered = services(api=100_000, auth=900), services(api=100_000, auth=1_000)
    found = verdicts(performance.judge_latency(within, answered, limits=LIMITS, now=NOW))
    assert found == {
        ("H-09", "all services"): Severity.OK,
        ("F-02", "api"): Severity.OK,
        ("F-02", "auth"): Severity.WARNING,
    }


def test_bug_72_no_requests_at_all_is_unknown() -> None:
    found = verdicts(performance.judge_latency(answer(), answer(), limits=LIMITS, now=NOW))
    assert found == {("H-09", "all services"): Severity.UNKNOWN}


def test_a_histogram_without_the_bucket_is_unknown_and_not_wholly_slow() -> None:
    (finding,) = performance.judge_latency(answer(), services(api=10_000), limits=LIMITS, now=NOW)
    assert finding.severity is Severity.UNKNOWN
    assert "performance.p95_limit_s" in finding.next_step


@pytest.mark.parametrize(
    ("ok", "errors", "severity"),
    [
        (99_800, 200, Severity.OK),
        (99_000, 1_000, Severity.CRITICAL),
        (99_050, 950, Severity.CRITICAL),  # 0.95 %, but the interval reaches 1 %
        (10_000, 0, Severity.OK),
        (999, 0, Severity.UNKNOWN),
        (0, 0, Severity.UNKNOWN),
    ],
)
def test_fewer_than_one_percent_of_requests_fail(ok: float, errors: float, severity: Severity) -> None:
    found = verdicts(performance.judge_errors(codes(ok, errors), limits=LIMITS, now=NOW))
    assert found["H-10", "all services"] is severity


def test_bug_71_errors_are_a_share_of_all_requests_by_service() -> None:
    both = answer(
        ({"service": "api", "code": "200"}, 98_000),
        ({"service": "api", "code": "500"}, 2_000),
        ({"service": "auth", "code": "200"}, 500_000),
    )
    (total, api, auth) = performance.judge_errors(both, limits=LIMITS, now=NOW)
    assert (total.evidence["value"], total.evidence["n"]) == (0.3333, 600_000)
    assert (api.item, api.severity, api.evidence["value"]) == ("F-03", Severity.WARNING, 2.0)
    assert auth.severity is Severity.OK


def test_bug_71_a_metric_without_the_label_is_unknown_and_not_without_errors() -> None:
    (finding,) = performance.judge_errors(answer(({"service": "api"}, 50_000)), limits=LIMITS, now=NOW)
    assert finding.severity is Severity.UNKNOWN
    assert "performance.code_label" in finding.next_step


@pytest.mark.parametrize(
    ("ok", "errors", "severity"),
    [
        (970, 30, Severity.WARNING),
        (97, 3, Severity.WARNING),
        (98, 2, Severity.OK),
        (998, 2, Severity.OK),
        (50, 49, Severity.OK),
    ],
)
def test_bug_70_errors_that_began_minutes_ago_warn(ok: float, errors: float, severity: Severity) -> None:
    findings = performance.judge_recent_errors(codes(ok, errors), limits=LIMITS, now=NOW, window_s=120)
    assert [f.severity for f in findings] == [severity]


@pytest.mark.parametrize(
    ("within", "n", "severity"), [(949, 1_000, Severity.WARNING), (950, 1_000, Severity.OK), (9, 99, Severity.OK)]
)
def test_bug_70_slowness_that_began_minutes_ago_warns(within: float, n: float, severity: Severity) -> None:
    findings = performance.judge_recent_latency(
        services(api=within), services(api=n), limits=LIMITS, now=NOW, window_s=120
    )
    assert [f.severity for f in findings] == [severity]


@pytest.mark.parametrize(
    ("long", "short", "severity"),
    [
        ((856, 144), (856, 144), Severity.CRITICAL),  # exactly 14.4 times 1 %
        ((856, 144), (990, 10), Severity.OK),  # it is over
        ((990, 10), (856, 144), Severity.OK),  # a blip
        ((50, 49), (50, 49), Severity.OK),  # too few to tell
    ],
)
def test_the_budget_burns_only_if_both_windows_burn(
    long: tuple[float, float], short: tuple[float, float], severity: Severity
) -> None:
    rate = BurnRate(factor=14.4, long_s=3600, short_s=300, pages=True)
    (finding,) = performance.judge_burn(codes(*long), codes(*short), rate=rate, limits=LIMITS, now=NOW)
    assert finding.severity is severity


FRESH: dict[str, Any] = {"item": "H-09", "metric": "http_request_duration_seconds", "limits": LIMITS}


@pytest.mark.parametrize(("age", "severity"), [(120.0, Severity.OK), (120.1, Severity.UNKNOWN)])
def test_bug_72_a_counter_that_is_no_longer_scraped_is_unknown(age: float, severity: Severity) -> None:
    (finding,) = performance.judge_freshness(answer(({}, age)), **FRESH)
    assert finding.severity is severity


def test_a_counter_without_a_sample_is_unknown() -> None:
    (finding,) = performance.judge_freshness(answer(), **FRESH)
    assert (finding.item, finding.severity) == ("H-09", Severity.UNKNOWN)


def test_one_live_service_does_not_hide_a_dead_one() -> None:
    found = verdicts(performance.judge_freshness(services(api_gateway=4, auth_service=40_000), **FRESH))
    assert found == {
        ("H-09", "http_request_duration_seconds of api-gateway"): Severity.OK,
        ("H-09", "http_request_duration_seconds of auth-service"): Severity.UNKNOWN,
    }


def test_the_age_is_asked_by_service_and_of_those_that_ended_within_the_day() -> None:
    query = Queries(LIMITS, "ns").latency_age()
    own = 'timestamp(http_request_duration_seconds_count{namespace="ns"})'
    assert query == f"time() - max by (service) ({own} or max_over_time({own}[86400s:300s]))"


@pytest.mark.parametrize("n", [None, 0, 0.4])
def test_minutes_without_a_request_are_unknown(n: float | None) -> None:
    asked = answer() if n is None else services(api=n)
    (latency,) = performance.judge_recent_latency(asked, asked, limits=LIMITS, now=NOW, window_s=120)
    counted = answer() if n is None else codes(n, 0)
    (errors,) = performance.judge_recent_errors(counted, limits=LIMITS, now=NOW, window_s=120)
    for finding in (latency, errors):
        assert finding.severity is Severity.UNKNOWN
        assert finding.summary == "no request is recorded in the last 2 min, so there is nothing to judge"
        assert finding.evidence["value"] is None


@pytest.mark.parametrize(
    ("long", "short", "words"),
    [((0, 0), (0, 0), "60 min"), ((990, 10), (0, 0), "5 min"), ((0, 0), (990, 10), "60 min")],
)
def test_a_budget_of_no_request_is_unknown(long: tuple[float, float], short: tuple[float, float], words: str) -> None:
    rate = BurnRate(factor=14.4, long_s=3600, short_s=300, pages=True)
    (finding,) = performance.judge_burn(codes(*long), codes(*short), rate=rate, limits=LIMITS, now=NOW)
    assert finding.severity is Severity.UNKNOWN
    assert f"no request is recorded in the last {words}" in finding.summary


def test_without_the_label_the_last_minutes_and_the_budget_are_unknown_too() -> None:
    bare = answer(({"service": "api"}, 50_000))
    rate = BurnRate(factor=14.4, long_s=3600, short_s=300, pages=True)
    (recent,) = performance.judge_recent_errors(bare, limits=LIMITS, now=NOW, window_s=120)
    (burn,) = performance.judge_burn(codes(990, 10), bare, rate=rate, limits=LIMITS, now=NOW)
    assert {recent.severity, burn.severity} == {Severity.UNKNOWN}


def series(values: list[float]) -> Answer:
    points = [(NOW.timestamp() + 300 * place, value) for place, value in enumerate(values)]
    return Answer(query="q", series=[Series(labels={"service": "api"}, points=points)])


def test_bug_70_the_worst_window_of_the_day_is_named() -> None:
    (finding,) = performance.judge_windows(series([0.2] * 287 + [2.5]), limits=LIMITS, now=NOW)
    assert finding.severity is Severity.INFO
    assert "p95 2.50 s in its worst 5 min, 1 of 288 over the limit" in finding.summary


def test_a_day_with_holes_warns() -> None:
    (finding,) = performance.judge_windows(series([0.2] * 200), limits=LIMITS, now=NOW)
    assert finding.severity is Severity.WARNING


def test_a_day_without_data_is_unknown() -> None:
    (finding,) = performance.judge_windows(answer(), limits=LIMITS, now=NOW)
    assert finding.severity is Severity.UNKNOWN


def keys(**values: float) -> Answer:
    return answer(*(({"api_key": name}, n) for name, n in values.items()))


@pytest.mark.parametrize(
    ("today", "before", "severity"),
    [(2_999, 1_000, Severity.OK), (3_000, 1_000, Severity.WARNING), (499, 10, Severity.OK)],
)
def test_a_key_that_asks_three_times_as_often_is_named(today: float, before: float, severity: Severity) -> None:
    findings = performance.judge_usage(keys(k1=today), keys(k1=before), answer(), limits=LIMITS, now=NOW)
    assert max(finding.severity for finding in findings) is severity


def test_who_came_and_who_vanished_is_told() -> None:
    (table,) = performance.judge_usage(keys(new=900), keys(old=900), answer(), limits=LIMITS, now=NOW)
    assert (table.severity, table.evidence["new"], table.evidence["vanished"]) == (Severity.INFO, ["new"], ["old"])


def test_no_usage_at_all_is_unknown() -> None:
    (finding,) = performance.judge_usage(answer(), answer(), answer(), limits=LIMITS, now=NOW)
    assert finding.severity is Severity.UNKNOWN


def test_bug_69_the_quantile_is_taken_of_the_sum_over_pods_and_routes() -> None:
    query = Queries(LIMITS, "ns").p95_series()
    assert query.startswith("histogram_quantile(0.95, sum by (le, service) (rate(")


def test_the_bound_matches_as_prometheus_2_and_3_write_it() -> None:
    assert 'le=~"1|1[.]0"' in Queries(LIMITS, "ns").within_limit(DAY)
    assert 'le=~"0.5"' in Queries(PerformanceLimits(p95_limit_s=0.5), "ns").within_limit(DAY)


QUERIES: list[Callable[[Queries], str]] = [
    lambda q: q.within_limit(DAY),
    lambda q: q.requests_by_code(DAY),
    lambda q: q.queue_peak(),
    lambda q: q.node_cpu_p95(),
    lambda q: q.usage_by_key(DAY, weeks_ago=1),
]


@pytest.mark.parametrize("query", QUERIES)
def test_bug_74_every_query_names_its_namespace(query: Callable[[Queries], Any]) -> None:
    assert 'namespace="ns"' in query(Queries(LIMITS, "ns"))
