"""Every door of a configuration recovery, by Airflow Connection."""

from __future__ import annotations

from include import settings
from include.configuration.objects import ObjectApi
from include.configuration.request import Access
from include.configuration.shelf import Shelf
from include.configuration.vault import Vault
from include.configuration.window import Window
from sre.hooks import backups
from sre.hooks.configuration import fingerprint_key, recipients, verifier
from sre.hooks.kubernetes import api_client


def shelf() -> Shelf:
    """Return the bundles of the namespace, as the verifier."""
    chosen = settings.load()
    ids = chosen.connections
    return Shelf(
        store=verifier(),
        namespace=chosen.namespace,
        key=backups.private_key(ids.configuration_key),
        key_from=f"the Connection {ids.configuration_key}",
    )


def access() -> Access:
    """Return them; ConfigurationError names the first Connection that is missing or leads nowhere."""
    chosen, ours = settings.load(), shelf()
    ids = chosen.connections
    return Access(
        api=cluster(),
        open=ours.open,
        vault=Vault(
            writer=backups.store(ids.backup_writer),
            reader=ours.store,
            recipients=recipients(),
            key=ours.key,
            key_from=ours.key_from,
        ),
        secret=fingerprint_key(ids.configuration_fingerprints),
        window=window(),
    )


def cluster() -> ObjectApi:
    """Return the cluster as who applies; it writes only while its window is open."""
    chosen = settings.load()
    return ObjectApi(api_client(chosen.connections.recovery_configuration), namespace=chosen.namespace)


def window() -> Window:
    """Return the window in which the account of the recovery may write."""
    chosen = settings.load()
    client = api_client(chosen.connections.recovery_configuration_window)
    return Window(ObjectApi(client, namespace=chosen.namespace))
