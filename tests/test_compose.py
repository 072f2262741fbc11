"""docker-compose.yaml, which no engine runs here: it is well-formed, and everything that it names exists."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from include.settings import Connections
from sandbox import connections
from sandbox.compose import known
from sandbox.site import PORTS, Site

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docker-compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()

NOT_COMPONENTS = {"door", "broker"}
OURS = {name: service for name, service in SERVICES.items() if name not in NOT_COMPONENTS}
ASSIGNED = re.compile(r"^(#?)([A-Z][A-Z0-9_]*)=(.*)$", re.MULTILINE)
PINNED = re.compile(r"^[\w./-]+:\d+\.\d+\.\d+[\w.-]*$")


def test_follows_the_compose_schema() -> None:
    schema = json.loads((ROOT / "tests/data/compose-spec.json").read_text())
    jsonschema.validate(COMPOSE, schema)


def test_has_a_service_for_every_component_and_no_other() -> None:
    assert set(OURS) == set(known())


@pytest.mark.parametrize("name", OURS)
def test_waits_for_what_the_component_needs(name: str) -> None:
    components = known()
    needed = dict.fromkeys(components[name].needs, "service_completed_successfully")
    needed |= {need: "service_healthy" for need in needed if components[need].runs}
    extra = {"broker": "service_healthy"} if "CeleryExecutor" in str(OURS[name]) else {}
    conditions = {need: spec["condition"] for need, spec in OURS[name]["depends_on"].items()}
    assert conditions == {"door": "service_healthy", **needed, **extra}


@pytest.mark.parametrize("name", OURS)
def test_runs_the_component_of_its_name(name: str) -> None:
    assert OURS[name]["command"] == ["python", "-m", "sandbox.compose", "run", name]


@pytest.mark.parametrize("name", OURS)
def test_a_step_without_a_process_is_not_started_again(name: str) -> None:
    assert OURS[name]["restart"] == ("on-failure" if known()[name].runs else "no")


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_ours_or_pinned(name: str) -> None:
    image = SERVICES[name]["image"]
    assert image == SERVICES["door"]["image"] or PINNED.match(image)


def test_the_image_is_built_once_from_a_stage_that_exists() -> None:
    built = {name: service["build"] for name, service in SERVICES.items() if "build" in service}
    assert set(built) == {"door"}
    assert f" AS {built['door']['target']}\n" in DOCKERFILE
    assert all(f"ARG {name}=" in DOCKERFILE for name in built["door"]["args"])


def test_the_image_has_the_airflow_of_the_lock_file() -> None:
    locked = re.search(r"^apache-airflow==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert locked
    assert f"FROM apache/airflow:{locked[1]}-python3.12 AS runtime" in DOCKERFILE


def test_the_image_copies_what_exists_and_is_not_ignored() -> None:
    allowed = {line[1:].rstrip("/") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    copied = {name.rstrip("/") for name in re.findall(r"^COPY (\S+) ", DOCKERFILE, re.MULTILINE)}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)


@pytest.mark.parametrize("name", SERVICES)
def test_files_and_volumes_exist(name: str) -> None:
    for source in (volume.split(":")[0] for volume in SERVICES[name].get("volumes", ())):
        assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], source
    for config in SERVICES[name].get("configs", ()):
        assert config["source"] in COMPOSE["configs"]


@pytest.mark.parametrize("name", SERVICES)
def test_modules_exist(name: str) -> None:
    command = SERVICES[name]["command"]
    modules = [after for word, after in pairwise(command) if word == "-m"]
    assert all(importlib.util.find_spec(module) for module in modules)


@pytest.mark.parametrize("name", SERVICES)
def test_only_the_door_is_published_and_only_on_loopback(name: str) -> None:
    if name != "door":
        assert SERVICES[name]["network_mode"] == "service:door"
        assert "ports" not in SERVICES[name]
        return
    published = [f"127.0.0.1:{PORTS[port]}:{PORTS[port]}" for port in SERVICES[name]["command"][4:]]
    assert SERVICES[name]["ports"] == published


@pytest.mark.parametrize("name", SERVICES)
def test_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


def test_every_variable_is_documented_and_every_documented_one_is_used() -> None:
    used = set(re.findall(r"\$\{(\w+)", TEXT))
    assert used == {name for commented, name, _ in ASSIGNED.findall(EXAMPLE) if not commented}


def test_every_variable_of_the_example_has_a_line_that_explains_it() -> None:
    assert list(_unexplained(EXAMPLE.splitlines())) == []


def _unexplained(lines: list[str]) -> Iterator[str]:
    for before, line in pairwise(["", *lines]):
        if ASSIGNED.match(line) and not (before.startswith("# ") and len(before) > 10):
            yield line


def test_no_secret_has_a_default() -> None:
    secrets = [name for name in set(re.findall(r"\$\{(\w+)", TEXT)) if "PASSWORD" in name or "SECRET" in name]
    assert secrets
    for name in secrets:
        assert set(re.findall(rf"\$\{{{name}(:\?)?", TEXT)) == {":?"}
        assert f"\n{name}=\n" in EXAMPLE


def test_every_airflow_connection_is_documented_as_it_is_loaded(tmp_path: Path) -> None:
    loaded = connections.all_of(Site.create(tmp_path / "site", PORTS))
    documented = {
        name: json.loads(value.strip("'")) for _, name, value in ASSIGNED.findall(EXAMPLE) if "_CONN_" in name
    }
    assert set(documented) == {f"AIRFLOW_CONN_{conn_id.upper()}" for conn_id in Connections().model_dump().values()}
    for conn_id, fields in loaded.items():
        assert documented[f"AIRFLOW_CONN_{conn_id.upper()}"]["conn_type"] == fields["conn_type"]


def test_says_that_it_was_not_run() -> None:
    assert "It was not run" in TEXT.split("name:")[0]
