"""A real Kubernetes control plane, simulated kubelets on three nodes, and the namespace that the runbooks look after."""

from __future__ import annotations

from sandbox.components.kubernetes import control_plane, kubelets, metrics
from sandbox.components.kubernetes.own_cluster import OWN_CLUSTER
from sandbox.components.kubernetes.ownership import refuse_foreign_namespace

COMPONENTS = (*control_plane.COMPONENTS, kubelets.KWOK, metrics.METRICS_SERVER, OWN_CLUSTER)

__all__ = ["COMPONENTS", "refuse_foreign_namespace"]
