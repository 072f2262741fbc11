"""Whether a login reaches its target, may do what its family needs, and may not do more: what `make doctor` asks. Changes nothing.

Each probe returns one line about what it found, or raises a RunbookError that says what to change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from include.errors import ConfigurationError
from include.probes import slack
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
NEEDED_EVERYWHERE = (
    ("list", "", "nodes"),
    ("list", "metrics.k8s.io", "nodes"),
)
"""Of nodes, which belong to no namespace."""
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
        missing = [
            f"{_said(rule)} in the namespace {namespace}" for rule in NEEDED if not _allowed(api, rule, namespace)
        ]
        missing += [f"{_said(rule)} of the cluster" for rule in NEEDED_EVERYWHERE if not _allowed(api, rule)]
        excess = [_said(rule) for rule in EXCESS if _allowed(api, rule, namespace)]
    except ApiException as error:
        raise ConfigurationError(
            f"the API server answers {error.status} {error.reason}; is the kubeconfig current?"
        ) from None
    if missing:
        raise ConfigurationError(
            f"may not {', '.join(missing[:3])}{f' and {len(missing) - 3} more' if missing[3:] else ''};"
            " correct the setting namespace, or apply deploy/kubernetes/ops-read.yaml"
        )
    _refuse("this account", excess)
    needed = len(NEEDED) + len(NEEDED_EVERYWHERE)
    return f"may do all {needed} things it needs in {namespace} and of nodes, and none of {len(EXCESS)} it must not"


def of_http(client: httpx.Client, name: str, path: str, **parts: object) -> str:
    """Ask for one small thing with the Connection's login."""
    ask(client, name, "GET", path, **parts)
    return f"answers GET {path}"


def of_slack(client: WebClient, channels: Iterable[str], *, read: str) -> str:
    """Log in, find the bot in every channel that the settings name, and read one message.

    :param channels: `#name`, or the id that Slack shows under a channel's details.
    :param read: the channel that the morning check reads; being in it does not prove the scope.
    """
    bot = slack.call(client, "auth.test")["user"]
    joined = {name: _joined(client, name) for name in (*channels, read)}
    if missing := sorted(name for name, channel_id in joined.items() if not channel_id):
        raise ConfigurationError(
            f"the bot {bot} is not in {', '.join(missing)}: invite it there, or change the setting"
        )
    slack.call(client, "conversations.history", channel=joined[read], limit=1)
    return f"logs in as {bot}, in {', '.join(sorted(joined))}, and reads {read}"


def _joined(client: WebClient, name: str) -> str:
    """Return the id of a channel that the bot is in, or ""."""
    known = slack.channels(client) if name.startswith("#") else _by_id(client, name)
    found = (each for each in known if each.get("is_member") and name in {f"#{each['name']}", each["id"]})
    return next((str(channel["id"]) for channel in found), "")


def _by_id(client: WebClient, channel_id: str) -> Iterator[Mapping[str, Any]]:
    # Of its own, since a list without further scopes leaves private channels out.
    yield slack.call(client, "conversations.info", channel=channel_id)["channel"]


def _refuse(who: str, excess: list[str]) -> None:
    if excess:
        raise ConfigurationError(f"{who} may also {', '.join(excess[:5])}: take that away, looking needs no such right")


def _said(rule: tuple[str, str, str]) -> str:
    verb, group, resource = rule
    return f"{verb} {resource}{f' ({group})' if group == 'metrics.k8s.io' else ''}"


def _allowed(api: ApiClient, rule: tuple[str, str, str], namespace: str | None = None) -> bool:
    from kubernetes import client

    verb, group, resource = rule
    name, _, part = resource.partition("/")
    attributes = client.V1ResourceAttributes(
        namespace=namespace, verb=verb, group=group, resource=name, subresource=part or None
    )
    review = client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes))
    answer = client.AuthorizationV1Api(api).create_self_subject_access_review(review, _request_timeout=8)
    return bool(answer.status.allowed)
