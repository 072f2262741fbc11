from __future__ import annotations

import os
from pathlib import Path

import pytest

from include.configuration import files
from include.errors import ConfigurationError, RefusedError
from tests.include.configuration.things import KEY


def put(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder


def test_every_file_below_a_folder_is_read_and_the_kubelets_own_are_not(tmp_path: Path) -> None:
    (tmp_path / "..2026_11_26").mkdir()
    (tmp_path / "..2026_11_26" / "a.yaml").write_text("a")
    (tmp_path / "..data").symlink_to("..2026_11_26")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    (tmp_path / "below").mkdir()
    put(tmp_path / "below", b="b")
    assert files.contents(tmp_path) == {"a.yaml": b"a", "below/b": b"b"}


def test_a_folder_that_is_not_mounted_is_one_sentence_and_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not mounted here"):
        files.contents(tmp_path / "nowhere")


def test_a_file_that_is_too_large_or_no_file_is_refused(tmp_path: Path) -> None:
    put(tmp_path, large="x" * (files.BYTES_MAX + 1))
    with pytest.raises(RefusedError, match="are the most"):
        files.contents(tmp_path)
    (tmp_path / "large").unlink()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RefusedError, match="or is no file"):
        files.contents(tmp_path)


def test_a_dangling_link_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("gone")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        files.contents(tmp_path)


def test_bug_21_an_inventory_says_that_a_key_is_there_and_shows_nothing_of_it() -> None:
    key = b"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"
    (found,) = files.inventory({"tls.key": key}, KEY)
    assert found == {"path": "tls.key", "bytes": len(key), "fingerprint": found["fingerprint"], "private": True}
    assert "AAAA" not in repr(found)


def test_what_differs_from_git_is_named_and_not_shown() -> None:
    mounted, source = {"a": b"1", "b": b"secret", "c": b"x"}, {"a": b"1", "b": b"other", "d": b"y"}
    assert files.differences(mounted, source) == [
        "c is mounted and not in Git",
        "d is in Git and not mounted",
        "b differs from Git",
    ]


def test_what_only_looks_like_a_certificate_is_named_as_that() -> None:
    text = b"-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n"
    (found,) = files.certificates([], {"x.crt": text})
    assert found == {"place": "file/x.crt", "number": 1, "problem": "it is no certificate that can be read"}


def test_a_mounted_certificate_that_no_secret_holds_is_a_stranger() -> None:
    known = {"number": 1, "subject": "CN=a", "sha256": "1"}
    found = [
        {**known, "place": "secret/a"},
        {**known, "place": "file/a.crt"},
        {**known, "place": "file/b.crt", "sha256": "2"},
    ]
    assert files.strangers(found) == ["b.crt (CN=a) is the certificate of no Secret"]
