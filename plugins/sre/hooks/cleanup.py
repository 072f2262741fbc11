"""Every door of a clean-up, by Airflow Connection."""

from __future__ import annotations

from datetime import datetime

from include import settings
from include.backups import catalogue, sealing
from include.backups.login import Login
from include.cleanup.archive import Archive
from include.cleanup.request import Access, Cleanup
from sre.hooks import backups
from sre.hooks.postgres import parameters


def cleanup(op_id: str) -> Cleanup:
    """Return the clean-up of one run; ConfigurationError names the first Connection or setting that is wrong."""
    chosen = settings.load()
    return Cleanup(
        op_id=op_id,
        access=access(),
        limits=chosen.cleanup,
        backup_max_age_h=chosen.retention.newest_good_max_age_h,
        code_version=chosen.code_version,
    )


def access() -> Access:
    """Return every door."""
    return Access(
        reader=backups.source(), deleter=deleter(), watcher=_watcher(), archive=archive(), newest_good=_newest_good
    )


def deleter() -> Login:
    """Return the login that may call the functions of `ops_cleanup`."""
    return Login(parameters(settings.load().connections.cleanup_postgres), "connections.cleanup_postgres")


def archive() -> Archive:
    """Return the archive: put by one user, read back by another."""
    chosen = settings.load()
    ids = chosen.connections
    return Archive(
        writer=backups.store(ids.archive_writer),
        verifier=backups.store(ids.backup_verifier),
        to=sealing.recipients(chosen.backup.recipients),
        identity=sealing.identity(backups.private_key(ids.backup_key), f"the Connection {ids.backup_key}"),
        database=chosen.backup.database,
    )


def _watcher() -> Login:
    return Login(parameters(settings.load().connections.postgres), "connections.postgres")


def _newest_good() -> datetime | None:
    chosen = settings.load()
    found = catalogue.look(backups.store(chosen.connections.backup_verifier), chosen.backup.database)
    return found.newest_good.at if found.newest_good else None
