"""Every door of a configuration recovery from a file of Connections: for a person without Airflow."""

from __future__ import annotations

from include.configuration.objects import ObjectApi
from include.configuration.request import Access
from include.configuration.shelf import Shelf
from include.configuration.vault import Vault
from include.configuration.window import Window
from include.recovery.by_file import Connections, kubernetes, store
from include.settings import Settings


def access(connections: Connections, chosen: Settings) -> Access:
    """Return every door; ConfigurationError names the Connection that is missing."""
    ids = chosen.connections
    key, key_from = str(connections[ids.backup_key].get("password", "")), f"{ids.backup_key} in {connections.path}"
    reader = store(connections, chosen, ids.backup_verifier)
    shelf = Shelf(store=reader, namespace=chosen.namespace, key=key, key_from=key_from)
    return Access(
        api=ObjectApi(kubernetes(connections, ids.recovery_configuration), namespace=chosen.namespace),
        open=shelf.open,
        vault=Vault(
            writer=store(connections, chosen, ids.backup_writer),
            reader=reader,
            recipients=chosen.backup.recipients,
            key=key,
            key_from=key_from,
        ),
        secret=shelf.secret,
        window=Window(
            ObjectApi(kubernetes(connections, ids.recovery_configuration_window), namespace=chosen.namespace)
        ),
    )
