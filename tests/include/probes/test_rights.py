from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from kubernetes import client, config
from slack_sdk import WebClient

from include.errors import ConfigurationError
from include.probes import rights
from include.probes.postgres import Server
from sandbox.components.postgres import dsn
from sandbox.site import Site

NAMESPACE = "ai-orchestrator"
ALERTS, OPERATIONS = "C0ALERTS01", "C0OPERAT01"
Asked = tuple[str, str, str, str | None]


def asked(attributes: client.V1ResourceAttributes) -> Asked:
    resource = "/".join(filter(None, (attributes.resource, attributes.subresource)))
    return attributes.verb, attributes.group, resource, attributes.namespace


def lets(monkeypatch: pytest.MonkeyPatch, *denied: Asked) -> None:
    """Let the API server grant what a reader needs and nothing else, without what is denied."""
    granted = {(*rule, NAMESPACE) for rule in rights.NEEDED} | {
        ("list", "", "nodes", None),
        ("list", "metrics.k8s.io", "nodes", None),
    }

    def review(_: Any, body: client.V1SelfSubjectAccessReview, **__: Any) -> client.V1SelfSubjectAccessReview:
        allowed = asked(body.spec.resource_attributes) in granted - set(denied)
        return client.V1SelfSubjectAccessReview(
            spec=body.spec, status=client.V1SubjectAccessReviewStatus(allowed=allowed)
        )

    monkeypatch.setattr(client.AuthorizationV1Api, "create_self_subject_access_review", review)


def test_a_reader_with_all_rights_may_do_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    lets(monkeypatch)
    assert "none of" in rights.of_kubernetes(client.ApiClient(), NAMESPACE)


@pytest.mark.parametrize(
    ("denied", "words"),
    [
        (("list", "", "pods", NAMESPACE), f"may not list pods in the namespace {NAMESPACE}"),
        (("list", "", "nodes", None), "may not list nodes of the cluster"),
        (("list", "metrics.k8s.io", "nodes", None), r"may not list nodes \(metrics.k8s.io\) of the cluster"),
    ],
)
def test_a_right_that_is_missing_is_named(denied: Asked, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lets(monkeypatch, denied)
    with pytest.raises(ConfigurationError, match=words):
        rights.of_kubernetes(client.ApiClient(), NAMESPACE)


@pytest.mark.parametrize("report", ["#operations", OPERATIONS])
@pytest.mark.parametrize("read", ["#alerts", ALERTS])
@pytest.mark.usefixtures("control")
def test_a_channel_is_found_by_its_name_and_by_its_id(report: str, read: str, web_client: WebClient) -> None:
    assert rights.of_slack(web_client, [report], read=read).endswith(f"and reads {read}")


@pytest.mark.parametrize("channel", ["#nowhere", "C0NOWHERE1", "#random", "C0RANDOM01"])
@pytest.mark.usefixtures("control")
def test_a_channel_without_the_bot_is_refused(channel: str, web_client: WebClient) -> None:
    with pytest.raises(ConfigurationError, match=channel):
        rights.of_slack(web_client, [channel], read="#alerts")


def test_one_message_is_read_to_prove_the_scope(control: httpx.Client, web_client: WebClient) -> None:
    rights.of_slack(web_client, ["#operations"], read="#alerts")
    calls = [each["path"] for each in control.get("/_recorded/slack").json()["recorded"]]
    assert any(path.endswith("conversations.history") for path in calls)


@pytest.mark.integration
class TestOnARealServer:
    @pytest.fixture
    def admin(self, site: Site) -> Iterator[psycopg.Connection]:
        with psycopg.connect(dsn(site, "postgres"), autocommit=True) as connection:
            yield connection

    def server(self, site: Site, role: str) -> Server:
        return Server(psycopg.conninfo.conninfo_to_dict(dsn(site, role)), 5)

    def test_the_role_that_looks_sees_all_and_writes_nothing(self, site: Site) -> None:
        found = rights.of_postgres(self.server(site, "ops_health"), "orchestrator")
        assert found == "logs into orchestrator as ops_health, sees all, writes nothing"

    def test_a_superuser_is_refused(self, site: Site) -> None:
        with pytest.raises(ConfigurationError, match="role postgres may also superuser"):
            rights.of_postgres(self.server(site, "postgres"), "orchestrator")

    @pytest.mark.parametrize("right", ["INSERT", "DELETE", "TRUNCATE"])
    def test_a_table_that_it_may_write_is_named(self, right: str, site: Site, admin: psycopg.Connection) -> None:
        admin.execute(f"GRANT {right} ON public.billing TO ops_health")
        try:
            with pytest.raises(ConfigurationError, match=r"may also write public\.billing: take that away"):
                rights.of_postgres(self.server(site, "ops_health"), "orchestrator")
        finally:
            admin.execute(f"REVOKE {right} ON public.billing FROM ops_health")

    def test_another_database_is_named(self, site: Site) -> None:
        with pytest.raises(ConfigurationError, match="logs into database orchestrator, not another"):
            rights.of_postgres(self.server(site, "ops_health"), "another")

    def test_the_account_that_looks_has_what_it_needs_of_the_cluster(self, site: Site) -> None:
        kubeconfig = str(site.path("kubernetes", "ops-read.kubeconfig"))
        assert "and of nodes" in rights.of_kubernetes(config.new_client_from_config(kubeconfig), NAMESPACE)
