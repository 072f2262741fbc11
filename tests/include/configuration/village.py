"""A namespace of every kind on the real API server, and everybody who recovers its configuration."""

from __future__ import annotations

import copy
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from include import settings
from include.configuration import operation, rollout
from include.configuration.bundle import OpenedBundle, stable
from include.configuration.choice import Choice
from include.configuration.listing import Lister, PatientReader
from include.configuration.normalise import Object, name, normalised
from include.configuration.objects import ObjectApi
from include.configuration.request import IDENTITY, Access, Chosen, Recovery, Request
from include.configuration.survey import Cluster
from include.configuration.vault import Vault
from include.ops import gate
from include.ops.database import OpsDatabase
from include.ops.saga import Facts
from include.probes.kubernetes import ApiReader
from include.settings import Settings
from sandbox import age_keys
from sandbox.components.kubernetes.api import Api, ApiException
from sandbox.components.kubernetes.layout import admin
from sandbox.components.postgres import dsn
from sandbox.images import image
from sandbox.site import Site
from tests.include.backups.world import World

YAML = Path(__file__).with_name("village.yaml")
CANARY = "canary/+ value?&=%"
READY_WITHIN_S = 60


@dataclass
class Village:
    """One namespace, its bundle, and the doors to it."""

    site: Site
    namespace: str
    limits: dict[str, Any] = field(default_factory=dict)
    bundle: OpenedBundle | None = None
    whole: OpenedBundle | None = None

    @classmethod
    def built(cls, site: Site, **limits: Any) -> Village:
        """Make the namespace and all that is in it, and wait until its pods are ready."""
        here = cls(site, f"village-{uuid.uuid4().hex[:8]}", limits)
        here.build()
        return here

    def build(self) -> None:
        for thing in self.written():
            self.api.call("PATCH", self.path(thing), thing, fieldManager="a-person", force="true")
        self.wait_until_ready()

    def written(self) -> list[Object]:
        """What a person wrote."""
        text = YAML.read_text().replace("@namespace@", self.namespace).replace("@image@", image("worker"))
        things = list(yaml.safe_load_all(text.replace("@canary@", CANARY)))
        for thing in things:
            if thing["kind"] != "Namespace":
                thing["metadata"]["namespace"] = self.namespace
        return things

    # --- the cluster ----------------------------------------------------------------------------------------------------

    @cached_property
    def api(self) -> Api:
        return Api(admin(self.site))

    @cached_property
    def objects(self) -> ObjectApi:
        return ObjectApi(self.api.client, namespace=self.namespace)

    def path(self, thing: Object) -> str:
        return self.api.path(thing)

    def the(self, kind: str, name: str) -> Object:
        """The object as it is now."""
        found = self.objects.find({"apiVersion": VERSIONS[kind], "kind": kind, "metadata": {"name": name}})
        assert found, f"no {kind} {name}"
        return dict(found)

    def change(self, kind: str, name: str, patch: Object, manager: str = "somebody") -> Object:
        """Change an object as a person does."""
        path = self.objects.path({"apiVersion": VERSIONS[kind], "kind": kind, "metadata": {"name": name}})
        return dict(self.objects.send("PATCH", path, patch, kind="merge-patch+json", fieldManager=manager))

    def delete_namespace(self) -> None:
        """Delete it, and wait until it is gone."""
        path = f"/api/v1/namespaces/{self.namespace}"
        self.api.call("DELETE", path)
        self._eventually(lambda: self.api.read(path) is None)

    def reset(self) -> None:
        """Make everything what the bundle has, whatever a test before did to it."""
        self.whole = self.whole or self.take()
        self.bundle = self.whole
        for thing in self.whole.objects:
            live = self.objects.find(thing)
            if live is None:
                self.api.call("PATCH", self.path(thing), thing, fieldManager="a-person", force="true")
            elif normalised(live) != thing:
                metadata = {**thing["metadata"], "resourceVersion": live["metadata"]["resourceVersion"]}
                self.api.call("PUT", self.path(thing), {**live, **thing, "metadata": metadata}, fieldManager="a-person")
        self.wait_until_ready()

    def edited(self, subject: str, edit: Callable[[Object], Any]) -> None:
        """Let the bundle have another object than it has."""
        assert self.whole
        objects = copy.deepcopy(self.whole.objects)
        (thing,) = [each for each in objects if name(each) == subject]
        edit(thing)
        self.bundle = self.bundle_of(objects)

    def remove(self) -> None:
        try:
            self.api.call("DELETE", f"/api/v1/namespaces/{self.namespace}")
        except ApiException:
            return

    def wait_until_ready(self) -> None:
        self._eventually(lambda: not self.unready())

    def unready(self) -> list[str]:
        found = Cluster.look(self.objects).workloads
        return [name(each) for each in found if not rollout.is_over(rollout.state(each))]

    def pods(self, app: str) -> set[str]:
        """Uids of the pods of an application."""
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        found = self.api.call("GET", path, labelSelector=f"app={app}")["items"]
        return {each["metadata"]["uid"] for each in found if not each["metadata"].get("deletionTimestamp")}

    def versions(self) -> dict[str, str]:
        """The resourceVersion of all that a person wrote."""
        found = {
            (thing["kind"], thing["metadata"]["name"]): self.api.read(self.path(thing)) for thing in self.written()
        }
        return {f"{kind}/{name}": it["metadata"]["resourceVersion"] if it else "" for (kind, name), it in found.items()}

    @staticmethod
    def _eventually(look: Any) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while not (seen := look()):
            assert time.monotonic() < deadline, f"not within {READY_WITHIN_S} s, last {seen!r}"
            time.sleep(0.1)

    # --- the bundle -----------------------------------------------------------------------------------------------------

    def take(self) -> OpenedBundle:
        """Back the namespace up, as the runbook does in earnest, and keep it in memory."""
        self.bundle = self.whole = self.bundle_of(self.live())
        return self.bundle

    def bundle_of(self, objects: list[Object], **other: Any) -> OpenedBundle:
        known: dict[str, Any] = {"cluster": self.cluster, "namespace": self.namespace, "taken_at": datetime.now(UTC)}
        return OpenedBundle(**(known | {"server_version": "v1", "kinds": (), "objects": objects} | other))

    def live(self) -> list[Object]:
        """Everything that a backup of the namespace holds, normalised."""
        reader = PatientReader(ApiReader(self.api.client))
        return stable(Lister(reader=reader, namespace=self.namespace, page_size=500).look().objects)

    @property
    def cluster(self) -> str:
        found = self.objects.find(IDENTITY)
        assert found
        return str(found["metadata"]["uid"])

    # --- the recovery ---------------------------------------------------------------------------------------------------

    @cached_property
    def chosen(self) -> Settings:
        usual = settings.Settings()
        limits = {"poll_s": 0.1, "rollout_within_s": 30, "write_within_s": 10} | self.limits
        changed = usual.configuration_recovery.model_copy(update=limits)
        return usual.model_copy(update={"namespace": self.namespace, "configuration_recovery": changed})

    @property
    def ops(self) -> OpsDatabase:
        return self.database("ops_runner")

    def database(self, role: str) -> OpsDatabase:
        return OpsDatabase({"conninfo": dsn(self.site, role, "ops", "postgres_ops")})

    def access(self, **other: Any) -> Access:
        assert self.bundle
        world, bundle = World(self.site, "orchestrator"), self.bundle
        known: dict[str, Any] = {
            "api": self.objects,
            "open": lambda key: Chosen(key=key or "bundle/1", sha256="0" * 64, bundle=bundle),
            "vault": Vault(
                writer=world.store("backup_writer"),
                reader=world.store("backup_verifier"),
                recipients=age_keys.recipients(self.site, age_keys.OF_CONFIGURATION),
                key=age_keys.private(self.site, age_keys.CONFIGURATION),
                key_from="the key of this test",
            ),
            "secret": b"of this test",
        }
        return Access(**known | other)

    def recovery(self, op_id: str = "", access: Access | None = None, **choice: Any) -> Recovery:
        request = Request(op_id=op_id or str(uuid.uuid4()), reason="a drill of the recovery", choice=Choice(**choice))
        return Recovery(request=request, access=access or self.access(), chosen=self.chosen)

    def approved(self, **choice: Any) -> str:
        """Plan a recovery, let somebody else approve it, and return its operation id."""
        recovery = self.recovery(**choice)
        gate.store(self.ops, recovery.plan(), requester="alice", people=2)
        stored = gate.newest(self.ops, recovery.request.op_id)
        approver = self.database("ops_approver")
        gate.approve(approver, stored.id, person="bob", reason="looked at it", answered_at=datetime.now(UTC))
        return recovery.request.op_id

    def recover(self, op_id: str = "", **choice: str) -> Facts:
        return operation.act(self.recovery(op_id or self.approved(**choice)), self.ops, holder="a test")


VERSIONS = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "ConfigMap": "v1",
    "Secret": "v1",
    "Service": "v1",
    "PersistentVolumeClaim": "v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
}
