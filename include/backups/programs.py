"""PostgreSQL's own programs: found, compared with the server, run without a shell, and heard when they complain."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from include.backups.login import UNTIMED, Login
from include.errors import ConfigurationError, PermanentError, RefusedError, RunbookError, TransientError
from include.masking import one_line

_VERSION = re.compile(r"\(PostgreSQL\) (\d+)\S*")
_COMPLAINT = re.compile(r"^(?:pg_\w+: (?:error|fatal|detail|hint)|HINT): +(.+)$", re.MULTILINE)
"""The lines in which a program complains; others hold the row, the statement, and what they are continued by."""
_DATA = re.compile(r"(?<=: ) *\".*|(?<=value )\".*\"|(?<=time zone )\".*\"|(?<==)\(.*\)")
"""What a server quotes of a row in its complaint: no row may reach a log."""
_LATER = (
    "server closed the connection",
    "could not connect",
    "connection to server",
    "SSL SYSCALL",
    "SSL error",
    "terminating connection",
    "could not receive data",
    "could not send",
    "canceling statement due to",  # a lock, a standby that moves on, a person
    "no COPY in progress",
    "lost synchronization",
    "the database system is",
)
_CHANGED_UNDER_US = ("does not exist", "cache lookup failed", "deadlock detected", "could not open relation")
"""How a dump says that a table was dropped while it was read; its login was proved a moment before."""
_WAITED = "canceling statement due to statement timeout"
"""What the server calls a lock that pg_dump did not get in time."""
_WORKER_DIED = "worker process died unexpectedly"
"""What pg_restore adds to the complaint of one of its workers; alone it means that somebody killed that one."""
_NOT_THE_ARCHIVE = (
    "permission denied",
    "must be owner",
    "must be superuser",
    "must be able to SET ROLE",
    "is not available",
    "unrecognized configuration parameter",
    "temp_file_limit",
    "Too many open files",
    "Input/output error",
    "could not read block",
    "invalid page in block",
)
"""How a server says that it cannot take what an archive holds, whatever that is."""
_AS_ANOTHER = "set session authorization"
_NO_ROOM = ("No space left", "could not extend file", "out of memory", "max_locks_per_transaction", "Disk quota")


@dataclass(frozen=True)
class Programs:
    """Where they are.

    :param folder: None looks in PATH.
    """

    folder: Path | None

    def path(self, name: str) -> str:
        """Return the program; ConfigurationError names the setting if it is not there."""
        found = shutil.which(name, path=str(self.folder) if self.folder else None)
        if not found:
            raise ConfigurationError(
                f"there is no {name} in {self.folder or 'PATH'}; install PostgreSQL's client programs on the worker, or"
                " write their folder into backup.programs (OPS_BACKUP__PROGRAMS)"
            )
        return found

    def version(self, name: str) -> tuple[str, int]:
        """Return what it says of itself, `pg_dump (PostgreSQL) 17.2`, and its major version."""
        command = [self.path(name), "--version"]
        try:
            said = subprocess.run(command, capture_output=True, text=True, check=False, env=_plain()).stdout.strip()
        except OSError as error:
            raise ConfigurationError(f"{command[0]} does not run ({error.strerror}); correct backup.programs") from None
        if not (found := _VERSION.search(said)):
            raise ConfigurationError(f"{command[0]} does not say its version; correct backup.programs")
        return said, int(found[1])


@dataclass
class Running:
    """A program that was started."""

    process: subprocess.Popen[bytes]
    complaints: IO[bytes]
    name: str
    at: str

    @property
    def output(self) -> IO[bytes]:
        """What it writes, as it comes."""
        assert self.process.stdout  # it was asked for
        return self.process.stdout

    def kill(self) -> None:
        """End it and all that it started; nothing if nobody is left, or after `running`: its number may be another's by then."""
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def check(self) -> None:
        """Wait for its end; RunbookError with its own first complaint if it failed.

        It stays a zombie, which keeps its number, until `running` has ended what it left behind.
        """
        ended = os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        assert ended  # we waited
        code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        self.complaints.seek(0)
        said = self.complaints.read(100_000).decode(errors="replace")
        if code:
            raise failure(self.name, code, said, self.at)


def failure(name: str, code: int, said: str, at: str = "") -> RunbookError:
    """Return the error that a program's end stands for: its own first complaint, without what it quotes of a row.

    :param at: the server that it talked to.
    """
    complaints = [_DATA.sub('"…"', each) for each in _COMPLAINT.findall(said)]
    ended = f"{name}{f' at {at}' if at else ''} {f'was ended by signal {-code}' if code < 0 else f'ended with {code}'}"
    if not complaints:
        return (TransientError if code < 0 else PermanentError)(f"{ended}: it gave no reason")
    if name == "pg_dump" and _WAITED in complaints[0]:
        return TransientError(f"{ended}: a table stayed locked by another session; find the holder in pg_locks")
    first = one_line("; ".join(complaints[:2]), 250)
    if all(_WORKER_DIED in each for each in complaints):
        return TransientError(f"{ended}: {first}")
    kind = _kind(name, "\n".join(complaints))
    return kind(f"{ended}: {first}{_way_out(first) if kind is ConfigurationError else ''}")


def _kind(name: str, said: str) -> type[RunbookError]:
    if any(words in said for words in _NO_ROOM):
        return RefusedError
    if name == "pg_restore" and any(words in said for words in _NOT_THE_ARCHIVE):
        return ConfigurationError
    later = _LATER + (_CHANGED_UNDER_US if name == "pg_dump" else ())
    return TransientError if any(words in said for words in later) else PermanentError


def _way_out(said: str) -> str:
    if _AS_ANOTHER in said:
        return (
            "; a right was passed on by who had it WITH GRANT OPTION, which only a superuser restores: let the owner grant it,"
            " and take another backup"
        )
    return "; the server's fault, not the archive's: mend it, then restore again"


@contextmanager
def running(
    command: Sequence[str], login: Login | None = None, *, application: str = "backup", **settings: str
) -> Iterator[Running]:
    """Start a program whose output is read by us; it is gone when the block is left, whatever happened.

    :param settings: of PostgreSQL, for the sessions that the program opens.
    """
    with (
        tempfile.TemporaryFile() as complaints,
        _environment(login, application, settings) as (environment, descriptors),
    ):
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=environment,
            pass_fds=descriptors,
            bufsize=1 << 20,
            process_group=0,
        )
        program = Running(process, complaints, Path(command[0]).name, login.name if login else "")
        try:
            yield program
        finally:
            program.kill()
            process.communicate()


@contextmanager
def _environment(
    login: Login | None, application: str, settings: Mapping[str, str]
) -> Iterator[tuple[dict[str, str], tuple[int, ...]]]:
    plain = {**_plain(), "PGAPPNAME": application}
    options = " ".join(f"-c {name}={value}" for name, value in {**UNTIMED, **settings}.items())
    if login is None:
        yield plain, ()
        return
    with login.passfile() as file:
        yield {**plain, "PGOPTIONS": options, "PGPASSFILE": f"/proc/self/fd/{file}", "PGCONNECT_TIMEOUT": "10"}, (file,)


def _plain() -> dict[str, str]:
    """Of the worker's environment what a program needs: the rest holds secrets, and whoever shares the machine may read it there."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
