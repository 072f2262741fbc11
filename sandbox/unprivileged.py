"""A Python that an unprivileged user can run, where we are root and what we run on lies in root's closed home."""

from __future__ import annotations

import compileall
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

CACHE = Path("/var/cache/ai-orchestrator-sandbox")
NEEDLESS = ("test", "site-packages", "config-*", "idlelib", "tkinter", "ensurepip", "lib2to3", "*.opt-?.pyc", "*.a")
"""Of the standard library: two thirds of its size."""

_one_at_a_time = threading.Lock()


def python_for(user: str | None, package: str, *extras: str) -> tuple[str, dict[str, str]]:
    """Return the interpreter and the environment that let a user run a package: ours, or copies that he can read.

    :param user: who runs it; None is ourselves.
    :param extras: further packages that it imports.
    """
    if user is None:
        return sys.executable, {}
    with _one_at_a_time:
        packages, home = _packages(package, extras), _interpreter(user)
    here = {"PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1"}
    return str(home / "bin" / _name()), here | ({"LD_LIBRARY_PATH": str(home / "lib")} if home.parent == CACHE else {})


def _interpreter(user: str) -> Path:
    installed = Path(sys.base_prefix)
    if _runs(user, installed):
        return installed
    target = CACHE / f"python-{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    if not target.exists():
        print(f"  copying Python to {target}, where the user {user} can read it")
        _at_once(target, partial(_copy_interpreter, installed))
    return target


def _name() -> str:
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def _runs(user: str, prefix: Path) -> bool:
    group = pwd.getpwnam(user).pw_gid
    try:
        command = [str(prefix / "bin" / _name()), "-c", "import ssl"]
        return not subprocess.run(
            command, user=user, group=group, extra_groups=[], env={}, cwd="/", capture_output=True, check=False
        ).returncode
    except OSError:
        return False


def _copy_interpreter(installed: Path, draft: Path) -> None:
    (draft / "bin").mkdir()
    (draft / "lib").mkdir()
    shutil.copy2(installed / "bin" / _name(), draft / "bin")
    for library in (installed / "lib").glob("libpython*.so*"):
        shutil.copy2(library, draft / "lib")
    shutil.copytree(installed / "lib" / _name(), draft / "lib" / _name(), ignore=shutil.ignore_patterns(*NEEDLESS))


def _packages(package: str, extras: tuple[str, ...]) -> Path:
    target = CACHE / f"{package}-{version(package)}-{_name()}"
    if not target.exists():
        names = {name for wanted in (package, *extras) for name in _with_requirements(wanted, set())}
        _at_once(target, partial(_copy_packages, names))
    return target


def _with_requirements(name: str, seen: set[str]) -> Iterator[str]:
    """Yield a package and all that is installed of what it asks for."""
    try:
        requirements = distribution(name).requires or []
    except PackageNotFoundError:  # for another system, or an extra that nobody chose
        return
    seen.add(name)
    yield name
    for required in (re.match(r"[\w.-]+", line) for line in requirements if "extra ==" not in line):
        if required and required[0] not in seen:
            yield from _with_requirements(required[0], seen)


def _copy_packages(names: Iterable[str], draft: Path) -> None:
    for file in (file for name in names for file in distribution(name).files or ()):
        if ".." not in file.parts and "__pycache__" not in file.parts:
            target = draft / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), target)
    compileall.compile_dir(draft, quiet=2)  # the user may not write: without it every start compiles all of it anew


def _at_once(target: Path, fill: Callable[[Path], object]) -> None:
    """Fill a draft beside the target and give it its name: nobody ever finds half of it."""
    CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=CACHE))
    fill(draft)
    for path in (draft, *draft.rglob("*")):
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
    try:
        draft.rename(target)
    except OSError:  # another start was faster
        shutil.rmtree(draft)
