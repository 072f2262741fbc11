"""supervisord, told what to run: one small program file a component, and its own XML-RPC for the rest."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

from supervisor.xmlrpc import Faults, SupervisorTransport

from sandbox.component import Component, SetupError
from sandbox.site import PROJECT, Site

STOP_WITHIN_S = 20
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_DAEMON = """\
[supervisord]
logfile={state}/logs/supervisord.log
pidfile={state}/supervisord.pid
childlogdir={state}/logs
{user}
[unix_http_server]
file={socket}
chmod=0600

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{socket}

[include]
files=programs/*.conf
"""

_PROGRAM = """\
[program:{name}]
command={command}
directory={directory}
environment={environment}
autostart=false
autorestart=true
startsecs=0
stopasgroup=true
killasgroup=true
stopsignal={stop_signal}
stopwaitsecs={stop_within_s}
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=1
{user}
"""


class Supervisor:
    """The process manager of one site."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._lock = threading.Lock()  # its XML-RPC connection and its reload serve one caller at a time

    @property
    def running(self) -> bool:
        """Whether the daemon answers."""
        try:
            self._call("getPID")
        except (OSError, HTTPException):
            return False
        return True

    def start(self) -> None:
        """Start the daemon, with no program running yet; nothing when it already runs."""
        if self.running:
            return
        for folder in ("programs", "logs"):
            for old in self.site.folder(folder).glob("*.conf"):
                old.unlink()
        self._socket.unlink(missing_ok=True)
        config = self.site.path("supervisord.conf")
        user = "user=root\n" if os.geteuid() == 0 else ""
        _write_private(config, _DAEMON.format(state=self.site.state, socket=self._socket, user=user))
        command = [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-c", str(config)]
        began = subprocess.run(command, check=False, cwd="/", env=_base(), capture_output=True, text=True)
        if began.returncode:
            raise SetupError(f"supervisord did not start: {(began.stderr or began.stdout).strip()[-300:]}")
        self._wait_for_answer()
        self.site.path("boot_id").write_text(BOOT_ID.read_text())

    def run(self, component: Component) -> None:
        """Start the component's process; nothing when it runs already with the same command and environment."""
        program = self.site.path("programs", f"{component.name}.conf")
        with self._lock:
            _write_private(program, _program_file(component, self.site))
            (added, changed, _), *_ = self._call("reloadConfig")
            if component.name in changed:
                self._replace(component.name)
            elif component.name in added:
                self._call("addProcessGroup", component.name)
            with _Ignoring(Faults.ALREADY_STARTED):
                self._call("startProcess", component.name)

    def stop_program(self, name: str) -> None:
        """Stop one process and wait until it is gone; nothing when it does not run."""
        with self._lock, _Ignoring(Faults.NOT_RUNNING, Faults.BAD_NAME):
            self._call("stopProcess", name)

    def start_program(self, name: str) -> None:
        """Start a process that `stop_program` stopped."""
        with self._lock, _Ignoring(Faults.ALREADY_STARTED):
            self._call("startProcess", name)

    def states(self) -> dict[str, str]:
        """Return the state of each program by name: RUNNING, STOPPED, BACKOFF or FATAL."""
        with self._lock:
            return {info["name"]: info["statename"] for info in self._call("getAllProcessInfo")}

    def pid(self, name: str) -> int:
        """Return the process id of a program, 0 when it does not run."""
        with self._lock:
            return int(self._call("getProcessInfo", name)["pid"])

    def stop(self) -> None:
        """Stop every process, then the daemon, then whatever a daemon that died left behind; return when all are gone."""
        if self.running:
            daemon = self._call("getPID")
            with self._lock, suppress(OSError, HTTPException):
                self._call("shutdown")
            _wait_until_gone(daemon)
        _end(self.orphans())
        self._socket.unlink(missing_ok=True)

    def orphans(self) -> list[int]:
        """Return the processes of this site that no daemon looks after any more."""
        if self.running:
            return []
        mark = f"SANDBOX_STATE={self.site.state}".encode()
        return [
            int(process.name)
            for process in Path("/proc").glob("[0-9]*")
            if _session(process) == self._last_session() or _started_by_us(process, mark)
        ]

    def _last_session(self) -> int | None:
        # Programs that write their own title lose their environment; the daemon's session they keep. A number of
        # before the last boot means nothing.
        pid, boot = self.site.path("supervisord.pid"), self.site.path("boot_id")
        same_boot = boot.exists() and boot.read_text() == BOOT_ID.read_text()
        return int(pid.read_text()) if same_boot and pid.exists() else None

    def _replace(self, name: str) -> None:
        with _Ignoring(Faults.NOT_RUNNING, Faults.BAD_NAME):
            self._call("stopProcess", name)
        self._call("removeProcessGroup", name)
        self._call("addProcessGroup", name)

    @property
    def _socket(self) -> Path:
        # A socket's path holds 107 characters; the state folder may lie deeper than that.
        near = self.site.path("supervisor.sock")
        digest = hashlib.sha256(str(near).encode()).hexdigest()[:12]
        far = Path(tempfile.gettempdir()) / f"aos-{digest}.sock"
        return near if len(str(near)) < 90 else far

    def _call(self, method: str, *arguments: object) -> Any:
        transport = SupervisorTransport(serverurl=f"unix://{self._socket}")
        try:
            return getattr(ServerProxy("http://localhost", transport=transport).supervisor, method)(*arguments)
        finally:
            transport.close()

    def _wait_for_answer(self) -> None:
        deadline = time.monotonic() + 20
        while not self.running:
            if time.monotonic() > deadline:
                raise SetupError(f"supervisord did not start; its log is {self.site.state}/logs/supervisord.log")
            time.sleep(0.1)


class _Ignoring:
    """Pass over faults of the daemon that say what we wanted to hear."""

    def __init__(self, *codes: int) -> None:
        self.codes = codes

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        return isinstance(error, Fault) and error.faultCode in self.codes


def environment(component: Component, site: Site) -> dict[str, str]:
    """Return what a component's process finds in its environment beside PATH, HOME and LANG."""
    return {"PYTHONPATH": str(PROJECT), "SANDBOX_STATE": str(site.state), **component.environment(site)}


def _base() -> dict[str, str]:
    # Nothing else of the caller's shell reaches the components: no credentials of a real cloud, no Python switches.
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}


def _program_file(component: Component, site: Site) -> str:
    return _PROGRAM.format(
        name=component.name,
        command=_escaped(" ".join(f'"{word}"' for word in _words(component, site))),
        directory=site.state if component.user else PROJECT,
        environment=_escaped(",".join(f'{k}="{v}"' for k, v in _quotable(environment(component, site)).items())),
        log=site.path("logs", f"{component.name}.log"),
        stop_signal=component.options.get("stop_signal", "TERM"),
        stop_within_s=STOP_WITHIN_S,
        user=f"user={component.user}" if component.user else "",
    )


def _words(component: Component, site: Site) -> list[str]:
    return component.command(site) if component.command else []


def _quotable(variables: Mapping[str, str]) -> Mapping[str, str]:
    if bad := [name for name, value in variables.items() if '"' in value or "\n" in value]:
        raise SetupError(
            f"environment variable {bad[0]} holds a quote or a line break, which supervisord cannot pass on"
        )
    return variables


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _session(process: Path) -> int | None:
    try:
        return os.getsid(int(process.name))
    except ProcessLookupError:
        return None


def _started_by_us(process: Path, mark: bytes) -> bool:
    try:
        environment = (process / "environ").read_bytes().split(b"\0")
    except OSError:  # it ended, or is somebody else's
        return False
    return mark in environment and b"SUPERVISOR_ENABLED=1" in environment


def _end(processes: list[int]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, number)
        processes = _left_after(processes, STOP_WITHIN_S)


def _left_after(processes: list[int], seconds: float) -> list[int]:
    deadline = time.monotonic() + seconds
    while left := [process for process in processes if _alive(process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return left


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _wait_until_gone(pid: int) -> None:
    if _left_after([pid], 3 * STOP_WITHIN_S):
        raise SetupError(f"supervisord (process {pid}) did not stop within {3 * STOP_WITHIN_S} s; look at it with ps")
