from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from include.backups import programs
from include.backups.login import Login
from include.backups.programs import Programs, failure
from include.errors import ConfigurationError, PermanentError, RefusedError, RunbookError, TransientError

CANARY = "hush-canary"
LOGIN = Login({"host": "h", "port": 5433, "user": "u", "dbname": "d", "password": f"{CANARY}:with\\all"})

COPY_DUPLICATE = f"""\
pg_restore: error: COPY failed for table "people": ERROR:  duplicate key value violates unique constraint "people_email_key"
DETAIL:  Key (email)=({CANARY}) already exists.
CONTEXT:  COPY people, line 2
"""
COPY_SYNTAX = f"""\
pg_restore: error: COPY failed for table "people": ERROR:  invalid input syntax for type integer: "{CANARY}"
CONTEXT:  COPY people, line 1, column id: "{CANARY}"
"""
COPY_SYNTAX_LINES = f"""\
pg_restore: error: COPY failed for table "people": ERROR:  invalid input syntax for type integer: "{CANARY}
of two lines"
CONTEXT:  COPY people, line 1, column id: "{CANARY}
of two lines"
"""
COPY_QUOTES = f"""\
pg_restore: error: COPY failed for table "people": ERROR:  invalid input syntax for type integer: "a" {CANARY} "b"
CONTEXT:  COPY people, line 1, column id: "a" {CANARY} "b"
"""
COPY_RANGE = f"""\
pg_restore: error: COPY failed for table "people": ERROR:  value "{CANARY}" is out of range for type integer
CONTEXT:  COPY people, line 1, column id: "{CANARY}"
"""
COPY_FLOAT = f"""\
pg_restore: error: COPY failed for table "people": ERROR:  "{CANARY}" is out of range for type double precision
CONTEXT:  COPY people, line 1, column height: "{CANARY}"
"""
COPY_ZONE = f"""\
pg_restore: error: COPY failed for table "people": ERROR:  time zone "{CANARY}" not recognized
CONTEXT:  COPY people, line 1, column born: "2026-11-25 02:00 {CANARY}"
"""
COPY_DATE = f"""\
pg_restore: error: COPY failed for table "people": ERROR:  date/time field value out of range: "{CANARY}"
HINT:  Perhaps you need a different "datestyle" setting.
CONTEXT:  COPY people, line 1, column born: "{CANARY}"
"""
COPY_ENUM = f"""\
pg_restore: error: COPY failed for table "people": ERROR:  invalid input value for enum mood: "{CANARY}"
CONTEXT:  COPY people, line 1, column mood: "{CANARY}"
"""
COPY_JSON = f"""\
pg_restore: error: COPY failed for table "people": ERROR:  invalid input syntax for type json
DETAIL:  Token "{CANARY}" is invalid.
CONTEXT:  JSON data, line 1: {CANARY}
COPY people, line 1, column doc: "{CANARY}"
"""
COPY_CHECK = f"""\
pg_restore: error: COPY failed for table "people": ERROR:  new row for relation "people" violates check constraint "c"
DETAIL:  Failing row contains (1, {CANARY}).
CONTEXT:  COPY people, line 1: "1	{CANARY}"
"""
FOREIGN_KEY = f"""\
pg_restore: error: could not execute query: ERROR:  insert or update on table "orders" violates foreign key constraint "fk"
DETAIL:  Key (who)=({CANARY}) is not present in table "people".
Command was: ALTER TABLE ONLY public.orders
    ADD CONSTRAINT fk FOREIGN KEY (who) REFERENCES public.people(name);
"""
UNIQUE_INDEX = f"""\
pg_restore: while PROCESSING TOC:
pg_restore: from TOC entry 3201; 1259 16390 INDEX people_name_key owner
pg_restore: error: could not execute query: ERROR:  could not create unique index "people_name_key"
DETAIL:  Key (name)=({CANARY}) is duplicated.
Command was: CREATE UNIQUE INDEX people_name_key ON public.people USING btree (name);
"""
DUMP_CORRUPT = f"""\
pg_dump: error: Dumping the contents of table "people" failed: PQgetResult() failed.
pg_dump: detail: Error message from server: ERROR:  invalid memory alloc request size 18446744073709551613
CONTEXT:  column name: "{CANARY}"
pg_dump: detail: Command was: COPY public.people (id, name) TO stdout;
"""


@pytest.mark.parametrize(
    ("name", "said", "shown"),
    [
        ("pg_restore", COPY_DUPLICATE, 'table "people": ERROR: duplicate key value violates unique constraint'),
        ("pg_restore", COPY_SYNTAX, 'table "people": ERROR: invalid input syntax for type integer: "…"'),
        ("pg_restore", COPY_SYNTAX_LINES, 'invalid input syntax for type integer: "…"'),
        ("pg_restore", COPY_QUOTES, 'invalid input syntax for type integer: "…"'),
        ("pg_restore", COPY_RANGE, 'ERROR: value "…" is out of range for type integer'),
        ("pg_restore", COPY_FLOAT, 'COPY failed for table "people": ERROR: "…"'),
        ("pg_restore", COPY_ZONE, 'COPY failed for table "people": ERROR: time zone "…" not recognized'),
        ("pg_restore", COPY_DATE, 'date/time field value out of range: "…"'),
        ("pg_restore", COPY_ENUM, 'invalid input value for enum mood: "…"'),
        ("pg_restore", COPY_JSON, "invalid input syntax for type json"),
        ("pg_restore", COPY_CHECK, 'new row for relation "people" violates check constraint "c"'),
        ("pg_restore", FOREIGN_KEY, 'table "orders" violates foreign key constraint "fk"'),
        ("pg_restore", UNIQUE_INDEX, 'could not create unique index "people_name_key"'),
        ("pg_dump", DUMP_CORRUPT, 'Dumping the contents of table "people" failed'),
    ],
)
def test_a_complaint_names_the_object_and_never_shows_a_row(name: str, said: str, shown: str) -> None:
    error = failure(name, 1, said)
    assert type(error) is PermanentError
    assert str(error).startswith(f"{name} ended with 1: ")
    assert shown in str(error)
    assert CANARY not in str(error)
    assert "\n" not in str(error)


SERVER = 'pg_dump: error: connection to server at "127.0.0.1", port 5432 failed: '
DIED = "\npg_restore: error: a worker process died unexpectedly"
QUERY = "pg_restore: error: could not execute query: ERROR:  "
COPY = 'pg_restore: error: COPY failed for table "t": ERROR:  '


@pytest.mark.parametrize(
    ("name", "said", "kind"),
    [
        ("pg_dump", f"{SERVER}Connection refused\n\tIs the server running?", TransientError),
        ("pg_dump", f"{SERVER}FATAL:  the database system is starting up", TransientError),
        ("pg_dump", f"{SERVER}FATAL:  sorry, too many clients already", TransientError),
        ("pg_dump", "pg_dump: error: query failed: server closed the connection unexpectedly", TransientError),
        ("pg_dump", "pg_dump: error: query failed: SSL SYSCALL error: EOF detected", TransientError),
        ("pg_dump", "pg_dump: error: query failed: SSL error: decryption failed or bad record mac", TransientError),
        ("pg_dump", "pg_dump: error: query failed: ERROR:  canceling statement due to lock timeout", TransientError),
        (
            "pg_dump",
            "pg_dump: error: query failed: FATAL:  terminating connection due to administrator command",
            TransientError,
        ),
        (
            "pg_dump",
            (
                'pg_dump: error: Dumping the contents of table "t" failed: PQgetResult() failed.\n'
                "pg_dump: detail: Error message from server: ERROR:  canceling statement due to conflict with recovery\n"
                "DETAIL:  User query might have needed to see row versions that must be removed."
            ),
            TransientError,
        ),
        ("pg_dump", 'pg_dump: error: query failed: ERROR:  relation "t" does not exist', TransientError),
        ("pg_dump", "pg_dump: error: query failed: ERROR:  cache lookup failed for index 16390", TransientError),
        ("pg_dump", 'pg_dump: error: query failed: ERROR:  snapshot "00000003-1" does not exist', TransientError),
        ("pg_dump", "pg_dump: error: query failed: ERROR:  permission denied for table t", PermanentError),
        (
            "pg_dump",
            (
                "pg_dump: error: aborting because of server version mismatch\n"
                "pg_dump: detail: server version: 17.2; pg_dump version: 15.8"
            ),
            PermanentError,
        ),
        (
            "pg_dump",
            (
                "pg_dump: error: query failed: ERROR:  out of shared memory\n"
                "HINT:  You might need to increase max_locks_per_transaction."
            ),
            RefusedError,
        ),
        ("pg_restore", f'{COPY}could not extend file "base/1/2": No space left on device', RefusedError),
        ("pg_restore", f'{COPY}could not write to file "base/pgsql_tmp/x": Disk quota exceeded', RefusedError),
        ("pg_restore", f"{COPY}out of memory", RefusedError),
        ("pg_restore", f"{COPY}canceling statement due to user request", TransientError),
        ("pg_restore", 'pg_restore: error: could not execute query: ERROR:  role "x" does not exist', PermanentError),
        ("pg_restore", "pg_restore: error: a worker process died unexpectedly", TransientError),
        ("pg_restore", f"{COPY}duplicate key{DIED}", PermanentError),
        ("pg_restore", f"{COPY}server closed the connection unexpectedly{DIED}", TransientError),
        ("pg_restore", f'{COPY}could not read block 7 in file "base/1/2": Input/output error', ConfigurationError),
        ("pg_restore", f"{COPY}temporary file size exceeds temp_file_limit (1024kB)", ConfigurationError),
        ("pg_restore", f"{QUERY}permission denied for language c", ConfigurationError),
        ("pg_restore", f"{QUERY}permission denied to set session authorization{DIED}", ConfigurationError),
        ("pg_restore", f"{QUERY}must be owner of extension postgis", ConfigurationError),
        ("pg_restore", f"{QUERY}must be superuser to create a cast WITHOUT FUNCTION", ConfigurationError),
        ("pg_restore", f'{QUERY}must be able to SET ROLE "x"', ConfigurationError),
        ("pg_restore", f'{QUERY}extension "x" is not available', ConfigurationError),
        ("pg_restore", f'{QUERY}unrecognized configuration parameter "a.b"', ConfigurationError),
        ("pg_restore", f'{QUERY}could not open file "base/1/2": Too many open files', ConfigurationError),
        ("pg_restore", "pg_restore: error: input file does not appear to be a valid archive", PermanentError),
        ("pg_restore", "pg_restore: error: could not read from input file: end of file", PermanentError),
        ("pg_restore", "pg_restore: error: could not uncompress data: (null)", PermanentError),
        ("pg_restore", "", PermanentError),
    ],
)
def test_what_can_be_tried_again_what_a_guard_refused_and_what_would_fail_again(
    name: str, said: str, kind: type[RunbookError]
) -> None:
    assert type(failure(name, 1, said)) is kind


@pytest.mark.parametrize(
    "words", ["server closed the connection", "out of memory", "could not connect", "permission denied"]
)
@pytest.mark.parametrize(
    "said",
    [
        'type integer: "x"\nCONTEXT:  COPY t, line 1, column log: "{words}"\n',
        'type integer: "{words}"\nCONTEXT:  COPY t, line 1, column n: "{words}"\n',
        'type integer: "x"\nCONTEXT:  COPY t, line 1, column log: "x\nERROR:  {words}\ny"\n',
    ],
)
def test_words_of_a_row_do_not_decide_whether_it_is_tried_again(said: str, words: str) -> None:
    """Rows of an orchestrator are full of other programs' errors, and what is transient never becomes BAD."""
    said = f"{COPY}invalid input syntax for {said.format(words=words)}"
    assert type(failure("pg_restore", 1, said)) is PermanentError


def test_what_a_server_cannot_take_has_a_way_out_and_stays_short() -> None:
    complaint = f"{QUERY}permission denied for {'x' * 1000}"
    said = str(failure("pg_restore", 1, complaint, "127.0.0.1:5432/verify_1f0c9a2e_12345678"))
    assert said.endswith("…; the server's fault, not the archive's: mend it, then restore again")
    assert len(said) < 400


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_who_was_ended_from_outside_says_nothing_about_the_backup(by: signal.Signals) -> None:
    error = failure("pg_restore", -by, "")
    assert str(error) == f"pg_restore was ended by signal {by.value}: it gave no reason"
    assert type(error) is TransientError


def test_warnings_are_no_complaints_and_a_long_one_is_shortened() -> None:
    said = "pg_restore: warning: nothing\npg_restore: connecting to database\npg_restore: error: " + "x" * 1000
    assert str(failure("pg_restore", 1, said)) == f"pg_restore ended with 1: {'x' * 249}…"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid: int) -> bool:
    until = time.monotonic() + 5
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.01)
    return not alive(pid)


def test_a_program_is_read_to_its_end_and_checked() -> None:
    with programs.running(["printf", "%s", "all of it"]) as program:
        assert program.output.read() == b"all of it"
        program.check()
        assert program.name == "printf"


def test_a_program_is_told_nothing_on_its_standard_input() -> None:
    with programs.running(["cat"]) as program:
        assert program.output.read() == b""
        program.check()


def test_a_program_that_fails_is_heard_though_it_wrote_something() -> None:
    code = "import sys; print('half of it'); sys.exit('pg_dump: error: it broke')"
    with programs.running(python(code)) as program:
        assert program.output.read() == b"half of it\n"
        with pytest.raises(PermanentError, match=r"^python\S* ended with 1: it broke$"):
            program.check()


def test_a_program_that_complains_at_great_length_does_not_block() -> None:
    with programs.running(python("import sys; sys.stderr.write('x' * 5_000_000); print('done')")) as program:
        assert program.output.read() == b"done\n"
        program.check()


@pytest.mark.parametrize("error", [None, TransientError("x"), KeyboardInterrupt()])
def test_a_program_is_gone_when_the_block_is_left_whatever_happened(error: BaseException | None) -> None:
    pids: list[int] = []
    with suppress(TransientError, KeyboardInterrupt), programs.running(["sleep", "60"]) as program:
        pids.append(program.process.pid)
        if error:
            raise error
    assert gone(pids[0])


def test_what_the_program_started_is_gone_too() -> None:
    code = "import subprocess as s, time; print(s.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    with programs.running(python(code)) as program:
        child = int(program.output.readline())
        assert alive(child)
    assert gone(program.process.pid)
    assert gone(child)


def test_children_that_outlive_their_program_are_gone_too() -> None:
    code = "import subprocess as s; print(s.Popen(['sleep', '60'], stdout=s.DEVNULL).pid, flush=True)"
    with programs.running(python(code)) as program:
        child = int(program.output.read())
        program.check()
        assert alive(child)
    assert gone(child)


def test_a_program_that_writes_on_after_nobody_reads_is_gone_too() -> None:
    began = time.monotonic()
    with programs.running(["yes"]) as program:
        assert program.output.read(4) == b"y\ny\n"
    assert gone(program.process.pid)
    assert time.monotonic() - began < 5


def test_who_is_killed_says_so_and_killing_again_is_no_error() -> None:
    with programs.running(["sleep", "60"]) as program:
        program.kill()
        program.kill()
        with pytest.raises(RunbookError, match=r"^sleep was ended by signal 9: it gave no reason$"):
            program.check()
        program.kill()


def test_nobody_else_is_killed_who_may_have_the_number_of_a_program_that_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A zombie keeps its number; once it is gone, anybody can have it."""
    killed: list[tuple[int, bool]] = []
    monkeypatch.setattr(os, "killpg", lambda pid, _: killed.append((pid, Path(f"/proc/{pid}").exists())))
    with programs.running(["true"]) as program:
        program.check()
        program.check()
        program.kill()
    program.kill()
    assert killed == [(program.process.pid, True)] * 2


def test_a_program_is_told_the_login_but_no_word_of_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    monkeypatch.setenv("PGPASSWORD", CANARY)
    code = "import os; print(dict(os.environ)); print(open('/proc/self/cmdline').read())"
    with programs.running(python(code), LOGIN, application="backup restore", synchronous_commit="off") as program:
        told = program.output.read().decode()
    assert CANARY not in told
    assert "'PGAPPNAME': 'backup restore'" in told
    assert "-c statement_timeout=0 " in told
    assert "-c synchronous_commit=off" in told
    assert "'LC_ALL': 'C'" in told


def test_a_program_opens_the_password_file_by_the_name_that_it_is_told() -> None:
    code = "import os; f = os.environ['PGPASSFILE']; print(oct(os.stat(f).st_mode)[-3:], open(f).read(), end='')"
    with programs.running(python(code), LOGIN) as program:
        assert program.output.read().decode() == f"600 *:*:*:*:{CANARY}\\:with\\\\all\n"
        program.check()


def test_no_descriptor_is_left_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with programs.running(["printf", "x"], LOGIN):
        pass
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def program(folder: Path, says: str, name: str = "pg_dump") -> Programs:
    (folder / name).write_text(f"#!{sys.executable}\n{says}\n")
    (folder / name).chmod(0o755)
    return Programs(folder)


@pytest.mark.parametrize(
    ("said", "major"),
    [
        ("pg_dump (PostgreSQL) 17.10", 17),
        ("pg_dump (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)", 15),
        ("pg_dump (PostgreSQL) 18devel", 18),
        ("pg_dump (PostgreSQL) 9.6.24", 9),
        ("pg_dump (PostgreSQL) 18beta1 (Ubuntu 18~beta1-1.pgdg24.04+1)", 18),
    ],
)
def test_the_version_is_what_the_program_says_of_itself(tmp_path: Path, said: str, major: int) -> None:
    assert program(tmp_path, f"print({said!r})").version("pg_dump") == (said, major)


@pytest.mark.parametrize("says", ["", "print('hello')", "print('pg_dump (PostgreSQL) unknown')", "raise SystemExit(1)"])
def test_a_program_that_does_not_say_its_version_is_refused(tmp_path: Path, says: str) -> None:
    with pytest.raises(ConfigurationError, match=r"does not say its version; correct backup.programs$"):
        program(tmp_path, says).version("pg_dump")


def test_a_program_that_is_asked_for_its_version_gets_nothing_of_the_workers_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "a canary")
    asks = "import os; print('pg_dump (PostgreSQL)', 99 if 'canary' in str(dict(os.environ)) else 17)"
    assert program(tmp_path, asks).version("pg_dump")[1] == 17


def test_a_program_that_this_machine_cannot_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pg_dump").write_bytes(b"\x7fELF of another machine")
    (tmp_path / "pg_dump").chmod(0o755)
    with pytest.raises(ConfigurationError, match=r"backup.programs"):
        Programs(tmp_path).version("pg_dump")


def test_a_program_that_is_not_there_is_named_with_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pg_dump").touch(mode=0o644)
    with pytest.raises(ConfigurationError, match=rf"^there is no pg_dump in {tmp_path}; .*OPS_BACKUP__PROGRAMS"):
        Programs(tmp_path).path("pg_dump")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"^there is no pg_dump in PATH; "):
        Programs(None).path("pg_dump")


def test_without_a_folder_the_path_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "")
    assert Programs(None).path("pg_dump") == str(tmp_path / "pg_dump")
    assert subprocess.run([Programs(None).path("pg_dump")], check=False).returncode == 0
