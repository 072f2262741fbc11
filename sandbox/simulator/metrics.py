"""The series that the platform exports; those of a pod go with the pod."""

from __future__ import annotations

import shutil
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from sandbox.simulator.routes import API_KEYS, CODES, ROUTES, Route, routes_of

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
STATUSES = ("succeeded", "failed", "cancelled")

disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """Counters begin at 0 and are there before the first event, so that `increase()` sees the first event too."""

    def __init__(self, namespace: str, database_disk: Path = Path("/")) -> None:
        self.registry = CollectorRegistry()
        self.namespace = namespace
        self.requests = self._counter(
            "http_requests_total", "Requests answered.", "service", "route", "method", "code", "pod"
        )
        self.durations = Histogram(
            "http_request_duration_seconds",
            "How long an answer took.",
            ("namespace", "service", "pod"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.api_requests = self._counter("api_requests_total", "Requests of a customer's key.", "api_key", "route")
        self.executions = self._counter("workflow_executions_total", "Executions that ended.", "status")
        self.queue_depth = self._gauge("queue_depth", "Items that wait.", "queue")
        self.queue_age = self._gauge("queue_oldest_item_age_seconds", "Age of the item that waits longest.", "queue")
        self.node_cpu = self._counter("node_cpu_seconds_total", "Processor time of a node.", "node", "mode")
        self.node_memory = self._gauge("node_memory_MemTotal_bytes", "Memory of a node.", "node")
        self.node_available = self._gauge("node_memory_MemAvailable_bytes", "Memory left of a node.", "node")
        disk = self._gauge("node_filesystem_avail_bytes", "Free on the disk of the database's server.", "mountpoint")
        disk.labels(namespace, "/var/lib/postgresql").set_function(lambda: shutil.disk_usage(database_disk).free)
        pod_labels = ("pod", "container")
        self.cpu = self._counter("container_cpu_usage_seconds_total", "Processor time.", *pod_labels)
        self.memory = self._gauge("container_memory_working_set_bytes", "Memory in use.", *pod_labels)
        self.periods = self._counter("container_cpu_cfs_periods_total", "Scheduling periods.", *pod_labels)
        self.throttled = self._counter("container_cpu_cfs_throttled_periods_total", "Periods held back.", *pod_labels)
        for status in STATUSES:
            self.executions.labels(namespace, status)
        for route in ROUTES:
            for key in API_KEYS if route.keyed else ():
                self.api_requests.labels(namespace, key, route.path)

    def begin_service(self, service: str, pod: str) -> None:
        """Show a new replica's series at 0."""
        self.durations.labels(self.namespace, service, pod)
        for route in routes_of(service):
            for code in CODES:
                self.requests.labels(self.namespace, service, route.path, route.method, str(code), pod)

    def request(self, route: Route, pod: str, code: int, duration_s: float) -> None:
        """Count an answer."""
        self.requests.labels(self.namespace, route.service, route.path, route.method, str(code), pod).inc()
        self.durations.labels(self.namespace, route.service, pod).observe(duration_s)

    def keyed(self, api_key: str, route: Route) -> None:
        """Count a request of a customer's key."""
        self.api_requests.labels(self.namespace, api_key, route.path).inc()

    def executed(self, status: str) -> None:
        """Count an execution that ended."""
        self.executions.labels(self.namespace, status).inc()

    def queue(self, queue: str, depth: int, oldest_s: float) -> None:
        """Show the queue."""
        self.queue_depth.labels(self.namespace, queue).set(depth)
        self.queue_age.labels(self.namespace, queue).set(oldest_s)

    def queue_unknown(self) -> None:
        """Show no queue: nobody can look, and 0 would be a lie."""
        self.queue_depth.clear()
        self.queue_age.clear()

    def forget(self, pod: str) -> None:
        """Take a pod's series away."""
        for metric in (self.requests, self.durations, self.cpu, self.memory, self.periods, self.throttled):
            metric.remove_by_labels({"pod": pod})

    def known_pods(self) -> set[str]:
        """Return the pods that have series now."""
        families = (self.durations, self.cpu)
        return {sample.labels["pod"] for family in families for m in family.collect() for sample in m.samples}

    def text(self) -> bytes:
        """Return everything in the text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, ("namespace", *labels), registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, ("namespace", *labels), registry=self.registry)
