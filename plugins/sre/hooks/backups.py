"""What the backups need, by Airflow Connection: logins, the bucket as one of its users, the private key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include import settings
from include.backups.login import Login
from include.backups.store import CONFIG, Store
from include.errors import ConfigurationError
from sre.hooks.connection import connection
from sre.hooks.postgres import parameters

if TYPE_CHECKING:
    from include.backups.prove import Prover
    from include.settings import BackupLimits


def source() -> Login:
    """Return the login at the database that is backed up, as the role that reads all of it."""
    return Login(parameters(settings.load().connections.backup_source), "connections.backup_source")


def scratch() -> Login:
    """Return the login at the server where backups are restored and compared."""
    return Login(parameters(settings.load().connections.backup_scratch), "connections.backup_scratch")


def store(conn_id: str, bucket: str = "") -> Store:
    """Return the bucket as the user of a Connection of type aws; ConfigurationError if it holds no keys of its own.

    :param bucket: another one than that of the settings.
    """
    to = connection(conn_id)
    if not to.login or not to.password:
        raise ConfigurationError(
            f"the Connection {conn_id!r} holds no access key: put its id into the login and its secret into the password;"
            " whatever else the worker's environment could log in as is not asked"
        )
    from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
    from botocore.config import Config

    client = AwsBaseHook(aws_conn_id=conn_id, client_type="s3", config=Config(**CONFIG)).conn
    return Store(client, bucket or settings.load().backup.bucket, who=f"the Connection {conn_id}")


def prover(limits: BackupLimits) -> Prover:
    """Return who proves: the verifier at the bucket, the scratch server, and the operational private key."""
    from include.backups.prove import Prover

    ids = settings.load().connections
    return Prover(
        store=store(ids.backup_verifier),
        server=scratch(),
        key=private_key(ids.backup_key),
        key_from=f"the Connection {ids.backup_key}",
        limits=limits,
    )


def private_key(conn_id: str) -> str:
    """Return the age private key in the password of a Connection."""
    key = connection(conn_id).password
    if not key:
        raise ConfigurationError(f"the Connection {conn_id!r} holds no age private key; put it into its password")
    return key
