"""Airflow runs every file below plugins/ that it is not told to ignore, under the name of the file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

LOAD = """
import json, sys
from airflow import plugins_manager
plugins_manager.ensure_plugins_loaded()
from airflow.plugins_manager import get_import_errors
print("loaded:" + json.dumps({
    name: module.__file__ for name, module in list(sys.modules.items())
    if "." not in name and (getattr(module, "__file__", None) or "").startswith(sys.argv[1])
}))
print("errors:" + json.dumps({name: str(error) for name, error in get_import_errors().items()}))
"""


def load(plugins: Path, home: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return what the loader ran in that folder, by module name, and what it could not."""
    environment = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": str(ROOT),
        "PATH": os.environ["PATH"],
    }
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(plugins)],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = dict(line.split(":", 1) for line in done.stdout.splitlines() if line.startswith(("loaded:", "errors:")))
    return json.loads(lines["loaded"]), json.loads(lines["errors"])


def test_only_files_that_are_meant_to_be_plugins_are_run(tmp_path: Path) -> None:
    loaded, errors = load(ROOT / "plugins", tmp_path)
    assert {name for name in loaded if name != "sre"} <= {path.stem for path in (ROOT / "plugins").glob("*_plugin.py")}
    assert errors == {}


def test_without_the_ignore_file_a_hook_would_take_the_place_of_a_library(tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    (plugins / "sre" / "hooks").mkdir(parents=True)
    (plugins / "sre" / "hooks" / "redis.py").write_text("SHADOW = True\n")
    assert "redis" in load(plugins, tmp_path)[0]
    (plugins / ".airflowignore").write_text((ROOT / "plugins" / ".airflowignore").read_text())
    (plugins / "pages_plugin.py").write_text("MEANT = True\n")
    assert set(load(plugins, tmp_path)[0]) == {"pages_plugin"}
