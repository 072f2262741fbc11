"""`python -m include.backups hold | release`: a person keeps a backup, and everybody sees it in the list."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from include.backups import __main__ as cli
from include.backups.retire import HOLD
from sandbox.components import s3
from sandbox.site import PROJECT, Site
from tests.include.backups.aged import Aged

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def here(site: Site) -> Aged:
    return Aged(site)


def call(here: Aged, *arguments: str, user: str = "backup_verifier") -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(PROJECT),
        "OPS_BACKUP__DATABASE": here.database,
        **s3.variables(here.site, user),
    }
    command = [sys.executable, "-m", "include.backups", *arguments]
    return subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=False)


def test_the_list_says_what_is_held_and_what_is_marked_to_go(here: Aged) -> None:
    held, marked = here.backup(40), here.marked(39)
    before = here.tags(held)
    done = call(here, "hold", held, "--reason", "audit of 2026, ask Mira")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{held} is held until it is released\n", "")
    assert here.tags(held) == {**before, HOLD: "audit of 2026  ask Mira"}
    first, second, _ = call(here, "list").stdout.splitlines()
    assert first.endswith(f"{held}  restored and equal in 42 s  held: audit of 2026  ask Mira")
    assert f"{marked}  restored and equal in 42 s  marked to go 20" in second
    assert call(here, "release", held).returncode == 0
    assert here.tags(held) == before
    assert "held" not in call(here, "list").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("hold", "", "--reason", "x"), "name the key of a backup"),
        (("hold", "backups/none"), "the following arguments are required: --reason"),
        (("release", ""), "name the key of a backup"),
    ],
)
def test_without_a_key_or_a_reason_the_bucket_is_not_even_asked(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(arguments)
    assert said in capsys.readouterr().err


def test_a_key_that_is_none_and_a_right_that_is_missing_are_told(here: Aged) -> None:
    key = here.backup(41)
    assert "there is no backup backups/none; " in call(here, "hold", "backups/none", "--reason", "x").stderr
    done = call(here, "hold", key, "--reason", "x", user="watch")
    assert done.returncode == 1
    assert done.stderr.startswith("the store refused to mark ")
    assert "lacks the right" in done.stderr
    assert HOLD not in here.tags(key)
