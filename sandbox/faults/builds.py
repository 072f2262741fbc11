"""Faults that a rollout brings: a deployment gets a bad build, as `kubectl set image` would give it one."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import kubernetes
import urllib3

from sandbox.faults.fault import Fault, FaultError, Memo
from sandbox.images import behaviour_of, image
from sandbox.site import Site

NAMESPACE = "ai-orchestrator"
ANSWER_WITHIN_S = 10


def bad_build(name: str, *, service: str, behaviour: str, does: str, expect: str) -> Fault:
    """Return the switch that rolls a build out, and back."""
    return Fault(
        name=name,
        target=f"deployment/{service}",
        does=does,
        expect=expect,
        on=partial(_roll_out, service=service, behaviour=behaviour),
        off=partial(_roll_back, service=service),
    )


def _roll_out(site: Site, memo: Memo, *, service: str, behaviour: str) -> Memo:
    before = memo.get("image") or _image_of(site, service)
    if behaviour_of(before) != "good":
        before = image(service)  # somebody else's bad build is nothing to come back to
    _set_image(site, service, image(service, behaviour))
    return {"image": before}


def _roll_back(site: Site, memo: Memo, *, service: str) -> None:
    _set_image(site, service, memo.get("image") or image(service))


def _image_of(site: Site, service: str) -> str:
    deployment = _call(site, "read_namespaced_deployment", service)
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])


def _set_image(site: Site, service: str, reference: str) -> None:
    containers = [{"name": service, "image": reference}]
    _call(site, "patch_namespaced_deployment", service, {"spec": {"template": {"spec": {"containers": containers}}}})


def _call(site: Site, method: str, service: str, *body: Any) -> Any:
    kubeconfig = site.path("kubernetes", "admin.kubeconfig")
    try:
        with kubernetes.config.new_client_from_config(config_file=str(kubeconfig)) as api:
            apps = kubernetes.client.AppsV1Api(api)
            call = getattr(apps, method)
            answer = call(service, NAMESPACE, *body, _preload_content=False, _request_timeout=ANSWER_WITHIN_S)
            return json.loads(answer.data)
    except kubernetes.client.ApiException as error:
        raise FaultError(f"Kubernetes refused to change deployment/{service}: {error.reason}") from None
    except (kubernetes.config.ConfigException, urllib3.exceptions.HTTPError) as error:
        raise FaultError(f"Kubernetes at {kubeconfig} does not answer ({error}); is the platform up?") from None
