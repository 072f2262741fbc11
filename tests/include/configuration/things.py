"""Objects as an API server gives them, for tests without one."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from pyrage.x25519 import Identity

from include.backups import sealing
from include.configuration import bundle
from include.configuration.bundle import Bundle, KindRead
from include.configuration.normalise import Object

AT = datetime(2026, 11, 26, 3, 0, 7, tzinfo=UTC)
KEY = b"k" * 32
OURS, ESCROW, STRANGER = (Identity.generate() for _ in range(3))
NAMED = {"operations": str(OURS.to_public()), "escrow": str(ESCROW.to_public())}
TO = sealing.recipients(NAMED)
CANARY = "ca/na+ry~pass word"


def thing(kind: str, name: str, api: str = "v1", *, metadata: dict[str, Any] | None = None, **fields: Any) -> Object:
    """Return an object with all that a server adds."""
    own = {
        "name": name,
        "namespace": "shop",
        "uid": "6f1c",
        "resourceVersion": "812",
        "generation": 3,
        "creationTimestamp": "2026-11-01T00:00:00Z",
        "managedFields": [{"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:data": {"f:a": {}}}}],
    }
    return {"apiVersion": api, "kind": kind, "metadata": own | (metadata or {}), **fields}


def secret(name: str = "login", **values: str) -> Object:
    """Return a normalised Secret."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in (values or {"password": CANARY}).items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "shop"},
        "type": "Opaque",
        "data": data,
    }


def config(name: str = "app", **values: str) -> Object:
    """Return a normalised ConfigMap."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "shop"},
        "data": values or {"a": "1"},
    }


def clear(*objects: Object, **changed: Any) -> Bundle:
    """Return a bundle that is not sealed yet."""
    shown = [bundle.public(each, KEY) if bundle.is_secret(each) else each for each in objects]
    known: dict[str, Any] = {
        "cluster": "uid-of-kube-system",
        "namespace": "shop",
        "taken_at": AT,
        "server_version": "v1.34.2",
        "kinds": (KindRead(group="", version="v1", kind="ConfigMap", plural="configmaps", namespaced=True, n=1),),
        "objects": bundle.stable(shown),
        "left_out": {"made by its owner": 3},
    }
    return Bundle(**{**known, **changed})


def sealed(*objects: Object, files: dict[str, bytes] | None = None, **changed: Any) -> Bundle:
    """Return one that is."""
    secrets = [each for each in objects if bundle.is_secret(each)]
    return bundle.seal(clear(*objects, **changed), secrets, files or {}, TO)
