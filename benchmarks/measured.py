"""What a process and its children cost: wall time, CPU, memory and disk, looked at twenty times a second."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

LOOKS_PER_S = 20
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one piece of work.

    :param peak_mb: resident memory of the process and all below it; what they share counts for each.
    :param disk_mb: the most that lay in its folder at once.
    :param said: what the process itself had to say.
    """

    seconds: float
    cpu_s: float
    peak_mb: float
    disk_mb: float
    said: Mapping[str, Any] = field(default_factory=dict)


def shell(script: str) -> list[str]:
    """Return a shell that keeps to what `measure` expects; the script may leave JSON in SAID."""
    whole = f'echo ready; read -r\n{{\n{script}\n}} >/dev/null\necho "done $SAID"; read -r'
    return ["bash", "-eo", "pipefail", "-c", whole]


def measure(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Cost:
    """Measure a process from the line that we send it to its `done`; it says `ready` first, and waits for our leave at the end."""
    with started(command, {**environment, "TMPDIR": str(folder)}) as process:
        _hear(process, "ready")
        watch = Watch(process.pid, folder)
        began = time.monotonic()
        _say(process)
        said = _hear(process, "done")
        seconds = time.monotonic() - began
        cost = watch.stop(seconds, json.loads(said or "{}"))
        _say(process)
    return cost


@contextmanager
def started(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Start a process in a group of its own, which ends with us if we are ended before it is."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, env=dict(environment), text=True, process_group=0
    ) as process:
        try:
            yield process
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise


def _say(process: subprocess.Popen[str]) -> None:
    assert process.stdin  # it was asked for
    print("go", file=process.stdin, flush=True)


def _hear(process: subprocess.Popen[str], word: str) -> str:
    assert process.stdout  # it was asked for
    line = process.stdout.readline()
    if not line.startswith(word):
        raise RuntimeError(f"{list(process.args)[:6]} said {line!r} instead of {word!r}")  # type: ignore[arg-type]
    return line.removeprefix(word).strip()


class Watch:
    """Looks at a process, all below it, and a folder, in a thread of its own."""

    def __init__(self, pid: int, folder: Path) -> None:
        self.pid, self.folder = pid, folder
        self.peak_bytes = self.disk_bytes = 0
        self._cpu_before_s = cpu_s(pid)
        self._ours, self._strangers = {pid}, set[int]()
        self._ended = Event()
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self, seconds: float, said: Mapping[str, Any]) -> Cost:
        """Look once more, and return what was seen; CPU seconds only now, when all below it have ended and stand in its own."""
        self._ended.set()
        self._thread.join()
        self._look()
        return Cost(
            seconds=seconds,
            cpu_s=sum(map(cpu_s, self._family())) - self._cpu_before_s,
            peak_mb=self.peak_bytes / 1e6,
            disk_mb=self.disk_bytes / 1e6,
            said=said,
        )

    def _run(self) -> None:
        while not self._ended.wait(1 / LOOKS_PER_S):
            self._look()

    def _look(self) -> None:
        family = self._family()
        self.peak_bytes = max(self.peak_bytes, sum(map(_resident_bytes, family)))
        self.disk_bytes = max(self.disk_bytes, lying_bytes(self.folder))

    def _family(self) -> set[int]:
        """Return who lives of it; only a process that was not seen before is asked for its parent."""
        now = {int(name) for name in os.listdir("/proc") if name.isdecimal()}  # noqa: PTH208 - half the time of a Path
        for pid in sorted(now - self._ours - self._strangers):
            (self._ours if _parent(pid) in self._ours else self._strangers).add(pid)
        self._ours &= now
        self._strangers &= now
        return self._ours


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and of its children that have ended; 0 if it has itself."""
    return TICK_S * sum(map(int, _stat(pid)[11:15]))


def lying_bytes(folder: Path) -> int:
    """Return how much disk the files of a folder take."""
    return sum(_blocks(Path(where) / name) for where, _, names in os.walk(folder) for name in names)


def _blocks(file: Path) -> int:
    try:
        return 512 * file.stat().st_blocks
    except FileNotFoundError:
        return 0


def _resident_bytes(pid: int) -> int:
    return PAGE_BYTES * int((_text(Path(f"/proc/{pid}/statm")).split() or "00")[1])


def _parent(pid: int) -> int:
    return int((_stat(pid) or "00")[1])


def _stat(pid: int) -> list[str]:
    # The name of a program, in parentheses, may hold blanks: what comes after it is counted from the state on.
    return _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
