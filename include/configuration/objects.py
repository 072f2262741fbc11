"""The Kubernetes API for objects of any kind: read, and apply on the server's side, by dry run first."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from include.configuration.normalise import Object, name
from include.errors import ConfigurationError, RunbookError
from include.probes.kubernetes import REQUEST_TIMEOUT_S, ApiReader, Json
from include.recovery.cluster import UnsettledError

MANAGER = "ops-recover-config"
RESTARTER = "ops-recover-config-restart"
"""Field managers: one for what a bundle says, one for restart marks, which no later apply may take away."""

HINT = "check settings connections.recovery_configuration and namespace, and the rights in deploy/kubernetes"
SHUT = f"the window of {MANAGER} is shut"
"""What the admission policy says; deploy/kubernetes/ops-recover-config.yaml."""
_OWNER = re.compile(r'conflict with "([^"]*)"')


class UnreadableError(ConfigurationError):
    """The account may not read an object: nobody knows whether it is there."""


@dataclass
class Refusal(Exception):  # noqa: N818 - an answer to be judged, which never leaves this package
    """The API server understood and said no.

    :param causes: field and reason, without any value.
    :param is_shut: the window of the account is not open, or the API server has not heard of it yet.
    """

    status: int
    reason: str
    is_shut: bool = False
    causes: Sequence[tuple[str, str]] = ()

    @property
    def said(self) -> str:
        """`spec.selector: field is immutable`."""
        parts = [": ".join(part for part in cause if part) for cause in self.causes[:5]]
        return "; ".join(parts) or self.reason

    def error(self, deed: str) -> RunbookError:
        """Return it as an error of ours."""
        if self.is_shut or self.status in {410, 429} or self.status >= 500:
            return UnsettledError(
                f"the Kubernetes API answered {self.status} when asked to {deed}: {self.reason}",
                unknown=self.status >= 500,
            )
        return ConfigurationError(f"the Kubernetes API refused to {deed} ({self.status}: {self.said}); {HINT}")


@dataclass(frozen=True)
class ObjectApi(ApiReader):
    """Any object by its apiVersion, kind and name.

    :param namespace: of all that lives in one; that which an object says of itself does not count.
    :param manager: field manager of what is applied.
    """

    namespace: str = ""
    manager: str = MANAGER
    _kinds: dict[str, Mapping[str, tuple[str, bool]]] = field(default_factory=dict, repr=False)

    def serves(self, thing: Json) -> bool:
        """Whether the API server knows the kind."""
        return self._where(thing) is not None

    def is_namespaced(self, thing: Json) -> bool:
        """Whether it lives in the namespace; an unknown kind does if it says so."""
        where = self._where(thing)
        return where[1] if where else "namespace" in thing["metadata"]

    def find(self, thing: Json) -> Json | None:
        """Return the object as it is now, None if there is none."""
        if not self.serves(thing):
            return None
        try:
            return self.send("GET", self.path(thing))
        except Refusal as refusal:
            if refusal.status == 404:
                return None
            if refusal.status == 403:
                raise UnreadableError(f"the account of the recovery may not read {name(thing)}; {HINT}") from None
            raise refusal.error(f"read {name(thing)}") from None

    def apply(self, thing: Json, *, force: bool = False, dry_run: bool = False) -> Json:
        """Apply one object; Refusal if the server says no."""
        query = {"fieldManager": self.manager, "force": str(force).lower()} | ({"dryRun": "All"} if dry_run else {})
        return self.send("PATCH", self.path(thing), self.placed(thing), kind="apply-patch+yaml", **query)

    def remove(self, thing: Json, pointers: Sequence[str], version: str, *, dry_run: bool = False) -> Json:
        """Remove fields of exactly this version of an object: an apply cannot, when others own them. Refusal if the server says no.

        :param pointers: RFC 6901, so that each is still right when those before it are gone.
        """
        test = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
        patch = [test, *({"op": "remove", "path": each} for each in pointers)]
        query = {"fieldManager": self.manager} | ({"dryRun": "All"} if dry_run else {})
        return self.send("PATCH", self.path(thing), patch, kind="json-patch+json", **query)

    def merge(self, thing: Json, change: Json) -> Json:
        """Send one merge patch as the one who restarts; Refusal if the server says no."""
        return self.send("PATCH", self.path(thing), change, kind="merge-patch+json", fieldManager=RESTARTER)

    def placed(self, thing: Json) -> Object:
        """Return the object in our namespace."""
        metadata = {**thing["metadata"], **({"namespace": self.namespace} if self.is_namespaced(thing) else {})}
        return {**thing, "metadata": metadata}

    def path(self, thing: Json) -> str:
        """Return the address of an object; ConfigurationError if its kind is not served."""
        where = self._where(thing)
        if not where:
            raise ConfigurationError(
                f"the cluster does not know the kind of {name(thing)} ({thing['apiVersion']}); restore its definition first"
            )
        plural, namespaced = where
        inside = f"/namespaces/{self.namespace}" if namespaced else ""
        return f"{_base(thing)}{inside}/{plural}/{thing['metadata']['name']}"

    def send(self, method: str, path: str, body: Any = None, *, kind: str = "json", **query: str) -> Json:
        """Send one request, once; Refusal if the server says no, UnsettledError if nobody answered."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            response = self.api.call_api(
                path,
                method,
                query_params=list(query.items()),
                header_params={"Accept": "application/json", "Content-Type": f"application/{kind}"},
                body=body,
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _preload_content=False,
                _request_timeout=REQUEST_TIMEOUT_S,
            )
        except ApiException as error:
            raise _refusal(error) from None
        except HTTPError as error:
            cause = type(getattr(error, "reason", None) or error).__name__
            raise UnsettledError(
                f"the Kubernetes API did not answer {method} {path}: {cause}", unknown=method != "GET"
            ) from None
        answer: Json = json.loads(response.data)
        return answer

    def _where(self, thing: Json) -> tuple[str, bool] | None:
        version = thing["apiVersion"]
        if thing["kind"] not in self._kinds.get(version, {}):  # a definition may have come since
            self._kinds[version] = self._discovered(_base(thing))
        return self._kinds[version].get(thing["kind"])

    def _discovered(self, base: str) -> Mapping[str, tuple[str, bool]]:
        try:
            listed = self.send("GET", base)["resources"]
        except Refusal as refusal:
            if refusal.status == 404:
                return {}
            raise refusal.error(f"say which kinds {base} has") from None
        return {item["kind"]: (item["name"], item["namespaced"]) for item in listed if "/" not in item["name"]}


def _base(thing: Json) -> str:
    version = thing["apiVersion"]
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


def _refusal(error: Any) -> Refusal:
    try:
        body: Json = json.loads(error.body)
    except (ValueError, TypeError):
        body = {}
    causes = [_cause(each) for each in (body.get("details") or {}).get("causes") or ()]
    reason, shut = str(body.get("reason") or error.reason)[:100], SHUT in str(body.get("message"))
    return Refusal(status=error.status, reason=f"{reason}, {SHUT}" if shut else reason, is_shut=shut, causes=causes)


def _cause(cause: Json) -> tuple[str, str]:
    """Return the field and what is wrong with it; not the message, which holds the value, and that may be a secret."""
    message = str(cause.get("message", ""))
    owner = _OWNER.search(message)
    said = owner[1] if owner else "immutable" if "immutable" in message else str(cause.get("reason", ""))
    return str(cause.get("field", "")).lstrip("."), said
