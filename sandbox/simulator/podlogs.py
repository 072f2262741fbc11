"""Log files of the replicas, in the format that a kubelet reads and where the simulated one looks for them."""

from __future__ import annotations

import json
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from sandbox.simulator.pods import SERVICES, Pod

LIMIT_BYTES = 5_000_000


def stamp(at: float) -> str:
    """Return RFC 3339 with nanoseconds, without which the kubelet refuses the whole file."""
    whole, microseconds = divmod(int(at * 1e6), 10**6)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{microseconds:06d}000Z"


def line(message: str, at: float, stream: str = "stdout") -> str:
    """Return one line of a container's log file in CRI format."""
    return f"{stamp(at)} {stream} F {message}\n"


def structured(**fields: object) -> str:
    """Return the JSON of one log record, in the order given."""
    return json.dumps(fields, separators=(",", ":"))


class PodLogs:
    """Collects lines, and writes them a batch at a time: a file is opened once a second, not once a line."""

    def __init__(self, folder: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self._waiting: dict[Path, list[str]] = defaultdict(list)

    def write(self, pod: Pod, message: str, *, stream: str = "stdout", at: float | None = None) -> None:
        """Add a line to the pod's log."""
        moment = time.time() if at is None else at
        self._waiting[self.folder / pod.name / f"{pod.container}.log"].append(line(message, moment, stream))

    def flush(self) -> None:
        """Write what has been collected."""
        waiting, self._waiting = self._waiting, defaultdict(list)
        for path, lines in waiting.items():
            self._append(path, lines)

    def keep_only(self, names: Iterable[str]) -> None:
        """Remove the logs of our services' pods that are gone, as a kubelet does."""
        kept = set(names)
        gone = {path.parent for path in self._waiting if path.parent.name not in kept}
        self._waiting = defaultdict(list, {p: lines for p, lines in self._waiting.items() if p.parent not in gone})
        for folder in self.folder.glob("*/"):
            if folder.name not in kept and folder.name.startswith(tuple(f"{app}-" for app in SERVICES)):
                shutil.rmtree(folder, ignore_errors=True)

    def _append(self, path: Path, lines: list[str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.writelines(lines)
            full = file.tell() > self.limit_bytes
        if full:
            _keep_newer_half(path)


def _keep_newer_half(path: Path) -> None:
    # In place: the simulated kubelet may be following this very file.
    content = path.read_bytes()
    middle = content.index(b"\n", len(content) // 2) + 1
    path.write_bytes(content[middle:])
