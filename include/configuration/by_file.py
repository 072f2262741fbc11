"""Every door of a configuration recovery from a file of Connections: for a person without Airflow."""

from __future__ import annotations

from include.configuration.objects import ObjectApi
from include.configuration.request import Access
from include.configuration.shelf import Shelf
from include.configuration.vault import Vault
from include.configuration.window import Window
from include.errors import ConfigurationError
from include.recovery.by_file import Connections, kubernetes, store
from include.settings import Settings


def access(connections: Connections, chosen: Settings) -> Access:
    """Return every door; ConfigurationError names the Connection that is missing."""
    ids = chosen.connections
    key, key_from = _password(connections, ids.configuration_key), f"{ids.configuration_key} in {connections.path}"
    reader = store(connections, chosen, ids.backup_verifier)
    shelf = Shelf(store=reader, namespace=chosen.namespace, key=key, key_from=key_from)
    return Access(
        api=ObjectApi(kubernetes(connections, ids.recovery_configuration), namespace=chosen.namespace),
        open=shelf.open,
        vault=Vault(
            writer=store(connections, chosen, ids.backup_writer),
            reader=reader,
            recipients=chosen.configuration.recipients or chosen.backup.recipients,
            key=key,
            key_from=key_from,
        ),
        secret=_password(connections, ids.configuration_fingerprints).encode(),
        window=Window(
            ObjectApi(kubernetes(connections, ids.recovery_configuration_window), namespace=chosen.namespace)
        ),
    )


def _password(connections: Connections, conn_id: str) -> str:
    found = str(connections[conn_id].get("password") or "")
    if not found:
        raise ConfigurationError(f"{conn_id} in {connections.path} holds no password, which is its key; export it anew")
    return found
