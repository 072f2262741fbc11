"""Server-side apply of one object as a dry run: the API server checks everything, and nothing is kept."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from include.configuration.bundle import is_secret
from include.configuration.normalise import Object
from include.errors import RunbookError, TransientError
from include.probes.kubernetes import REQUEST_TIMEOUT_S, ApiReader, Json, pause_s, refusal

MANAGER = "ops-config-prove"
RIGHTS = frozenset({"Role", "RoleBinding"})
_LACKS_A_RIGHT = re.compile(r"cannot (?:patch|create) resource")


class RejectedError(RunbookError):
    """The API server would not take an object.

    :param status: its answer.
    """

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class DryApplier(ApiReader):
    """Reads, and applies with `dryRun=All`: the parameter is not the caller's to choose."""

    def dry_apply(self, path: str, thing: Object) -> Json:
        """Return the object as it would be; RejectedError if the server would refuse it, TransientError if it does not say."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            response = self._apply(path, thing)
        except ApiException as error:
            raise _refused(error, path, thing) from None
        except HTTPError as error:
            cause = type(getattr(error, "reason", None) or error).__name__
            raise TransientError(f"the Kubernetes API did not answer a dry run at {path}: {cause}") from None
        answer: Json = json.loads(response.data)
        return answer

    def _apply(self, path: str, thing: Object) -> Any:
        # urllib3 repeats no PATCH of its own accord, and a dry run that came twice would have changed nothing twice.
        return self.api.call_api(
            path,
            "PATCH",
            query_params=[
                ("fieldManager", MANAGER),
                ("force", "true"),
                ("dryRun", "All"),
                ("fieldValidation", "Strict"),
            ],
            header_params={"Accept": "application/json", "Content-Type": "application/apply-patch+yaml"},
            body=thing,
            auth_settings=["BearerToken"],
            _return_http_data_only=True,
            _preload_content=False,
            _request_timeout=REQUEST_TIMEOUT_S,
        )


def is_missing_right(error: RejectedError) -> bool:
    """Whether the account lacks a right, which says nothing about the object."""
    return error.status == 403 and bool(_LACKS_A_RIGHT.search(f"{error}"))


def is_ungrantable(thing: Object, error: RejectedError) -> bool:
    """Whether the server read a right and lets nobody grant what he has not, or bind a role that the dry run left nowhere."""
    return thing["kind"] in RIGHTS and ("attempting to grant" in f"{error}" or error.status == 404)


def _refused(error: Any, path: str, thing: Object) -> RunbookError:
    if error.status in {401, 429} or error.status >= 500:
        return refusal(error.status, path, str(error.reason), pause_s(error.headers))
    return RejectedError(f"{error.status}: {_words(error, thing)}", error.status)


def _words(error: Any, thing: Object) -> str:
    """Return what the server says, without what it quotes: a value that it does not like may be a secret one."""
    try:
        said = json.loads(error.body)
        causes = [f"{each['field']}: {each['reason']}" for each in (said.get("details") or {}).get("causes") or ()]
        message = str(said["message"])[:300]
        shown = message if not is_secret(thing) or _LACKS_A_RIGHT.search(message) else str(error.reason)
        return "; ".join(causes)[:300] or shown
    except (ValueError, TypeError, KeyError, AttributeError):
        return str(error.reason)[:100]


def into(thing: Object, namespace: str) -> Object:
    """Return an object as it goes into another namespace for a dry run, without what only one namespace can have at a time."""
    moved = deepcopy(thing)
    was = moved["metadata"].get("namespace", "")
    moved["metadata"]["namespace"] = namespace
    for subject in moved.get("subjects") or ():
        if subject.get("namespace") == was:
            subject["namespace"] = namespace
    for rule in (_RULES[kind] for kind in [moved["kind"]] if kind in _RULES):
        rule(moved["spec"])
    return moved


def _without_node_ports(spec: dict[str, Any]) -> None:
    for port in spec.get("ports") or ():
        port.pop("nodePort", None)  # it is taken, by the service itself
    if spec.get("clusterIP") not in {None, "None"}:
        spec.pop("clusterIP")


def _without_its_account(spec: dict[str, Any]) -> None:
    # A dry run of its account leaves none behind, and a bare pod asks for it at once.
    for name in ("serviceAccountName", "serviceAccount"):
        spec.pop(name, None)


_RULES = {"Service": _without_node_ports, "Pod": _without_its_account}


def address(thing: Mapping[str, Any], plural: str, namespace: str) -> str:
    """Return where a namespaced object goes."""
    version = thing["apiVersion"]
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    return f"{base}/namespaces/{namespace}/{plural}/{thing['metadata']['name']}"
