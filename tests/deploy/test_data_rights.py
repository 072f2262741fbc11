"""Who may do what at the data servers: every line is a call at the real server, allowed or denied."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from botocore.exceptions import ClientError
from psycopg import errors
from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from sandbox.components import s3, valkey
from sandbox.components.postgres import SERVERS, connect
from sandbox.site import Site

pytestmark = pytest.mark.integration

READ_ONLY = (
    "set session characteristics as transaction read write; "  # a role may lift its own default; rights must hold
)
ALLOWED, DENIED = "allowed", "denied"

POSTGRES: list[tuple[str, str, str, str]] = [
    # role, database, statement, whether it is allowed
    ("orchestrator_app", "orchestrator", "select email from users limit 1", ALLOWED),
    ("orchestrator_app", "orchestrator", "insert into events (user_id, kind) values (1, 'view')", ALLOWED),
    ("orchestrator_app", "orchestrator", "delete from execution_logs where id < 0", ALLOWED),
    ("orchestrator_app", "orchestrator", "create table public.mine (n integer)", DENIED),
    ("orchestrator_app", "orchestrator", "alter table users add column more text", DENIED),
    ("orchestrator_app", "orchestrator", "truncate audit_logs", DENIED),
    ("orchestrator_app", "orchestrator", "drop table audit_logs", DENIED),
    ("orchestrator_app", "orchestrator", "insert into ops_probe.writable default values", DENIED),
    ("ops_health", "orchestrator", "select count(*) from workflow_executions", ALLOWED),
    ("ops_health", "orchestrator", "select sum(amount) from billing", ALLOWED),
    ("ops_health", "orchestrator", "select count(distinct user_id) from events", ALLOWED),
    ("ops_health", "orchestrator", "select id, last_login_at from users limit 1", ALLOWED),
    ("ops_health", "orchestrator", "select query from pg_stat_statements limit 1", ALLOWED),
    ("ops_health", "orchestrator", "select * from pg_stat_replication", ALLOWED),
    ("ops_health", "orchestrator", "select approx_free_percent from pgstattuple_approx('workflow_versions')", ALLOWED),
    ("ops_health", "orchestrator", READ_ONLY + "insert into ops_probe.writable default values", ALLOWED),
    ("ops_health", "orchestrator", "insert into ops_probe.writable default values", DENIED),
    ("ops_health", "orchestrator", "select email from users limit 1", DENIED),
    ("ops_health", "orchestrator", "select key_hash from api_keys limit 1", DENIED),
    ("ops_health", "orchestrator", "select message from execution_logs limit 1", DENIED),
    ("ops_health", "orchestrator", "select * from audit_logs limit 1", DENIED),
    ("ops_health", "orchestrator", READ_ONLY + "update workflow_executions set status = 'failed' where id = 1", DENIED),
    ("ops_health", "orchestrator", READ_ONLY + "delete from ops_probe.writable", DENIED),
    ("ops_health", "orchestrator", READ_ONLY + "create temporary table t (n integer)", DENIED),
    (
        "ops_health",
        "orchestrator",
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postgres'",
        DENIED,
    ),
    ("ops_health", "orchestrator", "copy (select 1) to program 'cat > /dev/null'", DENIED),
    ("ops_health", "orchestrator", "select rolpassword from pg_authid", DENIED),
    ("ops_health", "postgres", "select 1", DENIED),
    ("ops_backup", "orchestrator", "select email from users limit 1", ALLOWED),
    ("ops_backup", "orchestrator", 'select count(*) from "AuditExport"', ALLOWED),
    ("ops_backup", "orchestrator", "select last_value from users_id_seq", ALLOWED),
    ("ops_backup", "orchestrator", "select pg_export_snapshot()", ALLOWED),
    ("ops_backup", "orchestrator", "begin; lock table users in access share mode; commit", ALLOWED),
    ("ops_backup", "orchestrator", READ_ONLY + "delete from users where id = 1", DENIED),
    ("ops_backup", "orchestrator", READ_ONLY + "insert into ops_probe.writable default values", DENIED),
    ("ops_backup", "orchestrator", "select system_identifier from pg_control_system()", ALLOWED),
    ("ops_backup", "orchestrator", "select count(*) from pg_largeobject", ALLOWED),
    ("ops_backup", "orchestrator", READ_ONLY + "select lo_unlink(1)", DENIED),
    ("ops_backup", "orchestrator", READ_ONLY + "select lo_put(1, 0, 'x')", DENIED),
    ("ops_backup", "orchestrator", READ_ONLY + "select lo_create(0)", DENIED),
    ("ops_backup", "orchestrator", READ_ONLY + "create table public.mine (n integer)", DENIED),
    (
        "ops_backup",
        "orchestrator",
        "select rolpassword from pg_authid",
        ALLOWED,
    ),  # so says pg_read_all_data; no dump holds it
    ("ops_backup", "orchestrator", "copy (select 1) to program 'cat > /dev/null'", DENIED),
    ("ops_maint", "orchestrator", "vacuum (analyze) workflows", ALLOWED),
    ("ops_maint", "orchestrator", "reindex index concurrently events_ts_idx", ALLOWED),
    ("ops_maint", "orchestrator", "select bt_index_check('users_pkey')", ALLOWED),
    ("ops_maint", "orchestrator", "select count(*) from users", DENIED),
    ("ops_maint", "orchestrator", "drop index events_ts_idx", DENIED),
    ("ops_maint", "orchestrator", "truncate execution_logs", DENIED),
    ("ops_maint", "orchestrator", "select avg_leaf_density from pgstatindex('users_pkey')", ALLOWED),
    ("ops_maint", "orchestrator", "select approx_free_percent from pgstattuple_approx('users')", ALLOWED),
    (
        "ops_maint",
        "orchestrator",
        "select ops_maintenance.drop_leftover('users_pkey'::regclass)",
        ALLOWED,
    ),  # and says no
    ("ops_maint", "orchestrator", "create table ops_maintenance.mine (n integer)", DENIED),
    ("ops_maint", "orchestrator", "alter table users add column more text", DENIED),
    ("ops_health", "orchestrator", "select ops_maintenance.drop_leftover('users_pkey'::regclass)", DENIED),
    ("orchestrator_app", "orchestrator", "select ops_maintenance.drop_leftover('users_pkey'::regclass)", DENIED),
    ("ops_cleanup", "orchestrator", "select 1", ALLOWED),
    ("ops_cleanup", "orchestrator", "delete from public.execution_logs", DENIED),
    ("ops_cleanup", "orchestrator", "select * from public.audit_logs limit 1", DENIED),
    ("ops_cleanup", "orchestrator", "select count(*) from ops_cleanup.old_versions(10)", ALLOWED),
    ("ops_cleanup", "orchestrator", "select ops_cleanup.close_stage(gen_random_uuid())", ALLOWED),
    ("ops_cleanup", "orchestrator", "select * from ops_cleanup.receipt", DENIED),
    ("ops_cleanup", "orchestrator", "insert into public.execution_logs default values", DENIED),
    ("ops_cleanup", "orchestrator", "create table ops_cleanup.mine (n integer)", DENIED),
    ("ops_cleanup", "postgres", "select 1", DENIED),
    ("ops_backup", "orchestrator", "select ops_cleanup.close_stage(gen_random_uuid())", DENIED),
    ("orchestrator_app", "orchestrator", "select ops_cleanup.close_stage(gen_random_uuid())", DENIED),
    ("ops_restore", "orchestrator", "select 1", DENIED),
    ("ops_restore", "postgres", "select 1", DENIED),
    ("ops_window", "orchestrator", "select 1", DENIED),
    ("ops_window", "postgres", "select ops_recovery.close_window()", ALLOWED),
    ("ops_window", "postgres", "alter role ops_restore login", DENIED),
    ("ops_window", "postgres", "alter role ops_restore superuser", DENIED),
    ("ops_window", "postgres", "set role ops_restore", DENIED),
    ("ops_window", "postgres", "set role ops_window_keeper", DENIED),
    ("ops_window", "postgres", "grant ops_restore to ops_window", DENIED),
    ("ops_window", "postgres", "create role another nologin", DENIED),
    ("ops_window", "postgres", "create database mine", DENIED),
    ("ops_health", "postgres", "select ops_recovery.open_window(now() + interval '1 h')", DENIED),
    ("ops_backup", "orchestrator_template", "select 1", ALLOWED),
    ("ops_health", "orchestrator_template", "select 1", DENIED),
    ("ops_verify", "postgres", "create database verify_rights", ALLOWED),
    ("ops_verify", "postgres", "drop database if exists verify_rights", ALLOWED),
    ("ops_verify", "postgres", "create role another nologin; drop role another", ALLOWED),
    ("ops_verify", "postgres", "create role another superuser", DENIED),
    ("ops_verify", "postgres", "copy (select 1) to program 'cat > /dev/null'", DENIED),
    ("ops_verify", "template1", "select 1", DENIED),
    ("airflow", "airflow", "create table public.rights (n integer); drop table public.rights", ALLOWED),
    ("airflow", "ops", "select 1", DENIED),
    ("ops_evidence_writer", "ops", "select 1", ALLOWED),
    ("ops_evidence_writer", "airflow", "select 1", DENIED),
    ("ops_evidence_writer", "ops", "create schema mine", DENIED),
    ("ops_evidence_reader", "ops", "select 1", ALLOWED),
    ("ops_evidence_reader", "airflow", "select 1", DENIED),
    ("ops_owner", "airflow", "select 1", DENIED),
    ("ops_runner", "airflow", "select 1", DENIED),
    ("ops_runner", "ops", "select count(*) from ops.plan", ALLOWED),
    ("ops_runner", "ops", "select ops.keep_lease('nothing', gen_random_uuid(), 0, 60)", ALLOWED),
    ("ops_runner", "ops", "delete from ops.lease", DENIED),
    ("ops_runner", "ops", "select ops.approve_plan(0, 'me', 'because I say so', now(), false, null)", DENIED),
    ("ops_runner", "ops", "select count(*) from ops.evidence", DENIED),
    ("ops_approver", "airflow", "select 1", DENIED),
    ("ops_approver", "ops", "select ops.approve_plan(0, 'me', 'because I say so', now(), false, null)", ALLOWED),
    ("ops_approver", "ops", "select ops.use_plan(0, '', 'me')", DENIED),
    ("ops_approver", "ops", "insert into ops.approval default values", DENIED),
]

IN_THE_WINDOW: list[tuple[str, str, str]] = [
    # of ops_restore, once its window is open: database, statement, whether it is allowed
    ("postgres", "create database rights_restore owner orchestrator_owner template orchestrator_template", ALLOWED),
    ("postgres", "comment on database rights_restore is 'ours'", ALLOWED),
    ("postgres", "alter database rights_restore allow_connections false", ALLOWED),
    ("postgres", "alter database rights_restore rename to rights_before", ALLOWED),
    ("postgres", "drop database rights_before", ALLOWED),
    ("postgres", "alter database orchestrator allow_connections true", ALLOWED),
    ("postgres", "select pg_terminate_backend(0)", ALLOWED),
    ("postgres", "select state, client_addr from pg_stat_activity", ALLOWED),
    ("orchestrator", "select count(*) from users", ALLOWED),  # it belongs to the owner of all of it
    ("postgres", "drop database orchestrator_template", DENIED),
    ("postgres", "alter database postgres allow_connections true", DENIED),
    ("postgres", "alter database template1 rename to other", DENIED),
    ("postgres", "create database mine owner postgres", DENIED),
    ("postgres", "create role another nologin", DENIED),
    ("postgres", "alter role ops_restore valid until 'infinity'", DENIED),
    ("postgres", "alter role orchestrator_app nologin", DENIED),
    ("postgres", "grant ops_restore to orchestrator_app", DENIED),
    ("postgres", "select ops_recovery.open_window(now() + interval '1 h')", DENIED),
    ("postgres", "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postgres'", DENIED),
    ("postgres", "select rolpassword from pg_authid", DENIED),
    ("postgres", "copy (select 1) to program 'cat > /dev/null'", DENIED),
    ("orchestrator", "create extension pageinspect", DENIED),
    ("orchestrator_template", "select 1", DENIED),
    ("template1", "select 1", DENIED),
]

# A role without CONNECT or LOGIN is turned away before it has a session, so there is no SQLSTATE to look at.
TURNED_AWAY = ("permission denied for database", "is not permitted to log in")
REFUSALS = (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction)


@pytest.mark.parametrize(("role", "database", "statement", "verdict"), POSTGRES)
def test_postgres(site: Site, role: str, database: str, statement: str, verdict: str) -> None:
    assert _at_postgres(site, role, database, statement) == verdict


@pytest.fixture(scope="module")
def window(site: Site) -> Iterator[None]:
    """The hour in which ops_restore may log in."""
    with connect(site, "ops_window", "postgres") as keeper:
        keeper.execute("select ops_recovery.open_window(clock_timestamp() + interval '1 h')")
        yield
        keeper.execute("select ops_recovery.close_window()")


@pytest.mark.usefixtures("window")
@pytest.mark.parametrize(("database", "statement", "verdict"), IN_THE_WINDOW)
def test_postgres_while_the_window_of_the_restore_is_open(
    site: Site, database: str, statement: str, verdict: str
) -> None:
    assert _at_postgres(site, "ops_restore", database, statement) == verdict


@pytest.mark.parametrize("until", ["now() - interval '1 s'", "now() + interval '241 min'", "'infinity'", "null"])
def test_no_window_is_longer_than_four_hours(site: Site, until: str) -> None:
    with connect(site, "ops_window", "postgres") as keeper, pytest.raises(errors.InvalidParameterValue):
        keeper.execute(f"select ops_recovery.open_window({until})".encode())


def _at_postgres(site: Site, role: str, database: str, statement: str) -> str:
    try:
        connection = connect(site, role, database, _server_of(role))
    except psycopg.OperationalError as refusal:
        if any(text in str(refusal) for text in TURNED_AWAY):
            return DENIED
        raise
    with connection:
        try:
            for part in statement.split("; "):
                connection.execute(part)
        except REFUSALS:
            return DENIED
    return ALLOWED


def _server_of(role: str) -> str:
    return next(name for name, server in SERVERS.items() if any(role in names for names in server.roles.values()))


ROLES = [(name, role) for name, server in SERVERS.items() for names in server.roles.values() for role in names]


@pytest.mark.parametrize(("server", "role"), ROLES)
def test_no_role_is_more_than_its_family_needs(site: Site, server: str, role: str) -> None:
    with connect(site, database="postgres", server=server) as connection:
        query = """select rolsuper or rolreplication, rolcreatedb, rolcreaterole, rolbypassrls, rolconnlimit, rolconfig
                   from pg_roles where rolname = %s"""
        row = connection.execute(query, [role]).fetchone()
    assert row is not None
    above, creates_databases, creates_roles, passes_policies, most_connections, options = row
    assert not above
    assert creates_databases is (role in {"ops_verify", "ops_restore"})
    assert creates_roles is (role == "ops_verify")  # on a server that holds nothing but what is being compared
    assert passes_policies is (role in {"ops_backup", "ops_verify"})  # a dump that a policy thins out is no backup
    assert 0 < most_connections <= 70
    assert any(option.startswith("lock_timeout=") for option in options)
    assert role == "airflow" or any(option.startswith("statement_timeout=") for option in options)


def test_a_query_of_the_health_check_is_cut_off(site: Site) -> None:
    with connect(site, "ops_health") as connection:
        assert connection.execute("show statement_timeout").fetchone() == ("10s",)
        connection.execute("set statement_timeout = '100ms'")
        with pytest.raises(errors.QueryCanceled):
            connection.execute("select pg_sleep(5)")


def test_the_health_check_has_sessions_that_nobody_else_takes(site: Site) -> None:
    with connect(site, "ops_health") as connection:
        query = (
            "select current_setting('reserved_connections')::int, pg_has_role('pg_use_reserved_connections', 'usage')"
        )
        assert connection.execute(query).fetchone() == (5, True)


Call = Callable[[Any], Any]

REDIS: list[tuple[str, str, Call, str]] = [
    ("ops_health", "PING", lambda redis: redis.ping(), ALLOWED),
    ("ops_health", "INFO", lambda redis: redis.info(), ALLOWED),
    ("ops_health", "DBSIZE", lambda redis: redis.dbsize(), ALLOWED),
    ("ops_health", "LLEN", lambda redis: redis.llen(valkey.QUEUE), ALLOWED),
    ("ops_health", "LINDEX", lambda redis: redis.lindex(valkey.QUEUE, -1), ALLOWED),
    ("ops_health", "LRANGE", lambda redis: redis.lrange(valkey.QUEUE, 0, 0), ALLOWED),
    ("ops_health", "MEMORY DOCTOR", lambda redis: redis.execute_command("MEMORY DOCTOR"), ALLOWED),
    ("ops_health", "MEMORY STATS", lambda redis: redis.memory_stats(), ALLOWED),
    ("ops_health", "CONFIG GET", lambda redis: redis.config_get("maxmemory*"), ALLOWED),
    ("ops_health", "CONFIG SET", lambda redis: redis.config_set("maxmemory", "1gb"), DENIED),
    ("ops_health", "GET a session", lambda redis: redis.get("session:1"), DENIED),
    ("ops_health", "SET", lambda redis: redis.set("queue:rights", "1"), DENIED),
    ("ops_health", "LPUSH", lambda redis: redis.lpush(valkey.QUEUE, "1"), DENIED),
    ("ops_health", "RPOP", lambda redis: redis.rpop(valkey.QUEUE), DENIED),
    ("ops_health", "DEL", lambda redis: redis.delete(valkey.QUEUE), DENIED),
    ("ops_health", "KEYS", lambda redis: redis.keys("*"), DENIED),
    ("ops_health", "FLUSHALL", lambda redis: redis.flushall(), DENIED),
    ("ops_health", "SHUTDOWN", lambda redis: redis.execute_command("SHUTDOWN"), DENIED),
    ("ops_health", "ACL LIST", lambda redis: redis.acl_list(), DENIED),
    ("orchestrator_app", "SET with an end", lambda redis: redis.set("cache:rights:1", "1", ex=5), ALLOWED),
    (
        "orchestrator_app",
        "LPUSH and LREM",
        lambda redis: (redis.lpush("queue:rights", "1"), redis.delete("queue:rights")),
        ALLOWED,
    ),
    ("orchestrator_app", "SET elsewhere", lambda redis: redis.set("other:1", "1"), DENIED),
    ("orchestrator_app", "KEYS", lambda redis: redis.keys("*"), DENIED),
    ("orchestrator_app", "FLUSHALL", lambda redis: redis.flushall(), DENIED),
    ("orchestrator_app", "CONFIG SET", lambda redis: redis.config_set("maxmemory", "1gb"), DENIED),
    ("orchestrator_app", "EVAL", lambda redis: redis.eval("return 1", 0), DENIED),
    ("ops_recover", "SCAN", lambda redis: redis.scan(match="cache:*", count=1), ALLOWED),
    ("ops_recover", "UNLINK a cached thing", lambda redis: redis.unlink("cache:rights"), ALLOWED),
    ("ops_recover", "UNLINK a session", lambda redis: redis.unlink("session:rights"), DENIED),
    ("ops_recover", "UNLINK the queue", lambda redis: redis.unlink("queue:rights"), DENIED),
    ("ops_recover", "UNLINK elsewhere", lambda redis: redis.unlink("other:rights"), DENIED),
    ("ops_recover", "RENAMENX", lambda redis: _set_aside(redis, "session:rights", "recovery:rights"), ALLOWED),
    ("ops_recover", "RENAMENX back", lambda redis: _set_aside(redis, "recovery:rights", "session:rights"), ALLOWED),
    ("ops_recover", "RENAMENX to another", lambda redis: redis.renamenx("session:rights", "cache:rights"), DENIED),
    ("ops_recover", "RENAMENX the queue", lambda redis: redis.renamenx("queue:rights", "recovery:rights"), DENIED),
    ("ops_recover", "RENAME", lambda redis: redis.rename("session:rights", "recovery:rights"), DENIED),
    ("ops_recover", "LRANGE", lambda redis: redis.lrange("queue:rights", 0, -1), ALLOWED),
    ("ops_recover", "LREM", lambda redis: redis.lrem("queue:rights", 1, "x"), ALLOWED),
    ("ops_recover", "LMOVE", lambda redis: redis.lmove("recovery:rights", "queue:rights", "RIGHT", "LEFT"), ALLOWED),
    ("ops_recover", "RPUSH aside", lambda redis: redis.rpush("recovery:rights", "x"), ALLOWED),
    ("ops_recover", "UNLINK what it set aside", lambda redis: redis.unlink("recovery:rights"), ALLOWED),
    ("ops_recover", "LPOP", lambda redis: redis.lpop("queue:rights"), DENIED),
    ("ops_recover", "DEL", lambda redis: redis.delete("cache:rights"), DENIED),
    ("ops_recover", "GET a session", lambda redis: redis.get("session:rights"), DENIED),
    ("ops_recover", "SET", lambda redis: redis.set("cache:rights", "1"), DENIED),
    ("ops_recover", "KEYS", lambda redis: redis.keys("*"), DENIED),
    ("ops_recover", "FLUSHALL", lambda redis: redis.flushall(), DENIED),
    ("ops_recover", "FLUSHDB", lambda redis: redis.flushdb(), DENIED),
    ("ops_recover", "EVAL", lambda redis: redis.eval("return 1", 0), DENIED),
    ("ops_recover", "CONFIG GET", lambda redis: redis.config_get("maxmemory"), DENIED),
    ("ops_recover", "INFO", lambda redis: redis.info(), DENIED),
    ("ops_cache_reader", "INFO", lambda redis: redis.info(), ALLOWED),
    ("ops_cache_reader", "SCAN", lambda redis: redis.scan(count=1), ALLOWED),
    ("ops_cache_reader", "TYPE", lambda redis: redis.type("session:1"), ALLOWED),
    ("ops_cache_reader", "PTTL", lambda redis: redis.pttl("cache:1"), ALLOWED),
    ("ops_cache_reader", "MEMORY USAGE", lambda redis: redis.memory_usage("queue:workflows"), ALLOWED),
    ("ops_cache_reader", "GET", lambda redis: redis.get("cache:1"), DENIED),
    ("ops_cache_reader", "DUMP", lambda redis: redis.dump("session:1"), DENIED),
    ("ops_cache_reader", "LRANGE", lambda redis: redis.lrange("queue:workflows", 0, 0), DENIED),
    ("ops_cache_reader", "UNLINK", lambda redis: redis.unlink("cache:rights"), DENIED),
    ("ops_cache_reader", "EXPIRE", lambda redis: redis.expire("cache:rights", 1), DENIED),
    ("ops_cache_reader", "KEYS", lambda redis: redis.keys("*"), DENIED),
    ("ops_cache_reader", "MEMORY PURGE", lambda redis: redis.memory_purge(), DENIED),
    ("ops_cache_reader", "CONFIG SET", lambda redis: redis.config_set("maxmemory", "1gb"), DENIED),
    ("ops_cache_remover", "UNLINK a cached thing", lambda redis: redis.unlink("cache:rights"), ALLOWED),
    ("ops_cache_remover", "DUMP a cached thing", lambda redis: redis.dump("cache:rights"), ALLOWED),
    ("ops_cache_remover", "UNLINK a session", lambda redis: redis.unlink("session:rights"), DENIED),
    ("ops_cache_remover", "UNLINK the queue", lambda redis: redis.unlink("queue:rights"), DENIED),
    ("ops_cache_remover", "UNLINK a lock", lambda redis: redis.unlink("lock:rights"), DENIED),
    ("ops_cache_remover", "DUMP a session", lambda redis: redis.dump("session:rights"), DENIED),
    ("ops_cache_remover", "RESTORE a session", lambda redis: redis.restore("session:rights", 0, b"x"), DENIED),
    ("ops_cache_remover", "DEL", lambda redis: redis.delete("cache:rights"), DENIED),
    ("ops_cache_remover", "GET", lambda redis: redis.get("cache:rights"), DENIED),
    ("ops_cache_remover", "KEYS", lambda redis: redis.keys("*"), DENIED),
    ("ops_cache_remover", "FLUSHALL", lambda redis: redis.flushall(), DENIED),
    ("ops_cache_remover", "FLUSHDB", lambda redis: redis.flushdb(), DENIED),
    ("ops_cache_remover", "EVAL", lambda redis: redis.eval("return 1", 0), DENIED),
]


def _set_aside(redis: Redis, key: str, name: str) -> None:
    try:
        redis.renamenx(key, name)
    except ResponseError as error:
        if "no such key" not in str(error):  # which is said to who was let in
            raise


@pytest.mark.parametrize(("user", "what", "call", "verdict"), REDIS, ids=[f"{user}-{what}" for user, what, *_ in REDIS])
def test_redis(site: Site, user: str, what: str, call: Call, verdict: str) -> None:
    with valkey.client(site, user) as redis:
        assert _at_redis(redis, call) == verdict


def _at_redis(redis: Redis, call: Call) -> str:
    try:
        call(redis)
    except NoPermissionError:
        return DENIED
    return ALLOWED


@pytest.fixture(scope="module")
def stored(site: Site) -> Iterator[dict[str, str]]:
    """An object with one version below the prefix of the backups."""
    key = f"backups/rights/{uuid4()}"
    answer = s3.client(site).put_object(Bucket=s3.BUCKET, Key=key, Body=b"backup")
    yield {"Bucket": s3.BUCKET, "Key": key, "VersionId": answer["VersionId"]}
    with suppress(ClientError):
        s3.client(site).delete_object(Bucket=s3.BUCKET, Key=key, VersionId=answer["VersionId"])


def _put(key: str) -> Callable[[Any, dict[str, str]], Any]:
    return lambda client, _: client.put_object(Bucket=s3.BUCKET, Key=key, Body=b"x")


def _get(client: Any, stored: dict[str, str]) -> Any:
    return client.get_object(Bucket=s3.BUCKET, Key=stored["Key"])


def _get_version(client: Any, stored: dict[str, str]) -> Any:
    return client.get_object(**stored)


def _get_report(client: Any, stored: dict[str, str]) -> Any:
    return client.get_object(Bucket=s3.BUCKET, Key="reports/rights/new")


def _delete_report(client: Any, stored: dict[str, str]) -> Any:
    return client.delete_object(Bucket=s3.BUCKET, Key="reports/rights/new")


def _get_archive(client: Any, stored: dict[str, str]) -> Any:
    return client.get_object(Bucket=s3.BUCKET, Key="archive/rights/new")


def _delete_archive(client: Any, stored: dict[str, str]) -> Any:
    return client.delete_object(Bucket=s3.BUCKET, Key="archive/rights/new")


def _list(client: Any, stored: dict[str, str]) -> Any:
    return client.list_objects_v2(Bucket=s3.BUCKET)


def _list_versions(client: Any, stored: dict[str, str]) -> Any:
    return client.list_object_versions(Bucket=s3.BUCKET)


def _list_uploads(client: Any, stored: dict[str, str]) -> Any:
    return client.list_multipart_uploads(Bucket=s3.BUCKET)


def _begin_and_abort(client: Any, stored: dict[str, str]) -> Any:
    upload = client.create_multipart_upload(Bucket=s3.BUCKET, Key="backups/rights/upload")["UploadId"]
    return client.abort_multipart_upload(Bucket=s3.BUCKET, Key="backups/rights/upload", UploadId=upload)


def _tag(client: Any, stored: dict[str, str]) -> Any:
    return client.put_object_tagging(**stored, Tagging={"TagSet": [{"Key": "state", "Value": "GOOD"}]})


def _put_tagged(client: Any, stored: dict[str, str]) -> Any:
    return client.put_object(Bucket=s3.BUCKET, Key="backups/rights/tagged", Body=b"x", Tagging="verdict=GOOD")


def _lock(client: Any, stored: dict[str, str]) -> Any:
    until = datetime.now(tz=UTC) + timedelta(seconds=60)
    return client.put_object_retention(**stored, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until})


def _tags(client: Any, stored: dict[str, str]) -> Any:
    return client.get_object_tagging(**stored)


def _lock_of(client: Any, stored: dict[str, str]) -> Any:
    with _no_lock():
        return client.get_object_retention(**stored)


def _legal_hold_of(client: Any, stored: dict[str, str]) -> Any:
    with _no_lock():
        return client.get_object_legal_hold(**stored)


@contextmanager
def _no_lock() -> Iterator[None]:
    """What is not locked has no answer, which is not a refusal."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchObjectLockConfiguration":
            raise


def _hold_legally(client: Any, stored: dict[str, str]) -> Any:
    return client.put_object_legal_hold(**stored, LegalHold={"Status": "ON"})


def _delete(client: Any, stored: dict[str, str]) -> Any:
    return client.delete_object(Bucket=s3.BUCKET, Key=stored["Key"])


def _delete_version(client: Any, stored: dict[str, str]) -> Any:
    return client.delete_object(**stored)


def _set_policy(client: Any, stored: dict[str, str]) -> Any:
    return client.put_bucket_policy(Bucket=s3.BUCKET, Policy='{"Version": "2012-10-17", "Statement": []}')


def _suspend(client: Any, stored: dict[str, str]) -> Any:
    return client.put_bucket_versioning(Bucket=s3.BUCKET, VersioningConfiguration={"Status": "Suspended"})


S3: list[tuple[str, Callable[[Any, dict[str, str]], Any], str]] = [
    ("backup_writer", _put("backups/rights/new"), ALLOWED),
    ("backup_writer", _begin_and_abort, ALLOWED),
    ("backup_writer", _put("elsewhere/new"), DENIED),
    ("backup_writer", _get, DENIED),
    ("backup_writer", _get_version, DENIED),
    ("backup_writer", _list, DENIED),
    ("backup_writer", _list_versions, DENIED),
    ("backup_writer", _tag, DENIED),
    ("backup_writer", _put_tagged, DENIED),
    ("backup_writer", _lock, DENIED),
    ("backup_writer", _delete, DENIED),
    ("backup_writer", _delete_version, DENIED),
    ("backup_writer", _set_policy, DENIED),
    ("backup_writer", _suspend, DENIED),
    ("backup_verifier", _get, ALLOWED),
    ("backup_verifier", _get_version, ALLOWED),
    ("backup_verifier", _list, ALLOWED),
    ("backup_verifier", _tag, ALLOWED),
    ("backup_verifier", _tags, ALLOWED),
    ("backup_verifier", _lock_of, ALLOWED),
    ("backup_verifier", _legal_hold_of, ALLOWED),
    ("backup_verifier", _hold_legally, DENIED),
    ("backup_verifier", _put("backups/rights/new"), DENIED),
    ("backup_verifier", _delete_version, DENIED),
    ("backup_restorer", _get, DENIED),
    ("backup_restorer", _list, DENIED),
    ("backup_restorer", _put("backups/rights/new"), DENIED),
    ("backup_dr", _list, ALLOWED),
    ("backup_dr", _list_versions, ALLOWED),
    ("backup_dr", _get, ALLOWED),
    ("backup_dr", _get_version, ALLOWED),
    ("backup_dr", _tags, ALLOWED),
    ("backup_dr", _get_report, DENIED),
    ("backup_dr", _tag, DENIED),
    ("backup_dr", _lock, DENIED),
    ("backup_dr", _hold_legally, DENIED),
    ("backup_dr", _put("backups/rights/new"), DENIED),
    ("backup_dr", _put("reports/rights/new"), DENIED),
    ("backup_dr", _delete, DENIED),
    ("backup_dr", _delete_version, DENIED),
    ("report_writer", _put("reports/rights/new"), ALLOWED),
    ("report_writer", _put("backups/rights/new"), DENIED),
    ("report_writer", _put("elsewhere/new"), DENIED),
    ("report_writer", _get_report, DENIED),
    ("report_writer", _get, DENIED),
    ("report_writer", _list, DENIED),
    ("report_writer", _list_versions, DENIED),
    ("report_writer", _delete_report, DENIED),
    ("report_writer", _delete_version, DENIED),
    ("archive_writer", _put("archive/rights/new"), ALLOWED),
    ("archive_writer", _get_archive, DENIED),
    ("archive_writer", _delete_archive, DENIED),
    ("archive_writer", _put("backups/rights/new"), DENIED),
    ("archive_writer", _get, DENIED),
    ("archive_writer", _list_versions, DENIED),
    ("backup_verifier", _get_archive, ALLOWED),
    ("backup_verifier", _put("archive/rights/new"), DENIED),
    ("backup_verifier", _delete_archive, DENIED),
    ("backup_reaper", _get_archive, DENIED),
    ("backup_reaper", _delete_archive, DENIED),
    ("backup_writer", _put("archive/rights/new"), DENIED),
    ("backup_writer", _put("reports/rights/new"), DENIED),
    ("backup_verifier", _get_report, DENIED),
    ("backup_reaper", _delete_report, DENIED),
    ("watch", _list, ALLOWED),
    ("watch", _get, ALLOWED),
    ("watch", _list_versions, ALLOWED),
    ("watch", _get_version, ALLOWED),
    ("watch", _tag, DENIED),
    ("watch", _put("backups/rights/new"), DENIED),
    ("watch", _delete, DENIED),
    ("backup_reaper", _list_versions, ALLOWED),
    ("backup_reaper", _list_uploads, ALLOWED),
    ("backup_reaper", _tags, ALLOWED),
    ("backup_reaper", _lock_of, ALLOWED),
    ("backup_reaper", _legal_hold_of, ALLOWED),
    ("backup_reaper", _tag, DENIED),
    ("backup_reaper", _lock, DENIED),
    ("backup_reaper", _hold_legally, DENIED),
    ("backup_reaper", _get, DENIED),
    ("backup_reaper", _put("backups/rights/new"), DENIED),
    ("backup_reaper", _delete, DENIED),
    ("backup_reaper", _suspend, DENIED),
    ("backup_reaper", _delete_version, ALLOWED),  # the last: the object is gone then
]


@pytest.mark.parametrize(("user", "call", "verdict"), S3)
def test_s3(site: Site, stored: dict[str, str], user: str, call: Callable[..., Any], verdict: str) -> None:
    assert _at_s3(s3.client(site, user), call, stored) == verdict


def _at_s3(client: Any, call: Callable[..., Any], stored: dict[str, str]) -> str:
    try:
        call(client, stored)
    except ClientError as error:
        if error.response["Error"]["Code"] == "AccessDenied":
            return DENIED
        raise
    return ALLOWED


def test_nobody_deletes_a_locked_version(site: Site) -> None:
    key = f"backups/rights/{uuid4()}"
    root = s3.client(site)
    version = root.put_object(Bucket=s3.BUCKET, Key=key, Body=b"kept")["VersionId"]
    until = datetime.now(tz=UTC) + timedelta(seconds=60)
    s3.client(site, "backup_verifier").put_object_retention(
        Bucket=s3.BUCKET, Key=key, VersionId=version, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until}
    )
    for user in ("backup_reaper", s3.ROOT):
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.client(site, user).delete_object(Bucket=s3.BUCKET, Key=key, VersionId=version)
