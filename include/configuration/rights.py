"""Whether each door of a configuration recovery opens as far as it must and no further, for `make doctor`; nothing is changed."""

from __future__ import annotations

from include.configuration.objects import ObjectApi, Refusal
from include.configuration.request import IDENTITY
from include.configuration.window import ACCOUNT, LEASE, Window
from include.errors import ConfigurationError
from include.probes.kubernetes import Json

TRIED: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "doctor"}, "data": {"tried": "yes"}}


def of_window(window: Window) -> str:
    """Look whether the window is open."""
    held = _holder(window)
    return f"the window of {ACCOUNT} is open for operation {held}" if held else f"the window of {ACCOUNT} is shut"


def of_recoverer(api: ObjectApi, window: Window) -> str:
    """Try to apply; the account's own window must be closed to it."""
    if not api.find(IDENTITY):
        raise ConfigurationError("the cluster has no namespace kube-system, so nobody can say which one it is")
    _try(api, "correct the setting namespace, or apply deploy/kubernetes/ops-recover-config.yaml")
    if _holder(window):
        return "tries, and writes: a recovery runs"
    try:
        api.send("PATCH", api.path(LEASE), {"spec": {}}, kind="merge-patch+json", dryRun="All")
    except Refusal as refusal:
        if refusal.status == 403:
            return f"tries in {api.namespace}, and cannot open its own window"
        raise refusal.error("ask for its own window") from None
    raise ConfigurationError(f"{ACCOUNT} can open its own window: apply deploy/kubernetes/ops-recover-config.yaml anew")


def of_empty_namespace(api: ObjectApi) -> str:
    """Try to apply where the disaster-recovery test does."""
    _try(api, "correct disaster.namespace, or apply deploy/kubernetes/disaster")
    return f"makes what it needs in {api.namespace}"


def _try(api: ObjectApi, way_out: str) -> None:
    try:
        api.apply(TRIED, dry_run=True)
    except Refusal as refusal:
        error = refusal.error(f"try a config map in {api.namespace}")
        raise ConfigurationError(f"{way_out} ({error})") if refusal.status in {403, 404} else error from None


def _holder(window: Window) -> str:
    try:
        return window.holder()
    except ConfigurationError as error:
        way_out = "correct the setting namespace, or apply deploy/kubernetes/ops-recover-config.yaml"
        raise ConfigurationError(f"{way_out} ({error})") from None
