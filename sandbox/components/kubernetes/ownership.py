"""The one guard between `make up` and a cluster that is not ours."""

from __future__ import annotations

from pathlib import Path

from kubernetes.config import ConfigException
from urllib3.exceptions import HTTPError

from sandbox.component import SetupError
from sandbox.components.kubernetes.api import Api, ApiException, Object

LABEL, OWNER = "app.kubernetes.io/managed-by", "ai-orchestrator-sandbox"


def refuse_foreign_namespace(kubeconfig: Path, namespace: str) -> None:
    """Make the namespace with our label, or find it with our label; SetupError when it is somebody else's."""
    try:
        present = Api(kubeconfig).read(f"/api/v1/namespaces/{namespace}")
        if present is None:
            Api(kubeconfig).call("POST", "/api/v1/namespaces", _namespace(namespace))
        elif present["metadata"].get("labels", {}).get(LABEL) != OWNER:
            raise SetupError(
                f"namespace {namespace!r} of the cluster in {kubeconfig} was not made by this sandbox (no label"
                f" {LABEL}={OWNER}), so nothing was changed there: choose a cluster without that namespace"
            )
    except ConfigException as error:
        raise SetupError(f"{kubeconfig} is no usable kubeconfig: {error}; give KUBECONFIG another file") from error
    except ApiException as error:
        raise SetupError(
            f"the cluster in {kubeconfig} answers {error.status} {error.reason} when asked for namespace {namespace!r};"
            f" give a kubeconfig that may get and create namespaces"
        ) from error
    except HTTPError as error:
        raise SetupError(f"the cluster in {kubeconfig} does not answer: {error}; is it running?") from error


def _namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {LABEL: OWNER}}}
