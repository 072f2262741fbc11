from __future__ import annotations

import base64
import json
from dataclasses import replace
from urllib.parse import quote

import pytest

from include.configuration import bundle
from include.errors import RefusedError, VerificationError
from tests.include.configuration.things import CANARY, ESCROW, KEY, OURS, STRANGER, clear, config, sealed, secret


def test_what_was_sealed_comes_back_whole_to_each_of_the_keys() -> None:
    kept = sealed(config(), secret(), files={"config/app.yaml": b"a: 1"})
    for key in (OURS, ESCROW):
        opened = bundle.unseal(kept, key)
        assert opened.objects == bundle.stable([config(), secret()])
        assert opened.opened == {"config/app.yaml": b"a: 1"}


def test_the_clear_part_survives_being_stored() -> None:
    kept = sealed(config(), secret())
    stored = bundle.packed(bundle.render(kept))
    read = bundle.parse(bundle.unpacked(stored), secrets=kept.secrets, contents=kept.contents)
    assert bundle.unseal(read, OURS) == bundle.unseal(kept, OURS)


def test_the_order_of_the_listing_does_not_matter() -> None:
    one, other = clear(config("b"), config("a"), secret()), clear(secret(), config("a"), config("b"))
    assert bundle.packed(bundle.render(one)) == bundle.packed(bundle.render(other))


@pytest.mark.parametrize("written", [CANARY, base64.b64encode(CANARY.encode()).decode(), quote(CANARY, safe="")])
def test_bug_20_no_writing_of_a_secret_value_is_outside_what_is_sealed(written: str) -> None:
    kept = sealed(config(), secret(), files={"config/login": CANARY.encode()})
    for part in (
        bundle.render(kept),
        kept.secrets,
        kept.contents,
        repr(kept).encode(),
        repr(bundle.unseal(kept, OURS)).encode(),
    ):
        assert written.encode() not in part


def test_a_fingerprint_shows_that_a_value_changed_and_not_that_two_are_equal() -> None:
    shown = bundle.public(secret(a="x", b="x"), KEY)[bundle.FINGERPRINTS]
    assert shown["a"] != shown["b"]
    assert bundle.public(secret(a="x"), KEY)[bundle.FINGERPRINTS]["a"] == shown["a"]
    assert bundle.public(secret(a="y"), KEY)[bundle.FINGERPRINTS]["a"] != shown["a"]
    assert bundle.public(secret(a="x"), b"other")[bundle.FINGERPRINTS]["a"] != shown["a"]


def test_other_keys_open_nothing() -> None:
    with pytest.raises(VerificationError, match="not sealed to this key"):
        bundle.unseal(sealed(secret()), STRANGER)


def test_sealed_parts_of_another_bundle_are_refused() -> None:
    with pytest.raises(VerificationError, match="not those of this bundle"):
        bundle.unseal(replace(sealed(secret()), secrets=sealed(secret("other")).secrets), OURS)


def test_a_clear_part_that_was_changed_is_refused() -> None:
    kept = sealed(config(a="1"), secret())
    with pytest.raises(VerificationError, match="it was changed"):
        bundle.unseal(replace(kept, objects=clear(config(a="2"), secret()).objects), OURS)


@pytest.mark.parametrize("cut", [1, 9, 40, -1])
def test_a_torn_bundle_is_refused(cut: int) -> None:
    stored = bundle.packed(bundle.render(clear(config())))
    with pytest.raises(VerificationError, match="torn"):
        bundle.parse(bundle.unpacked(stored[:cut]))


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"nothing", b'{"format":1'])
def test_what_is_not_our_json_is_torn(text: bytes) -> None:
    with pytest.raises(VerificationError, match="torn"):
        bundle.parse(text)


def test_a_newer_format_is_refused_by_its_number() -> None:
    text = bundle.render(replace(clear(config()), format=2))
    with pytest.raises(VerificationError, match="format '2', and this code reads 1"):
        bundle.parse(text)


def test_a_head_that_lacks_something_is_refused() -> None:
    head, *lines = bundle.render(clear(config())).splitlines()
    short = {name: value for name, value in json.loads(head).items() if name != "cluster"}
    with pytest.raises(VerificationError, match="not one of ours"):
        bundle.parse(b"\n".join([json.dumps(short).encode(), *lines]))


def test_a_bundle_of_another_cluster_or_namespace_is_refused_and_the_sentence_names_both() -> None:
    kept = clear(config())
    bundle.refuse_another(kept, "uid-of-kube-system", "shop")
    with pytest.raises(RefusedError, match="of cluster uid-of-kube-system, and this is another"):
        bundle.refuse_another(kept, "another", "shop")
    with pytest.raises(RefusedError, match="of namespace shop, not till"):
        bundle.refuse_another(kept, "uid-of-kube-system", "till")
