from __future__ import annotations

import os
import pwd
import subprocess
import sys

import pytest

from sandbox.components import postgres
from sandbox.unprivileged import _with_requirements, python_for

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")


def test_we_ourselves_use_our_own_python() -> None:
    assert python_for(None, "patroni") == (sys.executable, {})


def test_a_package_comes_with_all_that_it_asks_for_and_once() -> None:
    found = list(_with_requirements("patroni", set()))
    assert {"patroni", "urllib3", "click", "psutil"} <= set(found)
    assert len(found) == len(set(found))
    assert "apache-airflow" not in found


@ROOT
@pytest.mark.integration
def test_another_user_runs_what_he_could_not_read() -> None:
    user = postgres.USER
    assert user is not None
    python, environment = python_for(user, "patroni", "python-etcd", "dnspython", "psycopg", "psycopg-binary")
    code = "import os, patroni.dcs.etcd3, psycopg; print(os.geteuid(), psycopg.pq.__impl__, patroni.__file__)"
    done = subprocess.run(
        [python, "-c", code],
        user=user,
        group=pwd.getpwnam(user).pw_gid,
        extra_groups=[],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    who, implementation, file = done.stdout.split()
    assert (int(who), implementation) == (pwd.getpwnam(user).pw_uid, "binary")
    assert file.startswith(environment["PYTHONPATH"])
