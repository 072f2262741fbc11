"""Airflow's way to hear that somebody sets the state of a run by hand; what is then done is in `sre.by_hand`."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from sre import by_hand


class StateByHandPlugin(AirflowPlugin):
    """Registers the listener in the API server, where states are set."""

    name = "state_by_hand"
    listeners = [by_hand]  # noqa: RUF012 - Airflow's own form
