"""I10: no password, token or key is found where it does not belong, in any of its spellings."""

from __future__ import annotations

import base64
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from sandbox.airflow_api import Airflow
from sandbox.components.postgres import connect, dsn, program
from sandbox.site import Site
from tests.proof import Proof

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

AT_HOME = {"secrets", "programs", "connections.json", "passwords.json", "users.acl"}
"""Files whose purpose is to hold passwords; each is readable by its owner only, which its own test shows."""


def spellings(secret: str) -> set[bytes]:
    """Plain, URL-quoted, and base64 at each of the three offsets that a surrounding text can give it."""
    shifted = (base64.b64encode(b"\0" * n + secret.encode())[4 * (n > 0) : -4] for n in range(3))
    return {secret.encode(), quote(secret, safe="").encode(), *shifted}


def canaries(site: Site) -> dict[str, str]:
    files = (file for file in site.path("secrets").iterdir() if not file.name.startswith("own-"))
    return {file.name: file.read_text() for file in files}


def logs(site: Site) -> Iterator[tuple[str, bytes]]:
    for folder in (site.path("logs"), site.path("airflow", "logs"), site.path("airflow", "task-logs")):
        yield from ((str(file), file.read_bytes()) for file in folder.rglob("*") if file.is_file())


def receivers(site: Site) -> Iterator[tuple[str, bytes]]:
    yield from ((str(file), file.read_bytes()) for file in site.path("receivers").rglob("*") if file.is_file())


def metadata(site: Site) -> Iterator[tuple[str, bytes]]:
    """The whole metadata database as text: XCom, rendered fields, connections, audit log."""
    for database, role in (("airflow", "airflow"), ("ops", "postgres")):
        secret = site.secret("postgres-superuser" if role == "postgres" else f"postgres-{role}")
        command = [
            str(program("pg_dump")),
            "--inserts",
            dsn(site, role, database, "postgres_ops").replace(f":{quote(secret, safe='')}@", "@"),
        ]
        done = subprocess.run(command, capture_output=True, check=True, env={"PGPASSWORD": secret})
        yield f"database {database}", done.stdout


def process_lists() -> Iterator[tuple[str, bytes]]:
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield str(process), process.read_bytes()
        except OSError:
            continue  # it ended while we looked


def hits(secrets: dict[str, str], places: Iterator[tuple[str, bytes]]) -> list[str]:
    known = {spelling: name for name, secret in secrets.items() for spelling in spellings(secret)}
    return [
        f"{name} in {place}" for place, content in places for spelling, name in known.items() if spelling in content
    ]


def test_the_search_finds_each_spelling() -> None:
    secret = "Zk3-canary_value%of/some-length"
    encoded = base64.b64encode(f"user:{secret} and more".encode())
    for content in (secret.encode(), quote(secret, safe="").encode(), encoded):
        assert hits({"x": secret}, iter([("somewhere", b"before " + content + b" after")]))


@pytest.mark.proof
def test_no_secret_is_found_anywhere(airflow_site: Site, proof: Proof) -> None:
    airflow = Airflow(airflow_site)
    airflow.wait_for_dags({"daily_health_check"})
    airflow.unpause("daily_health_check")
    airflow.wait_for_run("daily_health_check", airflow.trigger("daily_health_check"))
    secrets = canaries(airflow_site)
    assert len(secrets) >= 15
    found = [
        hit
        for places in (logs(airflow_site), receivers(airflow_site), metadata(airflow_site), process_lists())
        for hit in hits(secrets, places)
    ]
    leaked = {hit.partition(" in ")[0] for hit in found}
    what = "a password is found in no log, database, receiver or process list, plain, URL-quoted or base64"
    proof.held(what, n=len(secrets), held=len(secrets) - len(leaked), hits=found)


@pytest.mark.proof
def test_no_credential_and_no_row_of_a_backup_is_found_anywhere(airflow_site: Site, proof: Proof) -> None:
    airflow = Airflow(airflow_site)
    airflow.wait_for_dags({"daily_database_backup"})
    airflow.unpause("daily_database_backup")
    row = f"canary-{proof.random.getrandbits(96):024x}@example.org"
    with a_row(airflow_site, row), sampled() as samples:
        ended = airflow.wait_for_run("daily_database_backup", airflow.trigger("daily_database_backup"))
    assert ended["state"] == "success"
    assert any(b"pg_dump" in content for _, content in samples), "the dump was over before anybody looked"
    secrets = canaries(airflow_site) | {"a row": row}
    places = (logs(airflow_site), receivers(airflow_site), metadata(airflow_site), stored(airflow_site), iter(samples))
    found = [hit for place in places for hit in hits(secrets, place)]
    leaked = {hit.partition(" in ")[0] for hit in found}
    what = "no credential, private key or row of a backup is in a log, database, receiver, argument, environment, or the bucket"
    proof.held(what, n=len(secrets), held=len(secrets) - len(leaked), hits=found, samples=len(samples))


@contextmanager
def a_row(site: Site, email: str) -> Iterator[None]:
    """A user whom nobody else knows."""
    with connect(site) as database:
        database.execute("insert into users (email, role) values (%s, 'member')", [email])
        try:
            yield
        finally:
            database.execute("delete from users where email = %s", [email])


@contextmanager
def sampled() -> Iterator[list[tuple[str, bytes]]]:
    """Look at the arguments of all processes, and at the environment of PostgreSQL's programs, again and again."""
    samples: list[tuple[str, bytes]] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            samples.extend(each for each in [*process_lists(), *environments()] if each not in samples)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield samples
    finally:
        over.set()
        watcher.join()


def environments() -> Iterator[tuple[str, bytes]]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"/pg_" in (process / "cmdline").read_bytes():
                yield str(process / "environ"), (process / "environ").read_bytes()
        except OSError:
            continue


def stored(site: Site) -> Iterator[tuple[str, bytes]]:
    """What lies in the bucket, and in the folder where opened dumps lie for a while."""
    for folder in (site.path("s3", "objects"), site.path("s3", "versions"), site.path("backup-spool")):
        yield from ((str(file), file.read_bytes()) for file in folder.rglob("*") if file.is_file())


def test_what_holds_secrets_is_readable_by_its_owner_only(airflow_site: Site) -> None:
    holders = [
        file for file in airflow_site.state.rglob("*") if file.is_file() and AT_HOME & {file.name, file.parent.name}
    ]
    assert holders
    assert [str(file) for file in holders if file.stat().st_mode & 0o077] == []
