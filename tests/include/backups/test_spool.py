from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from include.backups import spool
from include.errors import ConfigurationError, RefusedError, TransientError

HOLDS = """
import sys, time
from pathlib import Path
from include.backups import spool
with spool.folder(Path(sys.argv[1]), sys.argv[2], needed_bytes=0, reserve_bytes=0) as place:
    (place / "dump").write_bytes(b"all of the customers")
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "new" / "spool"


@contextmanager
def opened(root: Path, name: str = "verify_a", needed_bytes: int = 0, reserve_bytes: int = 0) -> Iterator[Path]:
    with spool.folder(root, name, needed_bytes=needed_bytes, reserve_bytes=reserve_bytes) as place:
        yield place


@contextmanager
def process_holding(root: Path, name: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(root), name], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"held\n"
            yield process
        finally:
            process.kill()


def folders(root: Path) -> list[str]:
    """What lies in the spool beside its lock."""
    assert (root / spool.LOCK).is_file()
    return sorted(place.name for place in root.iterdir() if place.name != spool.LOCK)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_nobody_else_may_look_into_it(root: Path) -> None:
    before = os.umask(0)
    try:
        with opened(root) as place:
            assert (mode(root), mode(place)) == (0o700, 0o700)
            assert place == root / "verify_a"
    finally:
        os.umask(before)


def test_a_root_that_was_open_to_others_is_closed(root: Path) -> None:
    root.mkdir(parents=True, mode=0o755)
    with opened(root):
        assert mode(root) == 0o700


def test_it_is_gone_afterwards_with_all_that_is_in_it(root: Path) -> None:
    with opened(root) as place:
        (place / "deep").mkdir()
        (place / "deep" / "dump").write_bytes(b"x")
    assert not folders(root)


@pytest.mark.parametrize("error", [TransientError("x"), KeyboardInterrupt(), OSError(errno.EIO, "I/O error")])
def test_an_error_inside_comes_out_as_itself_and_the_folder_is_gone(root: Path, error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, opened(root):
        raise error
    assert raised.value is error
    assert not folders(root)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_disk_that_fills_up_is_a_refusal_and_the_folder_is_gone(root: Path, number: int) -> None:
    said = (
        rf"^the spool {root} is full; what we wrote is removed; free some space, or set backup.spool to another disk$"
    )
    with pytest.raises(RefusedError, match=said), opened(root) as place, spool.room(place):
        raise OSError(number, os.strerror(number))
    assert not folders(root)


def test_a_real_full_device_is_a_refusal(root: Path) -> None:
    with (
        pytest.raises(RefusedError),
        opened(root) as place,
        spool.room(place),
        Path("/dev/full").open("wb") as file,
    ):
        file.write(b"x")
    assert not folders(root)


@pytest.mark.parametrize(
    "error", [TransientError("x"), KeyboardInterrupt(), OSError(errno.EIO, "I/O error"), OSError()]
)
def test_another_error_while_something_is_written_comes_out_as_itself(root: Path, error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, spool.room(root / "verify_a"):
        raise error
    assert raised.value is error


def test_a_disk_that_is_full_elsewhere_is_not_said_to_be_the_spool(root: Path) -> None:
    """The scratch server, the store and a log fill up too; only what is written here is the spool's."""
    error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space") as raised, opened(root):
        raise error
    assert raised.value is error


@pytest.mark.parametrize(("needed", "reserve"), [(1001, 0), (0, 1001), (1, 1000), (2000, 3000)])
def test_a_disk_with_too_little_room_is_refused_before_anything_is_written(
    root: Path, monkeypatch: pytest.MonkeyPatch, needed: int, reserve: int
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with (
        pytest.raises(RefusedError, match=r"has 1 kB free .* nothing was fetched; .* backup.spool"),
        opened(root, needed_bytes=needed, reserve_bytes=reserve),
    ):
        raise AssertionError
    assert not list(root.iterdir())


@pytest.mark.parametrize(("needed", "reserve"), [(1000, 0), (600, 400), (0, 1000)])
def test_a_disk_with_exactly_the_room_is_taken(
    root: Path, monkeypatch: pytest.MonkeyPatch, needed: int, reserve: int
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with opened(root, needed_bytes=needed, reserve_bytes=reserve) as place:
        assert place.is_dir()


def test_a_spool_that_cannot_be_is_named_by_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with (
            pytest.raises(ConfigurationError, match=rf"^the spool {root} cannot be used .*; set backup.spool$"),
            opened(root),
        ):
            raise AssertionError


def test_a_folder_whose_process_lives_is_not_swept_and_one_whose_process_was_killed_is(root: Path) -> None:
    with process_holding(root, "verify_other") as process, opened(root, "verify_ours") as ours:
        assert spool.sweep(root) == []
        process.kill()
        process.wait()
        assert (root / "verify_other" / "dump").exists()
        assert spool.sweep(root) == ["verify_other"]
        assert folders(root) == [ours.name]
        assert spool.sweep(root) == []


def test_a_folder_without_a_lock_is_dead_however_fresh_and_so_is_one_whose_lock_nobody_holds(root: Path) -> None:
    (root / "verify_new").mkdir(parents=True)
    (root / "verify_let_go").mkdir()
    (root / "verify_let_go" / spool.LOCK).touch()
    assert spool.sweep(root) == ["verify_let_go", "verify_new"]
    assert not folders(root)


def test_a_folder_that_is_being_made_is_not_swept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there before it can be locked; just then a sweep begins."""
    locked, swept = spool._locked, list[list[str]]()

    @contextmanager
    def after_a_sweep_began(place: Path) -> Iterator[None]:
        if place == root:
            with locked(place):
                yield
            return
        assert place.is_dir()
        with monkeypatch.context() as patch:
            patch.setattr(spool, "_locked", locked)
            thread = threading.Thread(target=lambda: swept.append(spool.sweep(root)), daemon=True)
            thread.start()
            thread.join(0.3)
            assert thread.is_alive()
        with locked(place):
            yield

    monkeypatch.setattr(spool, "_locked", after_a_sweep_began)
    with opened(root) as place:
        (place / "dump").write_bytes(b"x")
        deadline = time.monotonic() + 10
        while not swept and time.monotonic() < deadline:
            time.sleep(0.01)
        assert swept == [[]]
        assert (place / "dump").exists()


def test_a_folder_that_its_own_process_removes_was_not_left_behind(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep begins just when it is removed; it may have to wait."""
    remove, swept = shutil.rmtree, list[list[str]]()
    sweeping = threading.Thread(target=lambda: swept.append(spool.sweep(root)), daemon=True)

    def after_a_sweep_began(place: Path, **_: bool) -> None:
        monkeypatch.setattr(shutil, "rmtree", remove)
        sweeping.start()
        sweeping.join(0.3)
        remove(place, ignore_errors=True)

    with opened(root):
        monkeypatch.setattr(shutil, "rmtree", after_a_sweep_began)
    sweeping.join(10)
    assert not folders(root)
    assert swept == [[]]


def test_a_name_that_is_taken_costs_who_has_it_nothing(root: Path) -> None:
    with opened(root) as place:
        (place / "dump").write_bytes(b"x")
        with pytest.raises((OSError, RefusedError)), opened(root):
            raise AssertionError
        assert (place / "dump").exists()


def test_where_there_is_no_spool_nothing_is_swept(root: Path) -> None:
    assert spool.sweep(root) == []


def test_a_file_that_lies_in_the_spool_does_not_keep_the_dead_from_being_swept(root: Path) -> None:
    (root / "verify_dead").mkdir(parents=True)
    (root / "a-file").write_text("of somebody")
    assert spool.sweep(root) == ["verify_dead"]
    assert folders(root) == ["a-file"]


def test_a_folder_that_goes_away_while_it_is_looked_at_is_no_error_and_not_ours_to_count(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "verify_gone").mkdir(parents=True)
    is_dead = spool._is_dead

    def goes_away(place: Path) -> bool:
        place.rmdir()
        return is_dead(place)

    monkeypatch.setattr(spool, "_is_dead", goes_away)
    assert spool.sweep(root) == []
