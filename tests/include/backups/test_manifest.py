from __future__ import annotations

import json
import random
from typing import Any

import pytest

from include.backups import manifest
from include.backups.manifest import Previous, sha256
from include.errors import VerificationError
from tests.include.backups.samples import KEY, facts, fingerprint
from tests.include.backups.samples import manifest as sample

WHOLE = sample(facts=facts(previous=Previous(key="k", sha256="c" * 64)))
TEXT = manifest.render(WHOLE)


def resealed(change: Any) -> bytes:
    """The manifest edited by somebody who computes the checksum again."""
    body = json.loads(TEXT)["manifest"]
    change(body)
    return written({"manifest": body, "sha256": sha256(written(body))})


def written(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=True).encode() + b"\n"


def refused(text: bytes, key: str = KEY) -> str:
    with pytest.raises(VerificationError) as raised:
        manifest.read(text, key)
    assert "\n" not in str(raised.value)
    assert key in str(raised.value)
    return str(raised.value)


def test_what_was_written_is_read_and_written_again_byte_by_byte() -> None:
    assert manifest.read(TEXT, KEY) == WHOLE
    assert manifest.render(manifest.read(TEXT, KEY)) == TEXT


def test_sizes_and_times_are_those_of_all_its_objects() -> None:
    assert (WHOLE.stored_bytes, WHOLE.facts.took_s) == (300, 30.0)


def test_a_flipped_bit_is_refused_wherever_it_is() -> None:
    chosen = random.Random(1)
    for at in range(len(TEXT)):
        flipped = bytearray(TEXT)
        flipped[at] ^= 1 << chosen.randrange(8)
        refused(bytes(flipped))


def test_another_byte_is_refused_wherever_it_is() -> None:
    chosen = random.Random(2)
    for at in chosen.choices(range(len(TEXT)), k=500):
        changed = bytearray(TEXT)
        changed[at] = chosen.choice([byte for byte in range(256) if byte != TEXT[at]])
        refused(bytes(changed))


def test_a_manifest_cut_anywhere_is_refused() -> None:
    for end in range(len(TEXT)):
        refused(TEXT[:end])


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"1",
        b'"manifest"',
        b'{"manifest": 1, "sha256": ""}',
        b'{"manifest": [], "sha256": ""}',
        b'{"manifest": {}}',
        b"\xff\xfe",
        b"\x00" * 100,
        b"9" * 5000,
        b"[" * 100_000,
        b'{"manifest":' * 100_000,
    ],
)
def test_what_is_no_manifest_at_all_is_torn(text: bytes) -> None:
    assert "torn" in refused(text)


@pytest.mark.parametrize(
    "text",
    [
        TEXT + b"\n",
        b" " + TEXT,
        TEXT.replace(b'"rows": 100', b'"rows": 99'),
        TEXT.replace(b'"rows": 100', b'"rows": 1, "rows": 100'),
        TEXT.replace(b'"rows": 100', b'"rows":  100'),
        TEXT.replace(b'"7301"', b'"7302"'),
        json.dumps(json.loads(TEXT)).encode(),
    ],
)
def test_an_edit_without_the_checksum_is_seen(text: bytes) -> None:
    assert "was changed after it was written" in refused(text)


def test_nothing_can_be_added_beside_what_the_checksum_covers() -> None:
    refused(written(json.loads(TEXT) | {"note": "trust me"}))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda body: body["facts"].pop("rows"), "facts.rows: Field required"),
        (lambda body: body["facts"].update(rows="many"), "facts.rows: "),
        (lambda body: body["facts"].update(rows=None), "facts.rows: "),
        (lambda body: body["facts"].update(finished_at=None), "facts.finished_at: "),
        (lambda body: body.update(rows=100), "rows: Extra inputs"),
        (lambda body: body.update(proved=True), "proved: Extra inputs"),
        (lambda body: body["facts"].update(taken_at="2026-11-25T02:00:13"), "facts.taken_at: "),
        (lambda body: body["facts"].pop("lsn"), "facts.lsn: "),
        (lambda body: body["objects"]["dump.age"].update(bytes=1.5), "objects.dump.age.bytes: "),
        (lambda body: body["facts"]["previous"].pop("key"), "facts.previous.key: "),
        (lambda body: body.update(facts=[]), "facts: "),
    ],
)
def test_an_edit_with_the_checksum_is_refused_by_the_field_that_it_breaks(change: Any, named: str) -> None:
    assert f"is not one of ours: {named}" in refused(resealed(change))


def test_a_believable_edit_with_the_checksum_is_another_manifest_and_not_what_was_sealed() -> None:
    text = resealed(lambda body: body["facts"].update(system_identifier="7302"))
    found = manifest.read(text, KEY)
    assert sha256(text) != sha256(TEXT)
    assert found.facts != fingerprint().facts


@pytest.mark.parametrize("version", [0, 2, "1", None, {"a": 1}, "x" * 1000])
def test_another_format_is_refused_and_both_are_named(version: Any) -> None:
    said = refused(resealed(lambda body: body.update(format=version)))
    assert said == f"the manifest of {KEY} has format {str(version)[:20]!r}; this code reads 1"


def test_the_manifest_of_another_backup_is_refused_and_both_keys_are_named() -> None:
    other = KEY.replace("-1/", "-2/")
    assert refused(TEXT, other) == f"the manifest at {other} is that of another backup, {KEY}"


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body["facts"].update(key="k\nBAD"),
        lambda body: body["facts"].update(key="k\x1b[2J"),
        lambda body: body.update({"two\nlines": 1}),
        lambda body: body["objects"].update({"two\nlines": 1}),
        lambda body: body["facts"]["recipients"].update({"two\nlines": 1}),
        lambda body: body.update(format="two\nlines"),
        lambda body: body["facts"].update(taken_at="two\nlines"),
    ],
)
def test_what_a_forger_writes_does_not_break_the_line_in_which_it_is_told(change: Any) -> None:
    assert refused(resealed(change)).isprintable()


def test_the_same_facts_are_equal_and_every_other_one_differs() -> None:
    assert facts(previous=WHOLE.facts.previous) == WHOLE.facts
    assert facts() != WHOLE.facts
    assert facts(previous=WHOLE.facts.previous, recipients={"operations": "age1x"}) != WHOLE.facts
