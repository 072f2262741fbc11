from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include import settings
from include.backups import __main__ as cli
from include.backups import catalogue, keys, manifest
from include.backups.catalogue import Backup, Mark, Verdict
from include.backups.manifest import ConfigurationFacts, ConfigurationManifest
from include.configuration.take import summary
from include.errors import ConfigurationError
from include.settings import BackupLimits
from tests.include.backups.bucket import Bucket
from tests.include.backups.samples import AT, KEY, OP_ID, facts
from tests.include.backups.samples import manifest as sample
from tests.include.backups.sealed import ESCROW, OURS, PLAIN, STRANGER, backup
from tests.include.configuration.things import clear, config

GOOD = Mark(verdict=Verdict.GOOD, at=AT, manifest="c" * 64, rto_s=41.6)
BAD = Mark(verdict=Verdict.BAD, at=AT, manifest="c" * 64, reason="table public.a has 59 rows instead of 60")
SQL = b"-- plain SQL of "
PG_RESTORE = f"""#!{sys.executable}
import pathlib, sys
assert sys.argv[1:3] == ["--file=-", "--create"], sys.argv
sys.stdout.buffer.write({SQL!r} + pathlib.Path(sys.argv[-1]).read_bytes())
"""


def key(day: int) -> str:
    return keys.fresh("orchestrator", AT + timedelta(days=day), OP_ID, 1)


def seen(**changed: Any) -> Backup:
    known: dict[str, Any] = {"key": KEY, "version_id": "v", "stored_at": AT, "sha256": "c" * 64, "manifest": sample()}
    return Backup(**known | changed)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (seen(), f"2026-11-25 02:00Z UNPROVED     300 B          100 rows {KEY}"),
        (seen(mark=GOOD), f"2026-11-25 02:00Z GOOD         300 B          100 rows {KEY}  restored and equal in 42 s"),
        (
            seen(mark=BAD),
            f"2026-11-25 02:00Z BAD          300 B          100 rows {KEY}  table public.a has 59 rows instead of 60",
        ),
        (seen(manifest=None, problem="it is torn"), f"2026-11-25 02:00Z BAD       {KEY}  it is torn"),
        (seen(manifest=None, problem="it is torn", mark=GOOD), f"2026-11-25 02:00Z BAD       {KEY}  it is torn"),
    ],
)
def test_a_backup_is_one_line_with_its_verdict_and_the_reason_if_it_is_not_good(found: Backup, said: str) -> None:
    assert cli.line(found) == said


@pytest.mark.parametrize("mark", [GOOD, BAD])
def test_a_mark_on_another_manifest_is_not_told_as_if_it_were_of_this_one(mark: Mark) -> None:
    assert cli.line(seen(sha256="d" * 64, mark=mark)) == cli.line(seen(sha256="d" * 64))


def test_every_moment_is_told_in_utc() -> None:
    berlin = AT.astimezone(timezone(timedelta(hours=1)))
    assert cli.line(seen(manifest=sample(facts=facts(taken_at=berlin)))).startswith("2026-11-25 02:00Z ")


@dataclass
class Desk:
    """Somebody at a terminal: a bucket, a folder, and what was printed."""

    folder: Path
    capture: pytest.CaptureFixture[bytes]
    bucket: Bucket = field(default_factory=Bucket)

    @property
    def limits(self) -> BackupLimits:
        return BackupLimits(spool=self.folder / "spool", spool_reserve_bytes=0, programs=self.folder / "programs")

    @property
    def output(self) -> Path:
        return self.folder / "out.sql"

    def key(self, text: str | bytes = f"# created: 2026\n# public key: {OURS.to_public()}\n{OURS}\n") -> str:
        (self.folder / "key").write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(self.folder / "key")

    def run(self, *arguments: str) -> tuple[int, bytes, str]:
        code = cli.main(arguments)
        printed = self.capture.readouterr()
        return code, printed.out, printed.err.decode()

    def refused(self, *arguments: str) -> str:
        """The one sentence with which it ended; nothing was printed, and no opened byte is left."""
        code, printed, said = self.run(*arguments)
        assert (code, printed) == (1, b"")
        assert said.count("\n") == 1
        assert said.endswith("\n")
        assert not list((self.folder / "spool").glob("*/*"))
        return said.rstrip("\n")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Desk:
    desk = Desk(tmp_path, capfdbinary)
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs" / "pg_restore").write_text(PG_RESTORE)
    (tmp_path / "programs" / "pg_restore").chmod(0o755)
    monkeypatch.setattr(settings, "load", lambda: SimpleNamespace(backup=desk.limits, namespace="shop"))
    monkeypatch.setattr(cli, "_store", lambda limits: desk.bucket.store)
    return desk


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def test_the_configurations_backups_are_a_list_of_their_own_and_hold_no_sql(desk: Desk) -> None:
    backup(desk.bucket)
    mine = keys.fresh("shop", AT, OP_ID, 1, keys.CONFIGURATION)
    known = {"key": mine, "op_id": OP_ID, "taken_at": AT, "finished_at": AT, "code_version": "x", "previous": None}
    of = ConfigurationFacts(**known, recipients={}, **summary(clear(config())))
    text = manifest.render(ConfigurationManifest(format=1, facts=of, objects={}))
    good = Mark(verdict=Verdict.GOOD, at=AT, manifest=manifest.sha256(text), rto_s=3.0)
    desk.bucket.keep(mine + keys.MANIFEST, text, **good.tags())
    code, printed, _ = desk.run("--configuration", "list")
    listed, total = printed.decode().splitlines()
    assert (code, total) == (0, "1 backups of shop, 1 good")
    assert listed == f"2026-11-25 02:00Z GOOD           0 B         1 objects {mine}  restored and equal in 3 s"
    assert "orchestrator" in desk.run("list")[1].decode()
    said = desk.refused("--configuration", "sql", "--identity", desk.key(), "--output", str(desk.output))
    assert said == f"{mine} is of a configuration, which holds no SQL and no roles"


def test_the_list_has_one_line_a_backup_oldest_first_and_what_was_never_finished(desk: Desk) -> None:
    backup(desk.bucket, Verdict.BAD, key(3), reason="it differs")
    backup(desk.bucket, Verdict.GOOD, key(1))
    backup(desk.bucket, None, key(2))
    desk.bucket.keep(key(4) + keys.DUMP, b"x")
    code, printed, said = desk.run("list")
    lines = printed.decode().splitlines()
    found = catalogue.look(desk.bucket.store, "orchestrator").backups
    assert (code, said) == (0, "")
    assert lines[:3] == [cli.line(each) for each in found]
    assert [each.key for each in found] == [key(1), key(2), key(3)]
    assert lines[3] == f"-                 no manifest {key(4)}  (never finished; the sweep removes it)"
    assert lines[4:] == ["3 backups of orchestrator, 1 good"]


def test_an_empty_bucket_is_listed_as_one(desk: Desk) -> None:
    assert desk.run("list") == (0, b"0 backups of orchestrator, 0 good\n", "")


@pytest.mark.parametrize("verdict", [Verdict.GOOD, Verdict.BAD, None])
def test_the_manifest_is_shown_as_it_is_stored_whatever_is_known_of_it(desk: Desk, verdict: Verdict | None) -> None:
    whole = backup(desk.bucket, verdict)
    assert desk.run("show", KEY) == (0, manifest.render(whole), "")


def test_without_a_key_the_newest_good_one_is_shown(desk: Desk) -> None:
    whole = backup(desk.bucket, Verdict.GOOD, key(1))
    backup(desk.bucket, None, key(2))
    assert desk.run("show") == (0, manifest.render(whole), "")


@pytest.mark.parametrize("identity", [OURS, ESCROW])
def test_each_of_the_keys_opens_a_good_backup(desk: Desk, identity: object) -> None:
    backup(desk.bucket)
    file = desk.key(f"{identity}\n")
    code, printed, _ = desk.run("roles", "--identity", file)
    assert (code, printed) == (0, PLAIN[keys.GLOBALS])
    code, printed, said = desk.run("sql", KEY, "--identity", file, "--output", str(desk.output))
    assert (code, printed, said) == (0, b"", "260 kB of SQL written\n")
    assert desk.output.read_bytes() == SQL + PLAIN[keys.DUMP]
    assert not list((desk.folder / "spool").glob("*/*"))


def test_a_file_of_age_keygen_is_read_with_its_comments(desk: Desk) -> None:
    backup(desk.bucket)
    assert desk.run("roles", "--identity", desk.key())[:2] == (0, PLAIN[keys.GLOBALS])


@pytest.mark.parametrize("verb", ["sql", "roles"])
@pytest.mark.parametrize(
    ("verdict", "named"), [(None, "UNPROVED"), (Verdict.BAD, "BAD"), (Verdict.UNPROVED, "UNPROVED")]
)
def test_a_backup_that_is_not_good_is_refused_though_it_is_asked_for(
    desk: Desk, verb: str, verdict: Verdict | None, named: str
) -> None:
    backup(desk.bucket, verdict)
    said = desk.refused(verb, KEY, "--identity", desk.key(), "--output", str(desk.output))
    assert said == (
        f"{KEY} is {named}, and only a good backup is used; `python -m include.backups list` shows which are"
    )
    assert not desk.output.exists()


def test_a_torn_backup_is_refused_and_without_a_good_one_none_is_chosen(desk: Desk) -> None:
    desk.bucket.keep(KEY + keys.MANIFEST, b"{", **GOOD.tags())
    assert desk.refused("sql", KEY, "--identity", desk.key()).startswith(
        f"{KEY} is BAD, and only a good backup is used"
    )
    assert desk.refused("sql", "--identity", desk.key()).startswith("there is no good backup; ")


def test_a_good_mark_on_another_manifest_does_not_open_this_one(desk: Desk) -> None:
    backup(desk.bucket)
    marked = desk.bucket.kept[KEY + keys.MANIFEST][0].tags
    backup(desk.bucket, None, key(1))
    desk.bucket.kept[key(1) + keys.MANIFEST][0].tags = marked
    assert f"{key(1)} is UNPROVED" in desk.refused("roles", key(1), "--identity", desk.key())


@pytest.mark.parametrize("verb", ["sql", "roles"])
@pytest.mark.parametrize("arguments", [(), ("--identity", "")])
def test_without_a_private_key_it_is_said_which_option_names_it(
    desk: Desk, verb: str, arguments: tuple[str, ...]
) -> None:
    backup(desk.bucket)
    assert desk.refused(verb, *arguments) == (
        "name the file with the private key: --identity FILE, as age-keygen wrote it"
    )


def test_a_file_that_cannot_be_read_is_named(desk: Desk) -> None:
    backup(desk.bucket)
    for file in (desk.folder / "nosuch", desk.folder, desk.folder / "nosuch" / "key"):
        said = desk.refused("roles", "--identity", str(file), "--output", str(desk.output))
        assert said.startswith(f"--identity {file} cannot be read: ")
    assert not desk.output.exists()


def test_a_file_that_is_forbidden_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    backup(desk.bucket)
    file = desk.key()

    def forbid(path: Path, *_: Any, **__: Any) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", forbid)
    assert desk.refused("roles", "--identity", file) == f"--identity {file} cannot be read: Permission denied"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "# only a comment\n",
        str(OURS.to_public()),
        "AGE-SECRET-KEY-1HUSHCANARY\n",
        "hush-canary\n" + str(OURS),
        b"age-encryption.org/v1\n-> scrypt hush-canary\n",
        b"\x7fELF\xff\xfe hush-canary",
        "hush-canary".encode("utf-16"),
    ],
    ids=lambda _: "case",
)
def test_a_file_without_a_private_key_is_named_and_nothing_of_it_is_shown(desk: Desk, text: str | bytes) -> None:
    backup(desk.bucket)
    file = desk.key(text)
    said = desk.refused("roles", "--identity", file, "--output", str(desk.output))
    assert file in said
    assert "canary" not in said.lower().replace(file, "")
    assert not desk.output.exists()


def test_the_key_of_a_stranger_writes_nothing(desk: Desk) -> None:
    backup(desk.bucket)
    said = desk.refused("sql", "--identity", desk.key(str(STRANGER)), "--output", str(desk.output))
    assert said.startswith(f"{KEY}{keys.DUMP}: ")
    assert not desk.output.exists()


@pytest.mark.parametrize(("verb", "name"), [("sql", keys.DUMP), ("roles", keys.GLOBALS)])
def test_one_flipped_bit_in_the_bucket_and_nothing_is_written(desk: Desk, verb: str, name: str) -> None:
    backup(desk.bucket)
    kept = desk.bucket.kept[KEY + name][0]
    kept.data = kept.data[:-1] + bytes([kept.data[-1] ^ 1])
    assert KEY + name in desk.refused(verb, "--identity", desk.key(), "--output", str(desk.output))
    assert not desk.output.exists()
    assert KEY + name in desk.refused(verb, "--identity", desk.key())


@pytest.mark.parametrize("verb", ["sql", "roles"])
@pytest.mark.parametrize("there", [b"", b"precious"])
def test_a_file_that_exists_is_never_written_over(desk: Desk, verb: str, there: bytes) -> None:
    backup(desk.bucket)
    desk.output.write_bytes(there)
    said = desk.refused(verb, "--identity", desk.key(), "--output", str(desk.output))
    assert said == f"--output {desk.output} cannot be written: File exists"
    assert desk.output.read_bytes() == there


def test_a_link_is_neither_followed_nor_replaced(desk: Desk) -> None:
    backup(desk.bucket)
    desk.output.symlink_to(desk.folder / "elsewhere")
    desk.refused("roles", "--identity", desk.key(), "--output", str(desk.output))
    assert desk.output.is_symlink()
    assert not (desk.folder / "elsewhere").exists()


def test_a_folder_that_is_not_there_is_said(desk: Desk) -> None:
    backup(desk.bucket)
    to = desk.folder / "nosuch" / "out.sql"
    said = desk.refused("roles", "--identity", desk.key(), "--output", str(to))
    assert said == f"--output {to} cannot be written: No such file or directory"


@pytest.mark.parametrize("verb", ["sql", "roles"])
@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
def test_what_is_written_is_read_by_nobody_else(desk: Desk, verb: str, mask: int) -> None:
    backup(desk.bucket)
    with umask(mask):
        assert desk.run(verb, "--identity", desk.key(), "--output", str(desk.output))[0] == 0
    assert stat.S_IMODE(desk.output.stat().st_mode) == 0o600


def test_it_is_closed_to_others_before_the_first_byte_is_in_it(tmp_path: Path) -> None:
    with umask(0), cli._output(str(tmp_path / "out")) as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600
    with pytest.raises(ConfigurationError), cli._output(str(tmp_path / "out")):
        raise AssertionError


def test_sql_that_could_not_be_made_whole_is_not_left_as_if_it_were(desk: Desk) -> None:
    """Half a database that psql reads without an error is worse than none."""
    backup(desk.bucket)
    breaks = "print('-- half of it'); sys.stdout.flush(); sys.exit('pg_restore: error: it broke')"
    (desk.folder / "programs" / "pg_restore").write_text(f"#!{sys.executable}\nimport sys; {breaks}\n")
    said = desk.refused("sql", "--identity", desk.key(), "--output", str(desk.output))
    assert said == "pg_restore ended with 1: it broke"
    assert not desk.output.exists()


@pytest.mark.parametrize("arguments", [(), ("restore",), ("list", "x"), ("show", "--identity", "x")])
def test_what_is_no_verb_is_told_how_it_is_used(desk: Desk, arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as raised:
        cli.main(arguments)
    assert raised.value.code == 2
