from __future__ import annotations

import hashlib
import io
import stat
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sandbox import binaries
from sandbox.binaries import MODULES, Module, Program, Release, program, provide
from sandbox.component import SetupError
from sandbox.site import free_ports

PROGRAM = b"#!/bin/sh\necho released\n"
ARCH = binaries._arch()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  # the name is its parent's
        pass


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What a release server on loopback serves."""
    folder = tmp_path / "releases"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("SANDBOX_RELEASES", f"http://127.0.0.1:{server.server_port}")
    try:
        yield folder
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and no network for those that forget."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("SANDBOX_RELEASES", f"http://127.0.0.1:{free_ports()['s3']}")
    return tmp_path / "cache"


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that writes down what it was asked for, and builds a shell script."""
    folder = tmp_path / "bin"
    folder.mkdir()
    executable = folder / "go"
    executable.write_text(
        '#!/bin/sh\nif [ "$1" = env ]; then echo go99.1.0; exit; fi\n'
        f'echo "$CGO_ENABLED $@" > {folder}/asked\n'
        'while [ "$1" != -o ]; do shift; done\n'
        'for package in "$@"; do name=$(basename ${package%/v3}); echo "#!/bin/sh" > "$2/$name"; done\n'
        "echo compiled/one >&2\n"
    )
    executable.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder / "asked"


def _module(release: Release | None) -> Module:
    return Module("kubernetes", {"etcd": Program("go.etcd.io/etcd/server/v3", release)}, ("-trimpath",))


PLAIN = Release("dl.example", "v{v}/{arch}/etcd", "v{v}/{arch}/etcd.sha256")
PACKED = Release("dl.example", "v{v}/etcd-{arch}.tar.gz", "v{v}/SHA256SUMS", "etcd-{arch}/etcd")


def _serve(folder: Path, path: str, content: bytes) -> None:
    file = folder / "dl.example" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _version() -> str:
    return _module(None).version("go.etcd.io/etcd/server/v3")


def _archive() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo(f"etcd-{ARCH}/etcd")
        entry.size = len(PROGRAM)
        archive.addfile(entry, io.BytesIO(PROGRAM))
    return packed.getvalue()


def test_takes_an_official_release_whose_checksum_is_right(releases: Path, cache: Path) -> None:
    _serve(releases, f"v{_version()}/{ARCH}/etcd", PROGRAM)
    _serve(releases, f"v{_version()}/{ARCH}/etcd.sha256", _sha256(PROGRAM).encode())
    module = _module(PLAIN)

    provide(module, print)

    got = module.store / "etcd"
    assert got.read_bytes() == PROGRAM
    assert got.stat().st_mode & stat.S_IXUSR
    assert cache in got.parents


def test_takes_a_program_out_of_an_archive_listed_among_others(releases: Path) -> None:
    packed = _archive()
    listing = f"{'0' * 64}  another.tar.gz\n{_sha256(packed)}  etcd-{ARCH}.tar.gz\n"
    _serve(releases, f"v{_version()}/etcd-{ARCH}.tar.gz", packed)
    _serve(releases, f"v{_version()}/SHA256SUMS", listing.encode())
    module = _module(PACKED)

    provide(module, print)

    assert (module.store / "etcd").read_bytes() == PROGRAM


def test_refuses_a_release_whose_checksum_is_wrong(releases: Path, go: Path) -> None:
    _serve(releases, f"v{_version()}/{ARCH}/etcd", PROGRAM + b"# and something else\n")
    _serve(releases, f"v{_version()}/{ARCH}/etcd.sha256", _sha256(PROGRAM).encode())
    module = _module(PLAIN)

    with pytest.raises(SetupError, match="damaged or replaced"):
        provide(module, print)

    assert module.missing() == ["etcd"]
    assert not go.exists(), "it was built although the release was wrong"


def test_builds_what_no_host_answers_for(go: Path) -> None:
    said: list[str] = []
    module = _module(PLAIN)

    provide(module, said.append)

    assert (module.store / "etcd").read_text() == "#!/bin/sh\n"
    assert any("does not answer" in line for line in said)
    asked = go.read_text()
    assert asked.startswith("0 build -v -mod=readonly -trimpath -o ")
    assert asked.rstrip().endswith("go.etcd.io/etcd/server/v3")


def test_builds_what_was_never_published(releases: Path, go: Path) -> None:
    said: list[str] = []
    provide(_module(PLAIN), said.append)
    assert go.exists()
    assert any("answered 404" in line for line in said)


def test_does_nothing_when_the_cache_holds_all(go: Path) -> None:
    module = _module(None)
    provide(module, print)
    go.unlink()

    provide(module, print)

    assert not go.exists()


def test_a_failed_build_says_what_go_said_and_leaves_nothing(go: Path) -> None:
    (go.parent / "go").write_text(
        '#!/bin/sh\nif [ "$1" = env ]; then echo go99.1.0; exit; fi\n'
        "echo 'dial tcp: lookup proxy.golang.org: no such host' >&2; exit 1\n"
    )
    module = _module(None)
    with pytest.raises(SetupError, match="set GOPROXY"):
        provide(module, print)
    assert module.missing() == ["etcd"]


def test_an_older_compiler_is_passed_over(go: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (go.parent / "go").write_text("#!/bin/sh\necho go1.19.8\n")
    monkeypatch.setattr(binaries, "_go_from_package", lambda: Path("/of/the/package/go"))
    assert binaries.go(_module(None)) == Path("/of/the/package/go")


def test_another_pin_is_another_folder() -> None:
    folders = {module.store for module in MODULES}
    assert len(folders) == len(MODULES)
    assert _module(None).store != Module("kubernetes", {}, ("-race",)).store


def test_an_unknown_program_is_named() -> None:
    with pytest.raises(SetupError, match="'helm'"):
        program("helm")


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_every_program_is_a_tool_of_its_module(module: Module) -> None:
    tools = {line.split()[-1] for line in (module.folder / "go.mod").read_text().splitlines() if "/" in line}
    assert {entry.package for entry in module.programs.values()} <= tools


def test_the_version_linked_in_is_the_one_that_is_pinned() -> None:
    module = next(module for module in MODULES if module.name == "kubernetes")
    pinned = module.version("k8s.io/kubernetes/cmd/kube-apiserver")
    assert pinned == binaries._KUBERNETES
    assert f"Version=v{pinned} " in module.flags[-1]
    assert module.flags[-1].endswith(f"Minor={pinned.split('.')[1]}")


def test_prometheus_is_asked_for_by_the_number_of_its_release() -> None:
    module = next(module for module in MODULES if module.name == "services")
    assert binaries._release_version(module, "github.com/prometheus/prometheus/cmd/promtool").startswith("3.")
