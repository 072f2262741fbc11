"""The PromQL of the morning health check, written from the settings' names."""

from __future__ import annotations

from dataclasses import dataclass

from include.settings import PerformanceLimits


@dataclass(frozen=True)
class Queries:
    """The texts; a window is a number of seconds."""

    limits: PerformanceLimits
    namespace: str

    def within_limit(self, window_s: float) -> str:
        """Requests answered within the limit, by service: exact, since the limit is a bucket bound."""
        # Prometheus 3 writes the bound of a scraped bucket as 1.0, Prometheus 2 and backfills as 1.
        limit = self.limits.p95_limit_s
        bounds = f"{limit:g}|{limit:g}[.]0" if limit == int(limit) else f"{limit:g}"
        service = self.limits.service_label
        selected = self._select("latency_bucket", f'le=~"{bounds}"')
        return f"sum by ({service}) (increase({selected}[{window_s:.0f}s]))"

    def answered(self, window_s: float) -> str:
        """All answered requests by service, of the same histogram."""
        return f"sum by ({self.limits.service_label}) (increase({self._select('latency_count')}[{window_s:.0f}s]))"

    def p95_series(self) -> str:
        """The 95th percentile by service in each step; summed over pods and routes before the quantile is taken."""
        rate = f"rate({self._select('latency_bucket')}[{self.limits.step_s}s])"
        return f"histogram_quantile({self.limits.p95_share:g}, sum by (le, {self.limits.service_label}) ({rate}))"

    def requests_by_code(self, window_s: float) -> str:
        """Errors and their total in one answer, so that the two can never come from different series."""
        labels = f"{self.limits.service_label}, {self.limits.code_label}"
        return f"sum by ({labels}) (increase({self._select('requests')}[{window_s:.0f}s]))"

    def requests_age(self) -> str:
        """Seconds since the newest sample of the request counter, by service."""
        return self._age_by_service("requests")

    def latency_age(self) -> str:
        """The same of the latency histogram, which may end while the counter goes on."""
        return self._age_by_service("latency_count")

    def usage_age(self) -> str:
        """Seconds since the newest sample of the API's use."""
        return f"time() - max(timestamp({self._select('usage')}))"

    def _age_by_service(self, what: str) -> str:
        # A series that ended minutes ago is not in the present any more: the day's memory is asked for it.
        now = f"timestamp({self._select(what)})"
        day = f"max_over_time({now}[{self.limits.window_s}s:{self.limits.step_s}s])"
        return f"time() - max by ({self.limits.service_label}) ({now} or {day})"

    def queue_now(self) -> str:
        """Items that wait, by the exporter."""
        return f"max({self._select('queue_depth')})"

    def queue_peak(self) -> str:
        """The most that waited in the window."""
        return f"max(max_over_time({self._select('queue_depth')}[{self.limits.window_s}s]))"

    def queue_p95(self) -> str:
        """What 95 % of the samples stayed below."""
        return f"max(quantile_over_time(0.95, {self._select('queue_depth')}[{self.limits.window_s}s]))"

    def queue_growth(self) -> str:
        """Items an hour, by the slope of the last hour."""
        return f"max(deriv({self._select('queue_depth')}[1h])) * 3600"

    def queue_age(self) -> str:
        """Seconds that the oldest item has waited."""
        return f"max({self._select('queue_age')})"

    def node_cpu_p95(self) -> str:
        """Busy share of each node's CPU that the day stayed below for 95 % of its steps."""
        # Against all modes, not against 1: an exporter may have one series a node, or one a core.
        idle, every = self._select("node_cpu", 'mode="idle"'), self._select("node_cpu")
        return self._over_day(f"1 - sum by (node) (rate({idle}[5m])) / sum by (node) (rate({every}[5m]))")

    def node_memory_p95(self) -> str:
        """The same for memory."""
        available, total = self._select("node_memory_available"), self._select("node_memory_total")
        return self._over_day(f"1 - sum by (node) ({available}) / sum by (node) ({total})")

    def _over_day(self, ratio: str) -> str:
        return f"quantile_over_time(0.95, ({ratio})[{self.limits.window_s}s:{self.limits.step_s}s])"

    def throttled(self) -> str:
        """Throttled share of CPU periods of each container, the worst ones."""
        window = f"[{self.limits.window_s}s]"
        periods, throttled = self._select("cfs_periods"), self._select("cfs_throttled")
        by = "sum by (pod, container)"
        return f"topk({self.limits.top}, {by} (increase({throttled}{window})) / {by} (increase({periods}{window})))"

    def memory_by_hour(self) -> str:
        """Working set of each container, averaged over an hour."""
        return f"sum by (pod, container) (avg_over_time({self._select('working_set')}[1h]))"

    def usage_by_key(self, window_s: float, *, weeks_ago: int = 0) -> str:
        """Requests by API key."""
        offset = f" offset {weeks_ago}w" if weeks_ago else ""
        return f"sum by ({self.limits.key_label}) (increase({self._select('usage')}[{window_s:.0f}s]{offset}))"

    def usage_by_key_and_route(self) -> str:
        """The greatest users and what they ask for."""
        labels = f"{self.limits.key_label}, {self.limits.route_label}"
        return (
            f"topk({self.limits.top}, sum by ({labels}) (increase({self._select('usage')}[{self.limits.window_s}s])))"
        )

    def usage_total(self, window_s: float, *, weeks_ago: int) -> str:
        """All API requests of the same window so many weeks ago."""
        offset = f" offset {weeks_ago}w" if weeks_ago else ""
        return f"sum(increase({self._select('usage')}[{window_s:.0f}s]{offset}))"

    def alertmanager_up(self) -> str:
        """1 or 0 of each Alertmanager that is scraped; it belongs to no namespace of the platform."""
        return f'up{{job="{self.limits.alertmanager_job}"}}'

    def alertmanagers_known(self) -> str:
        """To how many Alertmanagers Prometheus sends."""
        return self.limits.alertmanagers_metric

    def alerts_dropped(self) -> str:
        """Alerts that Prometheus gave up."""
        return f"sum(increase({self.limits.notifications_dropped_metric}[{self.limits.window_s}s]))"

    def alerts_failed(self) -> str:
        """Alerts whose sending failed."""
        return f"sum(increase({self.limits.notifications_errors_metric}[{self.limits.window_s}s]))"

    def _select(self, what: str, *matchers: str) -> str:
        own = f'{self.limits.namespace_label}="{self.namespace}"'
        return f"{self._metric(what)}{{{', '.join((own, *matchers))}}}"

    def _metric(self, what: str) -> str:
        limits = self.limits
        return {
            "latency_bucket": f"{limits.latency_metric}_bucket",
            "latency_count": f"{limits.latency_metric}_count",
            "requests": limits.requests_metric,
            "usage": limits.usage_metric,
            "queue_depth": limits.queue_depth_metric,
            "queue_age": limits.queue_age_metric,
            "node_cpu": "node_cpu_seconds_total",
            "node_memory_available": "node_memory_MemAvailable_bytes",
            "node_memory_total": "node_memory_MemTotal_bytes",
            "cfs_periods": "container_cpu_cfs_periods_total",
            "cfs_throttled": "container_cpu_cfs_throttled_periods_total",
            "working_set": "container_memory_working_set_bytes",
        }[what]
