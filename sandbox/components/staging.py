"""The staging pair of the failover exercise: two PostgreSQL servers under Patroni, and a Valkey with its replica.

Patroni is the real one; its store is the cluster's etcd, under a prefix of its own. It starts its PostgreSQL by itself, so it runs
as the user who may (see sandbox/components/postgres.py).
"""

from __future__ import annotations

import hashlib
import json
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from string import Template
from typing import Any

import httpx
import psycopg
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from sandbox import unprivileged
from sandbox.component import Component, NotReadyError, nothing
from sandbox.components import postgres, valkey
from sandbox.components.kubernetes.layout import storage
from sandbox.site import PROJECT, Site

SCOPE = "staging"
POSTGRES = ("postgres-staging-1", "postgres-staging-2")
VALKEY = ("valkey-staging-1", "valkey-staging-2")
PATRONI_USER = "ops_failover"
TARGET_KEY = "failover:target"
FIRST_LEADER_WITHIN_S = 60

Settings = dict[str, Any]


def pair_dsn(site: Site, role: str = "ops_failover", **more: str) -> dict[str, Any]:
    """Return what psycopg needs to reach the primary of the pair, whichever it is."""
    return {
        "host": ",".join("127.0.0.1" for _ in POSTGRES),
        "port": ",".join(str(postgres.port(site, name)) for name in POSTGRES),
        "user": role,
        "password": postgres.password(site, role),
        "dbname": "postgres",
        "sslmode": "require",
        "target_session_attrs": "read-write",
        "connect_timeout": 5,
        **more,
    }


def rest_port(name: str) -> str:
    """Return the name of the port where a member's Patroni answers."""
    return _port(name).replace("postgres", "patroni")


def _port(name: str) -> str:
    return name.replace("-", "_")


def patroni_authority(site: Site) -> Path:
    """Return the certificate that vouches for the REST interfaces of both."""
    return postgres.authority_certificate(site)


# --- PostgreSQL under Patroni -------------------------------------------------------------------------------------------


def _prepare_postgres(name: str, site: Site) -> None:
    home = postgres.place(site, name)
    _certificates(name, site, home)
    postgres.write(home / "patroni.json", json.dumps(_patroni(name, site, home), indent=1))


def _certificates(name: str, site: Site, home: Path) -> None:
    postgres.write_certificate(site, name, home)
    to_store = storage(site).client(name, name)  # one each: both are made at the same moment
    copies = {
        "authority.crt": postgres.authority_certificate(site),
        "store.crt": to_store.certificate,
        "store.key": to_store.key,
        "store-authority.crt": storage(site).ca.certificate,
    }
    for copy, original in copies.items():
        postgres.write(home / copy, original.read_text())


def _patroni(name: str, site: Site, home: Path) -> Settings:
    return {
        "scope": SCOPE,
        "namespace": "/ai-orchestrator/",
        "name": name,
        "restapi": _restapi(name, site, home),
        "ctl": {"cacert": str(home / "authority.crt")},
        "etcd3": {
            "host": f"127.0.0.1:{site.ports['etcd']}",
            "protocol": "https",
            "cacert": str(home / "store-authority.crt"),
            "cert": str(home / "store.crt"),
            "key": str(home / "store.key"),
        },
        "bootstrap": {
            "dcs": _dynamic(),
            "initdb": ["data-checksums", "no-sync", {"encoding": "UTF8"}, {"locale": "C.UTF-8"}],
        },
        "postgresql": _postgresql(name, site, home),
    }


def _restapi(name: str, site: Site, home: Path) -> Settings:
    address = f"127.0.0.1:{site.ports[rest_port(name)]}"
    return {
        "listen": address,
        "connect_address": address,
        "certfile": str(home / "server.crt"),
        "keyfile": str(home / "server.key"),
        "authentication": {"username": PATRONI_USER, "password": site.secret("patroni-ops_failover")},
    }


def _dynamic() -> Settings:
    """Return what both share through the store: as quick as Patroni allows, since nobody else works on this machine's staging."""
    return {
        "ttl": 20,
        "loop_wait": 1,
        "retry_timeout": 3,
        "maximum_lag_on_failover": 1_048_576,
        "primary_start_timeout": 30,
        "postgresql": {
            "use_pg_rewind": True,
            "parameters": {
                "max_connections": 40,
                "shared_buffers": "16MB",
                "wal_keep_size": "64MB",
                "max_wal_size": "256MB",
            },
        },
    }


def _postgresql(name: str, site: Site, home: Path) -> Settings:
    address = f"127.0.0.1:{postgres.port(site, name)}"
    accounts = {"superuser": postgres.SUPERUSER, "replication": "replicator", "rewind": "rewinder"}
    return {
        "listen": address,
        "connect_address": address,
        "data_dir": str(home / "data"),
        "bin_dir": str(postgres.server_programs()),
        "pgpass": str(home / "pgpass"),
        "basebackup": [{"checkpoint": "fast"}, "no-sync"],
        "authentication": {
            use: {"username": role, "password": postgres.password(site, role), "sslmode": "require"}
            for use, role in accounts.items()
        },
        "parameters": {
            "ssl": "on",
            "ssl_cert_file": str(home / "server.crt"),
            "ssl_key_file": str(home / "server.key"),
            "unix_socket_directories": "",
            "password_encryption": "scram-sha-256",
            "jit": "off",
        },
        "pg_hba": [
            "hostssl all all 127.0.0.1/32 scram-sha-256",
            "hostssl replication replicator 127.0.0.1/32 scram-sha-256",
        ],
    }


def _run_patroni(name: str, site: Site) -> list[str]:
    python, _ = _python()
    return [python, "-m", "patroni", str(site.path(name, "patroni.json"))]


def _patroni_environment(name: str, site: Site) -> Mapping[str, str]:
    return {**_python()[1], "HOME": str(site.path(name)), "LC_ALL": "C.UTF-8"}


def _python() -> tuple[str, dict[str, str]]:
    return unprivileged.python_for(postgres.USER, "patroni", "python-etcd", "dnspython", "psycopg", "psycopg-binary")


def _postgres_ready(name: str, site: Site) -> None:
    try:
        answer = httpx.get(f"{site.url(rest_port(name), 'https')}/health", verify=_trust(site), timeout=5)
    except httpx.HTTPError as error:
        raise NotReadyError(f"Patroni of {name} does not answer ({type(error).__name__})") from None
    if answer.status_code != httpx.codes.OK:
        raise NotReadyError(f"Patroni of {name} says {answer.json().get('state', answer.status_code)}")


def _trust(site: Site) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(patroni_authority(site)))


def _second_ready(name: str, site: Site) -> None:
    """Both follow one leader."""
    _postgres_ready(name, site)
    members = httpx.get(f"{site.url(rest_port(name), 'https')}/cluster", verify=_trust(site), timeout=5).json()
    states = {member["name"]: (member["role"], member["state"]) for member in members.get("members", ())}
    if sorted(states.values()) != [("leader", "running"), ("replica", "streaming")]:
        raise NotReadyError(f"the pair is not whole: {states}")


def _fill_postgres(site: Site) -> None:
    with psycopg.connect(**pair_dsn(site, postgres.SUPERUSER), autocommit=True) as session:
        postgres.make_roles(site, session, "failover_exercise.sql", ["ops_failover"])
        postgres.make_roles(site, session, "staging_failover_target.sql", [])


def _of_postgres(name: str, after: Callable[[Site], None]) -> Component:
    first = name == POSTGRES[0]
    return Component(
        name=name,
        prepare=partial(_prepare_postgres, name),
        command=partial(_run_patroni, name),
        environment=partial(_patroni_environment, name),
        ready=partial(_postgres_ready if first else _second_ready, name),
        after=after,
        needs=("etcd",),  # side by side: whoever is first leads
        ports=(_port(name), rest_port(name)),
        user=postgres.USER,
        ready_within_s=FIRST_LEADER_WITHIN_S,
    )


# --- Valkey -------------------------------------------------------------------------------------------------------------

_VALKEY = """\
bind 127.0.0.1
port {port}
protected-mode yes
dir "{folder}"
aclfile "{folder}/users.acl"
appendonly yes
appendfsync everysec
databases 1
repl-diskless-sync-delay 0
repl-backlog-size 4mb
masteruser replication
masterauth {password}
"""


def valkey_client(site: Site, name: str, user: str = "ops_failover") -> Redis:
    """Return a client of one of the two."""
    return Redis(
        host="127.0.0.1",
        port=postgres.port(site, name),
        username=user,
        password=site.secret(f"redis-staging-{user}"),
        socket_timeout=5,
        socket_connect_timeout=2,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )


def _prepare_valkey(name: str, site: Site) -> None:
    folder = site.folder(name)
    users = ("admin", "replication", "ops_failover")
    hashes = {user: hashlib.sha256(site.secret(f"redis-staging-{user}").encode()).hexdigest() for user in users}
    acl = Template((PROJECT / "deploy" / "redis" / "staging.acl").read_text()).substitute(hashes)
    valkey.write_private(folder / "users.acl", acl)
    password = site.secret("redis-staging-replication")
    port = postgres.port(site, name)
    text = _VALKEY.format(port=port, folder=folder, password=password)
    if (leader := _answering_master(site, name)) is not None:
        text += f"replicaof 127.0.0.1 {postgres.port(site, leader)}\n"
    valkey.write_private(folder / "valkey.conf", text)


def _answering_master(site: Site, name: str) -> str | None:
    """Return whom this one follows: the second follows the first when both start, whoever starts later the one that runs."""
    other = next(each for each in VALKEY if each != name)
    try:
        with valkey_client(site, other) as redis:
            return other if redis.execute_command("ROLE")[0] == "master" else None
    except RedisError:
        return VALKEY[0] if name == VALKEY[1] else None


def _run_valkey(name: str, site: Site) -> list[str]:
    return [str(valkey.program()), str(site.path(name, "valkey.conf"))]


def _valkey_ready(name: str, site: Site) -> None:
    try:
        with valkey_client(site, name) as redis:
            role = redis.execute_command("ROLE")
    except RedisError as error:
        raise NotReadyError(str(error)) from None
    if role[0] == "slave" and role[3] != "connected":
        raise NotReadyError(f"{name} does not follow its master yet: {role[3]}")


def _fill_valkey(site: Site) -> None:
    for name in VALKEY:
        with valkey_client(site, name, "admin") as redis:
            if redis.execute_command("ROLE")[0] == "master":
                redis.set(TARGET_KEY, "staging")


def _of_valkey(name: str, after: Callable[[Site], None], needs: tuple[str, ...]) -> Component:
    return Component(
        name=name,
        prepare=partial(_prepare_valkey, name),
        command=partial(_run_valkey, name),
        ready=partial(_valkey_ready, name),
        after=after,
        needs=needs,
        ports=(_port(name),),
    )


COMPONENTS = (
    _of_postgres(POSTGRES[0], nothing),
    _of_postgres(POSTGRES[1], _fill_postgres),
    _of_valkey(VALKEY[0], nothing, ()),
    _of_valkey(VALKEY[1], _fill_valkey, (VALKEY[0],)),
)
