"""Imports point one way, dags to sre to include; the linter says so, and this says that the linter does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def refused(path: str, code: str) -> bool:
    """Return whether the project's own lint rules refuse that line in that file."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--no-cache",
            "--select=TID",
            "--quiet",
            f"--stdin-filename={path}",
            "-",
        ],
        input=code,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode != 0


@pytest.mark.parametrize(
    ("path", "code", "is_refused"),
    [
        ("include/checks/x.py", "import airflow", True),
        ("include/checks/x.py", "from airflow.sdk import BaseHook", True),
        ("include/probes/x.py", "from sre.hooks.slack import ReportSlackHook", True),
        ("include/probes/x.py", "from sandbox.site import Site", True),
        ("include/probes/x.py", "from . import y", True),
        ("include/probes/x.py", "from include.errors import RunbookError", False),
        ("plugins/sre/x.py", "from airflow.sdk import BaseHook", False),
        ("dags/x.py", "from airflow.sdk import DAG", False),
    ],
)
def test_imports_point_from_dags_to_sre_to_include(path: str, code: str, is_refused: bool) -> None:
    assert refused(path, f"{code}\n") is is_refused
