"""The database that is maintained, by its Airflow Connection."""

from __future__ import annotations

from include import settings
from include.backups.login import Login
from sre.hooks.postgres import parameters


def login() -> Login:
    """Return the login that may vacuum, analyze and rebuild, and read no row."""
    return Login(parameters(settings.load().connections.maintenance), "connections.maintenance")
