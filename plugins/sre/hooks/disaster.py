"""What the disaster-recovery test has, and nothing else: a reader of the bucket, one key, an empty server; by Airflow Connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from include import settings
from include.backups.login import Login
from include.disaster.pieces import Missing, Piece
from include.errors import ConfigurationError
from sre.hooks import backups
from sre.hooks.postgres import parameters

if TYPE_CHECKING:
    from include.backups.prove import Prover
    from include.backups.store import Store
    from include.configuration.objects import ObjectApi
    from include.configuration.shelf import Shelf
    from include.settings import BackupLimits


def kit(limits: BackupLimits) -> tuple[Prover | None, list[Missing]]:
    """Return who recovers, or each of the three things that he does not have."""
    from include.backups.prove import Prover

    found: dict[Piece, Any] = {}
    missing = []
    for piece, get in _pieces().items():
        try:
            found[piece] = get()
        except ConfigurationError as error:
            missing.append(Missing(piece=piece, said=str(error)))
    if missing:
        return None, missing
    return (
        Prover(
            store=found[Piece.STORE],
            server=found[Piece.TARGET],
            key=found[Piece.KEY],
            key_from=f"the Connection {settings.load().connections.dr_key}",
            limits=limits,
        ),
        [],
    )


def _pieces() -> Mapping[Piece, Callable[[], Any]]:
    chosen = settings.load()
    ids = chosen.connections
    return {
        Piece.STORE: lambda: backups.store(ids.dr_store, chosen.disaster.bucket),
        Piece.KEY: lambda: backups.private_key(ids.dr_key),
        Piece.TARGET: target,
    }


def target() -> Login:
    """Return the login at the empty server that is recovered into."""
    return Login(parameters(settings.load().connections.dr_target), "connections.dr_target")


def shelf() -> Shelf:
    """Return the configuration's bundles as they can be had with the key and the credentials of disaster recovery alone."""
    from include.configuration.shelf import Shelf

    chosen = settings.load()
    ids = chosen.connections
    return Shelf(
        store=backups.store(ids.dr_store, chosen.disaster.bucket),
        namespace=chosen.namespace,
        key=backups.private_key(ids.dr_key),
        key_from=f"the Connection {ids.dr_key}",
    )


def empty_namespace() -> ObjectApi:
    """Return the API as who may make and remove, in one namespace that is empty."""
    from include.configuration.objects import ObjectApi
    from sre.hooks.kubernetes import api_client

    chosen = settings.load()
    client = api_client(chosen.connections.dr_kubernetes)
    return ObjectApi(client, namespace=chosen.disaster.namespace, manager="ops-disaster-config")


def reports() -> Store:
    """Return the bucket as the user who may put reports there, and nothing else."""
    return backups.store(settings.load().connections.report_writer)
