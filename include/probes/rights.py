"""Whether a login reaches its target, may do what its family needs, and may not do more: what `make doctor` asks. Changes nothing.

Each probe returns one line about what it found, or raises a RunbookError that says what to change.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from include.errors import ConfigurationError
from include.probes.http import ask
from include.probes.postgres import Server
from include.sql import statement

if TYPE_CHECKING:
    import httpx
    from kubernetes.client import ApiClient
    from redis import Redis
    from slack_sdk import WebClient

NEEDED = (
    ("list", "", "pods"),
    ("get", "", "pods/log"),
    ("list", "", "events"),
    ("list", "apps", "deployments"),
    ("list", "apps", "statefulsets"),
    ("list", "apps", "daemonsets"),
    ("list", "batch", "jobs"),
    ("list", "autoscaling", "horizontalpodautoscalers"),
    ("list", "policy", "poddisruptionbudgets"),
    ("list", "metrics.k8s.io", "pods"),
)
EXCESS = (
    ("get", "", "secrets"),
    ("list", "", "configmaps"),
    ("create", "", "pods/exec"),
    ("delete", "", "pods"),
    ("patch", "apps", "deployments"),
    ("create", "rbac.authorization.k8s.io", "rolebindings"),
)
"""Verb, API group and resource, in the platform's namespace."""


def of_postgres(server: Server, database: str) -> str:
    """Log in, and compare database and rights with what a role that looks should have."""
    with server.session() as session:
        found = session.execute("select current_database() as database, current_user as role").fetchone() or {}
        excess = [row["may"] for row in session.execute(statement("excess_rights"))]
        monitors = session.execute("select pg_has_role('pg_monitor', 'MEMBER') as yes").fetchone() or {}
    if found.get("database") != database:
        raise ConfigurationError(f"logs into database {found.get('database')}, not {database}; change its schema field")
    if not monitors.get("yes"):
        raise ConfigurationError(
            f"role {found['role']} does not see other sessions: grant pg_monitor to {found['role']}"
        )
    _refuse(f"role {found['role']}", excess)
    return f"logs into {database} as {found['role']}, sees all, writes nothing"


def of_evidence(server: Server) -> str:
    """Log into the ops database: may it append, and may it do nothing but that."""
    may = "select has_function_privilege('ops.append_evidence(jsonb)', 'EXECUTE') as append"
    with server.session() as session:
        if session.execute("select to_regclass('ops.evidence') as table").fetchone() == {"table": None}:
            raise ConfigurationError(
                "the ops database has no evidence table: run `python -m include.ops.migrate` as its owner"
            )
        appends = (session.execute(may).fetchone() or {}).get("append")
        excess = [row["may"] for row in session.execute(statement("excess_rights"))]
    if not appends:
        raise ConfigurationError("may not append evidence: grant execute on function ops.append_evidence to this role")
    _refuse("this role", excess)
    return "appends evidence, changes none"


def of_redis(client: Redis, queue: str) -> str:
    """Log in and read what the check reads; the server's own answer names a command that is missing."""
    from redis.exceptions import RedisError

    try:
        client.ping()
        client.info("server")
        client.llen(queue)
    except RedisError as error:
        raise ConfigurationError(f"{type(error).__name__}: {error}; deploy/redis lists what the user needs") from None
    return f"answers, and reads {queue}"


def of_kubernetes(api: ApiClient, namespace: str) -> str:
    """Ask the API server itself what this account may do."""
    from kubernetes.client.exceptions import ApiException

    try:
        missing = [_said(rule) for rule in NEEDED if not _allowed(api, namespace, rule)]
        excess = [_said(rule) for rule in EXCESS if _allowed(api, namespace, rule)]
    except ApiException as error:
        raise ConfigurationError(
            f"the API server answers {error.status} {error.reason}; is the kubeconfig current?"
        ) from None
    if missing:
        raise ConfigurationError(
            f"may not {', '.join(missing)} in the namespace {namespace};"
            " correct the setting namespace, or apply deploy/kubernetes/ops-read.yaml"
        )
    _refuse("this account", excess)
    return (
        f"may do {len(NEEDED)} of {len(NEEDED)} things it needs in {namespace}, and none of {len(EXCESS)} it must not"
    )


def of_http(client: httpx.Client, name: str, path: str, **parts: object) -> str:
    """Ask for one small thing with the Connection's login."""
    ask(client, name, "GET", path, **parts)
    return f"answers GET {path}"


def of_slack(client: WebClient, channels: Iterable[str]) -> str:
    """Log in, and find the bot in every channel that the settings name."""
    from slack_sdk.errors import SlackApiError

    try:
        bot = client.auth_test()["user"]
        listed = (page["channels"] for page in client.conversations_list(limit=200, exclude_archived=True))
        joined = {f"#{channel['name']}" for page in listed for channel in page if channel.get("is_member")}
    except SlackApiError as error:
        raise ConfigurationError(f"Slack says {error.response['error']}; check the token and its scopes") from None
    if missing := sorted(set(channels) - joined):
        raise ConfigurationError(
            f"the bot {bot} is not in {', '.join(missing)}: invite it there, or change the setting"
        )
    return f"logs in as {bot}, in {', '.join(sorted(channels))}"


def _refuse(who: str, excess: list[str]) -> None:
    if excess:
        raise ConfigurationError(f"{who} may also {', '.join(excess[:5])}: take that away, looking needs no such right")


def _said(rule: tuple[str, str, str]) -> str:
    verb, _, resource = rule
    return f"{verb} {resource}"


def _allowed(api: ApiClient, namespace: str, rule: tuple[str, str, str]) -> bool:
    from kubernetes import client

    verb, group, resource = rule
    name, _, part = resource.partition("/")
    attributes = client.V1ResourceAttributes(
        namespace=namespace, verb=verb, group=group, resource=name, subresource=part or None
    )
    review = client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes))
    answer = client.AuthorizationV1Api(api).create_self_subject_access_review(review, _request_timeout=8)
    return bool(answer.status.allowed)
