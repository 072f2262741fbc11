"""What the backups of the configuration need, by Airflow Connection: the cluster as two accounts, the bucket, the keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include import settings
from include.configuration.applying import DryApplier
from include.configuration.listing import Lister, PatientReader
from include.configuration.prove import Prover
from include.configuration.take import Taker
from include.errors import ConfigurationError
from include.probes.kubernetes import ApiReader
from sre.hooks import backups
from sre.hooks.connection import connection
from sre.hooks.kubernetes import api_client

if TYPE_CHECKING:
    from collections.abc import Mapping

    from include.backups.store import Store

KEY_BYTES_MIN = 16


def recipients() -> Mapping[str, str]:
    """Return who may open what is sealed: the configuration's own, or those of the backups where it has none."""
    chosen = settings.load()
    return chosen.configuration.recipients or chosen.backup.recipients


def reader() -> PatientReader:
    """Return the cluster as the account that reads the configuration."""
    return PatientReader(ApiReader(api_client(settings.load().connections.configuration_kubernetes)))


def lister() -> Lister:
    """Return who lists."""
    chosen = settings.load()
    limits = chosen.configuration
    return Lister(reader=reader(), namespace=chosen.namespace, page_size=limits.page_size, leave_out=limits.leave_out)


def applier() -> DryApplier:
    """Return the cluster as the account that makes dry runs in the scratch namespace."""
    return DryApplier(api_client(settings.load().connections.configuration_scratch))


def verifier() -> Store:
    """Return the bucket as who reads and marks."""
    return backups.store(settings.load().connections.backup_verifier)


def taker() -> Taker:
    """Return who takes: without a private key."""
    chosen = settings.load()
    return Taker(
        lister=lister(),
        folders=chosen.configuration.folders,
        sources=chosen.configuration.sources,
        store=backups.store(chosen.connections.backup_writer),
        recipients=recipients(),
        key=fingerprint_key(chosen.connections.configuration_fingerprints),
    )


def prover() -> Prover:
    """Return who proves: the verifier, the account of the scratch namespace, and the private key."""
    chosen = settings.load()
    ids, limits = chosen.connections, chosen.configuration
    return Prover(
        store=verifier(),
        cluster=applier(),
        scratch=limits.scratch_namespace,
        recipients=recipients(),
        key=backups.private_key(ids.configuration_key),
        key_from=f"the Connection {ids.configuration_key}",
        lock_days=chosen.backup.lock_days,
        expected=limits.cluster,
    )


def fingerprint_key(conn_id: str) -> bytes:
    """Return the key of the fingerprints; ConfigurationError if it could be guessed."""
    key = (connection(conn_id).password or "").encode()
    if len(key) < KEY_BYTES_MIN:
        raise ConfigurationError(
            f"the Connection {conn_id!r} holds no key of {KEY_BYTES_MIN} characters or more in its password: make one at random,"
            " and keep it, since with another one every Secret looks changed"
        )
    return key
