"""What Kubernetes says now: the pods of the namespace and one ConfigMap, listed once and then watched."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes_asyncio import client, config, watch

from sandbox.simulator.patience import Outage, keep_on
from sandbox.simulator.pods import Pod, pod_from

WATCH_S = 240  # after that the server ends the watch and we take it up again where it ended
ANSWER_WITHIN_S = 10
CONFIG_MAP = "api-config"

ERRORS = (client.ApiException, aiohttp.ClientError, OSError, asyncio.TimeoutError, ValueError)

Call = Callable[..., Awaitable[Any]]
Raw = dict[str, Any]


class Cluster:
    """Stays as it was while the API server is away, as the pods themselves do."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.kubeconfig = kubeconfig
        self.namespace = namespace
        self.pods: dict[str, Pod] = {}
        self.config: dict[str, str] = {}
        self.changed = asyncio.Event()
        self.seen = False

    async def follow(self, stop: asyncio.Event) -> None:
        """Keep up with the API server until cancelled."""
        async with await config.new_client_from_config(config_file=str(self.kubeconfig)) as api:
            core = client.CoreV1Api(api)
            named = {"field_selector": f"metadata.name={CONFIG_MAP}"}
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_up("pods", core.list_namespaced_pod, {}, self._put_pods, stop))
                group.create_task(
                    self._keep_up(CONFIG_MAP, core.list_namespaced_config_map, named, self._put_config, stop)
                )

    async def _keep_up(
        self, what: str, call: Call, selection: Raw, put: Callable[[dict[str, Raw]], None], stop: asyncio.Event
    ) -> None:
        selection = {"namespace": self.namespace, **selection}
        outage = Outage(f"the Kubernetes API ({what})")

        def seen(found: dict[str, Raw]) -> None:
            outage.over()
            put(found)

        await keep_on(outage, lambda: _list_and_watch(call, selection, seen), stop, ERRORS)

    def _put_pods(self, found: dict[str, Raw]) -> None:
        self.pods = {name: pod_from(raw) for name, raw in found.items()}
        self.seen = True
        self.changed.set()

    def _put_config(self, found: dict[str, Raw]) -> None:
        self.config = dict(found.get(CONFIG_MAP, {}).get("data") or {})


async def _list_and_watch(call: Call, selection: Raw, put: Callable[[dict[str, Raw]], None]) -> None:
    answer = await call(**selection, _preload_content=False, _request_timeout=ANSWER_WITHIN_S)
    listing = await _json(answer)
    found = {raw["metadata"]["name"]: raw for raw in listing["items"]}
    put(found)
    version = listing["metadata"]["resourceVersion"]
    while version:
        version = await _watch_once(call, selection, version, found, put)


async def _json(answer: aiohttp.ClientResponse) -> Raw:
    if answer.status != 200:
        raise client.ApiException(status=answer.status, reason=answer.reason)
    result: Raw = await answer.json()
    return result


async def _watch_once(
    call: Call, selection: Raw, version: str, found: dict[str, Raw], put: Callable[[dict[str, Raw]], None]
) -> str:
    """Apply changes until the server ends the watch; return where to go on, empty to list anew."""
    watching = watch.Watch(return_type="object")
    started = asyncio.get_running_loop().time()
    options = {"resource_version": version, "timeout_seconds": WATCH_S, "allow_watch_bookmarks": True}
    async with watching.stream(call, **selection, **options, _request_timeout=WATCH_S + 30) as events:
        async for event in events:
            raw = event["raw_object"]
            version = raw["metadata"]["resourceVersion"]
            if _applied(event["type"], raw, found):
                put(found)
    # A watch that ends at once has lost its server: a fresh list fails with the reason, and waits.
    return version if asyncio.get_running_loop().time() - started > 1 else ""


def _applied(kind: str, raw: Raw, found: dict[str, Raw]) -> bool:
    if kind == "BOOKMARK":
        return False
    if kind == "DELETED":
        found.pop(raw["metadata"]["name"], None)
    else:
        found[raw["metadata"]["name"]] = raw
    return True
