"""The Kubernetes steps of runbooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include import settings
from include.findings import Report
from include.rounds.kubernetes import RESTARTS, round_kubernetes
from include.settings import KubernetesLimits
from sre.operators.health import HealthOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.probes.kubernetes import ApiReader


class KubernetesHealthOperator(HealthOperator):
    """Look at workloads, pods, nodes and their use (H-05 to H-07, F-04 to F-06).

    :param limits: thresholds.
    :param namespace: of the platform; None is the setting.
    :param conn_id: Connection of type kubernetes whose account may list and read; None is the setting.
    """

    def __init__(
        self, *, limits: KubernetesLimits, namespace: str | None = None, conn_id: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(source="kubernetes", item="H-05", **kwargs)
        self.limits = limits
        self.namespace = namespace or settings.load().namespace
        self.conn_id = conn_id or settings.load().connections.kubernetes

    def look(self, context: Context) -> Report:
        """Ask the API server."""
        return round_kubernetes(
            self.reader(),
            namespace=self.namespace,
            limits=self.limits,
            previous=lambda: self.counters_of_yesterday(RESTARTS),
            now=self.now(),
            deadline_s=self.deadline_s,
        )

    def reader(self) -> ApiReader:
        """Return who asks."""
        from include.probes.kubernetes import ApiReader
        from sre.hooks.kubernetes import api_client

        return ApiReader(api_client(self.conn_id))
