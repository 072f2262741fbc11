"""The business numbers against the same weekday (H-13 to H-16)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial

from include.checks.business import API_USAGE, DAY_S, EXECUTIONS, REVENUE, USERS, Number, judge_number
from include.checks.inquiry import Question, inquire
from include.checks.queries import Queries
from include.findings import Report
from include.probes.business import Weeks, weeks
from include.probes.postgres import Server
from include.probes.prometheus import Prometheus
from include.settings import BusinessLimits, PerformanceLimits

SOURCES = {
    "active users": ("active_users", "event"),
    "workflow executions": ("executions", "execution"),
    "revenue": ("revenue", "billing"),
}
"""Subject -> names of the statements that count it and that tell how fresh it is."""


def round_business(
    server: Server,
    prometheus: Prometheus,
    *,
    namespace: str,
    limits: BusinessLimits,
    performance: PerformanceLimits,
    now: datetime,
    deadline_s: float,
) -> Report:
    """Ask the database and Prometheus at once; the one's silence is not the other's."""
    queries = Queries(performance, namespace)
    looks = {
        subject: partial(weeks, server, number=number, newest=newest, until=now, weeks_back=limits.weeks)
        for subject, (number, newest) in SOURCES.items()
    }
    looks["API requests"] = partial(usage, prometheus, queries, now=now, weeks_back=limits.weeks)
    return inquire("business", looks, list(questions(limits, performance, now)), deadline_s=deadline_s)


def usage(prometheus: Prometheus, queries: Queries, *, now: datetime, weeks_back: int) -> Weeks:
    """Count the API requests of the day and of the weeks before; fresh as the counter's newest sample."""
    age = prometheus.instant(queries.usage_age(), now)
    totals = [prometheus.instant(queries.usage_total(DAY_S, weeks_ago=n), now).total for n in range(weeks_back + 1)]
    newest = datetime.fromtimestamp(now.timestamp() - age.total, tz=now.tzinfo) if age.series else None
    return Weeks(today=totals[0], before=tuple(total for total in totals[1:] if total > 0), newest=newest)


def numbers(limits: BusinessLimits, performance: PerformanceLimits) -> Iterator[Number]:
    """Return which numbers are judged, and how."""
    yield from _of_the_database(limits)
    yield Number(
        item=API_USAGE,
        check="api_requests",
        subject="API requests",
        unit="requests",
        max_age_s=performance.sample_max_age_s,
    )


def _of_the_database(limits: BusinessLimits) -> Iterator[Number]:
    yield Number(
        item=USERS, check="active_users", subject="active users", unit="users", max_age_s=limits.active_users_max_age_s
    )
    yield Number(
        item=EXECUTIONS,
        check="executions",
        subject="workflow executions",
        unit="executions",
        max_age_s=limits.executions_max_age_s,
        both_ways=True,
        none_is_critical=True,
    )
    yield Number(
        item=REVENUE,
        check="revenue",
        subject="revenue",
        unit="%",
        max_age_s=limits.revenue_max_age_s,
        secret=True,
        both_ways=True,
    )


def questions(limits: BusinessLimits, performance: PerformanceLimits, now: datetime) -> Iterator[Question]:
    """Return what is asked of the answers."""
    for number in numbers(limits, performance):
        yield Question(
            item=number.item,
            check=number.check,
            subject=number.subject,
            needs=(number.subject,),
            judge=partial(judge_number, number=number, limits=limits, now=now),
            next_step="check connections.postgres and connections.prometheus",
        )
