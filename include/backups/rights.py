"""Whether each user of the backups may do what it needs, and no more: what `make doctor` asks.

Each probe returns one line about what it found, or raises a RunbookError that says what to change. Nothing is changed; an upload is
begun and withdrawn, since the writer may do nothing else by which its rights would show.
"""

from __future__ import annotations

from collections.abc import Callable

from include.backups import keys, sealing, source
from include.backups.login import Login
from include.backups.programs import Programs
from include.backups.store import Store, Upload
from include.errors import ConfigurationError
from include.settings import BackupLimits

PROBE = "doctor"
"""End of the keys that are asked for; nothing lies there."""


def of_source(login: Login, limits: BackupLimits) -> str:
    """Log in, and compare server, client and rights with what a backup needs."""
    dump_version, dump_major = Programs(limits.programs).version("pg_dump")
    sealing.recipients(limits.recipients)
    with login.session("doctor") as session:
        server = source.look(session)
        [(role, reads, passes_policies, is_super)] = session.execute(
            "select rolname, pg_has_role('pg_read_all_data', 'usage'), rolbypassrls, rolsuper from pg_roles"
            " where rolname = current_user"
        ).fetchall()
    source.refuse(server, limits, dump_major=dump_major)
    if is_super:
        raise ConfigurationError(f"role {role} is a superuser: reading needs no such right; use ops_backup")
    if not reads or not passes_policies:
        raise ConfigurationError(
            f"role {role} does not see every row: grant pg_read_all_data and bypassrls (deploy/postgres/orchestrator_roles.sql)"
        )
    return f"reads all of {server.database} as {role} with {dump_version}, sealed to {', '.join(sorted(limits.recipients))}"


def of_scratch(server: Login, limits: BackupLimits) -> str:
    """Log in where backups are restored: may it make databases and roles, and is the program there that fills them?"""
    Programs(limits.programs).path("pg_restore")
    with server.session("doctor") as session:
        [(role, databases, roles)] = session.execute(
            "select rolname, rolcreatedb, rolcreaterole from pg_roles where rolname = current_user"
        ).fetchall()
    if not (databases and roles):
        raise ConfigurationError(
            f"role {role} may not make databases and roles; run deploy/postgres/scratch_roles.sql on the scratch server"
        )
    return f"makes and drops databases as {role}"


def of_writer(store: Store, limits: BackupLimits) -> str:
    """Begin an upload and withdraw it; reading and listing must be refused."""
    place = f"{keys.prefix(limits.database)}{PROBE}"
    with Upload(store, place, part_bytes=1):
        pass
    refuse(store, {"list": lambda: list(store.versions(place)), "read": lambda: store.get(place, "")})
    return f"may put below {keys.prefix(limits.database)}, and neither read nor list"


def of_verifier(store: Store, limits: BackupLimits) -> str:
    """List; the bucket must have versions and locks, and writing must be refused."""
    found = sum(1 for _ in store.versions(keys.prefix(limits.database)))
    if not store.is_versioned():
        raise ConfigurationError(f"the bucket {store.bucket} keeps no versions: switch versioning on")
    if not store.locks():
        raise ConfigurationError(
            f"the bucket {store.bucket} has no object lock: make one that has, it cannot be added later"
        )
    refuse(store, {"write": lambda: store.put(f"{keys.prefix(limits.database)}{PROBE}", b"")})
    return f"lists {found} objects, in a bucket with versions and locks, and may not write"


def of_reaper(store: Store, limits: BackupLimits) -> str:
    """List the unfinished uploads; reading must be refused."""
    found = len(store.uploads(keys.prefix(limits.database)))
    refuse(store, {"read": lambda: store.get(f"{keys.prefix(limits.database)}{PROBE}", "")})
    return f"sees {found} unfinished uploads, and may not read"


def of_recoverer(store: Store, limits: BackupLimits) -> str:
    """List, as who recovers after a disaster; writing and marking must be refused."""
    listed = list(store.versions(keys.prefix(limits.database)))
    refused: dict[str, Callable[[], object]] = {
        "write": lambda: store.put(f"{keys.prefix(limits.database)}{PROBE}", b"")
    }
    if listed:  # its own tags once more: if that is not refused, nothing is changed
        refused["mark"] = lambda: store.tag(listed[0].key, listed[0].id, {})
    refuse(store, refused)
    return f"lists {len(listed)} objects, and may neither write nor mark"


def of_reporter(store: Store, limits: BackupLimits) -> str:
    """Everything but putting reports must be refused; that is not tried, since what is put stays."""
    place = f"{keys.prefix(limits.database)}{PROBE}"
    refuse(
        store,
        {"write backups": lambda: store.put(place, b""), "list": lambda: list(store.versions("reports/"))},
    )
    return "may neither list nor write backups; a report is not put, since it would stay"


def of_key(key: str, where: str, limits: BackupLimits) -> str:
    """Compare the private key with the public ones."""
    public = str(sealing.identity(key, where).to_public())
    names = [name for name, text in limits.recipients.items() if text == public]
    if not names:
        raise ConfigurationError(f"{where} opens no backup: its public half {public} is not among backup.recipients")
    return f"opens every backup as {names[0]}"


def refuse(store: Store, deeds: dict[str, Callable[[], object]]) -> None:
    """Try what must be refused; ConfigurationError names what is not."""
    for name, deed in deeds.items():
        try:
            deed()
        except ConfigurationError:
            continue
        raise ConfigurationError(f"{store.who} may also {name}: take that away (deploy/s3)")
