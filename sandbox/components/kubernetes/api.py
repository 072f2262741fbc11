"""The Kubernetes API for objects of any kind: read, list, and server-side apply."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from kubernetes import client, config

MANAGER = "sandbox"
APPLIED = "sandbox.ai-orchestrator.example/applied"
CONFLICT, NOT_FOUND = 409, 404
ANSWER_WITHIN_S = 20

Object: TypeAlias = dict[str, Any]
ApiException = client.ApiException


class Api:
    """A cluster as one kubeconfig sees it."""

    def __init__(self, kubeconfig: Path) -> None:
        self.client = config.new_client_from_config(config_file=str(kubeconfig))
        self._resources = cache(self._discover)

    def call(self, method: str, path: str, body: Object | None = None, **query: str) -> Object:
        """Return the JSON of the answer; ApiException for anything but success."""
        apply = {"Content-Type": "application/apply-patch+yaml"} if method == "PATCH" else {}
        response = self.client.call_api(
            path,
            method,
            query_params=list(query.items()),
            header_params={"Accept": "application/json", "Content-Type": "application/json", **apply},
            body=body,
            auth_settings=["BearerToken"],
            response_types_map={},
            _preload_content=False,
            _request_timeout=ANSWER_WITHIN_S,
        )
        answer: Object = json.loads(_raw(response))
        return answer

    def read(self, path: str) -> Object | None:
        """Return an object, None if there is none."""
        try:
            return self.call("GET", path)
        except ApiException as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def list_or_nothing(self, path: str) -> list[Object]:
        """Return the items of a list, none while its server is still on its way."""
        try:
            return list(self.call("GET", path)["items"])
        except ApiException:
            return []

    def apply(self, wanted: Object, *, force: bool = False) -> None:
        """Make the cluster hold this object; with `force`, whoever else changed it loses."""
        path = self.path(wanted)
        body = {key: value for key, value in wanted.items() if key != "status"}
        self._patch(path, body, force=force)
        if "status" in wanted:
            status = {**body, "status": wanted["status"]}
            status.pop("spec", None)
            self._patch(f"{path}/status", status, force=True)

    def apply_once(self, wanted: Object) -> str | None:
        """Apply an object whose text changed since we last did, and leave alone what a person changed.

        Return a sentence when the two collide: the person's change stays.
        """
        marked = _marked(wanted)
        present = self.read(self.path(wanted))
        if present and _mark(present) == _mark(marked):
            return None
        try:
            self.apply(marked)
        except ApiException as error:
            if error.status != CONFLICT:
                raise
            return f"{wanted['kind']} {wanted['metadata']['name']} stays as somebody changed it: {_message(error)}"
        return None

    def path(self, thing: Object) -> str:
        """Return the address of an object."""
        version, metadata = thing["apiVersion"], thing["metadata"]
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        plural, namespaced = self._resources(base)[thing["kind"]]
        inside = f"/namespaces/{metadata['namespace']}" if namespaced else ""
        return f"{base}{inside}/{plural}/{metadata['name']}"

    def _discover(self, base: str) -> dict[str, tuple[str, bool]]:
        listed = self.call("GET", base)["resources"]
        return {item["kind"]: (item["name"], item["namespaced"]) for item in listed if "/" not in item["name"]}

    def _patch(self, path: str, body: Object, *, force: bool) -> None:
        self.call("PATCH", path, body, fieldManager=MANAGER, force=str(force).lower())


def _raw(answer: Any) -> bytes:
    return bytes(answer.data)


def _marked(wanted: Object) -> Object:
    text = hashlib.sha256(json.dumps(wanted, sort_keys=True, default=str).encode()).hexdigest()[:16]
    metadata = wanted["metadata"]
    annotations = {**metadata.get("annotations", {}), APPLIED: text}
    return {**wanted, "metadata": {**metadata, "annotations": annotations}}


def _mark(thing: Object) -> str | None:
    mark: str | None = thing["metadata"].get("annotations", {}).get(APPLIED)
    return mark


def _message(error: Any) -> str:
    return str(json.loads(error.body).get("message", error.reason))[:200]
