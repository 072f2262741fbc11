"""The watch beside a living Airflow: what it says of it is what Airflow says of itself."""

from __future__ import annotations

import re
import time

import httpx
import pytest

from sandbox.site import Site
from watch.decide import COMPONENTS

pytestmark = pytest.mark.integration


def gauges(site: Site) -> dict[str, float]:
    text = httpx.get(f"{site.url('watch')}/metrics", trust_env=False).raise_for_status().text
    lines = (re.fullmatch(r"(watch_\S+) (\S+)", line) for line in text.splitlines())
    return {line[1]: float(line[2]) for line in lines if line}


@pytest.mark.timeout(400)
def test_a_living_airflow_is_seen_with_its_dags(airflow_site: Site) -> None:
    wanted = {f'watch_airflow_component_up{{component="{name}"}}': 1.0 for name in ("api_server", *COMPONENTS)}
    wanted |= {
        f'watch_source_up{{source="{name}"}}': 1.0 for name in ("evidence", "backups", "airflow_health", "airflow")
    }
    wanted |= {f'watch_dag_missing{{dag_id="{name}"}}': 0.0 for name in ("daily_health_check", "daily_database_backup")}
    wanted |= {"watch_import_errors": 0.0}
    deadline = time.monotonic() + 60
    while not wanted.items() <= gauges(airflow_site).items() and time.monotonic() < deadline:
        time.sleep(1)
    seen = gauges(airflow_site)
    assert {name: seen.get(name) for name in wanted} == wanted
    assert seen['watch_dag_paused{dag_id="daily_health_check"}'] in {0.0, 1.0}
