"""Kubernetes by Airflow Connection: the provider's client, its complaints in our words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.errors import ConfigurationError
from include.masking import one_line
from sre.hooks.connection import connection

if TYPE_CHECKING:
    from kubernetes.client import ApiClient


def api_client(conn_id: str) -> ApiClient:
    """Return a client; the provider's hook knows every way in which a cluster is reached. ConfigurationError if none is."""
    connection(conn_id)
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
    from kubernetes.config import ConfigException
    from yaml import YAMLError

    try:
        client: ApiClient = KubernetesHook(conn_id=conn_id).api_client
    except (ConfigException, YAMLError, OSError) as error:
        raise ConfigurationError(
            f"the Airflow Connection {conn_id!r} leads to no cluster: {one_line(str(error), 160)};"
            " check kube_config_path or in_cluster in its extra"
        ) from None
    return client
