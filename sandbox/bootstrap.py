"""Make .venv from the lock file with nothing but the standard library: what `make` runs before anything of ours is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
VENV = PROJECT / ".venv"
UV = "uv==0.13.9"
NEEDED_GB = 3


def main() -> None:
    """Install, or say in one sentence what is missing and how to get it."""
    refuse_full_disk()
    make_venv()
    install_packages()
    (VENV / "installed").touch()


def refuse_full_disk() -> None:
    """Stop before a half-installed environment is left behind."""
    free_gb = shutil.disk_usage(PROJECT).free / 1e9
    if free_gb < NEEDED_GB:
        sys.exit(
            f"{PROJECT} has {free_gb:.1f} GB free and the Python packages need {NEEDED_GB} GB: free some space first"
        )


def make_venv() -> None:
    """Make the environment with its own pip and uv; nothing when it is there."""
    if (VENV / "bin" / "uv").exists():
        return
    print(f"Making .venv with Python {sys.version.split()[0]} …", flush=True)
    if subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=False).returncode:
        sys.exit(
            "Python cannot make virtual environments: on Debian or Ubuntu run `apt install python3-venv`, then again"
        )
    if subprocess.run(
        [str(VENV / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", UV], check=False
    ).returncode:
        sys.exit(
            f"{UV} could not be installed: is the Python package index reachable? Its address is pip's own setting"
        )


def install_packages() -> None:
    """Install exactly what the lock file names, checked by hash, with byte code compiled: Airflow starts twice as fast."""
    print("Installing the Python packages of requirements-dev.txt …", flush=True)
    sync = [
        str(VENV / "bin/uv"),
        "pip",
        "sync",
        "--quiet",
        "--require-hashes",
        "--compile-bytecode",
        "requirements-dev.txt",
    ]
    environment = {**os.environ, "VIRTUAL_ENV": str(VENV)}
    if subprocess.run(sync, cwd=PROJECT, env=environment, check=False).returncode:
        sys.exit("The Python packages could not be installed: see above; with no network, a filled uv cache is enough")


if __name__ == "__main__":
    main()
